import { isAbsolute, join } from 'node:path';
import { readFileBounded } from '../../disk/atomic.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { TlsOptions } from '../../http/connector.ts';
import type { Preconnection } from '../../http/preconnection.ts';
import { proxyFor, proxyFromEnvironment } from '../../http/proxy.ts';
import type { RetryPolicy } from '../../http/retry.ts';
import { canonicalHost } from '../../oci/host.ts';
import type { CredentialFacts, RegistryProbes } from '../../oci/probes.ts';
import { childEnvironment, keyVariables } from '../../programs/environment.ts';
import { RegistryClient, type RegistryClientOptions } from '../../registry/client.ts';
import { type CredentialsProvider, fixedCredentials } from '../../registry/credentials.ts';
import {
  type CredentialFilesOptions,
  credentialsFinder,
  storedCredentials,
} from '../../registry/stored-credentials.ts';
import type { Directories } from '../../state/directories.ts';
import { accessFor, elsewhereFor, type Side } from './access.ts';
import { type KeptTls, readCertsD } from './certs-d.ts';
import { DialectFile } from './dialect-file.ts';
import type { Io } from './io.ts';
import type { Output } from './output.ts';
import type { RegistryAccess, Settings } from './settings.ts';
import { traceSink } from './trace.ts';
import { VERSION } from './version.ts';

const MAX_PEM_BYTES = 1024 * 1024;

/** What clients of registries need to know of the run. */
export interface ConnectionsOptions {
  readonly io: Io;
  readonly settings: Settings;
  readonly directories: Directories;
  readonly output: Output;
  /** Flags of the command, with those of one side. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** The connection to the first registry, where it was begun already. */
  readonly preconnected?: Preconnection | undefined;
  /** When a request is tried again, where that is not as usual: a service has others to serve meanwhile. */
  readonly retry?: Partial<RetryPolicy> | undefined;
  /** Credentials that come before those of docker and podman, for which it gets these. */
  readonly credentials?: ((stored: CredentialsProvider) => CredentialsProvider) | undefined;
}

/** Clients of registries: one for all registries that are reached in the same way. */
export class Connections {
  private readonly options: ConnectionsOptions;
  private readonly clients = new Map<string, Promise<RegistryClient>>();
  private readonly dialects: DialectFile;
  /** Servers whose certificates are not checked, of which was warned. */
  private readonly unchecked = new Set<string>();
  private readonly keptTls = new Map<string, KeptTls>();
  private secret: Promise<string> | undefined;

  constructor(options: ConnectionsOptions) {
    this.options = options;
    const { io, directories, output } = options;
    this.dialects = new DialectFile(directories.cache, io.now, (line) => output.verbose(line));
  }

  /** @throws BullaError registry-unreachable with --offline; usage, not-found, config-invalid */
  async client(registry: string, side: Side | undefined): Promise<RegistryClient> {
    if (this.options.settings.offline) {
      throw new BullaError('registry-unreachable', `${registry} was not asked: --offline opens no socket`, {
        hint: 'leave --offline out, or name an image in a layout (oci:DIR) or an archive (oci-archive:FILE)',
      });
    }
    await this.keep(registry);
    const access = this.access(registry, side);
    // With a name and password on the command line, they are for this registry and for no other.
    const key = JSON.stringify([access, access.username === undefined ? '' : registry]);
    let client = this.clients.get(key);
    if (client === undefined) {
      client = this.connect(registry, side);
      this.clients.set(key, client);
    }
    return await client;
  }

  /** Name and password of the command line, for `registry` alone; undefined where there are none. */
  async given(
    access: RegistryAccess,
  ): Promise<{ readonly username: string; readonly password: string } | undefined> {
    if (access.username === undefined && !access.passwordStdin) return undefined;
    if (access.username === undefined || !access.passwordStdin) {
      throw new BullaError('usage', 'a user name and a password go together', {
        hint: 'give --username NAME and --password-stdin; a password on the command line could be read by others',
      });
    }
    return { username: access.username, password: await this.standardInput() };
  }

