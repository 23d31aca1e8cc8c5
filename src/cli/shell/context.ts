import { setMaxListeners } from 'node:events';
import { isAbsolute, join } from 'node:path';
import type { Command } from 'commander';
import { BullaError, isBullaError } from '../../errors.ts';
import { EarlyConnection, namesProxy } from '../../http/early-connection.ts';
import type { LayoutStore } from '../../layout/store.ts';
import type { Digest } from '../../oci/digest.ts';
import {
  formatReference,
  type LayoutReference,
  parseReference,
  type Reference,
  type Tag,
} from '../../oci/reference.ts';
import type { Source, Target } from '../../oci/target.ts';
import { endpointOf } from '../../registry/endpoint.ts';
import { accessFor, type Side } from './access.ts';
import type { Connections } from './connections.ts';
import { Deadline, hasDeadline } from './deadline.ts';
import type { Io } from './io.ts';
import { Output } from './output.ts';
import { type Directories, directories } from './places.ts';
import { readSettings, type Settings } from './settings.ts';
import { unsafePlaces } from './unsafe-places.ts';
import { yieldToEventLoop } from './yield.ts';

/** How a command ended: after a failure, what was begun is taken back where it can be. */
export type Ended = 'well' | 'badly';

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

/** An image that a command line names. */
export interface Image<R extends Reference = Reference> {
  readonly reference: R;
  readonly source: Target;
  /** Its digest where the reference has one, else its tag. */
  readonly version: Tag | Digest;
}

export interface OpenOptions {
  /** Which side's flags hold. */
  readonly side?: Side | undefined;
  /** Something is to be written to a registry: asks for the right to with the first token. */
  readonly write?: boolean | undefined;
  /** Makes a layout or an archive where there is none. */
  readonly create?: boolean | undefined;
  /** For an archive: repository under which `docker load` files what is in it. */
  readonly imageName?: string | undefined;
}

/** What one command works with: settings, output, and the doors to registries and layouts. */
export class Context {
  readonly io: Io;
  readonly settings: Settings;
  readonly output: Output;
  readonly directories: Directories;
  readonly signal: AbortSignal;
  private readonly flags: Readonly<Record<string, unknown>>;
  private readonly closers: Closer[] = [];
  private readonly archives = new Map<string, LayoutStore>();
  private opened: Promise<Connections> | undefined;
  private early: EarlyConnection | undefined;
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
    this.directories = directories(io);
    const signals = [io.signal, ...(this.deadline === undefined ? [] : [this.deadline.signal])];
    if (settings.timeout !== undefined) signals.push(this.limited(settings.timeout));
    this.signal = signals.length === 1 ? io.signal : AbortSignal.any(signals);
    // Every request under way listens to it: more than Node expects, and no leak.
    setMaxListeners(0, this.signal);
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

  /**
   * The place that a reference names, to read from and to write to. Nothing is sent or created before
   * something is asked of it.
   * @throws BullaError registry-unreachable with --offline; not-found, storage-error, content-invalid
   */
  async openTarget(reference: Reference, options: OpenOptions = {}): Promise<Target> {
    if (reference.kind === 'registry') {
      this.connectEarly(reference.registry, options.side);
      const client = await (await this.connections()).client(reference.registry, options.side);
      return client.repository(reference, { access: options.write === true ? 'write' : 'read' });
    }
    return await this.openLayout(reference, options);
  }

  /** The place that a reference names, to read from. */
  async openSource(reference: Reference, options: OpenOptions = {}): Promise<Source> {
    return await this.openTarget(reference, options);
  }

