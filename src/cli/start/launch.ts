import { isPlugin, metadataFor } from '../docker-trust/plugin.ts';
import { VERSION } from '../shell/version.ts';
import { compileProgram, type Read, runProgram } from './compiled.ts';

/**
 * Runs the command line of this process with the bundled program. Start-up counts: the version is told before anything
 * else is loaded, and so is what docker asks of a plug-in whenever it shows its help.
 * @param read where the program is, if not in files of the directory
 */
export function launch(directory: string, read?: Read): void {
  const [, program, ...argv] = process.argv;
  const [first] = argv;
  const metadata = isPlugin(program) ? metadataFor(argv, VERSION) : undefined;
  if (metadata !== undefined) {
    process.stdout.write(metadata);
  } else if (first === '--version' || first === '-V') {
    process.stdout.write(`${VERSION}\n`);
  } else {
    void runProgram(compileProgram(directory, read), directory).main();
  }
}
