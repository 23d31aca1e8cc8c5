import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Alarm, alarmOfFailure } from '../../actions/renew/alarms.ts';
import { failureOf } from '../../actions/renew/failure.ts';
import type { Shard } from '../../actions/renew/shard.ts';
import { type ReportedCollection, reportOn } from '../../actions/report/report.ts';
import type { OpenedCollection } from '../../actions/verify/collection.ts';
import { BullaError } from '../../errors.ts';
import type { HttpPool } from '../../http/pool.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import type { RegistryReference } from '../../oci/reference.ts';
import type { SignerState } from '../../trust/publish/signer-state.ts';
import type { TrustMemory } from '../../trust/read/memory.ts';
import { isPrefix } from '../../trust/read/pin.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { Endpoints, PostEndpoint } from '../endpoints.ts';
import { type ListenAddress, parseListenAddress } from '../listener.ts';
import type { LogSink } from '../log.ts';
import { type RunningService, ServiceFrame, started } from '../service.ts';
import { limitOf, SYSTEM_CHANCE, SYSTEM_CLOCK } from '../system.ts';
import { Webhook } from '../webhook.ts';
import { AlarmFile } from './alarm-file.ts';
import { alarmsJson } from './alarm-json.ts';
import { exactPlaces, type ListRepositories } from './catalogue.ts';
import type { ResignerConfig } from './config.ts';
import { LeaseElection } from './lease.ts';
import { notifyEndpoint } from './notify.ts';
import { ReportPages } from './pages.ts';
import { Resigner } from './resigner.ts';

import { STATELESS } from './wiring.ts';
import {
  type ResignCore,
  readOptions,
  referenceOf,
  type ServedTarget,
  type SigningMaterial,
} from './worker.ts';

export interface ServeOptions {
  /** Path of the configuration, for alarms. */
  readonly where: string;
  readonly readConfig: () => Promise<ResignerConfig>;
  readonly openSigners: (keys: readonly string[]) => Promise<readonly TufSigner[]>;
  /** Files that keys are in: the keys are opened again when one of them changes. */
  readonly keyFiles: (keys: readonly string[]) => readonly string[];
  readonly openState: (
    config: ResignerConfig,
  ) => Promise<{ readonly state: SignerState; readonly memory: () => TrustMemory }>;
  readonly core: ResignCore;
  readonly target: (reference: RegistryReference) => Promise<ServedTarget>;
  readonly list: ListRepositories;
  readonly shard?: Shard | undefined;
  /** In place of `listen` of the configuration. */
  readonly listen?: ListenAddress | undefined;
  /** Beside `hosts` of the configuration. */
  readonly hosts?: readonly string[] | undefined;
  /** For the webhook. */
  readonly pool: HttpPool;
  readonly kubernetes: () => Promise<KubernetesClient>;
  /** Version of bulla, for the pages. */
  readonly version: string;
  readonly log: LogSink;
}

/** A re-signer that is running. */
export interface ResignerServer extends RunningService {
  /** How many collections the configuration names one by one, and how many prefixes. */
  readonly collections: number;
  readonly prefixes: number;
  readonly resigner: Resigner;
}

const GRACE_MS = 20_000;
/** How long the page of a collection may take, in milliseconds. */
const PAGE_MS = 15_000;

/**
 * Starts the re-signer with all its doors.
 * @throws BullaError config-invalid, not-found, key-invalid, storage-error; usage where it cannot listen
 */
export async function serveResigner(options: ServeOptions): Promise<ResignerServer> {
  return started(new Service(options, await options.readConfig()));
}

class Service implements ResignerServer {
  private readonly frame: ServiceFrame;
  private readonly options: ServeOptions;
  private config: ResignerConfig;
  private running: Resigner | undefined;
  private material: SigningMaterial | undefined;
  private election: LeaseElection | undefined;

