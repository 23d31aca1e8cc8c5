import { join } from 'node:path';
import type { InspectedNotary } from '../../actions/inspect/notary.ts';
import type { OpenedNotary } from '../../actions/verify/by-policy.ts';
import type { NotaryPort } from '../../actions/verify/notary.ts';
import { BullaError } from '../../errors.ts';
import { isLoopbackHost } from '../../http/address.ts';
import type { TlsFor, TlsOptions } from '../../http/connector.ts';
import type { NotaryPin } from '../../notary/pin.ts';
import type { NotaryVerifyOptions } from '../../notary/repository.ts';
import type { NotarySource } from '../../notary/source.ts';
import { checkGun, defaultNotaryServer, notaryServer } from '../../notary-client/gun.ts';
import type { NotaryServer, NotaryServerOptions } from '../../notary-client/server.ts';
import { parseReference, type Reference, type RegistryReference } from '../../oci/reference.ts';
import type { NotaryMemoryFile } from '../../state/notary-memory.ts';
import type { NotaryPinFile } from '../../state/notary-pins.ts';
import type { Connections } from '../shell/connections.ts';
import type { Context } from '../shell/context.ts';
import type { Io } from '../shell/io.ts';
import { isCi } from '../shell/trust-stores.ts';

/** Flags that say whose root of a Notary repository is trusted. */
export interface NotaryFlags {
  /** URL of a server, `auto`, or a directory. */
  readonly notary?: string;
  readonly root?: string;
  readonly rootKeyId?: readonly string[];
  readonly rootCa?: string;
  readonly notaryRootKey?: string;
  readonly tofu?: true;
  /** The GUN, where it is not the repository. */
  readonly collection?: string;
}

const MAX_ROOT_BYTES = 1024 * 1024;
const MAX_PEM_BYTES = 1024 * 1024;

/** Repository of a registry that trust data is about. @throws BullaError usage for a layout or an archive */
export function notaryRepository(reference: Reference): RegistryReference {
  if (reference.kind === 'registry') return reference;
  throw new BullaError(
    'usage',
    'trust data of Notary is about repositories of registries, not about layouts and archives',
    {
      hint: 'name the repository of the registry: HOST/REPOSITORY; bulla copy brings an imported collection into a layout',
    },
  );
}

/** GUN of a repository: as docker calls it, or what the flags say. @throws BullaError usage */
export function gunOf({ registry, repository }: RegistryReference, named?: string): string {
  return checkGun(named ?? `${registry}/${repository}`);
}

/** A repository as a list or an argument names it. @throws BullaError usage where it has a tag or digest */
export function parseGun(text: string): RegistryReference {
  const reference = notaryRepository(parseReference(text));
  if (reference.tag === undefined && reference.digest === undefined) return reference;
  throw new BullaError('usage', `${text} names an image, and trust data is of whole repositories`, {
    hint: 'leave the tag and the digest out',
  });
}

/**
 * URL of a Notary server: what is given, or with `auto` or nothing that of the registry.
 * @throws BullaError usage
 */
export function serverFor(context: Context, registry: string, given: string | undefined): URL {
  const { io, settings } = context;
  const url =
    given === undefined || given === 'auto' ? defaultNotaryServer(registry, io.env) : notaryServer(given);
  if (url.protocol === 'https:' || settings.plainHttp || isLoopbackHost(url.hostname)) return url;
  throw new BullaError('usage', `${url.href} is not reached by https`, {
    hint: 'write https://, or give --plain-http if it is meant to be so',
  });
}

/** A server, with the TLS settings and credentials that hold for it. @throws BullaError registry-unreachable with --offline */
export async function openNotaryServer(
  context: Context,
  url: URL,
  isNamedByPolicy = false,
): Promise<NotaryServer> {
  if (context.settings.offline)
    throw new BullaError('registry-unreachable', `${url.host} was not asked: --offline opens no socket`, {
      hint: 'leave --offline out, or give a directory: --notary DIR',
    });
  const connections = await context.connections();
  const { server, close } = await connectNotaryServer(
    connections,
    context.settings.concurrency,
    context.io,
    url,
    {
      signal: context.signal,
      warn: (message) => context.output.warn(message),
      credentials: isNamedByPolicy
        ? undefined
        : await connections.credentials(connections.access(url.host), url.host),
    },
  );
  context.defer(close);
  return server;
}

