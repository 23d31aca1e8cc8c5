import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Admission, Hook } from '../../actions/gate/admit.ts';
import type { Review } from '../../actions/gate/review.ts';
import { type GateImage, parseImage, undecided, type Verdict } from '../../actions/gate/verdict.ts';
import { Verdicts } from '../../actions/gate/verdicts.ts';
import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import type { Clock } from '../../trust/format/ports.ts';
import { type Answer, endpointHandler } from '../endpoints.ts';
import { Guard } from '../guard.ts';
import {
  createListener,
  formatAddress,
  type ListenAddress,
  type Listener,
  type ListenerLimits,
  namesOf,
  type TlsFiles,
} from '../listener.ts';
import type { LogSink } from '../log.ts';
import { type RunningService, ServiceFrame, started } from '../service.ts';
import type { DenialSink } from './alerts.ts';
import { decisionLine, type LineSink } from './decision-log.ts';
import type { LoadedPolicy, PolicySource } from './policy-source.ts';
import type { PullSecrets } from './pull-secrets.ts';
import type { GateQuestion, Registries } from './registries.ts';
import { reviewEndpoints } from './reviews.ts';
import { GateSocket } from './socket.ts';
import { GateStatistics } from './statistics.ts';

/** Where the certificate of a gate comes from. */
export interface CertificateSource {
  /** @throws BullaError where it cannot be read or made */
  read(): Promise<TlsFiles & { readonly expires?: Date | undefined }>;
  /** Files to watch; empty where it is read every now and then. */
  readonly files: readonly string[];
  readonly everyMs?: number | undefined;
}

export interface GateOptions {
  readonly policy: PolicySource;
  readonly certificate: CertificateSource;
  readonly registries: Registries;
  /** Left out: no pull secrets are read, whatever the policy says. */
  readonly pullSecrets?: PullSecrets | undefined;
  readonly listen: ListenAddress;
  readonly plainListen: ListenAddress;
  /** Names by which both are reached, besides those in the certificate. */
  readonly hosts: readonly string[];
  readonly socket?: string | undefined;
  readonly deadlineMs: number;
  /** Everything is admitted. */
  readonly isEmergency: boolean;
  readonly clock: Clock;
  readonly monotonic: () => number;
  readonly log: LogSink;
  readonly decisions: LineSink;
  readonly denials: readonly DenialSink[];
}

/** A gate that is running; `address` and `url` are those of the webhook, which has TLS. */
export interface RunningGate extends RunningService {
  readonly plainUrl: string;
}

const LIMITS: ListenerLimits = {
  connections: 1_024,
  headerBytes: 16 * 1024,
  headersMs: 10_000,
  idleMs: 120_000,
  graceMs: 10_000,
};
/** Whose pull secrets may be used. */
type Asker = Pick<Review, 'namespace' | 'pullSecrets'>;

const NOT_A_REVIEW: Asker = { namespace: '', pullSecrets: [] };

/** How often an emergency is logged, in milliseconds. */
const LOUD_MS = 60_000;
/** How often it is looked whether something is due, in milliseconds. */
const TICK_MS = 1_000;

/**
 * Runs the gate until it is closed (spec/gate.md).
 * @throws BullaError policy-invalid, not-found, …; usage where it cannot listen; what the certificate's source throws
 */
export async function serveGate(options: GateOptions): Promise<RunningGate> {
  return started(new Gate(options, await options.policy.read()));
}

class Gate implements RunningGate {
  address = '';
  private readonly options: GateOptions;
  private readonly frame: ServiceFrame;
  private readonly verdicts: Verdicts<GateQuestion>;
  private readonly statistics: GateStatistics;
  private readonly socket: GateSocket | undefined;
  private loaded: LoadedPolicy;
  private isStale = false;
  private listener: Listener | undefined;
  private guard: Guard = new Guard([]);
  private certificate: string | undefined;
  private expires: Date | undefined;
  private ticking: Promise<void> | undefined;
  private taking: Promise<void> = Promise.resolve();

