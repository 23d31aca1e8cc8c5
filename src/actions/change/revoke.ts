import type { Reference, Tag } from '../../oci/reference.ts';
import type { Published } from '../../trust/publish/publish-options.ts';
import type { Collection } from '../../trust/read/collection.ts';
import { noCollection, openNaming, publishNaming } from '../sign/names.ts';
import type { ChangePlace } from './place.ts';

/** A tag that was revoked. */
export interface RevokedName {
  readonly tag: Tag;
  /** False where the role did not name it: the revocation is logged anyway. */
  readonly wasNamed: boolean;
  /** Other roles that still name it. */
  readonly others: readonly string[];
}

/** What a revocation published. */
export interface Revoked extends Published {
  readonly place: string;
  readonly role: string;
  readonly names: readonly RevokedName[];
}

/**
 * Takes tags out of a collection, even tags that are not in it, so that no change that was made before brings them back
 * (spec/trust-publishing.md).
 * @param reference of the repository, for messages
 * @param role that names them; `names` if left out
 * @throws BullaError not-found where there is no collection; untrusted-identity where no key here may sign for the
 *   role; staged, conflict; what reading and publishing throw
 */
export async function revoke(
  place: ChangePlace,
  reference: Reference,
  tags: ReadonlySet<Tag>,
  role?: string,
): Promise<Revoked> {
  const naming = await openNaming(place, role);
  if (naming === undefined) throw noCollection(reference);
  const present = new Set<Tag>();
  for (const tag of tags) if (await names(naming.collection, naming.role, tag)) present.add(tag);
  const published = await publishNaming(naming, [{ role: naming.role, unset: tags }]);
  const revoked: RevokedName[] = [];
  for (const tag of tags) {
    const others = await otherRoles(published.collection, naming.role, tag);
    revoked.push({ tag, wasNamed: present.has(tag), others });
  }
  return { ...published, place: place.place, role: naming.role, names: revoked };
}

async function names({ client }: Collection, role: string, tag: Tag): Promise<boolean> {
  for await (const _ of client.findTargets(tag, { through: role })) return true;
  return false;
}

async function otherRoles(collection: Collection, role: string, tag: Tag): Promise<readonly string[]> {
  const { trusted } = collection.client;
  const targets = trusted.knownRole('targets', trusted.targetsDelegator());
  const naming: string[] = [];
  for (const { name } of targets?.content.delegations?.roles ?? [])
    if (name !== role && (await names(collection, name, tag))) naming.push(name);
  return naming;
}