  /** The secret on standard input, read once. @throws BullaError usage where there is none */
  standardInput(): Promise<string> {
    this.secret ??= readSecret(this.options.io.stdin);
    return this.secret;
  }

  /** What looks at a registry: over a client of its own side, whose dialect it fills. */
  async probes(registry: string): Promise<RegistryProbes> {
    const { registryProbes } = await import('../../registry/probes.ts');
    const client = await this.client(registry, undefined);
    const access = this.access(registry);
    const { base } = client.session(registry);
    return registryProbes({
      client,
      registry,
      tls: await this.tls(access, registry),
      isProxied: proxyFor(base, proxyFromEnvironment(this.options.io.env)) !== undefined,
      credentials: (repository) => this.whereCredentials(access, registry, repository),
    });
  }

  private async whereCredentials(
    access: RegistryAccess,
    registry: string,
    repository: string | undefined,
  ): Promise<CredentialFacts> {
    const nothing = { where: undefined, form: undefined, problem: undefined } as const;
    if ((await this.given(access)) !== undefined)
      return { ...nothing, source: 'command-line', form: 'password' };
    try {
      const found = await credentialsFinder(this.credentialFiles(access))(registry, repository);
      if (found === undefined) return { ...nothing, source: 'none' };
      const form = found.credentials.kind === 'basic' ? 'password' : 'token';
      return { source: found.source, where: found.where, form, problem: undefined };
    } catch (error) {
      if (!isBullaError(error)) throw error;
      return { ...nothing, source: 'none', problem: error };
    }
  }

  async close(): Promise<void> {
    for (const client of this.clients.values()) await (await client).close();
  }

  /** How a registry is reached, but for who we are to it. */
  async reach(registry: string, side?: Side): Promise<Omit<RegistryClientOptions, 'credentials'>> {
    const { io, output, settings } = this.options;
    await this.keep(registry);
    const access = this.access(registry, side);
    // Files that cannot be read are reported before anything is sent.
    await this.tls(access, registry);
    return {
      http: {
        tls: (url, isOwn) => this.tlsFor(url, isOwn ? side : undefined, isOwn),
        proxy: proxyFromEnvironment(io.env),
        userAgent: `bulla/${VERSION}`,
        preconnected: this.options.preconnected,
        ...(settings.trace && { events: traceSink((line) => output.trace(line)) }),
      },
      plainHttp: access.plainHttp,
      isPlain: (url) => elsewhereFor(settings, url).isPlain,
      searchTimeoutMs: settings.searchTimeout,
      dialects: this.dialects,
      warn: (message) => output.warn(message),
      ...(this.options.retry !== undefined && { retry: this.options.retry }),
    };
  }

  /** What holds for a registry. Certificates that docker or podman keep for it ask for TLS, as our own settings do. */
  access(registry: string, side?: Side): RegistryAccess {
    const { settings, flags } = this.options;
    const access = accessFor(settings, registry, flags, side);
    if (access.plainHttp !== undefined || Object.keys(this.keptTls.get(registry) ?? {}).length === 0)
      return access;
    return { ...access, plainHttp: false };
  }

  /** What docker and podman keep for a registry in their `certs.d`, read once. */
  private async keep(host: string): Promise<KeptTls> {
    const { io, output } = this.options;
    const known = this.keptTls.get(host);
    if (known !== undefined) return known;
    const kept = await readCertsD(host, io, (line) => output.verbose(line));
    this.keptTls.set(host, kept);
    return kept;
  }

  /** Where credentials are looked for, and where login writes them. */
  credentialFiles(access: RegistryAccess): CredentialFilesOptions {
    const { io, output } = this.options;
    const path = access.registryConfig;
    return {
      path: path === undefined ? undefined : this.path(path),
      env: this.forHelpers(),
      home: io.home,
      note: (line) => output.verbose(line),
    };
  }

