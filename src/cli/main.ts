import { compileProgram, runProgram } from './compiled.ts';
import { VERSION } from './version.ts';

// Start-up counts: the version is told before anything else is loaded.
const [first] = process.argv.slice(2);
if (first === '--version' || first === '-V') {
  process.stdout.write(`${VERSION}\n`);
} else {
  void runProgram(compileProgram(__dirname), __dirname).main();
}
