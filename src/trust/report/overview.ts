import { parseTime } from '../../encoding/time.ts';
import type { Digest } from '../../oci/digest.ts';
import type { RoleKeys } from '../../tuf/delegation-keys.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import { binCount } from '../../tuf/hash-bins.ts';
import type { TufKey } from '../../tuf/keys.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import type { TopLevelRole } from '../../tuf/role-name.ts';
import { topLevelKeys } from '../../tuf/root.ts';
import type { Signed } from '../../tuf/signed.ts';
import { countSignatures } from '../../tuf/threshold.ts';
import { BINDING, bindingOf, type CollectionId } from '../format/binding.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import { type NamedDigest, namesIn } from '../read/names.ts';
import type { WorkingCopy } from '../read/working-copy.ts';

/** A role of a collection: who may sign for it, who did, until when it counts. */
export interface RoleOverview {
  readonly role: string;
  readonly kind: TopLevelRole | 'names' | 'signer';
  readonly version: number;
  readonly expires: Date;
  readonly keys: readonly TufKey[];
  readonly threshold: number;
  /** Ids of those of {@link keys} that have signed the present file. */
  readonly signedBy: readonly string[];
  /** Patterns of names that a signer may name. */
  readonly paths?: readonly string[] | undefined;
  /** Of `names` and signers: how many names they hold, bins included. */
  readonly count?: number | undefined;
  /** Names in the role's own file, in order; not those in bins. */
  readonly names?: ReadonlyMap<string, NamedDigest> | undefined;
  /** How many bins the role has. */
  readonly bins?: number | undefined;
  readonly file: MetadataFile;
}

/** What a collection consists of. */
export interface CollectionOverview {
  readonly place: string;
  readonly id: CollectionId;
  /** `HOST/REPOSITORY` for which it was made. */
  readonly name: string;
  /** Digest of the head. */
  readonly head: Digest;
  /** When the timestamp says that it was made. */
  readonly created?: Date | undefined;
  /** root, targets, `names`, the signers in their order, snapshot, timestamp. */
  readonly roles: readonly RoleOverview[];
}

/** Collects the facts of a verified collection. @throws BullaError trust-invalid */
export function overviewOf(copy: WorkingCopy): CollectionOverview {
  const { place, id, name, object, client } = copy.collection;
  const { root, timestamp, snapshot } = client.trusted;
  const top = (role: TopLevelRole, trusted: { readonly file: MetadataFile; readonly content: Signed }) =>
    roleOverview(role, role, trusted, root.content.keys, topLevelKeys(root.content, role));
  const targets = { file: fileOf(copy, 'targets'), content: copy.contentOf('targets') };
  const created = bindingOf(timestamp.file)['created'];
  return {
    place,
    id,
    name,
    head: object.content.descriptor.digest,
    ...(typeof created === 'string' && { created: parseTime(created) }),
    roles: [
      top('root', root),
      top('targets', targets),
      ...copy.delegations.roles.map(({ name: role }) => delegatedOverview(copy, role)),
      top('snapshot', snapshot),
      top('timestamp', timestamp),
    ],
  };
}

function delegatedOverview(copy: WorkingCopy, role: string): RoleOverview {
  const delegations = copy.delegations;
  const delegated = delegationOf(delegations, role);
  const trusted = { file: fileOf(copy, role), content: copy.contentOf(role) };
  const names = namesIn(trusted.content, role);
  const { succinct } = trusted.content.delegations ?? {};
  const kind = role === NAMES_ROLE ? 'names' : 'signer';
  const keys = delegated ?? { keyids: [], threshold: 1 };
  return {
    ...roleOverview(role, kind, trusted, delegations.keys, keys),
    paths: delegated?.paths,
    names,
    count: names.size,
    ...(succinct !== undefined && { bins: binCount(succinct), count: countOf(trusted.file, names.size) }),
  };
}

function roleOverview(
  role: string,
  kind: RoleOverview['kind'],
  { file, content }: { readonly file: MetadataFile; readonly content: Signed },
  keys: ReadonlyMap<string, TufKey>,
  listed: RoleKeys,
): RoleOverview {
  return {
    role,
    kind,
    version: content.version,
    expires: content.expires,
    keys: listed.keyids.flatMap((keyid) => keys.get(keyid) ?? []),
    threshold: listed.threshold,
    signedBy: countSignatures(file, keys, listed).valid,
    file,
  };
}

/** What a role with bins says itself of how many names they hold. */
function countOf(file: MetadataFile, own: number): number {
  const count = (file.signed[BINDING] as { readonly names?: unknown } | undefined)?.names;
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= own ? count : own;
}

function fileOf(copy: WorkingCopy, role: string): MetadataFile {
  return copy.files.roles.get(role) as MetadataFile;
}
