import {
  type Alarm,
  AlarmBook,
  type AlarmEvent,
  alarmOfFailure,
  alarmsOf,
  type StandingAlarm,
} from '../../actions/renew/alarms.ts';
import { Causes } from '../../actions/renew/causes.ts';
import { failureOf } from '../../actions/renew/failure.ts';
import { ResignQueue, type StepResult, type Ticket } from '../../actions/renew/queue.ts';
import type { Shard } from '../../actions/renew/shard.ts';
import { Steps } from '../../actions/renew/step.ts';
import type { RegistryReference } from '../../oci/reference.ts';
import type { Clock } from '../../trust/format/ports.ts';
import type { LogSink } from '../log.ts';
import type { AlarmSink } from '../webhook.ts';
import type { AlarmStore } from './alarm-file.ts';
import { logJson } from './alarm-json.ts';
import {
  exactPlaces,
  type ListRepositories,
  MAX_COLLECTIONS,
  pinFor,
  placesIn,
  placesNotified,
  registriesToList,
  registryOf,
} from './catalogue.ts';
import type { ResignerConfig } from './config.ts';
import { ResignLoop } from './loop.ts';
import type { ServedPlace } from './pages.ts';
import { Statistics, workLabel } from './statistics.ts';
import { timedTarget } from './timed-target.ts';
import { type ResignCore, type ServedTarget, type SigningMaterial, workerPorts } from './worker.ts';

/** The part of the configuration that the work itself is done by. */
export type WorkConfig = Pick<
  ResignerConfig,
  'timing' | 'catalogueMs' | 'concurrency' | 'listEveryMs' | 'alarms'
>;

export interface ResignerOptions {
  readonly config: WorkConfig;
  readonly material: SigningMaterial;
  readonly core: ResignCore;
  readonly clock: Clock;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: () => number;
  /** Chance, in [0, 1). */
  readonly fraction: () => number;
  readonly target: (reference: RegistryReference) => Promise<ServedTarget>;
  readonly list: ListRepositories;
  readonly shard?: Shard | undefined;
  readonly log: LogSink;
  readonly alarms?: AlarmSink<AlarmEvent> | undefined;
  /** Keeps what stands from one start to the next. */
  readonly alarmStore?: AlarmStore | undefined;
  /** What stood when the process before this one ended. */
  readonly standing?: readonly StandingAlarm[] | undefined;
}

/** What the alarms about the catalogue of a registry are filed under. */
const ALL = '/*';

/**
 * The re-signer without its interfaces: serves collections until it is closed. The caller reads files,
 * answers HTTP and holds leases.
 */
export class Resigner {
  readonly statistics: Statistics;
  private readonly options: ResignerOptions;
  private readonly queue: ResignQueue;
  private readonly steps: Steps;
  private readonly loop: ResignLoop;
  private readonly book: AlarmBook;
  private readonly causes: Causes;
  private readonly stopping = new AbortController();
  /** Since when something fails, by what it is about. */
  private readonly failingSince = new Map<string, Date>();
  private readonly found = new Set<string>();
  private material: SigningMaterial;
  private isActive = true;
  private listing: Promise<void> | undefined;
  private relist: AbortController | undefined;
  /** How many collections the log reported last. */
  private serving: number | undefined;

  constructor(options: ResignerOptions) {
    const { config, clock, fraction } = options;
    this.options = options;
    this.material = options.material;
    const { standing = [] } = options;
    this.book = new AlarmBook(standing);
    this.causes = new Causes(standing);
    for (const { alarm, since } of standing) if (isOfTime(alarm)) this.failingSince.set(alarm.place, since);
    this.queue = new ResignQueue(config.timing, config.concurrency, fraction);
    this.steps = new Steps(
      workerPorts({
        ...options,
        material: () => this.material,
        target: async (reference) => timedTarget(await options.target(reference), this.statistics.registry),
        warn: (place, message) => this.log('warning', 'warning', { place, message }),
      }),
      config,
    );
    this.loop = new ResignLoop(this.queue, this.steps, {
      monotonic: options.monotonic,
      sleep: (ms, signal) => clock.sleep(ms, signal),
      ended: (ticket, result, tookMs) => this.ended(ticket, result, tookMs),
    });
    this.statistics = new Statistics({
      steps: this.steps,
      alarms: this.book,
      now: () => clock.now(),
      collections: () => this.queue.size,
      failing: () => this.failingSince.size,
      busy: () => this.loop.busy,
      pausedRegistries: () => [...this.queue.paused(options.monotonic())].length,
      isLeader: () => this.isActive,
    });
  }

