import type { Command } from 'commander';
import type { PassphraseOptions } from '../shell/passphrase.ts';
import { collect } from './values.ts';

/** Flags of every command that opens a private key. */
export interface KeyFlags extends PassphraseOptions {
  readonly key?: string;
  readonly anyKeyMode?: boolean;
}

/** Adds `--key` and the flags that go with it. */
export function addKeyOptions(command: Command): Command {
  return addPassphraseOptions(
    command.option(
      '-k, --key <key>',
      'NAME of the key store, PATH of a file, or a URI: env://VARIABLE, ssh-agent:, pkcs11:, openbao://, awskms://, … (docs/keys.md)',
    ),
  );
}

/** Flags of commands that sign metadata of a collection. */
export interface TrustKeyFlags extends Omit<KeyFlags, 'key'> {
  readonly key?: readonly string[] | undefined;
}

/** Adds a repeatable `--key` and the flags that go with it. */
export function addTrustKeyOptions(command: Command): Command {
  return addPassphraseOptions(
    command.option(
      '-k, --key <key>',
      'key to sign with: NAME of the key store, PATH, or a URI (docs/keys.md); repeatable; keys of the key store that the roles list are found automatically',
      collect,
    ),
  );
}

/** Adds the flags for opening a key that is named otherwise. */
export function addPassphraseOptions(command: Command): Command {
  return command
    .option('--passphrase-fd <n>', 'read the passphrase from this file descriptor')
    .option('--any-key-mode', 'also read private keys and passphrase files that others can read');
}
