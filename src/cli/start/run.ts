import { Command, CommanderError } from 'commander';
import { BullaError, messageOf } from '../../errors.ts';
import { Cli } from '../shell/context.ts';
import { helpText } from '../shell/help.ts';
import type { Io } from '../shell/io.ts';
import { addGlobalOptions } from '../shell/settings.ts';
import { VERSION } from '../shell/version.ts';
import { COMMANDS } from './commands.ts';
import { byGroup, groupOf } from './groups.ts';

/**
 * Runs one command line and says its exit status. Nothing it does escapes as an exception, and
 * nothing is printed but through `io`.
 * @param written without the interpreter and the script
 */
export async function run(written: readonly string[], io: Io): Promise<number> {
  const argv = withSwitches(written);
  const cli = new Cli(io);
  let program: Command | undefined;
  try {
    program = await buildProgram(argv, cli);
    await program.parseAsync([...withoutHelpCommand(program, argv)], { from: 'user' });
    // An archive appears when it is closed: the command has not ended before that went well.
    await cli.close('well');
    return cli.exitStatus;
  } catch (error) {
    const { output, trace } = cli.outputFor(argv);
    await cli.close('badly').catch((second: unknown) => output.warn(messageOf(second)));
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const failure = toBullaError(error, program, argv, io);
    output.failure(failure, trace);
    return failure.exitCode;
  }
}

/** `--plain-http=false`, which many tools take: commander has no switch with a value. Nothing after `--` is a flag. */
function withSwitches(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--');
  return argv.map((word, at) => {
    const [, side = '', value] = /^--(from-|to-)?plain-http=(true|false|1|0)$/.exec(word) ?? [];
    if (value === undefined || (end >= 0 && at > end)) return word;
    return value === 'true' || value === '1' ? `--${side}plain-http` : `--no-${side}plain-http`;
  });
}

/**
 * The program with the commands that `argv` needs; with every one of them where it names none
 * (`--help`, completion).
 */
export async function buildProgram(argv: readonly string[], cli: Cli): Promise<Command> {
  const program = new Command('bulla')
    .description('Sign, copy and verify images in any OCI registry.')
    .version(VERSION, '-V, --version')
    .helpCommand('help [command]', 'show a command with its flags')
    .showSuggestionAfterError(true)
    .configureHelp({ formatHelp: helpText })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void cli.io.stdout.write(text),
      // The commands of a group that was named without one of them.
      writeErr: (text) => void cli.io.stderr.write(text),
      // What commander would print about a wrong command line is printed as a failure, with code and hint.
      outputError: () => undefined,
    });
  addGlobalOptions(program);
  // A word may also be a reference or a value; then a command too many is loaded, never one too few.
  const named = COMMANDS.filter(
    ({ name, alias }) => argv.includes(name) || (alias !== undefined && argv.includes(alias)),
  );
  const everything = named.length === 0 || argv.includes('completion') || argv.includes('help');
  for (const entry of everything ? byGroup(COMMANDS) : named) {
    program.commandsGroup(groupOf(entry.name));
    (await entry.load()).register(program, cli);
  }
  for (const command of descendants(program)) command.exitOverride().copyInheritedSettings(program);
  return program;
}

function* descendants(command: Command): Generator<Command> {
  for (const child of command.commands) {
    yield child;
    yield* descendants(child);
  }
}

/**
 * `help key generate` as `key generate --help`: commander's own help command looks at one word only, and ends with
 * whatever exit status the process has by then.
 * @throws BullaError usage where there is no such command
 */
function withoutHelpCommand(program: Command, argv: readonly string[]): readonly string[] {
  const { command, rest } = follow(program, argv);
  if (rest[0] !== 'help' || command.commands.length === 0) return argv;
  const asked = follow(command, rest.slice(1));
  const [unknown] = asked.rest;
  if (unknown === undefined || unknown === 'help' || unknown.startsWith('-'))
    return [...pathOf(asked.command), '--help'];
  asked.command.outputHelp({ error: true });
  throw new BullaError('usage', `there is no command ${unknown}`, { hint: 'name one of those listed above' });
}

/** The command that words lead to, and the words that lead no further. */
function follow(
  from: Command,
  words: readonly string[],
): { readonly command: Command; readonly rest: readonly string[] } {
  let command = from;
  for (const [at, word] of words.entries()) {
    const next = command.commands.find((child) => child.name() === word || child.aliases().includes(word));
    if (next === undefined) return { command, rest: words.slice(at) };
    command = next;
  }
  return { command, rest: [] };
}

/** The words that lead to a command. */
function pathOf(command: Command): readonly string[] {
  return command.parent === null ? [] : [...pathOf(command.parent), command.name()];
}

function toBullaError(
  error: unknown,
  program: Command | undefined,
  argv: readonly string[],
  io: Io,
): BullaError {
  if (error instanceof BullaError) return error;
  if (io.signal.aborted) {
    return new BullaError('interrupted', 'ended before it was done', {
      cause: error,
      hint: 'run the command again: what was finished is not done twice',
    });
  }
  if (error instanceof CommanderError) {
    if (error.code === 'commander.help') {
      return new BullaError('usage', 'a command is missing', { hint: 'name one of those listed above' });
    }
    return new BullaError('usage', error.message.replace(/^error: /, ''), {
      lines: true,
      hint: whereToLook(program, argv),
    });
  }
  return new BullaError('internal', `a defect of bulla: ${messageOf(error)}`, {
    cause: error,
    hint: 'please report it with the command that was run and the output of --trace',
  });
}

function whereToLook(program: Command | undefined, argv: readonly string[]): string {
  const path = program === undefined ? [] : pathOf(follow(program, argv).command);
  return path.length === 0
    ? 'bulla help shows the commands, bulla help COMMAND its flags'
    : `bulla help ${path.join(' ')} shows what it takes`;
}
