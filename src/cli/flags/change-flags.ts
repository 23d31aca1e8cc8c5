import type { Command } from 'commander';
import type { ChangePlace } from '../../actions/change/place.ts';
import type { KeysAtHand } from '../../actions/sign/keys-at-hand.ts';
import { BullaError } from '../../errors.ts';
import { formatRepository, parseReference, type Reference } from '../../oci/reference.ts';
import type { Context } from '../shell/context.ts';
import {
  addCollectionOptions,
  type CollectionFlags,
  type OpenCollectionOptions,
  type OpenedCollection,
  openCollection,
} from './collection-flags.ts';
import { addPassphraseOptions, type KeyFlags } from './key-flags.ts';
import { addPublishOptions, type PublishFlags, publishPortsOf } from './publish-flags.ts';
import { keysAtHand } from './trust-keys.ts';
import { collect } from './values.ts';

/** Flags of every command that changes roles or keys. */
export interface ChangeFlags extends CollectionFlags, PublishFlags, Omit<KeyFlags, 'key'> {
  readonly signWith?: readonly string[];
  readonly exportUnsigned?: string;
  readonly importSigned?: readonly string[];
  readonly stage?: true;
  readonly yes?: true;
}

/** Adds the flags of {@link ChangeFlags}. */
export function addChangeOptions(command: Command): Command {
  const changing = addPassphraseOptions(addCollectionOptions(command))
    .option(
      '--sign-with <key>',
      'key to sign the change with: NAME of the key store, PATH, or env://VARIABLE; repeatable; keys of the key store are found automatically',
      collect,
    )
    .option(
      '--export-unsigned <file>',
      'publish nothing: write what has to be signed, for bulla approve FILE on another machine',
    )
    .option(
      '--import-signed <file...>',
      'publish a change that was signed elsewhere; signatures of several copies are combined',
    )
    .option(
      '--stage',
      'stage the change with the signatures available here, for bulla approve on another machine',
    )
    .option(
      '-y, --yes',
      'include staged and announced changes of others after showing them, without asking; without a terminal and without --yes they are left waiting',
    );
  return addPublishOptions(changing);
}

/**
 * A collection that a command changes, with the keys that its flags name.
 * @throws BullaError usage; those of openCollection
 */
export async function openChangePlace(
  context: Context,
  reference: Reference,
  flags: CollectionFlags & PublishFlags,
  keys: Parameters<typeof keysAtHand>[1],
  options: OpenCollectionOptions = { write: true },
): Promise<ChangePlace<KeysAtHand> & Pick<OpenedCollection, 'pin'>> {
  const publish = await publishPortsOf(context, flags);
  const opened = await openCollection(context, reference, flags, options);
  return { ...opened, publish, keys: keysAtHand(context, keys) };
}

/** A repository without a tag or digest. @throws BullaError usage */
export function repositoryIn(text: string): Reference {
  const reference = parseReference(text);
  if (reference.tag === undefined && reference.digest === undefined) return reference;
  throw new BullaError('usage', `${text} names an image, and a repository was expected`, {
    hint: `leave tag and digest out: ${formatRepository(reference)}`,
  });
}
