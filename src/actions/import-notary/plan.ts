import { defaultAlgorithm } from '../../crypto/algorithm.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { isBullaError, messageOf } from '../../errors.ts';
import { allStatements, hiddenNames, releasedStatement } from '../../notary/names.ts';
import type { NotaryRepository, NotaryRole } from '../../notary/repository.ts';
import { RELEASES_ROLE, signerName } from '../../notary/role-name.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { isTag, type Tag, TRUST_TAG_PREFIX } from '../../oci/reference.ts';
import { isBinName } from '../../trust/format/bins.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import { type TufKey, tufKeyOf } from '../../tuf/keys.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';

/** A name as it is to be signed, by its tag. */
export interface PlannedName {
  readonly digest: Digest;
  /** Bytes of the manifest, as Notary signed them. */
  readonly length: number;
  /** Signers of the new collection who have signed the same digest of this name. */
  readonly signers: readonly string[];
}

/** A key of the old repository, and what it is in a collection. */
export interface PlannedKey {
  /** Id of the bare key: what docker calls it, and the file of its private half. */
  readonly notaryId: string;
  readonly key: TufKey;
}

/** Keys of an administrative role, and how many of them must sign. */
export interface PlannedRole {
  readonly keys: readonly PlannedKey[];
  readonly threshold: number;
}

/** A delegation that becomes a signer. */
export interface PlannedSigner {
  readonly name: string;
  readonly keys: readonly PlannedKey[];
  readonly threshold: number;
  /** Patterns of names: `*`, or what began with a prefix. */
  readonly paths: readonly string[];
  /** What the signer itself has signed, released or not. */
  readonly names: ReadonlyMap<Tag, { readonly digest: Digest; readonly length: number }>;
}

/** Something of the old repository that a collection cannot hold, and why. */
export interface NotCarried {
  readonly kind: 'name' | 'signer' | 'key';
  readonly what: string;
  readonly why: string;
}

/** What becomes of a Notary repository (spec/notary.md, "Import"). */
export interface ImportPlan {
  readonly names: ReadonlyMap<Tag, PlannedName>;
  readonly signers: readonly PlannedSigner[];
  /** Keys of `targets/releases`, each of which may sign `names`; none where not each of them alone may release every name. */
  readonly releases: readonly PlannedKey[];
  readonly root: PlannedRole;
  readonly targets: PlannedRole;
  readonly notCarried: readonly NotCarried[];
}

const SIGNER_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** Prefixes that the beginning of a tag can be; others match no tag. */
const PREFIX = /^[A-Za-z0-9_.-]{0,128}$/;

/**
 * Works out what a verified Notary repository becomes: names as docker resolves them, delegations as signers.
 * What is not carried is listed, and nothing is guessed: a name that docker would not take is not signed again.
 */
export function planImport(repository: NotaryRepository): ImportPlan {
  const notCarried: NotCarried[] = [];
  const signers = [...repository.roles.values()].flatMap((role) => signerOf(role, notCarried));
  const names = namesOf(repository, signers, notCarried);
  for (const { name, role } of hiddenNames(repository))
    notCarried.push({ kind: 'name', what: name, why: `${role} may not sign it: it is outside of its paths` });
  return {
    names,
    signers,
    releases: releasesOf(repository, notCarried),
    root: administrative(repository, 'root', notCarried),
    targets: administrative(repository, 'targets', notCarried),
    notCarried: notCarried.map(({ kind, what, why }) => ({ kind, what: shown(what), why })),
  };
}

/** Names of a hostile file can be as long as the file. */
function shown(what: string): string {
  return what.length > MAX_SHOWN ? `${what.slice(0, MAX_SHOWN)}…` : what;
}

const MAX_SHOWN = 255;

/** Keys that each may release any name: where several must sign, or some names only, `names` would let them do more. */
function releasesOf({ roles }: NotaryRepository, notCarried: NotCarried[]): readonly PlannedKey[] {
  const role = roles.get(RELEASES_ROLE);
  if (role === undefined || role.problem !== undefined) return [];
  const skip = (why: string): readonly [] => {
    notCarried.push({ kind: 'signer', what: RELEASES_ROLE, why });
    return [];
  };
  if (role.threshold > 1) return skip(`${role.threshold} of its keys must sign, and names takes each alone`);
  if (!role.paths.includes('')) return skip('it may release some names only, and keys of names sign all');
  return keysIn(role, notCarried);
}

function namesOf(
  repository: NotaryRepository,
  signers: readonly PlannedSigner[],
  notCarried: NotCarried[],
): ReadonlyMap<Tag, PlannedName> {
  const names = new Map<Tag, PlannedName>();
  const stated = new Map<string, Set<string>>();
  for (const { name, role } of allStatements(repository))
    stated.set(name, (stated.get(name) ?? new Set()).add(role));
  for (const [name, roles] of [...stated].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const skip = (why: string): void => void notCarried.push({ kind: 'name', what: name, why });
    if (!isTag(name)) skip('it cannot be a tag of an image');
    else if (name.startsWith(TRUST_TAG_PREFIX)) skip('tags that begin like this are the collection’s own');
    else {
      const found = released(repository, name);
      if (found === undefined) skip(`it is signed by ${[...roles].join(', ')}, and not released`);
      else if (typeof found === 'string') skip(found);
      else {
        const same = signers.filter((signer) => signer.names.get(name)?.digest === found.digest);
        names.set(name, { ...found, signers: same.map((signer) => signer.name) });
      }
    }
  }
  return names;
}