/**
 * A server of Notary that is reached as a registry at its host would be. Unless credentials are given, those that are kept for it
 * or for the registry: a password on the command line is for another host than the one that a policy names.
 * @returns it, and what ends its connections
 */
export async function connectNotaryServer(
  connections: Connections,
  concurrency: number,
  io: Io,
  url: URL,
  options: Pick<NotaryServerOptions, 'signal' | 'warn' | 'credentials'>,
): Promise<{ readonly server: NotaryServer; readonly close: () => Promise<void> }> {
  const [{ NotaryServer }, { HttpPool }] = await Promise.all([
    import('../../notary-client/server.ts'),
    import('../../http/pool.ts'),
  ]);
  const { http, isPlain, retry } = await connections.reach(url.host);
  const access = connections.access(url.host);
  const tls = await dockerTls(io, url, http?.tls);
  const pool = new HttpPool({ ...http, tls, preconnected: undefined, connections: concurrency });
  const server = new NotaryServer({
    ...{ pool, server: url, retry, ...options },
    credentials: options.credentials ?? connections.kept(access),
    ...(isPlain !== undefined && { isPlain }),
  });
  return { server, close: () => pool.close() };
}

/** Servers that policies of a run name, each opened once. */
const demanded = new WeakMap<Context, Map<string, Promise<NotaryServer>>>();

/** Opens what a rule of a policy demands. @throws BullaError as openNotaryServer */
export async function openDemandedNotary(context: Context, url: URL, gun: string): Promise<OpenedNotary> {
  const servers = demanded.get(context) ?? new Map<string, Promise<NotaryServer>>();
  demanded.set(context, servers);
  const server = servers.get(url.href) ?? openNotaryServer(context, url, true);
  servers.set(url.href, server);
  // A run may stay: what cannot be read now, such as a file of its authority, is read again for the next image.
  server.catch(() => servers.delete(url.href));
  const source = (await server).repository(gun);
  return { source, memory: await notaryMemory(context, source) };
}

/** TLS settings, with what docker keeps for a server (`~/.docker/tls/HOST`) where we have none of our own. */
async function dockerTls(io: Io, server: URL, settings: TlsOptions | TlsFor | undefined): Promise<TlsFor> {
  const { readDockerTls } = await import('../../notary-client/docker-tls.ts');
  const kept = await readDockerTls(
    join(io.env['DOCKER_CONFIG'] || join(io.home, '.docker'), 'tls', server.host),
  );
  return async (url, isOwn) => {
    const own = typeof settings === 'function' ? await settings(url, isOwn) : (settings ?? {});
    if (!isOwn || url.host !== server.host) return own;
    const certified = own.cert === undefined ? { cert: kept.cert, key: kept.key } : {};
    return { ...own, ca: own.ca ?? kept.ca, ...certified };
  };
}

/** Where the trust data of a repository is read: a server, or a directory that holds it. */
export async function openNotarySource(
  context: Context,
  { registry }: RegistryReference,
  gun: string,
  given: string,
): Promise<NotarySource> {
  if (isDirectory(given)) {
    const { findNotaryDirectory } = await import('../../notary-client/directory.ts');
    return findNotaryDirectory(context.path(given), gun);
  }
  return (await openNotaryServer(context, serverFor(context, registryIn(gun) ?? registry, given))).repository(
    gun,
  );
}

/** Registry that a GUN names: where an image is elsewhere by now, its trust data is still at the old place. */
function registryIn(gun: string): string | undefined {
  const [host = '', ...path] = gun.split('/');
  return path.length > 0 && (host === 'localhost' || /[.:]/.test(host)) ? host : undefined;
}

/** A path rather than a host: it begins as one, or with a word that cannot be a host on a network. */
function isDirectory(given: string): boolean {
  const first = given.split('/')[0] ?? '';
  if (first === '' || first === '.' || first === '..') return true;
  return given !== 'auto' && first !== 'localhost' && !/[.:]/.test(first);
}

