import process from 'node:process';
import type { NotificationEndpoint, RegistryServerOptions } from '../../../api/registry-server.ts';
import { readFileBounded } from '../../../disk/atomic.ts';
import { decodeUtf8 } from '../../../encoding/bytes.ts';
import { BullaError, messageOf } from '../../../errors.ts';
import { openKey } from '../../../keystore/key-of.ts';
import type { LogSink } from '../../../servers/log.ts';
import type { HostedResigner } from '../../../servers/resigner/hosted.ts';
import { tufSigner } from '../../../tuf/edit/signing.ts';
import { keySources } from '../../flags/keys.ts';
import type { Context } from '../../shell/context.ts';
import { pinFile } from '../../shell/trust-stores.ts';
import { ended } from './ended.ts';

interface RegistryFlags {
  readonly dir: string;
  readonly listen: string;
  readonly port?: number;
  readonly host?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly htpasswd?: string;
  readonly anonymousRead?: boolean;
  readonly notify?: readonly string[];
  readonly notifyHeaders?: string;
  readonly sparse?: boolean;
  readonly accessLog: boolean;
  readonly resignKey?: string;
  readonly resignRootKeyId?: readonly string[];
  readonly resignHost?: readonly string[];
}

interface GcFlags {
  readonly dir: string;
  readonly grace?: number;
  readonly keepUntagged?: boolean;
  readonly dryRun?: boolean;
}

/** Where a registry listens if no port is given. */
const DEFAULT_PORT = 5000;
/** Also a certificate with its chain, or a key. */
const MAX_TEXT_BYTES = 1024 * 1024;
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost']);

/** Serves a directory as a registry until it is asked to end. */
export async function serveRegistry(context: Context, flags: RegistryFlags): Promise<void> {
  const { io, output } = context;
  const { host: address, port } = splitAddress(flags);
  const log: LogSink = (entry) => io.stderr.write(`${JSON.stringify(entry)}\n`);
  const options: RegistryServerOptions = {
    dir: directoryOf(context, flags),
    address,
    port,
    hosts: [...(flags.host ?? []), ...(flags.resignHost ?? [])],
    tls: await readTls(context, flags),
    htpasswd: flags.htpasswd === undefined ? undefined : context.path(flags.htpasswd),
    anonymousRead: flags.anonymousRead,
    notifications: await readEndpoints(context, flags),
    sparse: flags.sparse,
    log: (entry) => {
      if (flags.accessLog || entry['level'] !== 'info') log(entry);
    },
  };
  const { serveRegistry: start } = await import('../../../api/registry-server.ts');
  const hosted =
    flags.resignKey === undefined ? undefined : await host(context, options, flags, flags.resignKey, log);
  const server = await start({ ...options, ...hosted?.options });
  context.defer(() => server.close());
  if (hosted !== undefined) context.defer(await hosted.start(server.address));
  if (!LOOPBACK.has(address)) {
    if (flags.htpasswd === undefined)
      output.warn(`anyone who reaches ${server.address} can write to the registry`);
    if (flags.tlsCert === undefined) output.warn('without TLS, passwords and content can be read in transit');
  }
  output.result(`serving ${flags.dir} on ${server.url}`, {
    url: server.url,
    address: server.address,
    dir: flags.dir,
  });
  // The password file is read again by itself; there is nothing else to reload.
  const stay = (): void => undefined;
  process.on('SIGHUP', stay);
  await ended(context.signal);
  process.off('SIGHUP', stay);
}

/** Prepares the re-signer that keeps the collections of the registry fresh. */
async function host(
  context: Context,
  { dir, tls }: RegistryServerOptions,
  { resignRootKeyId, resignHost }: RegistryFlags,
  key: string,
  log: LogSink,
): Promise<HostedResigner> {
  const { hostedResigner } = await import('../../../servers/resigner/hosted.ts');
  return hostedResigner({
    dir,
    signer: tufSigner(await openKey(key, keySources(context, {}))),
    rootKeyIds: resignRootKeyId,
    pins: async () => (await (await pinFile(context)).list()).values(),
    hosts: resignHost,
    isTls: tls !== undefined,
    log,
    onWarning: (message) => context.output.warn(message),
  });
}

