import { type Command, InvalidArgumentError } from 'commander';
import { addCollectionOptions, type CollectionFlags } from './collection-flags.ts';
import { collect } from './signature-flags.ts';

/** Flags that say whose word about a name counts; for `verify`, and for `pull`, which verifies first. */
export interface NameFlags extends CollectionFlags {
  readonly signer?: readonly string[];
  readonly anySigner?: true;
  /** False with `--no-drift`. */
  readonly drift?: 'warn' | 'reject' | false;
  /** False with `--no-name`. */
  readonly name?: boolean;
  /** A Notary v1 server, or a directory, that says what the name stands for. */
  readonly notary?: string;
  readonly notaryRootKey?: string;
  readonly delegation?: readonly string[];
}

/** Adds the flags of {@link NameFlags} to a command. */
export function addNameOptions(command: Command): Command {
  return addCollectionOptions(command)
    .option('--signer <role>', 'role that must have signed the name (default: names); repeatable', collect)
    .option('--any-signer', 'take the word of any role of the collection')
    .option('--drift <rule>', 'what to do where the tag is not what was signed: warn or reject', driftRule)
    .option('--no-drift', 'do not ask where the tag points')
    .option('--no-name', 'look at detached signatures alone, as if there were no trust collection');
}

/** Whether the command line itself asks for a signed name. */
export function asksForName({
  at,
  collection,
  signer,
  anySigner,
  drift,
  tofu,
  ...flags
}: NameFlags): boolean {
  const { root, rootKeyId, rootCa, maxStaleness } = flags;
  const given = [at, collection, signer, anySigner, tofu, root, rootKeyId, rootCa, maxStaleness];
  return drift === 'reject' || given.some((flag) => flag !== undefined);
}

function driftRule(text: string): 'warn' | 'reject' {
  if (text === 'warn' || text === 'reject') return text;
  throw new InvalidArgumentError('It must be warn or reject.');
}
