import { type Command, Option } from 'commander';
import { BullaError } from '../../errors.ts';
import { SEARCH_TIMEOUT_MS } from '../../http/deadline.ts';
import { configFile, directories } from '../../state/directories.ts';
import { readConfigFile } from './config-file.ts';
import type { Io } from './io.ts';
import type { ConfigFile } from './registry-settings.ts';

/** How a registry is reached, and who we are to it. */
export interface RegistryAccess {
  /** False where a person says so, undefined where nothing is said: then it is implied for this machine. */
  readonly plainHttp: boolean | undefined;
  readonly insecure: boolean;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly registryConfig: string | undefined;
  readonly username: string | undefined;
  readonly passwordStdin: boolean;
}

/**
 * Flags that every command has, after environment and configuration file were asked too. Its access holds for registries
 * of which nothing else is said.
 */
export interface Settings extends RegistryAccess {
  readonly offline: boolean;
  readonly concurrency: number;
  /** Whole command, in milliseconds; undefined: no deadline but those of the requests. */
  readonly timeout: number | undefined;
  /** What a command may spend on searching, and each listing of a registry, in milliseconds. */
  readonly searchTimeout: number;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly trace: boolean;
  readonly progress: boolean;
  /** `--key` where the command line has none. */
  readonly defaultKey: string | undefined;
  /** Per registry, from the configuration file. */
  readonly registries: ConfigFile['registries'];
}

/** Adds the flags of {@link Settings} to the program. */
export function addGlobalOptions(program: Command): void {
  program
    .option(
      '--plain-http',
      'use HTTP for the registry (default for localhost without TLS; --plain-http=false for TLS there)',
    )
    .addOption(new Option('--no-plain-http').hideHelp())
    .option('--insecure', 'do not check the certificate of the registry')
    .option('--ca-file <file>', 'certificates of the CAs that registries are checked against')
    .option('--cert-file <file>', 'client certificate for the registry')
    .option('--key-file <file>', 'private key of the client certificate')
    .option('--registry-config <file>', "credential file (default: podman's and docker's)")
    .option('-u, --username <name>', 'user name for the registry; with --password-stdin')
    .option('--password-stdin', 'read the password from standard input')
    .option('--offline', 'open no socket')
    .option('--concurrency <n>', 'parallel transfers (default: 8)')
    .option('--timeout <duration>', 'end the command after this time, such as 30s or 5m')
    .option('--search-timeout <duration>', 'time limit for searches and lists (default: 10m)')
    .option('-o, --output <format>', 'text or json')
    .option('-q, --quiet', 'print only results and errors')
    .option('-v, --verbose', 'say more')
    .option('--trace', 'show every HTTP exchange (without secrets) and the causes of an error')
    .option('--no-progress', 'show no progress');
}

/**
 * Settings of one run: flag before environment (`BULLA_PLAIN_HTTP=1`) before configuration file.
 * @throws BullaError usage, config-invalid
 */
export async function readSettings(command: Command, io: Io): Promise<Settings> {
  const flags = command.optsWithGlobals();
  const config = await readConfigFile(configFile(directories(io)));
  const find = (name: string): unknown => {
    const given = flags[name];
    // commander sets `progress` to true by itself because of --no-progress.
    if (given !== undefined && !(name === 'progress' && given === true)) return given;
    return io.env[environmentName(name)] || config.settings.get(name);
  };
  const flag = (name: string, otherwise = false): boolean => toBoolean(name, find(name), otherwise);
  const text = (name: string): string | undefined => toText(find(name));
  return {
    plainHttp: find('plainHttp') === undefined ? undefined : flag('plainHttp'),
    insecure: flag('insecure'),
    caFile: text('caFile'),
    certFile: text('certFile'),
    keyFile: text('keyFile'),
    registryConfig: text('registryConfig'),
    username: text('username'),
    passwordStdin: flag('passwordStdin'),
    offline: flag('offline'),
    concurrency: toCount('concurrency', find('concurrency'), 8, 64),
    timeout: await toDuration('timeout', text('timeout')),
    searchTimeout: (await toDuration('searchTimeout', text('searchTimeout'))) ?? SEARCH_TIMEOUT_MS,
    json: toChoice('output', text('output') ?? 'text', ['text', 'json']) === 'json',
    quiet: flag('quiet'),
    verbose: flag('verbose'),
    trace: flag('trace'),
    progress: flag('progress', true),
    // A command's own --key may be several, and goes before this one.
    defaultKey: toText(io.env['BULLA_KEY'] || config.settings.get('key')),
    registries: config.registries,
  };
}

/** `BULLA_PLAIN_HTTP` of `plainHttp`. */
export function environmentName(name: string): string {
  return `BULLA_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function toText(value: unknown): string | undefined {
  return value === undefined || value === '' || value === true ? undefined : String(value);
}

function toBoolean(name: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined || value === '') return otherwise;
  if (value === true || value === 'true' || value === '1') return true;
  if (value === false || value === 'false' || value === '0') return false;
  throw new BullaError('usage', `${name} is ${JSON.stringify(value)}, which is neither true nor false`, {
    hint: `set ${environmentName(name)} to 1 or 0`,
  });
}

function toCount(name: string, value: unknown, otherwise: number, most: number): number {
  if (value === undefined) return otherwise;
  const count = Number(value);
  if (Number.isInteger(count) && count >= 1 && count <= most) return count;
  throw new BullaError('usage', `${name} is ${JSON.stringify(value)}, not a number from 1 to ${most}`, {
    hint: `give a whole number from 1 to ${most}`,
  });
}

async function toDuration(name: string, value: string | undefined): Promise<number | undefined> {
  if (value === undefined) return undefined;
  const { parseDuration } = await import('../../encoding/time.ts');
  const milliseconds = parseDuration(value);
  if (milliseconds !== undefined && milliseconds > 0) return milliseconds;
  throw new BullaError('usage', `${name} is ${JSON.stringify(value)}, not a duration`, {
    hint: 'write 30s, 5m, 1h30m',
  });
}

function toChoice(name: string, value: string, choices: readonly string[]): string {
  if (choices.includes(value)) return value;
  throw new BullaError('usage', `${name} is ${JSON.stringify(value)}`, {
    hint: `choose one of ${choices.join(', ')}`,
  });
}
