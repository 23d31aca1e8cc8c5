import process from 'node:process';
import { type Command, InvalidArgumentError } from 'commander';
import type { NotificationEndpoint, RegistryServerOptions } from '../../api/registry-server.ts';
import { readFileBounded } from '../../disk/atomic.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError, messageOf } from '../../errors.ts';
import { addKeyOptions } from '../flags/key-flags.ts';
import type { Cli, Context } from '../shell/context.ts';
import { ended } from './serve/ended.ts';

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

const HOST_HELP =
  'name by which clients reach this server, as through a proxy; without a login, other names than localhost and those in the certificate are refused';
const DEFAULT_PORT = 5000;
/** Also a certificate with its chain, or a key. */
const MAX_TEXT_BYTES = 1024 * 1024;
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost']);

export function register(program: Command, cli: Cli): void {
  const serve = program
    .command('serve')
    .summary('run a server')
    .description('Runs a server until it is asked to end.');
  const registry = serve
    .command('registry')
    .summary('an OCI registry on a directory')
    .description(
      'Serves a directory as an OCI registry (distribution-spec 1.1): for trying out, tests, laptops and air gaps.\n' +
        'Each repository in it is an OCI image layout. The log, one JSON object a line, goes to stderr.',
    )
    .option('--dir <dir>', 'directory of the repositories; created where it is missing')
    .option('--addr, --listen <host[:port]>', 'where to listen', '127.0.0.1')
    .option('--port <port>', `port to listen on, 0 for any (default: ${DEFAULT_PORT})`, toPort)
    .option('--host <name>', `${HOST_HELP}; repeatable`, collect)
    .option('--tls-cert <file>', 'certificate chain in PEM; with --tls-key')
    .option('--tls-key <file>', 'private key in PEM')
    .option(
      '--htpasswd <file>',
      'names and bcrypt hashes, as made by htpasswd -B; without it nobody has to sign in',
    )
    .option('--anonymous-read', 'with --htpasswd: everybody may read')
    .option(
      '--notify <url>',
      "post events there, in the format of distribution's notifications; repeatable",
      collect,
    )
    .option(
      '--notify-headers <file>',
      'headers for --notify, such as Authorization, one "Name: value" a line',
    )
    .option('--sparse', 'accept manifests that refer to content that is not there')
    .option('--no-access-log', 'log problems only')
    .option('--resign-key <key>', 'keep the trust collections in it fresh with this online key')
    .option(
      '--resign-root-key-id <id>',
      'with --resign-key: root key that is believed in all of them; repeatable (default: the pins of this person)',
      collect,
    )
    .option(
      '--resign-host <host:port>',
      'with --resign-key: another name of this registry, as it stands in the names of collections; repeatable',
      collect,
    )
    .action(async (_flags: unknown, command: Command) => {
      await serveRegistry(await cli.open(command), command.opts());
    });
  registry
    .command('gc')
    .summary('remove what nothing refers to')
    .description(
      'Removes manifests without a tag that nothing refers to, and blobs that no manifest has. A signature, or ' +
        'whatever else has a subject, stays as long as its subject is there. It may run while the registry serves.',
    )
    .option('--dir <dir>', 'directory of the registry')
    .option('--grace <duration>', 'spare what changed less than this ago (default: 1h)', toDuration)
    .option('--keep-untagged', 'keep manifests that have no tag')
    .option('--dry-run', 'only say what would be removed')
    .action(async (_flags: unknown, command: Command) => {
      await collectGarbage(await cli.open(command), command.optsWithGlobals());
    });
  addKeyOptions(serve.command('resigner'))
    .summary('keep trust collections fresh, and take in what is staged')
    .description(
      'Looks after the collections of a configuration file: signs snapshot and timestamp anew at half of their ' +
        'lifetime, and takes in staged changes within seconds. It needs the online key alone. The log, one JSON ' +
        'object a line, goes to stderr; /healthz, /readyz, /metrics and POST /notify are served over HTTP. The ' +
        'file and the key are read again on SIGHUP and when they change.',
    )
    .option('--config <file>', 'whom to believe about which repositories, key, state; spec/resigner.md')
    .option('--listen <host:port>', 'where to listen (default: listen of the file, or 127.0.0.1:8089)')
    .option(
      '--host <name>',
      'name by which the server is reached, beside localhost, IP addresses and hosts of the file; repeatable',
      collect,
    )
    .option('--shard <i/n>', 'look after the i-th of n parts only, counted from 0')
    .action(async (_flags: unknown, command: Command) => {
      const { serveResigner } = await import('./serve/resigner.ts');
      await serveResigner(await cli.open(command), command, command.opts());
    });
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function toPort(value: string): number {
  const port = Number(value);
  if (/^[0-9]{1,5}$/.test(value) && port < 65_536) return port;
  throw new InvalidArgumentError('It must be a number from 0 to 65535.');
}

function toDuration(value: string): number {
  const milliseconds = parseDuration(value);
  if (milliseconds !== undefined) return milliseconds;
  throw new InvalidArgumentError('It must be a duration such as 30m or 1h.');
}

async function serveRegistry(context: Context, flags: RegistryFlags): Promise<void> {
  const { io, output } = context;
  const { host, port } = splitAddress(flags);
  const options: RegistryServerOptions = {
    dir: directoryOf(flags),
    address: host,
    port,
    hosts: [...(flags.host ?? []), ...(flags.resignHost ?? [])],
    tls: await readTls(flags),
    htpasswd: flags.htpasswd,
    anonymousRead: flags.anonymousRead,
    notifications: await readEndpoints(flags),
    sparse: flags.sparse,
    log: (entry) => {
      if (flags.accessLog || entry['level'] !== 'info') io.stderr.write(`${JSON.stringify(entry)}\n`);
    },
  };
  const { serveRegistry: start } = await import('../../api/registry-server.ts');
  const hosted =
    flags.resignKey === undefined
      ? undefined
      : await (await import('./serve/hosted.ts')).hostedResigner(context, {
          ...flags,
          dir: options.dir,
          resignKey: flags.resignKey,
          isTls: options.tls !== undefined,
          log: (entry) => io.stderr.write(`${JSON.stringify(entry)}\n`),
        });
  const server = await start({ ...options, ...hosted?.options });
  context.defer(() => server.close());
  if (hosted !== undefined) context.defer(await hosted.start(server.address));
  if (!LOOPBACK.has(host)) {
    if (flags.htpasswd === undefined)
      output.warn(`everybody who reaches ${server.address} can write to the registry`);
    if (flags.tlsCert === undefined) output.warn('without TLS, passwords and content can be read on the way');
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

function directoryOf(flags: { readonly dir?: string }): string {
  if (flags.dir !== undefined) return flags.dir;
  throw new BullaError('usage', 'no directory is given', { hint: 'add --dir DIR' });
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

async function readTls(flags: RegistryFlags): Promise<RegistryServerOptions['tls']> {
  if (flags.tlsCert === undefined && flags.tlsKey === undefined) return undefined;
  if (flags.tlsCert === undefined || flags.tlsKey === undefined) {
    throw new BullaError('usage', 'TLS takes a certificate and its key', {
      hint: 'give both --tls-cert and --tls-key, or none',
    });
  }
  return { cert: await readText(flags.tlsCert), key: await readText(flags.tlsKey) };
}

async function readEndpoints(flags: RegistryFlags): Promise<readonly NotificationEndpoint[]> {
  const headers = flags.notifyHeaders === undefined ? {} : parseHeaders(await readText(flags.notifyHeaders));
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

async function readText(path: string): Promise<string> {
  try {
    return decodeUtf8(await readFileBounded(path, MAX_TEXT_BYTES, { pipes: true }), path);
  } catch (cause) {
    throw new BullaError('not-found', `cannot read ${path}: ${messageOf(cause)}`, {
      cause,
      hint: 'check the path and who may read it',
    });
  }
}

async function collectGarbage(context: Context, flags: GcFlags): Promise<void> {
  const { gc } = await import('../../api/registry-server.ts');
  const report = await gc(directoryOf(flags), {
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
