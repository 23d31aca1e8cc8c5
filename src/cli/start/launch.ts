import { isPlugin, metadataFor } from '../docker-trust/plugin.ts';
import { askGate, DENIED, type HookCall, hookCallOf, standardInput } from '../shell/gate-socket.ts';
import { VERSION } from '../shell/version.ts';
import { compileProgram, type Read, runProgram } from './compiled.ts';

/**
 * Runs the command line of this process with the bundled program. Start-up counts: the version is told before anything
 * else is loaded, and so is what docker asks of a plug-in whenever it shows its help. A node asks before each pull: a gate
 * that runs there answers before the program is loaded.
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
    const call = hookCallOf(argv);
    const runWhole = (): void => void runProgram(compileProgram(directory, read), directory, read).main();
    if (call === undefined) runWhole();
    else void answerByGate(call, runWhole);
  }
}

async function answerByGate(call: HookCall, otherwise: () => void): Promise<void> {
  const answer = await askGate(call, standardInput);
  if (answer === undefined) {
    otherwise();
    return;
  }
  process.exitCode = answer.allowed ? 0 : DENIED;
  process.stdout.write(`${answer.reason}\n`);
}