  /**
   * The image that a text names; it must have a tag or a digest.
   * @throws BullaError usage, and those of openTarget
   */
  async openImage(text: string, options: OpenOptions = {}): Promise<Image> {
    const reference = await this.namedInLayout(parseReference(text), options);
    const { tag, digest } = reference;
    if (digest !== undefined)
      return { reference, source: await this.openTarget(reference, options), version: digest };
    if (tag !== undefined)
      return { reference, source: await this.openTarget(reference, options), version: tag };
    if (reference.kind === 'registry') {
      throw new BullaError('usage', `${formatReference(reference)} names a repository, not an image`, {
        hint: 'add a tag (:v1) or a digest (@sha256:…); none is assumed, not even latest',
      });
    }
    const layout = await this.openLayout(reference, options);
    const only = await layout.onlyImage({ signal: this.signal });
    return { reference: { ...reference, digest: only.digest }, source: layout, version: only.digest };
  }

  /**
   * A layout's reference whose name has colons and slashes of its own, `oci:DIR:gcr.io/team/app:v1`, is read as a
   * path at first. Where nothing is at that path, it is the shortest part before a colon that is there, and what
   * follows is the name of an entry; from then on, its digest. A tag that several entries share is told apart so, too.
   */
  async namedInLayout(reference: Reference, options: OpenOptions = {}): Promise<Reference> {
    if (reference.kind === 'registry' || options.create === true) return reference;
    const { path, tag, digest } = reference;
    const { lstat } = await import('node:fs/promises');
    const exists = (text: string): Promise<boolean> =>
      lstat(this.path(text)).then(
        () => true,
        () => false,
      );
    if (await exists(path)) return reference;
    for (let colon = path.indexOf(':'); colon > 0; colon = path.indexOf(':', colon + 1)) {
      const place = path.slice(0, colon);
      if (!(await exists(place))) continue;
      const name = `${path.slice(colon + 1)}${tag === undefined ? '' : `:${tag}`}`;
      const layout = await this.openLayout({ kind: reference.kind, path: place }, options);
      return { kind: reference.kind, path: place, digest: await findNamed(layout, name, digest) };
    }
    return reference;
  }

  /** An archive has one writer, and what it has written is there when it is closed: a run opens each but once. */
  async openLayout(reference: LayoutReference, options: OpenOptions): Promise<LayoutStore> {
    const path = this.path(reference.path);
    const known = reference.kind === 'archive' ? this.archives.get(path) : undefined;
    if (known !== undefined) return known;
    const { openLayout } = await import('../../layout/open.ts');
    const { create, imageName } = options;
    // To be read at random, a compressed archive is unpacked first.
    const layout = await this.untimed(() => openLayout({ ...reference, path }, { create, imageName }));
    if (reference.kind === 'archive') this.archives.set(path, layout);
    this.defer((ended) => {
      this.archives.delete(path);
      return ended === 'well' ? layout.close() : layout.abandon();
    });
    return layout;
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
    const { begun } = this.io;
    const early = begun?.isFor(url) === true ? begun : new EarlyConnection(url);
    this.early = early;
    this.defer(async () => early.drop());
  }

  private async connect(): Promise<Connections> {
    await yieldToEventLoop();
    const { Connections } = await import('./connections.ts');
    const { io, settings, directories, output, flags } = this;
    const connections = new Connections({ io, settings, directories, output, flags, early: this.early });
    this.defer(() => connections.close());
    return connections;
  }
}

/** Whoever thinks about a question is not in a hurry. */
function asking(io: Io, deadline: Deadline): Io {
  return Object.create(io, {
    asking: { value: (isAsked: boolean) => (isAsked ? deadline.hold() : deadline.resume()) },
  }) as Io;
}

/** The entry of a name with a digest in it, or of that digest with that name. */
async function findNamed(layout: LayoutStore, name: string, digest: Digest | undefined): Promise<Digest> {
  if (digest === undefined) return await layout.findNamed(name);
  const found = await layout.findNamed(`${name}@${digest}`).catch((error: unknown) => {
    if (isBullaError(error, 'not-found')) return undefined;
    throw error;
  });
  if (found !== undefined) return found;
  const named = await layout.findNamed(name);
  if (named === digest) return digest;
  throw new BullaError(
    'digest-mismatch',
    `${layout.name}: ${JSON.stringify(name)} is ${named}, and ${digest} was given`,
    {
      hint: 'leave the name out to take the manifest of that digest',
    },
  );
}