  constructor(options: ServeOptions, config: ResignerConfig) {
    this.options = options;
    this.config = config;
    this.frame = new ServiceFrame({
      clock: SYSTEM_CLOCK,
      log: options.log,
      readAgain: () => this.readAgain(),
    });
  }

  get address(): string {
    return this.frame.address;
  }

  get url(): string {
    return this.frame.url;
  }

  /** How many collections the configuration names one by one. */
  get collections(): number {
    return exactPlaces(this.config.pins, this.options.shard).length;
  }

  /** How many prefixes it has, whose collections are listed. */
  get prefixes(): number {
    return this.config.pins.filter(({ scope }) => isPrefix(scope)).length;
  }

  get resigner(): Resigner {
    if (this.running !== undefined) return this.running;
    throw new BullaError('internal', 'the re-signer is not running', { hint: 'please report this' });
  }

  async open(): Promise<void> {
    const { options, config } = this;
    const { openSigners, openState, pool, log, listen } = options;
    const signers = await openSigners(config.keys);
    const { state, memory } = await openState(config);
    this.material = { pins: config.pins, signers, state, memory };
    const alarmStore = alarmStoreOf(config, (message) => this.frame.problem(message));
    const standing = (await alarmStore?.load()) ?? [];
    this.running = new Resigner({
      config,
      material: this.material,
      core: options.core,
      clock: SYSTEM_CLOCK,
      monotonic: () => performance.now(),
      fraction: SYSTEM_CHANCE.fraction,
      target: options.target,
      list: options.list,
      shard: options.shard,
      log,
      alarmStore,
      standing,
      ...(config.webhook !== undefined && {
        alarms: new Webhook(config.webhook, pool, (message) => this.frame.problem(message), alarmsJson),
      }),
    });
    const address = listen ?? parseListenAddress(config.listen ?? DEFAULT_LISTEN, options.where);
    await this.frame.open({
      listen: address,
      hosts: [...config.hosts, ...(options.hosts ?? [])],
      metrics: this.running.statistics.metrics,
      page: isServingPages(config, address.host) ? this.pages() : undefined,
      posts: new Map([['/notify', this.notifications()]]),
      files: this.filesOf(config),
    });
    if (!state.isLasting) this.frame.problem(STATELESS);
    if (config.lease !== undefined) await this.elect(config.lease);
    const { collections, prefixes } = this;
    this.frame.log('info', 'start', { url: this.url, collections, prefixes });
    this.running.start();
    this.frame.ready();
  }

  reload(): Promise<void> {
    return this.frame.reload();
  }

  async close(): Promise<void> {
    await this.frame.stop();
    await this.running?.close(GRACE_MS);
    await this.election?.close();
  }

  private notifications(): PostEndpoint {
    const notified = (repositories: ReadonlySet<string>): void => {
      for (const repository of repositories) this.resigner.notified(repository);
    };
    return notifyEndpoint(() => this.config.notifySecret, notified);
  }

  private filesOf({ files, keys }: ResignerConfig): readonly string[] {
    return [...files, ...this.options.keyFiles(keys)];
  }

  private pages(): Endpoints['page'] {
    const { resigner, options, frame } = this;
    const open = async (place: string): Promise<OpenedCollection<ServedTarget>> => {
      const { material } = this;
      if (material === undefined)
        throw new BullaError('internal', 'not started', { hint: 'please report this' });
      const target = await options.target(referenceOf(place));
      const read = readOptions(place, material, SYSTEM_CLOCK.now(), frame.signal, () => undefined);
      return { place, repository: place, name: place, target, read };
    };
    const pages = new ReportPages({
      places: () => resigner.places(),
      report: async (place) => {
        const { collections } = await reportOn([place], open, {
          ...{ now: SYSTEM_CLOCK.now(), chance: SYSTEM_CHANCE, keyNames: new Map(), concurrency: 1 },
          limit: limitOf(PAGE_MS),
          signal: frame.signal,
        });
        return collections[0] as ReportedCollection;
      },
      now: () => SYSTEM_CLOCK.now(),
      version: options.version,
    });
    return (path) => pages.answer(path);
  }