/**
 * Refuses what no publisher leaves behind: a delegation that was withheld, altered or set back. One that its keys do
 * not sign any more, or that has expired, can be left out; `targets/releases` cannot, because it decides what names are.
 * @throws BullaError trust-invalid, trust-rollback, content-invalid; trust-expired of `targets/releases`
 */
export function assertImportable({ roles }: NotaryRepository): void {
  for (const { name, problem, isUnlisted } of roles.values()) {
    if (problem === undefined) continue;
    const isAttack = isUnlisted === true || isBullaError(problem, 'trust-rollback', 'content-invalid');
    if (isAttack || name === RELEASES_ROLE) throw problem;
  }
}

/** What docker takes for a name; why it takes nothing, in words; undefined where it is not released. */
function released(
  repository: NotaryRepository,
  name: string,
): { digest: Digest; length: number } | string | undefined {
  try {
    const found = releasedStatement(repository, name);
    if (found === undefined) return undefined;
    const { digest, length } = found;
    return digest !== undefined && isDigest(digest) ? { digest, length } : 'it is signed without a SHA-256';
  } catch (error) {
    if (isBullaError(error, 'name-not-signed')) return undefined;
    if (isBullaError(error)) return messageOf(error);
    throw error;
  }
}

function signerOf(role: NotaryRole, notCarried: NotCarried[]): readonly PlannedSigner[] {
  if (role.name === 'targets' || role.name === RELEASES_ROLE) {
    if (role.problem !== undefined)
      notCarried.push({ kind: 'signer', what: role.name, why: messageOf(role.problem) });
    return [];
  }
  const name = signerName(role.name);
  const skip = (why: string): readonly [] => {
    notCarried.push({ kind: 'signer', what: name, why });
    return [];
  };
  if (role.problem !== undefined) return skip(messageOf(role.problem));
  if (name.includes('/')) return skip('signers of a collection have none below them');
  if (!SIGNER_NAME.test(name) || name === NAMES_ROLE || isTopLevelRole(name) || isBinName(name))
    return skip('no signer of a collection can have this name');
  const paths = role.paths.filter((prefix) => PREFIX.test(prefix)).map((prefix) => `${prefix}*`);
  if (paths.length === 0) return skip('it may sign no name that is a tag');
  const keys = keysIn(role, notCarried);
  if (keys.length < role.threshold)
    return skip(`${role.threshold} of its keys must sign, and ${keys.length} can be used`);
  const names = new Map<Tag, { digest: Digest; length: number }>();
  for (const [tag, { hashes, length }] of role.content?.targets ?? []) {
    const sha256 = hashes.get('sha256');
    const isItsOwn = role.paths.some((prefix) => tag.startsWith(prefix));
    const isNamable = isTag(tag) && !tag.startsWith(TRUST_TAG_PREFIX);
    if (sha256 !== undefined && isItsOwn && isNamable)
      names.set(tag, { digest: `sha256:${sha256}` as Digest, length });
  }
  return [{ name, keys, threshold: role.threshold, paths, names }];
}

function keysIn(
  { name, keyids, keys }: Pick<NotaryRole, 'name' | 'keyids' | 'keys'>,
  notCarried: NotCarried[],
): readonly PlannedKey[] {
  const usable = new Map<string, PlannedKey>();
  for (const keyid of keyids) {
    const listed = keys.get(keyid);
    const skip = (why: string): void => void notCarried.push({ kind: 'key', what: `${name} ${keyid}`, why });
    if (listed?.key === undefined) skip(listed?.problem ?? 'it is not in the file');
    else {
      const key = tufKey(listed.key.publicKey);
      if (key === undefined) skip(`collections have no keys of type ${listed.key.publicKey.type}`);
      else usable.set(key.keyid, { notaryId: listed.key.keystoreId, key });
    }
  }
  return [...usable.values()];
}

function administrative(
  { root }: NotaryRepository,
  name: 'root' | 'targets',
  notCarried: NotCarried[],
): PlannedRole {
  const { keyids, threshold } = root.content.roles.get(name) ?? { keyids: [], threshold: 1 };
  return { keys: keysIn({ name, keyids, keys: root.content.keys }, notCarried), threshold };
}

/** Undefined where TUF has no name for keys of this kind. */
function tufKey(publicKey: PublicKey): TufKey | undefined {
  try {
    return tufKeyOf(publicKey, defaultAlgorithm(publicKey.type, publicKey.modulusBits).id);
  } catch (error) {
    if (isBullaError(error, 'key-invalid')) return undefined;
    throw error;
  }
}
