import type { MissingProof, Signed, SignedNames } from '../../actions/sign/sign.ts';
import type { SignedImage } from '../../actions/sign/signature.ts';
import { formatRepository, type Reference } from '../../oci/reference.ts';
import { KIND_NAMES } from '../../policy/summary.ts';
import type { Collection } from '../../trust/read/collection.ts';
import { formatVersion } from '../../tuf/edit/policy.ts';

/** Which image was signed, and by which signature. */
export function describeSigned(
  { image, platform, kind, signature, identity, already }: SignedImage,
  keyId: string,
): string {
  const what = platform === undefined ? image.digest : `${image.digest} (${platform})`;
  const who =
    identity === undefined ? `with key ${keyId.slice(0, 12)}` : `as ${identity.subject} (${identity.issuer})`;
  return `${already ? 'already signed' : 'signed'} ${what} ${who}: ${KIND_NAMES[kind]} ${signature}`;
}

/** Which names a collection has now. */
export function describeNamed({ names, collection, already }: SignedNames): readonly string[] {
  const version = versionText(collection);
  return [...names].map(([tag, { sha256 }]) => {
    const when = already.has(tag) ? 'already signed' : `signed in version ${version}`;
    return `${collection.name}:${tag} → sha256:${sha256} (${when})`;
  });
}

/** Which proofs could not be attached. */
export function describeMissing({ image, reason }: MissingProof): string {
  return `no proof was attached to ${image}: ${reason}`;
}

/** That tags are not protected where there is no collection. */
export function describeUnsigned(reference: Reference, images: Signed['images']): string {
  const tags = images.flatMap(({ tag }) => tag ?? []);
  const which = tags.length === 1 ? `the tag ${tags[0]} is` : `the tags ${tags.slice(0, 5).join(', ')} are`;
  return `${which} not signed: without a trust collection, anyone who can push can move or roll back a tag (bulla init ${formatRepository(reference)})`;
}

/** Signatures for `-o json`. */
export function signaturesJson(signatures: readonly SignedImage[]): readonly Record<string, unknown>[] {
  return signatures.map(({ image, platform, kind, signature, identity, already }) => ({
    ...{ signature, kind, image: image.digest, platform: platform ?? null, already },
    ...(identity !== undefined && { identity: identity.subject, issuer: identity.issuer }),
  }));
}

/** What was published of names, for `-o json`. */
export function publishedJson({
  place,
  role,
  head,
  collection,
  changes,
}: Omit<SignedNames, 'names' | 'already'>): Readonly<Record<string, unknown>> {
  return { place, name: collection.name, role, head, version: versionText(collection), changes };
}

/** The names that were signed, for `-o json`. */
export function namedJson(named: Signed['named']): Readonly<Record<string, unknown>> | null {
  if (named === undefined) return null;
  const names = [...named.names].map(([tag, { sha256 }]) => {
    return { tag, digest: `sha256:${sha256}`, already: named.already.has(tag) };
  });
  return { ...publishedJson(named), names, proofs: named.proofs };
}

/** What `bulla sign` has signed: lines for standard output, and `-o json`. */
export function signedResult(
  reference: Reference,
  { images, signatures, signer, named }: Signed,
  expiry: Date | undefined,
): { readonly lines: readonly string[]; readonly json: Readonly<Record<string, unknown>> } {
  const repository = formatRepository(reference);
  const listed = images.map(({ tag, content: { descriptor } }) => ({
    reference: `${repository}@${descriptor.digest}`,
    digest: descriptor.digest,
    tag: tag ?? null,
  }));
  return {
    lines: [...new Set(listed.map((one) => one.reference))],
    json: {
      ...(listed.length === 1 && listed[0]),
      images: listed,
      key: signer?.keyId ?? null,
      expires: expiry?.toISOString() ?? null,
      signatures: signaturesJson(signatures),
      collection: namedJson(named),
    },
  };
}

/** Version of the head's timestamp, for people. */
export function versionText({ client }: Pick<Collection, 'client'>): string {
  return formatVersion(client.trusted.timestamp.content.version);
}