/** The directory of the registry, from the folder that the command runs in. */
function directoryOf(context: Context, flags: { readonly dir?: string }): string {
  if (flags.dir !== undefined) return context.path(flags.dir);
  throw new BullaError('usage', 'no directory given', { hint: 'add --dir DIR' });
}

function splitAddress(flags: RegistryFlags): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*))(?::([0-9]{1,5}))?$/.exec(flags.listen);
  const port = match?.[3] === undefined ? flags.port : Number(match[3]);
  if (match === null || (port !== undefined && port > 65_535)) {
    throw new BullaError('usage', `${JSON.stringify(flags.listen)} is not an address to listen on`, {
      hint: 'write HOST, HOST:PORT or [IPv6]:PORT, such as 127.0.0.1:5000 or 0.0.0.0:5000',
    });
  }
  const host = match[1] ?? match[2] ?? '';
  // ":5000" is every address to other programs; here that has to be said.
  return { host: host === '' ? '127.0.0.1' : host, port: port ?? DEFAULT_PORT };
}

async function readTls(context: Context, flags: RegistryFlags): Promise<RegistryServerOptions['tls']> {
  if (flags.tlsCert === undefined && flags.tlsKey === undefined) return undefined;
  if (flags.tlsCert === undefined || flags.tlsKey === undefined) {
    throw new BullaError('usage', 'TLS takes a certificate and its key', {
      hint: 'give both --tls-cert and --tls-key, or none',
    });
  }
  return { cert: await readText(context, flags.tlsCert), key: await readText(context, flags.tlsKey) };
}

async function readEndpoints(
  context: Context,
  flags: RegistryFlags,
): Promise<readonly NotificationEndpoint[]> {
  const headers =
    flags.notifyHeaders === undefined ? {} : parseHeaders(await readText(context, flags.notifyHeaders));
  return (flags.notify ?? []).map((url) => {
    if (!URL.canParse(url) || !/^https?:/.test(url)) {
      throw new BullaError('usage', `${JSON.stringify(url)} is not a URL that can be notified`, {
        hint: 'write http://… or https://…',
      });
    }
    return { url, headers };
  });
}

function parseHeaders(text: string): Record<string, string> {
  const headers: [string, string][] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) {
      throw new BullaError('config-invalid', `line ${i + 1} of the file of headers is not "Name: value"`, {
        hint: 'write one header a line, such as Authorization: Bearer …',
      });
    }
    headers.push([match[1], match[2]]);
  }
  return Object.fromEntries(headers);
}

async function readText(context: Context, path: string): Promise<string> {
  try {
    return decodeUtf8(await readFileBounded(context.path(path), MAX_TEXT_BYTES, { pipes: true }), path);
  } catch (cause) {
    throw new BullaError('not-found', `cannot read ${path}: ${messageOf(cause)}`, {
      cause,
      hint: 'check the path and who may read it',
    });
  }
}

/** `bulla serve registry gc` */
export async function collectGarbage(context: Context, flags: GcFlags): Promise<void> {
  const { gc } = await import('../../../api/registry-server.ts');
  const report = await gc(directoryOf(context, flags), {
    ...(flags.grace !== undefined && { graceMs: flags.grace }),
    ...(flags.keepUntagged !== undefined && { keepUntagged: flags.keepUntagged }),
    ...(flags.dryRun !== undefined && { dryRun: flags.dryRun }),
  });
  const verb = flags.dryRun === true ? 'would remove' : 'removed';
  context.output.result(
    `${verb} ${report.manifests} manifests and ${report.blobs} blobs, ${report.bytes} bytes in all`,
    { ...report, dryRun: flags.dryRun === true },
  );
}