  constructor(options: GateOptions, loaded: LoadedPolicy) {
    this.options = options;
    this.loaded = loaded;
    const { registries, clock, monotonic } = options;
    this.frame = new ServiceFrame({ clock, log: options.log, readAgain: () => this.readAgain() });
    setMaxListeners(0, this.frame.signal);
    this.verdicts = new Verdicts(loaded.policy, {
      monotonic,
      now: () => clock.now(),
      decide: async (question: GateQuestion, policy) => {
        const began = monotonic();
        const verdict = await registries.decide(question, policy);
        this.statistics.verified(verdict, monotonic() - began);
        return verdict;
      },
    });
    this.statistics = new GateStatistics({
      counts: () => this.verdicts.counts,
      remembered: () => this.verdicts.size,
      underWay: () => this.verdicts.underWay,
      policyHash: () => this.loaded.hash,
      isPolicyStale: () => this.isStale,
      isEmergency: options.isEmergency,
      certificateExpires: () => (this.expires === undefined ? 0 : Math.floor(this.expires.getTime() / 1000)),
    });
    this.socket =
      options.socket === undefined
        ? undefined
        : new GateSocket({
            path: options.socket,
            ask: (image) => this.inTime(image),
            isEmergency: options.isEmergency,
            decided: (image, { allowed, reason }) =>
              this.frame.log(allowed ? 'info' : 'warning', 'pull', { image, allowed, reason }),
            problem: (message) => this.frame.problem(message),
          });
  }

  get url(): string {
    return `https://${this.address}`;
  }

  get plainUrl(): string {
    return this.frame.url;
  }

  async open(): Promise<void> {
    const { listen, plainListen, hosts, isEmergency, certificate, registries } = this.options;
    const [pem] = await Promise.all([certificate.read(), registries.prepare()]);
    const current = (): Guard => this.guard;
    const handler = endpointHandler({
      metrics: () => [],
      unready: () => (this.frame.signal.aborted ? 'ending' : undefined),
      posts: reviewEndpoints({
        policy: () => this.verdicts.policy,
        ask: (image, review) => this.inTime(image, review),
        isEmergency,
        decided: (...decision) => this.decided(...decision),
        broken: (hook, { message }) => this.frame.problem(`${hook}: ${message}`),
      }),
      get guard() {
        return current();
      },
      done: (sample) => this.statistics.metrics.count(sample),
      problem: (message) => this.frame.problem(message),
    });
    this.listener = createListener(handler, pem, LIMITS);
    this.use(pem);
    this.address = formatAddress(await this.listener.listen(listen.host, listen.port));
    await this.frame.open({
      listen: plainListen,
      hosts,
      metrics: this.statistics.metrics,
      page: async (path, query) => (path === '/explain' ? await this.explain(query) : undefined),
      files: this.files(),
    });
    await this.socket?.listen();
    if (isEmergency) this.shout();
    this.ticking = this.tick();
    this.frame.ready();
  }

  reload(): Promise<void> {
    // Pins, keys of this machine and what they decide may have changed as well.
    this.verdicts.forget();
    return this.frame.reload();
  }

  async close(): Promise<void> {
    const ended = this.frame.stop();
    await this.listener?.stop();
    await ended;
    await this.ticking;
    await this.socket?.close();
    await this.options.registries.close();
  }

  private files(): readonly string[] {
    return [...this.loaded.files, ...this.options.certificate.files];
  }

  private async ask(image: GateImage, { namespace, pullSecrets: names }: Asker): Promise<Verdict> {
    const { pullSecrets } = this.options;
    const allowed = this.verdicts.policy.gate?.pullSecrets ?? [];
    const isAllowed = names.length > 0 && (allowed.includes(namespace) || allowed.includes('*'));
    const found = isAllowed ? await pullSecrets?.find(namespace, names, image.reference) : undefined;
    return await this.verdicts.ask({
      image,
      credential: found?.key ?? '',
      ...(found !== undefined && { credentials: found.provider }),
    });
  }

