import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../../encoding/time.ts';
import { addKeyOptions } from '../flags/key-flags.ts';
import { collect } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';

const HOST_HELP =
  'name by which clients reach this server, as through a proxy; without a login, other names than localhost and those in the certificate are refused';
const DEFAULT_PORT = 5000;

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
      'names and bcrypt hashes, as made by htpasswd -B; without it no login is needed',
    )
    .option('--anonymous-read', 'with --htpasswd: anyone may read')
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
      'with --resign-key: root key that is trusted in all of them; repeatable (default: your pins)',
      collect,
    )
    .option(
      '--resign-host <host:port>',
      'with --resign-key: another name of this registry, as it stands in the names of collections; repeatable',
      collect,
    )
    .action(async (_flags: unknown, command: Command) => {
      const { serveRegistry } = await import('./serve/registry.ts');
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
      const { collectGarbage } = await import('./serve/registry.ts');
      await collectGarbage(await cli.open(command), command.optsWithGlobals());
    });
  addKeyOptions(serve.command('resigner'))
    .summary('keep trust collections fresh, and take in what is staged')
    .description(
      'Looks after the collections of a configuration file: re-signs snapshot and timestamp at half of their ' +
        'lifetime, and takes in staged changes within seconds. It needs the online key alone. The log, one JSON ' +
        'object a line, goes to stderr; /healthz, /readyz, /metrics and POST /notify are served over HTTP. The ' +
        'file and the key are read again on SIGHUP and when they change.',
    )
    .option(
      '--config <file>',
      'which root keys are trusted for which repositories, key, state; spec/resigner.md',
    )
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
