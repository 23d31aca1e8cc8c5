import { type Command, Option } from 'commander';
import type { Side } from '../../api/places.ts';
import { BullaError } from '../../errors.ts';
import { isLoopbackHost } from '../../http/address.ts';
import { canonicalHost, splitHost } from '../../oci/host.ts';
import { isPlainEntry, namesTls, type RegistrySettings, TLS_FILES } from './registry-settings.ts';
import type { RegistryAccess, Settings } from './settings.ts';

export type { Side };

const SWITCHES = ['plainHttp', 'insecure', 'passwordStdin'] as const;
const VALUES = ['caFile', 'certFile', 'keyFile', 'registryConfig', 'username'] as const;

/** Adds `--from-plain-http`, `--to-username` and their like to a command with two sides. */
export function addSideOptions(command: Command): Command {
  for (const [side, whose] of [
    ['from', 'source'],
    ['to', 'destination'],
  ] as const) {
    for (const name of SWITCHES)
      command.option(`--${side}-${kebab(name)}`, `--${kebab(name)}, for the ${whose} alone`);
    command.addOption(new Option(`--no-${side}-plain-http`).hideHelp());
    for (const name of VALUES) {
      command.option(`--${side}-${kebab(name)} <value>`, `--${kebab(name)}, for the ${whose} alone`);
    }
  }
  return command;
}

/**
 * What holds for one registry that the command line names: the side's flags, then the registry's entry in the
 * file, then the settings of all.
 * @throws BullaError usage where a password could be for either side
 */
export function accessFor(
  settings: Settings,
  host: string,
  flags: Readonly<Record<string, unknown>>,
  side: Side | undefined,
): RegistryAccess {
  if (side !== undefined && (settings.username !== undefined || settings.passwordStdin)) {
    throw new BullaError(
      'usage',
      'ambiguous: --username and --password-stdin may be for the source or the destination',
      {
        hint: 'give --from-username and --from-password-stdin, or --to-username and --to-password-stdin',
      },
    );
  }
  if (flags['fromPasswordStdin'] === true && flags['toPasswordStdin'] === true) {
    throw new BullaError('usage', 'standard input holds one password, and two are asked for', {
      hint: 'log in to one of the registries first: bulla login REGISTRY',
    });
  }
  const find = (name: string): unknown =>
    side === undefined ? undefined : flags[side + name[0]?.toUpperCase() + name.slice(1)];
  const text = (name: (typeof VALUES)[number], entry?: string): string | undefined => {
    const given = find(name);
    return typeof given === 'string' ? given : (entry ?? settings[name]);
  };
  const registry = entryFor(settings, host);
  const ofSide = find('plainHttp');
  // A flag that asks for TLS comes before all else; one that asks for none is not for what is set to speak it.
  const isPlain =
    typeof ofSide === 'boolean'
      ? ofSide
      : flags['plainHttp'] === false
        ? false
        : (registry?.plainHttp ?? settings.plainHttp);
  const asksForTls = TLS_FILES.some((name) => (find(name) ?? flags[name]) !== undefined);
  return {
    plainHttp: isPlain ?? (asksForTls || namesTls(registry) ? false : undefined),
    insecure: find('insecure') === true || (registry?.insecure ?? settings.insecure),
    caFile: text('caFile', registry?.caFile),
    certFile: text('certFile', registry?.certFile),
    keyFile: text('keyFile', registry?.keyFile),
    registryConfig: text('registryConfig'),
    username: text('username'),
    passwordStdin: find('passwordStdin') === true || settings.passwordStdin,
  };
}

/**
 * What holds for a server that no command line names: one that a registry sends us to, a proxy. What is said
 * of the registry is not said of it: it has its own entry in the file, or none.
 */
export function elsewhereFor(
  settings: Settings,
  url: URL,
): Pick<RegistryAccess, 'caFile' | 'insecure'> & { readonly isPlain: boolean } {
  const entry = entryOfServer(settings.registries, url);
  return {
    caFile: entry?.caFile ?? settings.caFile,
    insecure: entry?.insecure ?? false,
    isPlain: entry?.plainHttp === true,
  };
}

/** The entry of a registry: that of its host and port, or the one that leaves out or writes its scheme's port. */
function entryFor({ registries, plainHttp }: Settings, registry: string): RegistrySettings | undefined {
  const host = canonicalHost(registry) ?? registry;
  const exact = registries.get(host);
  if (exact !== undefined || registries.size === 0) return exact;
  const { name, port } = splitHost(host);
  const isPlain = (entry: RegistrySettings): boolean =>
    isPlainEntry(entry) ?? plainHttp ?? isLoopbackHost(name);
  const other = port === undefined ? `${name}:${(plainHttp ?? isLoopbackHost(name)) ? 80 : 443}` : name;
  const entry = registries.get(other);
  const wanted = port ?? splitHost(other).port;
  return entry !== undefined && wanted === (isPlain(entry) ? 80 : 443) ? entry : undefined;
}

function entryOfServer(
  registries: Settings['registries'],
  { protocol, host, port }: URL,
): RegistrySettings | undefined {
  const name = canonicalHost(host);
  if (name === undefined || port !== '') return name === undefined ? undefined : registries.get(name);
  const written = registries.get(`${name}:${protocol === 'http:' ? 80 : 443}`);
  if (written !== undefined) return written;
  const entry = registries.get(name);
  // What is said of a server of plain http is not said of the one that speaks TLS on another port.
  return (entry?.plainHttp === true) === (protocol === 'http:') ? entry : undefined;
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
