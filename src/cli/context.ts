import type { Command } from 'commander';
import type { Io } from './io.ts';
import { Output } from './output.ts';
import { type Directories, directories, readSettings, type Settings } from './settings.ts';

/** One run of the program: what commands share, and what must be closed at its end. */
export class Cli {
  readonly io: Io;
  /** Status of a command that ended well; a command may set another (`status`, alarms). */
  exitStatus = 0;
  private context: Context | undefined;

  constructor(io: Io) {
    this.io = io;
  }

  /**
   * What an action works with: call it first, with the command that commander hands over.
   * @throws BullaError usage, config-invalid
   */
  async open(command: Command): Promise<Context> {
    const settings = await readSettings(command, this.io);
    this.context = new Context(this.io, settings);
    return this.context;
  }

  /** Where a failure is to be printed, also one that happened before there was a context. */
  outputFor(argv: readonly string[]): { readonly output: Output; readonly trace: boolean } {
    if (this.context !== undefined)
      return { output: this.context.output, trace: this.context.settings.trace };
    const at = argv.findIndex((word) => word === '-o' || word === '--output');
    const json =
      (at >= 0 && argv[at + 1] === 'json') ||
      argv.includes('-ojson') ||
      argv.includes('--output=json') ||
      this.io.env['BULLA_OUTPUT'] === 'json';
    return {
      output: new Output(this.io, { json, quiet: false, verbose: false }),
      trace: argv.includes('--trace'),
    };
  }

  async close(): Promise<void> {
    await this.context?.close();
  }
}

/** What one command works with: settings, output, and the doors to registries and layouts. */
export class Context {
  readonly io: Io;
  readonly settings: Settings;
  readonly output: Output;
  readonly directories: Directories;
  readonly signal: AbortSignal;
  private readonly closers: (() => Promise<void>)[] = [];

  constructor(io: Io, settings: Settings) {
    this.io = io;
    this.settings = settings;
    this.output = new Output(io, settings);
    this.directories = directories(io);
    this.signal =
      settings.timeout === undefined
        ? io.signal
        : AbortSignal.any([io.signal, AbortSignal.timeout(settings.timeout)]);
  }

  /** Has `close` called at the end of the run, whatever its outcome. */
  defer(close: () => Promise<void>): void {
    this.closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.closers.splice(0).reverse()) await close();
  }
}