/**
 * The pin that flags give.
 * @throws BullaError usage where there are several; not-found, content-invalid, certificate-invalid, key-invalid
 */
export async function notaryPinOf(context: Context, flags: NotaryFlags): Promise<NotaryPin | undefined> {
  const { root, rootKeyId, rootCa, notaryRootKey, tofu } = flags;
  const given = [root, rootKeyId, rootCa, notaryRootKey, tofu].filter((flag) => flag !== undefined);
  if (given.length > 1)
    throw new BullaError(
      'usage',
      'a root file, root key ids, a root key, a CA and --tofu are mutually exclusive',
      {
        hint: 'give one of them',
      },
    );
  const [{ readFileBounded }, { decodeUtf8 }, { checkNotaryPin }] = await Promise.all([
    import('../../disk/atomic.ts'),
    import('../../encoding/bytes.ts'),
    import('../../state/notary-pins.ts'),
  ]);
  const text = async (path: string): Promise<string> =>
    decodeUtf8(await readFileBounded(context.path(path), MAX_PEM_BYTES), path);
  if (root !== undefined)
    return checkNotaryPin({ kind: 'root', bytes: await readFileBounded(context.path(root), MAX_ROOT_BYTES) });
  if (rootCa !== undefined) return checkNotaryPin({ kind: 'ca', pem: await text(rootCa) });
  if (notaryRootKey !== undefined)
    return checkNotaryPin({ kind: 'public-key', pem: await text(notaryRootKey) });
  if (rootKeyId !== undefined) return checkNotaryPin({ kind: 'key-ids', keyIds: rootKeyId });
  return tofu === true ? { kind: 'tofu' } : undefined;
}

/**
 * Reads the trust data of a repository to show it, and warns where it cannot be relied on.
 * @throws BullaError usage; as inspectNotary
 */
export async function showNotary(
  context: Context,
  text: string,
  flags: NotaryFlags & { readonly notary: string },
): Promise<InspectedNotary> {
  const { inspectNotary } = await import('../../actions/inspect/notary.ts');
  const port = await notaryPort(context, parseGun(text), flags);
  const shown = await inspectNotary(port);
  const { untrusted } = shown;
  const hint = untrusted?.hint === undefined ? '' : `; ${untrusted.hint}`;
  if (untrusted !== undefined)
    context.output.warn(
      `${untrusted.message}. What follows is what ${port.source.place} says of itself${hint}`,
    );
  return shown;
}

/** Where the trust data of an image's repository is, and how it is verified. @throws BullaError usage; those of server and pins */
export async function notaryPort(
  context: Context,
  reference: RegistryReference,
  flags: NotaryFlags & { readonly notary: string },
): Promise<NotaryPort> {
  const gun = gunOf(reference, flags.collection);
  const source = await openNotarySource(context, reference, gun, flags.notary);
  return { source, trust: await notaryTrust(context, gun, source, flags) };
}

/** How a repository is to be verified: with the pin of the flags, else the one that is kept, and with memory. */
export async function notaryTrust(
  context: Context,
  gun: string,
  source: NotarySource,
  flags: NotaryFlags,
): Promise<NotaryVerifyOptions> {
  const given = await notaryPinOf(context, flags);
  const isUnattended = given?.kind === 'tofu' && isCi(context);
  if (isUnattended) context.output.warn('--tofu is ignored in CI, where the root keys are not compared');
  const pin = isUnattended ? undefined : (given ?? (await (await notaryPins(context)).find(gun)));
  return { gun, now: context.io.now(), pin, memory: await notaryMemory(context, source) };
}

/** Pins of Notary repositories of this person. */
export async function notaryPins({ directories }: Context): Promise<NotaryPinFile> {
  const { NotaryPinFile } = await import('../../state/notary-pins.ts');
  return new NotaryPinFile(join(directories.config, 'notary-pins.json'));
}

/** What is remembered of a repository at a place. */
export async function notaryMemory(
  { directories }: Pick<Context, 'directories'>,
  { place }: Pick<NotarySource, 'place'>,
): Promise<NotaryMemoryFile> {
  const { NotaryMemoryFile } = await import('../../state/notary-memory.ts');
  return new NotaryMemoryFile(join(directories.state, 'notary'), place);
}