  start(): void {
    this.take(exactPlaces(this.material.pins, this.options.shard));
    // What is not served any more has no alarms.
    for (const { alarm } of [...this.book.all()])
      if (alarm.place.includes('/') && !isServed(alarm.place, this.material.pins)) this.forget(alarm.place);
    this.loop.start();
    this.listing ??= this.listForEver();
  }

  /** Whether it works, or stands by while another replica does. */
  activate(isActive: boolean): void {
    this.isActive = isActive;
    this.loop.activate(isActive);
    // A standby has not looked there.
    if (isActive) this.relist?.abort();
  }

  /** Takes other pins, keys or state from now on. */
  use(material: SigningMaterial): void {
    this.material = material;
    const exact = new Set(exactPlaces(material.pins, this.options.shard));
    for (const place of this.found) if (!exact.has(place)) this.leave(place);
    this.take(exact);
    this.relist?.abort();
  }

  /** Something happened in a repository of this name, in whichever registry. @returns places that were meant */
  notified(repository: string): number {
    const { pins } = this.material;
    const places = placesNotified(repository, pins, this.options.shard);
    this.statistics.notification();
    this.take(places);
    for (const place of places) this.wake(place);
    return places.length;
  }

  /** What is known of the collections that are served, and what stands about anything else. */
  *places(): Iterable<ServedPlace> {
    const alarms = new Map<string, Alarm[]>();
    for (const { alarm } of this.book.all())
      alarms.set(alarm.place, [...(alarms.get(alarm.place) ?? []), alarm]);
    const exact = new Set(exactPlaces(this.material.pins, this.options.shard));
    for (const place of new Set([...this.found, ...alarms.keys()])) {
      const known = this.steps.known(place);
      const isFailing = this.failingSince.has(place);
      // Most repositories under a prefix may have no collection.
      if (known === undefined && !isFailing && !alarms.has(place) && !exact.has(place)) continue;
      yield { place, known, isFailing, alarms: alarms.get(place) ?? [] };
    }
  }

  /** An alarm about something else than a collection. */
  alarm(about: string, alarms: readonly Alarm[]): void {
    this.tell(this.book.update(about, alarms, this.options.clock.now()));
  }

  /** Begins nothing any more, gives what is under way so many milliseconds, and ends. */
  async close(graceMs: number): Promise<void> {
    this.stopping.abort();
    this.relist?.abort();
    await this.loop.stop(graceMs);
    await this.listing;
    await this.options.alarms?.close(Math.min(graceMs, 5_000));
    await this.options.alarmStore?.close();
  }

  private wake(place: string): void {
    this.steps.tell(place);
    if (this.queue.wake(place, this.options.monotonic())) this.loop.nudge();
  }

  private take(places: Iterable<string>): void {
    const now = this.options.monotonic();
    for (const place of places) {
      if (this.queue.has(place) || this.queue.size >= MAX_COLLECTIONS) continue;
      this.found.add(place);
      this.queue.add(place, registryOf(place), now);
    }
    this.loop.nudge();
  }

  private leave(place: string): void {
    this.found.delete(place);
    this.queue.remove(place);
    this.steps.forget(place);
    this.forget(place);
  }

  private forget(place: string): void {
    this.failingSince.delete(place);
    this.alarm(place, []);
  }

  private async listForEver(): Promise<void> {
    const { clock, config } = this.options;
    while (!this.stopping.signal.aborted) {
      this.relist = new AbortController();
      for (const registry of registriesToList(this.material.pins)) await this.expand(registry);
      if (this.stopping.signal.aborted) return;
      this.tellServing();
      await clock.sleep(config.catalogueMs, this.relist.signal).catch(() => undefined);
    }
  }

