import { setMaxListeners } from 'node:events';
import { undecided, type Verdict, verdictOf } from '../../actions/gate/verdict.ts';
import type { Question } from '../../actions/gate/verdicts.ts';
import type { OpenedNotary, PolicyPorts } from '../../actions/verify/by-policy.ts';
import { Shared } from '../../actions/verify/shared.ts';
import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import { within } from '../../http/deadline.ts';
import { orInterrupted } from '../../http/failure.ts';
import type { Reference, RegistryReference } from '../../oci/reference.ts';
import type { Target } from '../../oci/target.ts';
import type { Policy } from '../../policy/file/policy.ts';
import type { CredentialsProvider } from '../../registry/credentials.ts';
import type { Clock } from '../../trust/format/ports.ts';

/** A question with the credentials that its registry is asked with; the gate's own where they are left out. */
export interface GateQuestion extends Question {
  readonly credentials?: CredentialsProvider;
}

/** Connections to registries with the same credentials. */
export interface GateConnection {
  repository(reference: RegistryReference): Promise<Target>;
  /** Trust data at a Notary server that a rule names; nothing is asked any more once the signal is aborted. */
  notary(server: URL, gun: string, signal: AbortSignal): Promise<OpenedNotary>;
  close(): Promise<void>;
}

export interface RegistriesOptions {
  readonly connect: (credentials: CredentialsProvider | undefined) => GateConnection;
  /** What is the same for all images. */
  readonly ports: Omit<
    PolicyPorts,
    'image' | 'openSource' | 'openNotary' | 'now' | 'signal' | 'pause' | 'shared' | 'onWarning'
  >;
  readonly clock: Clock;
  readonly monotonic: () => number;
  readonly problem: (message: string) => void;
}

/** How long a verification may take, in milliseconds: longer than a review, because its answer serves the next one. */
const VERIFY_MS = 20_000;
/** How long a collection that was read serves other names of it, in milliseconds. */
const SHARED_MS = 5_000;
const MAX_CONNECTIONS = 32;
/** Most that is read of a repository at a Notary server, in bytes: many may be asked at once. */
const MAX_NOTARY_BYTES = 32 * 1024 * 1024;
/** Registries of one connection: each keeps sockets, logins and what is known of it. */
const MAX_REGISTRIES = 128;

interface Held {
  readonly connection: GateConnection;
  readonly registries: Set<string>;
  users: number;
  isRetired: boolean;
  shared: Shared;
  sharedAt: number;
  sharedFor: Policy | undefined;
}

/** Asks registries about images: connections are kept apart by credential, few, and replaced before they get large. */
export class Registries {
  private readonly options: RegistriesOptions;
  private readonly held = new Map<string, Held>();
  private readonly closing = new Set<Promise<void>>();
  private readonly ending = new AbortController();

  constructor(options: RegistriesOptions) {
    this.options = options;
    setMaxListeners(0, this.ending.signal);
  }

  /** What a policy says about an image. It never fails, and ends in time. */
  async decide(question: GateQuestion, policy: Policy): Promise<Verdict> {
    const { image, credential, credentials } = question;
    const held = this.take(credential, credentials, image.reference.registry);
    try {
      return await within(VERIFY_MS, `the verification of ${image.text}`, this.ending.signal, (signal) =>
        orInterrupted(verdictOf(image, policy, this.portsFor(held, image.reference, policy, signal)), signal),
      );
    } catch (error) {
      if (isBullaError(error)) return undecided(image, policy, error);
      this.options.problem(`${image.text} could not be verified: ${messageOf(error)}`);
      const broken = new BullaError('internal', `${image.text} could not be verified`, {
        hint: 'the log of the gate says why',
      });
      return undecided(image, policy, broken);
    } finally {
      held.users--;
      if (held.isRetired && held.users === 0) this.end(held);
    }
  }

  /** Loads what verifying takes, so that the first reviews do not wait for it. */
  async prepare(): Promise<void> {
    await Promise.all([
      import('../../actions/verify/image.ts'),
      import('../../actions/verify/name.ts'),
      import('../../actions/verify/names-of-digest.ts'),
      import('../../trust/read/bootstrap.ts'),
      import('../../trust/read/collection.ts'),
    ]);
  }

  async close(): Promise<void> {
    this.ending.abort(new BullaError('interrupted', 'the gate ends', { hint: 'try again' }));
    for (const held of this.held.values()) this.retire(held);
    this.held.clear();
    await Promise.all(this.closing);
  }

  private portsFor(held: Held, reference: Reference, policy: Policy, signal: AbortSignal): PolicyPorts {
    const { ports, clock } = this.options;
    const openSource = (at: Reference): Promise<Target> => {
      if (at.kind === 'registry') return held.connection.repository(at);
      throw new BullaError('usage', 'a gate reads collections of registries only', {
        hint: 'correct the rule in the policy: at',
      });
    };
    return {
      ...ports,
      now: clock.now(),
      signal,
      shared: this.sharedOf(held, policy),
      openSource,
      image: () => openSource(reference),
      openNotary: async (server, gun) => ({
        ...(await held.connection.notary(server, gun, signal)),
        maxBytes: MAX_NOTARY_BYTES,
      }),
      pause: (ms) => clock.sleep(ms, signal),
    };
  }

  /** What verifications share that begin within some seconds by one policy, as one credential. */
  private sharedOf(held: Held, policy: Policy): Shared {
    const now = this.options.monotonic();
    if (held.sharedFor !== policy || now - held.sharedAt >= SHARED_MS) {
      held.shared = new Shared();
      held.sharedAt = now;
      held.sharedFor = policy;
    }
    return held.shared;
  }

  private take(credential: string, credentials: CredentialsProvider | undefined, registry: string): Held {
    let held = this.held.get(credential);
    if (held !== undefined && !held.registries.has(registry) && held.registries.size >= MAX_REGISTRIES) {
      this.retire(held);
      held = undefined;
    }
    held ??= {
      connection: this.options.connect(credentials),
      registries: new Set(),
      users: 0,
      isRetired: false,
      shared: new Shared(),
      sharedAt: 0,
      sharedFor: undefined,
    };
    held.users++;
    held.registries.add(registry);
    // The longest unused one comes first.
    this.held.delete(credential);
    this.held.set(credential, held);
    for (const [oldest, other] of this.held) {
      if (this.held.size <= MAX_CONNECTIONS) break;
      this.held.delete(oldest);
      this.retire(other);
    }
    return held;
  }

  private retire(held: Held): void {
    held.isRetired = true;
    if (held.users === 0) this.end(held);
  }

  private end({ connection }: Held): void {
    const closed = connection
      .close()
      .catch((error: unknown) => this.options.problem(messageOf(error)))
      .finally(() => this.closing.delete(closed));
    this.closing.add(closed);
  }
}
