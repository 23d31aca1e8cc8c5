import { isBullaError } from '../errors.ts';
import { lookAtCertificate, type ServerCertificate } from '../http/certificate.ts';
import type { TlsOptions } from '../http/connector.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { printable } from '../http/redact.ts';
import type {
  ApiFacts,
  CertificateFacts,
  CredentialFacts,
  RegistryProbes,
  RepositoryProbes,
} from '../oci/probes.ts';
import type { CallOptions } from '../oci/target.ts';
import type { RegistryClient } from './client.ts';
import { failureError } from './failure.ts';
import { RepositoryProbe } from './repository-probes.ts';

/** Repositories of a registry's catalogue that are told. */
const MAX_REPOSITORIES = 20;

export interface ProbeOptions {
  /** Its dialect is what the probes fill. */
  readonly client: RegistryClient;
  readonly registry: string;
  readonly tls: TlsOptions;
  /** Whether a proxy is between us and the registry. */
  readonly isProxied: boolean;
  readonly credentials: (repository: string | undefined) => Promise<CredentialFacts>;
}

/** Looks at what a registry can do, by its HTTP API alone. */
export function registryProbes(options: ProbeOptions): RegistryProbes {
  return new Probes(options);
}

class Probes implements RegistryProbes {
  readonly registry: string;
  private readonly options: ProbeOptions;

  constructor(options: ProbeOptions) {
    this.registry = options.registry;
    this.options = options;
  }

  async api({ signal }: CallOptions = {}): Promise<ApiFacts> {
    const session = this.options.client.session(this.registry);
    const call = {
      method: 'GET',
      to: '/v2/',
      access: { repository: undefined, scopes: [] },
      expect: 'any',
      signal,
    } as const;
    const sent = session.timing.now();
    let received = sent;
    let response: HttpResponse;
    try {
      response = await session.call(call);
      received = session.timing.now();
    } catch (error) {
      // A token server refused what we have: the registry itself has answered.
      if (session.login === 'none' || !isBullaError(error, 'unauthorized', 'forbidden')) throw error;
      const facts = { version: undefined, server: undefined, skewSeconds: undefined };
      return { status: 401, refusal: error, login: session.login, ...facts };
    }
    const isFine = response.status === 200;
    const refusal = isFine ? undefined : failureError(await session.failure(response), session.where(call));
    if (isFine) await response.body.discard();
    const text = (name: string): string | undefined => {
      const value = response.headers.get(name);
      return value === undefined ? undefined : printable(value, 100);
    };
    return {
      status: response.status,
      refusal,
      version: text('docker-distribution-api-version'),
      server: text('server'),
      login: session.login,
      skewSeconds: skewOf(response.headers.get('date'), sent, received),
    };
  }

  async certificate({ signal }: CallOptions = {}): Promise<CertificateFacts> {
    const { client, tls, isProxied } = this.options;
    const { base } = client.session(this.registry);
    if (base.protocol === 'http:') return { kind: 'plain' };
    if (isProxied) return { kind: 'proxied' };
    const seen: ServerCertificate = await lookAtCertificate(base, tls, signal);
    return { kind: 'tls', ...seen };
  }

  credentials(repository: string | undefined): Promise<CredentialFacts> {
    return this.options.credentials(repository);
  }

  async repositories(options: CallOptions = {}): Promise<readonly string[]> {
    const found: string[] = [];
    for await (const name of this.options.client.listRepositories(this.registry, options)) {
      found.push(name);
      if (found.length >= MAX_REPOSITORIES) break;
    }
    return found;
  }

  repository(name: string): RepositoryProbes {
    const { room, writers } = this.options.client.parts({ registry: this.registry, repository: name });
    return new RepositoryProbe(room, writers);
  }

  async pause(ms: number, { signal }: CallOptions = {}): Promise<void> {
    await this.options.client.session(this.registry).timing.sleep(ms, signal);
  }
}

/** A Date header is a whole second, and was written between sending and receiving. */
function skewOf(date: string | undefined, sent: number, received: number): number | undefined {
  const theirs = date === undefined || date.length > 64 ? Number.NaN : Date.parse(date);
  if (Number.isNaN(theirs)) return undefined;
  if (theirs + 1000 < sent) return Math.round((theirs + 1000 - sent) / 1000);
  return theirs > received ? Math.round((theirs - received) / 1000) : 0;
}