  /** How many collections there are: once they were listed, and when their number changes. */
  private tellServing(): void {
    const collections = this.queue.size;
    if (collections === this.serving) return;
    this.serving = collections;
    this.log('info', 'serving', {
      collections,
      message: `serving ${collections} ${collections === 1 ? 'collection' : 'collections'}`,
    });
  }

  private async expand(registry: string): Promise<void> {
    if (!this.isActive) return;
    const about = `${registry}${ALL}`;
    const { shard, list, clock, config } = this.options;
    try {
      const places = new Set(await placesIn(registry, this.material.pins, shard, list));
      // A collection that is no longer listed is checked: it may have been hidden.
      const exact = new Set(exactPlaces(this.material.pins, shard));
      for (const place of this.found)
        if (registryOf(place) === registry && !places.has(place) && !exact.has(place) && !this.isKnown(place))
          this.leave(place);
      this.take(places);
      this.failingSince.delete(about);
      this.alarm(about, []);
    } catch (error) {
      const failure = failureOf(error);
      const since = this.failingSince.get(about) ?? clock.now();
      this.failingSince.set(about, since);
      this.log('warning', 'catalogue', { place: about, code: failure.code, message: failure.message });
      const alarm = alarmOfFailure(about, failure, clock.now().getTime() - since.getTime(), config.alarms);
      this.alarm(about, alarm === undefined ? [] : [alarm]);
    }
  }

  private isKnown(place: string): boolean {
    return this.steps.known(place) !== undefined;
  }

  private ended({ place }: Ticket, { outcome }: StepResult, tookMs: number): void {
    const { clock, config } = this.options;
    const now = clock.now();
    this.statistics.step(outcome, tookMs);
    if (outcome.kind === 'failed') {
      const { failure } = outcome;
      if (failure.code === 'interrupted') return;
      const since = this.failingSince.get(place) ?? now;
      this.failingSince.set(place, since);
      const { code, message } = failure;
      this.log('error', 'failed', { place, code, message, milliseconds: Math.round(tookMs) });
      const alarm = alarmOfFailure(place, failure, now.getTime() - since.getTime(), config.alarms);
      this.alarm(place, [...this.ofKnown(place, now), ...(alarm === undefined ? [] : [alarm])]);
      return;
    }
    this.failingSince.delete(place);
    this.alarm(place, this.ofKnown(place, now));
    if (outcome.kind !== 'passed') return;
    const { work, head, folded, conflicts } = outcome.freshness;
    if (work === 'fresh' && conflicts.length === 0) return;
    this.log('info', 'pass', {
      place,
      work: workLabel(work),
      head,
      folded,
      conflicts: conflicts.length,
      milliseconds: Math.round(tookMs),
    });
  }

  private ofKnown(place: string, now: Date): readonly Alarm[] {
    const known = this.steps.known(place);
    return known === undefined ? [] : alarmsOf(place, known, this.options.config.alarms, now);
  }

  private tell(events: readonly AlarmEvent[]): void {
    for (const event of events)
      this.log(event.state === 'firing' ? 'error' : 'info', 'alarm', logJson(event));
    // People get one message for each cause; the log and the metrics have each place.
    this.options.alarms?.send(this.causes.take(events, this.options.clock.now()));
    if (events.length > 0) this.options.alarmStore?.save(this.book.all());
  }

  private log(level: string, event: string, more: Readonly<Record<string, string | number>>): void {
    this.options.log({ time: this.options.clock.now().toISOString(), level, event, ...more });
  }
}

/** Whether an alarm is about a failure that is told only after some time. */
function isOfTime({ kind }: Alarm): boolean {
  return kind === 'failing';
}

/** Whether a place is among those that are served: a repository, or all of a registry. */
function isServed(place: string, pins: SigningMaterial['pins']): boolean {
  if (place.endsWith(ALL)) return registriesToList(pins).has(registryOf(place));
  return pinFor(pins, place) !== undefined;
}
