import type { RegistryServerOptions } from '../../../api/registry-server.ts';
import { BullaError } from '../../../errors.ts';
import { openKey } from '../../../keystore/key-of.ts';
import { parseListenAddress, readTlsFiles, type TlsFiles } from '../../../servers/listener.ts';
import type { LogSink } from '../../../servers/log.ts';
import { gc } from '../../../servers/registry/gc.ts';
import { readNotificationHeaders } from '../../../servers/registry/notifications.ts';
import { serveRegistry as startRegistry } from '../../../servers/registry/server.ts';
import { tufSigner } from '../../../tuf/edit/signing.ts';
import { keySources } from '../../flags/keys.ts';
import type { Context } from '../../shell/context.ts';
import { pinFile } from '../../shell/trust-stores.ts';
import { stay } from './stay.ts';

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

const DEFAULT_PORT = 5000;
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost']);

/** Serves a directory as a registry until it is asked to end. */
export async function serveRegistry(context: Context, flags: RegistryFlags): Promise<void> {
  const { io, output } = context;
  const { host: address, port } = parseListenAddress(flags.listen, undefined, flags.port ?? DEFAULT_PORT);
  const log: LogSink = (entry) => io.stderr.write(`${JSON.stringify(entry)}\n`);
  const headers = flags.notifyHeaders && (await readNotificationHeaders(context.path(flags.notifyHeaders)));
  const options: RegistryServerOptions = {
    dir: directoryOf(context, flags),
    address,
    port,
    hosts: [...(flags.host ?? []), ...(flags.resignHost ?? [])],
    tls: await tlsOf(context, flags),
    htpasswd: flags.htpasswd === undefined ? undefined : context.path(flags.htpasswd),
    anonymousRead: flags.anonymousRead,
    notifications: (flags.notify ?? []).map((url) => ({ url, headers: headers || {} })),
    sparse: flags.sparse,
    log: (entry) => {
      if (flags.accessLog || entry['level'] !== 'info') log(entry);
    },
  };
  const server = await (flags.resignKey === undefined
    ? startRegistry(options)
    : (await import('../../../servers/resigner/hosted.ts')).serveResigned(options, {
        signer: tufSigner(await openKey(flags.resignKey, keySources(context, {}))),
        rootKeyIds: flags.resignRootKeyId,
        pins: async () => (await (await pinFile(context)).list()).values(),
        hosts: flags.resignHost,
        log,
        onWarning: (message) => output.warn(message),
      }));
  if (!LOOPBACK.has(address)) {
    if (flags.htpasswd === undefined)
      output.warn(`anyone who reaches ${server.address} can write to the registry`);
    if (flags.tlsCert === undefined) output.warn('without TLS, passwords and content can be read in transit');
  }
  // The password file is read again by itself; there is nothing else to reload.
  await stay(context, server, `serving ${flags.dir} on ${server.url}`, { dir: flags.dir });
}

/** The directory of the registry, from the folder that the command runs in. */
function directoryOf(context: Context, flags: { readonly dir?: string }): string {
  if (flags.dir !== undefined) return context.path(flags.dir);
  throw new BullaError('usage', 'no directory given', { hint: 'add --dir DIR' });
}

async function tlsOf(context: Context, { tlsCert, tlsKey }: RegistryFlags): Promise<TlsFiles | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined)
    throw new BullaError('usage', 'TLS takes a certificate and its key', {
      hint: 'give both --tls-cert and --tls-key, or none',
    });
  return readTlsFiles({ cert: context.path(tlsCert), key: context.path(tlsKey) });
}

/** `bulla serve registry gc` */
export async function collectGarbage(context: Context, flags: GcFlags): Promise<void> {
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
