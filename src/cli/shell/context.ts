import { setMaxListeners } from 'node:events';
import { isAbsolute, join } from 'node:path';
import type { Command } from 'commander';
import { type Ended, type Image, type OpenOptions, Places } from '../../api/places.ts';
import { BullaError } from '../../errors.ts';
import { namesProxy, Preconnection } from '../../http/preconnection.ts';
import type { Reference } from '../../oci/reference.ts';
import type { Source, Target } from '../../oci/target.ts';
import { endpointOf } from '../../registry/endpoint.ts';
import { type Directories, directories } from '../../state/directories.ts';
import { accessFor, type Side } from './access.ts';
import type { Connections } from './connections.ts';
import { Deadline, hasDeadline } from './deadline.ts';
import type { Io } from './io.ts';
import { Output } from './output.ts';
import { readSettings, type Settings } from './settings.ts';
import { unsafePlaces } from './unsafe-places.ts';
import { yieldToEventLoop } from './yield.ts';

export type { Ended, Image, OpenOptions };

/** Ends something that a command has opened. */
export type Closer = (ended: Ended) => Promise<void>;

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
    const experiments = this.io.env['BULLA_EXPERIMENTAL'];
    if (experiments !== undefined) await (await import('./experiments.ts')).begin(experiments);
    const settings = await readSettings(command, this.io);
    const context = new Context(this.io, settings, command.optsWithGlobals(), wordsOf(command));
    this.context = context;
    for (const warning of unsafePlaces(context.directories, this.io.env)) context.output.warn(warning);
    return context;
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

  /** Ends what the command has opened; called once after success, or after a failure. */
  async close(ended: Ended): Promise<void> {
    await this.context?.close(ended);
  }
}

/** `['signature', 'ls']` */
function wordsOf(command: Command): readonly string[] {
  return command.parent === null ? [] : [...wordsOf(command.parent), command.name()];
}

/** What one command works with: settings, output, and the doors to registries and layouts. */
export class Context {
  readonly io: Io;
  readonly settings: Settings;
  readonly output: Output;
  readonly directories: Directories;
  readonly signal: AbortSignal;
  readonly places: Places;
  /** `signature ls` */
  readonly command: string;
  private readonly flags: Readonly<Record<string, unknown>>;
  private readonly closers: Closer[] = [];
  private opened: Promise<Connections> | undefined;
  private preconnected: Preconnection | undefined;
  private readonly deadline: Deadline | undefined;

  constructor(
    io: Io,
    settings: Settings,
    flags: Readonly<Record<string, unknown>>,
    words: readonly string[] = [],
  ) {
    this.deadline = hasDeadline(words) ? new Deadline(settings.searchTimeout) : undefined;
    this.io = this.deadline === undefined ? io : asking(io, this.deadline);
    this.settings = settings;
    this.flags = flags;
    this.output = new Output(io, settings);
    this.command = words.join(' ');
    this.directories = directories(io);
    const signals = [io.signal, ...(this.deadline === undefined ? [] : [this.deadline.signal])];
    if (settings.timeout !== undefined) signals.push(this.limited(settings.timeout));
    this.signal = signals.length === 1 ? io.signal : AbortSignal.any(signals);
    // Every request under way listens to it: more than Node expects, and no leak.
    setMaxListeners(0, this.signal);
    this.places = new Places({
      signal: this.signal,
      path: (path) => this.path(path),
      untimed: (work) => this.untimed(work),
      client: async (registry, side) => {
        this.connectEarly(registry, side);
        return await (await this.connections()).client(registry, side);
      },
    });
    this.defer((ended) => this.places.close(ended));
  }

  /** There is more to search than usual: the command may take so much longer, in milliseconds. */
  allow(moreMs: number): void {
    this.deadline?.allow(moreMs);
  }

  /** Has `work`, which moves or reads content, take the time that it takes. */
  async untimed<T>(work: () => Promise<T>): Promise<T> {
    this.deadline?.hold();
    try {
      return await work();
    } finally {
      this.deadline?.resume();
    }
  }

  /** As {@link untimed}, for what begins and ends in calls back. @returns ends it; further calls do nothing */
  beginUntimed(): () => void {
    let ended = false;
    this.deadline?.hold();
    return () => {
      if (!ended) this.deadline?.resume();
      ended = true;
    };
  }

  /** A path of the command line, from the directory where the command was run. */
  path(path: string): string {
    return isAbsolute(path) ? path : join(this.io.cwd, path);
  }

  /** As {@link Places.openTarget}. */
  async openTarget(reference: Reference, options?: OpenOptions): Promise<Target> {
    return await this.places.openTarget(reference, options);
  }

  /** As {@link Places.openTarget}, to read from. */
  async openSource(reference: Reference, options?: OpenOptions): Promise<Source> {
    return await this.places.openTarget(reference, options);
  }

  /** As {@link Places.openImage}. */
  async openImage(text: string, options?: OpenOptions): Promise<Image> {
    return await this.places.openImage(text, options);
  }

  /** Clients of registries; loaded by the first that needs one. */
  connections(): Promise<Connections> {
    this.opened ??= this.connect();
    return this.opened;
  }

  /** Has `close` called at the end of the run, and told how it ended. */
  defer(close: Closer): void {
    this.closers.push(close);
  }

  /** Ends what was opened, the last first. @throws what the first failing one throws, after all were called */
  async close(ended: Ended): Promise<void> {
    const failures: unknown[] = [];
    // An archive is written to its end, however long that takes.
    this.deadline?.end();
    for (const close of this.closers.splice(0).reverse()) {
      await close(failures.length > 0 ? 'badly' : ended).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Ends the run after so many milliseconds. */
  private limited(milliseconds: number): AbortSignal {
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort(
        new BullaError('timeout', `it took longer than the ${milliseconds / 1000} s that --timeout allows`, {
          hint: 'try again, or allow more: --timeout 10m',
        }),
      );
    }, milliseconds);
    timer.unref();
    this.defer(async () => clearTimeout(timer));
    return late.signal;
  }

  /** Begins the connection to the first registry while the code that will use it is loaded. */
  private connectEarly(registry: string, side: Side | undefined): void {
    const { settings, flags } = this;
    if (this.opened !== undefined || settings.offline || namesProxy(this.io.env)) return;
    const { plainHttp } = accessFor(settings, registry, flags, side);
    const url = endpointOf(registry, plainHttp);
    const preconnected = new Preconnection(url);
    this.preconnected = preconnected;
    this.defer(async () => preconnected.drop());
  }

  private async connect(): Promise<Connections> {
    await yieldToEventLoop();
    const { Connections } = await import('./connections.ts');
    const { io, settings, directories, output, flags } = this;
    const connections = new Connections({
      io,
      settings,
      directories,
      output,
      flags,
      preconnected: this.preconnected,
    });
    this.defer(() => connections.close());
    return connections;
  }
}

/** The deadline is paused while the user is prompted. */
function asking(io: Io, deadline: Deadline): Io {
  return Object.create(io, {
    asking: { value: (isAsked: boolean) => (isAsked ? deadline.hold() : deadline.resume()) },
  }) as Io;
}
