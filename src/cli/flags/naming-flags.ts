import type { Command } from 'commander';
import { addCollectionOptions, type CollectionFlags } from './collection-flags.ts';
import type { KeyFlags } from './key-flags.ts';
import { addPublishOptions, type PublishFlags } from './publish-flags.ts';

/** Flags of every command that changes names of a collection. */
export interface NamingFlags extends CollectionFlags, PublishFlags, Omit<KeyFlags, 'key'> {
  readonly key?: string | readonly string[];
  readonly signer?: string;
}

/** Adds the flags of {@link NamingFlags}, but for those of keys. */
export function addNamingOptions(command: Command): Command {
  return addPublishOptions(
    addCollectionOptions(command).option(
      '--signer <role>',
      'sign the name for this role of the collection (default: names)',
    ),
  );
}