  /** Who we are to a host: as the command line says, else as this run was given it, else as docker and podman keep it. */
  async credentials(access: RegistryAccess, host: string): Promise<CredentialsProvider> {
    const given = await this.given(access);
    if (given !== undefined) return fixedCredentials(host, { kind: 'basic', ...given });
    return this.kept(access);
  }

  /** {@link credentials} without those of the command line. */
  kept(access: RegistryAccess): CredentialsProvider {
    const stored = storedCredentials(this.credentialFiles(access));
    return this.options.credentials?.(stored) ?? stored;
  }

  private async connect(registry: string, side: Side | undefined): Promise<RegistryClient> {
    const credentials = await this.credentials(this.access(registry, side), registry);
    return new RegistryClient({ ...(await this.reach(registry, side)), credentials });
  }

  /** TLS settings belong to a server: those of the registry that sent us there are not its. */
  private async tlsFor(url: URL, side: Side | undefined, isOwn: boolean): Promise<TlsOptions> {
    const host = canonicalHost(url.host) ?? url.host;
    if (isOwn) {
      const { ca, cert, key } = await this.keep(host);
      const given = await this.tls(this.access(host, side), host);
      return {
        ...given,
        ca: given.ca ?? ca,
        ...(given.cert === undefined && cert !== undefined && { cert, key }),
      };
    }
    const { caFile, insecure } = elsewhereFor(this.options.settings, url);
    const none = { certFile: undefined, keyFile: undefined };
    return await this.tls({ caFile, insecure, ...none }, host);
  }

  private async tls(
    access: Pick<RegistryAccess, 'caFile' | 'certFile' | 'keyFile' | 'insecure'>,
    host: string,
  ): Promise<TlsOptions> {
    if ((access.certFile === undefined) !== (access.keyFile === undefined)) {
      throw new BullaError('usage', 'a client certificate needs its key, and the key its certificate', {
        hint: 'give both --cert-file and --key-file',
      });
    }
    if (access.insecure && !this.unchecked.has(host)) {
      this.unchecked.add(host);
      this.options.output.warn(
        `--insecure: the certificate of ${host} is not checked; anyone in between can read and change what is sent`,
      );
    }
    return {
      ca: await this.pem(access.caFile, 'CERTIFICATE'),
      cert: await this.pem(access.certFile, 'CERTIFICATE'),
      key: await this.pem(access.keyFile, 'PRIVATE KEY'),
      insecure: access.insecure,
    };
  }

  /** What credential helpers may see: not the keys that this command is given by variables. */
  private forHelpers(): Record<string, string> {
    const { io, flags, settings } = this.options;
    return childEnvironment(io.env, keyVariables([...Object.values(flags), settings.defaultKey]));
  }

  private path(path: string): string {
    return isAbsolute(path) ? path : join(this.options.io.cwd, path);
  }

  private async pem(path: string | undefined, kind: string): Promise<string | undefined> {
    if (path === undefined) return undefined;
    const text = decodeUtf8(await readFileBounded(this.path(path), MAX_PEM_BYTES, { pipes: true }), path);
    if (text.includes(`${kind}-----`)) return text;
    throw new BullaError('usage', `${path} holds no PEM ${kind.toLowerCase()}`, {
      hint: `it must hold -----BEGIN ${kind}-----`,
    });
  }
}

const MAX_SECRET_BYTES = 64 * 1024;

/** All of standard input but the newline at its end. */
async function readSecret(stdin: NodeJS.ReadableStream): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of stdin) {
    pieces.push(Buffer.from(piece));
    size += piece.length;
    if (size > MAX_SECRET_BYTES)
      throw new BullaError('usage', 'standard input is too long for a password', {
        hint: 'pipe the password alone',
      });
  }
  const password = Buffer.concat(pieces)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  if (password !== '') return password;
  throw new BullaError('usage', 'standard input held no password', {
    hint: 'pipe it: pass show registry | bulla … --password-stdin',
  });
}