  private async elect(lease: NonNullable<ResignerConfig['lease']>): Promise<void> {
    const client = await this.options.kubernetes();
    this.resigner.activate(false);
    this.election = new LeaseElection(client, {
      name: lease.name,
      namespace: lease.namespace ?? client.namespace,
      identity: `${hostname()}_${randomBytes(6).toString('hex')}`,
      durationMs: lease.durationMs,
      clock: SYSTEM_CLOCK,
      monotonic: () => performance.now(),
      fraction: SYSTEM_CHANCE.fraction,
      onChange: (isLeader) => {
        this.frame.log('info', 'leader', { leading: isLeader });
        this.resigner.activate(isLeader);
      },
      problem: (message) => this.frame.problem(message),
    });
    this.election.start();
  }

  private async readAgain(): Promise<readonly string[] | undefined> {
    const { resigner, options } = this;
    const { where } = options;
    try {
      const config = await options.readConfig();
      await this.takeKeys(config);
      if (this.material !== undefined) this.material = { ...this.material, pins: config.pins };
      if (needsRestart(this.config, config))
        this.frame.problem(
          `${where}: state, schedule, lease, webhook, listen, hosts and pages are taken at the next start only`,
        );
      this.config = {
        ...this.config,
        pins: config.pins,
        keys: config.keys,
        notifySecret: config.notifySecret,
      };
      if (this.material !== undefined) resigner.use(this.material);
      resigner.statistics.reload();
      this.frame.log('info', 'reload', { collections: config.pins.length });
      resigner.alarm(where, []);
      return this.filesOf(config);
    } catch (error) {
      resigner.alarm(where, [{ ...alarmAbout(where, error), kind: 'config' }]);
      return undefined;
    }
  }

  /** New keys, or the old ones where those cannot be used. */
  private async takeKeys({ keys }: ResignerConfig): Promise<void> {
    const about = 'key';
    try {
      const signers = await this.options.openSigners(keys);
      if (this.material !== undefined) this.material = { ...this.material, signers };
      this.resigner.alarm(about, []);
    } catch (error) {
      this.resigner.alarm(about, [{ ...alarmAbout(about, error), kind: 'key' }]);
    }
  }
}

/** Names and keys of collections are not for everyone who reaches a port: elsewhere, the configuration must say so. */
function isServingPages({ pages }: ResignerConfig, host: string): boolean {
  return pages ?? (host === '::1' || host === 'localhost' || /^127(\.\d{1,3}){3}$/.test(host));
}

/** Where the alarms that stand are kept: beside the state, where that is a directory, or in the cache. */
function alarmStoreOf(
  { state, cache }: ResignerConfig,
  problem: (message: string) => void,
): AlarmFile | undefined {
  const directory = state.kind === 'directory' ? state.path : cache;
  return directory === undefined ? undefined : new AlarmFile(join(directory, 'alarms.json'), problem);
}

function alarmAbout(place: string, error: unknown): Alarm {
  const failure = failureOf(error);
  const { code, message, hint } = failure;
  return (
    alarmOfFailure(place, failure, Infinity, { expiringDays: 0, patienceMs: 0 }) ?? {
      kind: 'failing',
      place,
      code,
      message,
      hint,
    }
  );
}

function needsRestart(before: ResignerConfig, after: ResignerConfig): boolean {
  const fixed = ({
    state,
    cache,
    listen,
    hosts,
    pages,
    timing,
    concurrency,
    webhook,
    lease,
    alarms,
  }: ResignerConfig): string =>
    JSON.stringify([state, cache, listen, hosts, pages, timing, concurrency, webhook, lease, alarms]);
  return fixed(before) !== fixed(after);
}

const DEFAULT_LISTEN = '127.0.0.1:8089';
