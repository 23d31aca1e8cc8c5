import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../../encoding/time.ts';
import { addKeyOptions } from '../flags/key-flags.ts';
import { collect, collectKeyIds } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';

const HOST_HELP =
  'name by which clients reach this server, as through a proxy; without a login, other names than localhost and those in the certificate are refused';
const DEFAULT_PORT = 5000;

export function register(program: Command, cli: Cli): void {
  const serve = program
    .command('serve')
    .summary('run a server')
    .description('Runs a server until it is stopped.');
  const registry = serve
    .command('registry')
    .summary('serve an OCI registry from a directory')
    .description(
      'Serves a directory as an OCI registry (distribution-spec 1.1): for trials, tests, laptops and air gaps.\n' +
        'Each repository in it is an OCI image layout. The log, one JSON object per line, goes to stderr.',
    )
    .option('--dir <dir>', 'directory of the repositories; created if missing')
    .option('--addr, --listen <host[:port]>', 'where to listen', '127.0.0.1')
    .option('--port <port>', `port to listen on, 0 for any (default: ${DEFAULT_PORT})`, toPort)
    .option('--host <name>', `${HOST_HELP}; repeatable`, collect)
    .option('--tls-cert <file>', 'certificate chain in PEM; with --tls-key')
    .option('--tls-key <file>', 'private key in PEM')
    .option(
      '--htpasswd <file>',
      'names and bcrypt hashes, as made by htpasswd -B; without it, no login is required',
    )
    .option('--anonymous-read', 'with --htpasswd: anyone may read')
    .option(
      '--notify <url>',
      "post events there, in the format of distribution's notifications; repeatable",
      collect,
    )
    .option(
      '--notify-headers <file>',
      'headers for --notify, such as Authorization, one "Name: value" per line',
    )
    .option('--sparse', 'accept manifests that refer to missing content')
    .option('--no-access-log', 'log only problems')
    .option('--resign-key <key>', 'keep its trust collections fresh with this online key')
    .option(
      '--resign-root-key-id <id>',
      'with --resign-key: trusted root key of all of them; repeatable (default: your pins)',
      collectKeyIds,
    )
    .option(
      '--resign-host <host:port>',
      'with --resign-key: another name of this registry, as in the names of collections; repeatable',
      collect,
    )
    .action(async (_flags: unknown, command: Command) => {
      const { serveRegistry } = await import('./serve/registry.ts');
      await serveRegistry(await cli.open(command), command.opts());
    });
  registry
    .command('gc')
    .summary('remove unreferenced content')
    .description(
      'Removes manifests without a tag that nothing refers to, and blobs that no manifest has. A signature, or ' +
        'another manifest with a subject, is kept as long as its subject exists. It may run while the registry serves.',
    )
    .option('--dir <dir>', 'directory of the registry')
    .option('--grace <duration>', 'keep what changed more recently than this (default: 1h)', toDuration)
    .option('--keep-untagged', 'keep manifests that have no tag')
    .option('--dry-run', 'only show what would be removed')
    .action(async (_flags: unknown, command: Command) => {
      const { collectGarbage } = await import('./serve/registry.ts');
      await collectGarbage(await cli.open(command), command.optsWithGlobals());
    });
  addKeyOptions(serve.command('resigner'))
    .summary('keep trust collections fresh, and publish staged changes')
    .description(
      'Maintains the collections of a configuration file: re-signs snapshot and timestamp at half of their ' +
        'lifetime, and publishes staged changes within seconds. It needs only the online key. The log, one JSON ' +
        'object per line, goes to stderr; /healthz, /readyz, /metrics and POST /notify are served over HTTP. The ' +
        'file and the key are read again on SIGHUP and when they change.',
    )
    .option('--config <file>', 'repositories with their pins, key, state; see spec/resigner.md')
    .option('--listen <host:port>', 'where to listen (default: listen of the file, or 127.0.0.1:8089)')
    .option(
      '--host <name>',
      'name of this server, in addition to localhost, IP addresses and hosts of the file; repeatable',
      collect,
    )
    .option('--shard <i/n>', 'maintain only the i-th of n parts, counted from 0')
    .action(async (_flags: unknown, command: Command) => {
      const { serveResigner } = await import('./serve/resigner.ts');
      await serveResigner(await cli.open(command), command, command.opts());
    });
  addGate(serve, cli);
}

function addGate(serve: Command, cli: Cli): void {
  serve
    .command('gate')
    .summary('let a Kubernetes cluster run only what a policy allows')
    .description(
      'Answers the admission webhooks of a cluster (spec/gate.md): POST /mutate writes verified digests, POST /validate ' +
        'lets only verified digests pass. The policy and the certificate are read again on SIGHUP and when they change. ' +
        'The log, one JSON object per line, goes to stderr; /healthz, /readyz, /metrics and /explain?image=REF are ' +
        'served over plain HTTP.',
    )
    .requiredOption('--policy <file>', 'policy file that decides; with --policy-configmap, its name there')
    .option('--policy-configmap <namespace/name>', 'read the policy, and what it names, from this ConfigMap')
    .option('--listen <host:port>', 'where to listen for the API server, with TLS', '0.0.0.0:8443')
    .option('--plain-listen <host:port>', 'where to listen for probes and metrics', '127.0.0.1:8080')
    .option('--host <name>', `${HOST_HELP.split(';', 1)[0]}; repeatable`, collect)
    .option('--tls-cert <file>', 'certificate chain in PEM; with --tls-key')
    .option('--tls-key <file>', 'private key in PEM')
    .option(
      '--self-signed <namespace/service>',
      'make a certificate for this Service, in the Secret SERVICE-tls',
    )
    .option(
      '--webhook-configuration <name>',
      'with --self-signed: the webhook configurations that have to trust it',
    )
    .option('--socket <path>', 'also answer bulla gate containerd --socket on this machine')
    .option('--deadline <duration>', 'how long a review may take: less than its timeoutSeconds', '8s')
    .option('--audit-log <file>', 'write decisions there, - for stdout (default: with the log)')
    .option('--webhook-url <url>', 'post denials there, as Slack takes them')
    .option('--webhook-template <file>', 'with --webhook-url: JSON to post, with {{text}} in it')
    .option('--events', 'write Events of Kubernetes about denials')
    .option('--emergency-allow', 'admit everything without verification, loudly')
    .action(async (_flags: unknown, command: Command) => {
      const { serveGate } = await import('./serve/gate.ts');
      await serveGate(await cli.open(command), command.optsWithGlobals(), command.opts());
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