  /** Answers before the deadline: an image about which nothing is known by then is undecided. */
  private async inTime(image: GateImage, review: Asker = NOT_A_REVIEW): Promise<Verdict> {
    const { deadlineMs } = this.options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), deadlineMs);
    });
    try {
      const verdict = await Promise.race([this.ask(image, review), late]);
      return verdict ?? undecided(image, this.verdicts.policy, tooLate(image, deadlineMs));
    } finally {
      clearTimeout(timer);
    }
  }

  private decided(review: Review, hook: Hook, admission: Admission, tookMs: number): void {
    const { options, statistics } = this;
    statistics.reviewed(hook, admission);
    if (admission.images.length === 0 && !options.isEmergency) return;
    const at = options.clock.now();
    options.decisions(decisionLine(review, hook, admission, at, tookMs));
    const images = admission.images.filter(({ action }) => action === 'denied' || action === 'warned');
    // A dry run has no effects outside.
    if (images.length === 0 || review.isDryRun || options.denials.length === 0) return;
    statistics.alerted(images.length);
    for (const take of options.denials) take({ at, review, images });
  }

  private async explain(query: URLSearchParams): Promise<Answer> {
    const text = query.get('image') ?? '';
    const json = (status: number, value: unknown): Answer => ({
      status,
      text: `${JSON.stringify(value, undefined, 2)}\n`,
      type: 'application/json',
    });
    try {
      if (text === '') {
        throw new BullaError('usage', 'no image was given', {
          hint: 'ask for /explain?image=HOST/REPOSITORY:TAG',
        });
      }
      const image = parseImage(text);
      const { outcome, mode, scope, digest, signers, error } = await this.inTime(image);
      const { isEmergency } = this.options;
      const policy = this.loaded.hash.slice(0, 12);
      return json(200, {
        image: image.text,
        outcome,
        rule: scope,
        mode,
        digest,
        signers,
        error,
        policy,
        isEmergency,
      });
    } catch (error) {
      if (!isBullaError(error)) throw error;
      const { code, message, hint } = error;
      return json(400, { error: { code, message, hint } });
    }
  }

  /** Takes the policy and the certificate as they are now; what cannot be used is reported, and what is in use stays. */
  private async readAgain(): Promise<readonly string[]> {
    await this.takePolicy();
    await this.takeCertificate();
    return this.files();
  }

  /** In turn: of two readings at the same time, the older one must not be the last. */
  private takePolicy(): Promise<void> {
    this.taking = this.taking.then(() => this.readPolicy());
    return this.taking;
  }

  private async readPolicy(): Promise<void> {
    const { policy: source } = this.options;
    try {
      const loaded = await source.read();
      if (this.isStale) this.frame.log('info', 'policy', { place: source.where, hash: loaded.hash });
      this.isStale = false;
      const isOther = loaded.hash !== this.loaded.hash;
      this.loaded = loaded;
      if (!isOther) return;
      this.verdicts.use(loaded.policy);
      this.statistics.reloaded();
      this.frame.log('info', 'reload', {
        place: source.where,
        hash: loaded.hash,
        rules: loaded.policy.rules.length,
      });
    } catch (error) {
      this.isStale = true;
      const code = isBullaError(error) ? error.code : 'internal';
      const message = messageOf(error);
      this.frame.log('error', 'policy', { place: source.where, code, message, uses: this.loaded.hash });
    }
  }

  private async takeCertificate(): Promise<void> {
    try {
      this.use(await this.options.certificate.read());
    } catch (error) {
      this.frame.problem(`the certificate in use stays: ${messageOf(error)}`);
    }
  }

  private use(pem: TlsFiles & { readonly expires?: Date | undefined }): void {
    const fingerprint = createHash('sha256').update(pem.cert).update(pem.key).digest('hex');
    if (fingerprint === this.certificate) return;
    this.listener?.use(pem);
    const { hosts, listen } = this.options;
    this.guard = new Guard([...hosts, ...namesOf(listen)], pem);
    this.certificate = fingerprint;
    this.expires = pem.expires;
  }

  private async tick(): Promise<void> {
    const { clock, monotonic, policy, certificate, isEmergency } = this.options;
    const due = new Due(monotonic);
    while (!this.frame.signal.aborted) {
      await clock.sleep(TICK_MS, this.frame.signal).catch(() => undefined);
      if (this.frame.signal.aborted) return;
      if (due.is('policy', policy.everyMs)) await this.takePolicy();
      if (due.is('certificate', certificate.everyMs)) await this.takeCertificate();
      if (isEmergency && due.is('emergency', LOUD_MS)) this.shout();
    }
  }

  private shout(): void {
    this.frame.log('error', 'emergency', {
      message: 'the gate admits everything and verifies nothing: restart it without --emergency-allow',
    });
  }
}

function tooLate({ text }: GateImage, ms: number): BullaError {
  return new BullaError('timeout', `${text} was not verified within ${ms / 1000} s`, {
    hint: 'its registry is slow; the verification goes on, try again in some seconds',
  });
}

/** What is done every now and then, the first time when its time has passed. */
class Due {
  private readonly monotonic: () => number;
  private readonly began: number;
  private readonly last = new Map<string, number>();

  constructor(monotonic: () => number) {
    this.monotonic = monotonic;
    this.began = monotonic();
  }

  is(name: string, everyMs: number | undefined): boolean {
    const now = this.monotonic();
    if (everyMs === undefined || now - (this.last.get(name) ?? this.began) < everyMs) return false;
    this.last.set(name, now);
    return true;
  }
}
