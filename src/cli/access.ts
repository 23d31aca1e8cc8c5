import type { Command } from 'commander';
import { BullaError } from '../errors.ts';
import type { RegistrySettings } from './config-file.ts';
import type { Settings } from './settings.ts';

/** Side of a command that has two registries: its flags may be given for one of them alone. */
export type Side = 'from' | 'to';

/** How one registry is reached and who we are to it. */
export interface Access {
  /** Undefined: plain HTTP only for this machine. */
  readonly plainHttp: boolean | undefined;
  readonly insecure: boolean;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly registryConfig: string | undefined;
  readonly username: string | undefined;
  readonly passwordStdin: boolean;
}

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
    for (const name of VALUES) {
      command.option(`--${side}-${kebab(name)} <value>`, `--${kebab(name)}, for the ${whose} alone`);
    }
  }
  return command;
}

/**
 * What holds for one registry: the side's flags, then the registry's entry in the file, then the settings of all.
 * @throws BullaError usage where a password could be for either side
 */
export function accessFor(
  settings: Settings,
  registry: RegistrySettings | undefined,
  flags: Readonly<Record<string, unknown>>,
  side: Side | undefined,
): Access {
  if (side !== undefined && (settings.username !== undefined || settings.passwordStdin)) {
    throw new BullaError(
      'usage',
      'it is not said whether --username and --password-stdin are for the source or the destination',
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
  const plainHttp = find('plainHttp') === true || (registry?.plainHttp ?? settings.plainHttp);
  return {
    plainHttp: plainHttp ? true : undefined,
    insecure: find('insecure') === true || (registry?.insecure ?? settings.insecure),
    caFile: text('caFile', registry?.caFile),
    certFile: text('certFile', registry?.certFile),
    keyFile: text('keyFile', registry?.keyFile),
    registryConfig: text('registryConfig'),
    username: text('username'),
    passwordStdin: find('passwordStdin') === true || settings.passwordStdin,
  };
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
