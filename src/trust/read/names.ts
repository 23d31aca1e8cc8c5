import { BullaError } from '../../errors.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { TargetFile, Targets } from '../../tuf/targets.ts';
import { isReservedTag, NAMES_ROLE } from '../format/vocabulary.ts';
import type { Collection } from './collection.ts';

/** What a role has signed about a name. */
export interface NamedDigest {
  /** OCI digest of the manifest. */
  readonly digest: Digest;
  /** Its size in bytes. */
  readonly length: number;
  /** Only where the manifest does not say its media type itself. */
  readonly mediaType?: string | undefined;
}

/** The signed digest of a name, and its signers. */
export interface SignedName extends NamedDigest {
  readonly tag: Tag;
  /** Roles that were asked and agree: `names`, signers. A bin is part of the role that it belongs to. */
  readonly signers: readonly string[];
}

/** The roles to ask about a name (spec/trust-names.md, "Looking up a name"). */
export interface NameQuestion {
  /** Each of these roles must name it, with one digest; `names` alone where it is left out. */
  readonly signers?: readonly string[] | undefined;
  /** Any role may name it; all that do must name the same digest. */
  readonly anySigner?: boolean | undefined;
  /** How many of {@link signers} must name it, all that do with one digest; all of them where it is left out. */
  readonly threshold?: number | undefined;
}

/**
 * Looks a name up in a verified collection.
 * @throws BullaError name-not-signed where a role that must name it does not; digest-mismatch where roles
 *   name different digests; usage for a tag of the collection itself; trust-invalid, trust-expired,
 *   content-invalid where a role that is asked can't be verified; what the source throws
 */
export async function findName(
  collection: Collection,
  tag: Tag,
  question: NameQuestion = {},
): Promise<SignedName> {
  if (isReservedTag(tag)) throw reserved(tag);
  const { signers = [], anySigner = false, threshold } = question;
  const asked = anySigner ? signersOf(collection) : signers.length > 0 ? [...new Set(signers)] : [NAMES_ROLE];
  const statements = new Map<string, NamedDigest>();
  for (const role of asked) {
    const named = await askRole(collection, role, tag);
    if (named !== undefined) statements.set(role, named);
  }
  const missing = asked.filter((role) => !statements.has(role));
  const [first, ...others] = statements.values();
  const needed = anySigner ? 1 : Math.max(1, threshold ?? asked.length);
  if (first === undefined || statements.size < needed)
    throw notSigned(collection, tag, anySigner ? [] : missing);
  if (others.some((other) => !isSame(first, other))) throw disagreement(collection, tag, statements);
  return { tag, ...first, signers: [...statements.keys()] };
}

/** `names` and the signers, in the order in which the collection lists them. */
export function signersOf({ client }: Collection): readonly string[] {
  const { trusted } = client;
  const targets = trusted.knownRole('targets', trusted.targetsDelegator());
  return (targets?.content.delegations?.roles ?? []).map(({ name }) => name);
}

/**
 * Names that a verified file of a role holds, its bins not included; in order. They need not be tags.
 * @throws BullaError trust-invalid for an entry that names no manifest
 */
export function namesIn(content: Targets, role: string): ReadonlyMap<string, NamedDigest> {
  const names = [...content.targets].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return new Map(names.map(([tag, target]) => [tag, namedDigest(target, role, tag)]));
}

async function askRole(collection: Collection, role: string, tag: Tag): Promise<NamedDigest | undefined> {
  for await (const found of collection.client.findTargets(tag, { through: role }))
    return namedDigest(found.target, found.role, tag);
  return undefined;
}

function namedDigest({ length, hashes, custom }: TargetFile, role: string, tag: string): NamedDigest {
  const digest = `sha256:${hashes.get('sha256')}`;
  const mediaType = custom?.['mediaType'];
  const isOdd = mediaType !== undefined && (typeof mediaType !== 'string' || mediaType.length > 255);
  if (!isDigest(digest) || isOdd) throw noManifest(role, tag);
  return { digest, length, ...(typeof mediaType === 'string' && { mediaType }) };
}

function isSame(a: NamedDigest, b: NamedDigest): boolean {
  return a.digest === b.digest && a.length === b.length;
}

function reserved(tag: Tag): BullaError {
  return new BullaError('usage', `${tag} is a tag of the trust collection, not the name of an image`, {
    hint: 'tags that begin with _trust are kept for it; bulla inspect and bulla tree show the collection',
  });
}

function notSigned(collection: Collection, tag: Tag, missing: readonly string[]): BullaError {
  const { place } = collection;
  const known = signersOf(collection);
  const unknown = missing.find((role) => !known.includes(role));
  const what = missing.length === 0 ? 'not signed' : `not signed by ${missing.map(quoted).join(', ')}`;
  return new BullaError('name-not-signed', `${place}:${tag} is ${what}`, {
    hint:
      unknown === undefined
        ? 'check the name; if it is right, it was never signed, or it was revoked: bulla log shows which'
        : `the collection has no signer ${quoted(unknown)}; it has ${known.map(quoted).join(', ')}`,
    details: { place, tag, missing, signers: known },
  });
}

function disagreement(
  { place }: Collection,
  tag: Tag,
  statements: ReadonlyMap<string, NamedDigest>,
): BullaError {
  const said = [...statements].map(([role, { digest }]) => `${quoted(role)} says ${digest}`);
  return new BullaError(
    'digest-mismatch',
    `the signers of ${place}:${tag} do not agree: ${said.join(', ')}`,
    {
      hint: 'have them sign the same image, or ask only one of them: --signer ROLE',
      details: {
        place,
        tag,
        signers: [...statements].map(([role, { digest, length }]) => ({ role, digest, length })),
      },
    },
  );
}

function noManifest(role: string, tag: string): BullaError {
  return new BullaError(
    'trust-invalid',
    `what ${quoted(role)} says of ${quoted(tag)} is about no manifest of a registry`,
    {
      hint: 'it needs a SHA-256; it was made by another tool: publish the name again with bulla',
      details: { role, reason: 'target', tag: tag.slice(0, 200) },
    },
  );
}

/** Names of roles come from the collection, whose publishers choose them. */
function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
