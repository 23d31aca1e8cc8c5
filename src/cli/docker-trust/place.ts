import type { ChangePlace } from '../../actions/change/place.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import { presentKeys } from '../../trust/change/role-changes.ts';
import { readForDisplay } from '../../trust/read/read-for-display.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { type CollectionFlags, openCollection } from '../flags/collection-flags.ts';
import type { KeyFlags } from '../flags/key-flags.ts';
import { type PublishFlags, publishPortsOf } from '../flags/publish-flags.ts';
import { keysAtHand } from '../flags/trust-keys.ts';
import type { Context } from '../shell/context.ts';
import { DockerPassphrases } from './passphrases.ts';

/** Flags of every command of `docker-trust` that changes a collection. */
export interface DockerTrustFlags extends CollectionFlags, PublishFlags, Omit<KeyFlags, 'key'> {
  readonly signWith?: readonly string[];
}

/** A repository that a command of `docker-trust` changes. */
export interface OpenedTrust {
  readonly place: ChangePlace;
  /** Undefined where the repository has no collection. */
  readonly copy: WorkingCopy | undefined;
}

/**
 * Reads the collection of a repository, which need not be there, and finds keys and passphrases for it.
 * @throws BullaError trust-unpinned; those of openCollection and readForDisplay
 */
export async function openTrust(
  context: Context,
  reference: Reference,
  flags: DockerTrustFlags,
): Promise<OpenedTrust> {
  const opened = await openCollection(context, reference, flags, { write: true });
  const looked = await readForDisplay(opened.target, opened.read);
  if (looked?.unpinned !== undefined) throw looked.unpinned;
  if (looked?.expired !== undefined) context.output.warn(looked.expired.message);
  const copy = looked?.copy;
  const passphrases = new DockerPassphrases();
  const { signWith, ...rest } = flags;
  const keys = keysAtHand(context, {
    ...rest,
    ...(signWith !== undefined && { key: signWith }),
    variables: passphrases.variables,
  });
  for (const key of copy === undefined ? [] : presentKeys(copy, 'root').keys) {
    const name = await keys.nameOf(key);
    if (name !== undefined) passphrases.addRoot(name);
  }
  const publish = await publishPortsOf(context, flags);
  const { repository, name, target, read } = opened;
  const place: ChangePlace = { place: opened.place, repository, name, target, read, keys, publish };
  return { place, copy };
}

/** A repository as docker takes it: a tag or digest is let pass, and says nothing. @throws BullaError usage */
export function repositoryOfText(text: string): Reference {
  const { tag: _, digest: __, ...repository } = parseReference(text);
  return repository as Reference;
}
