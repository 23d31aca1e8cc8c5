import type { Certificate } from '../crypto/certificate.ts';
import { matchesIdentity, mayMatchIdentity, type TrustedIdentity } from '../crypto/identity.ts';
import { foldValue, sameName } from '../crypto/name.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { isBullaError } from '../errors.ts';
import type { Evidence } from '../signatures/evidence.ts';
import {
  type FulcioIdentity,
  fulcioIdentityOf,
  type IdentityRule,
  matchesRule,
} from '../sigstore/fulcio-identity.ts';
import type { TrustedRoot } from '../sigstore/trusted-root.ts';

/** Whose signatures are trusted. */
export interface TrustedSigners {
  /** Public keys that are trusted. A signature by any of them counts. */
  readonly keys: readonly PublicKey[];
  /** Certificates that are trusted: of authorities, or of signers themselves. */
  readonly roots: readonly Certificate[];
  /** Which of the signers that {@link roots} certify are trusted; an empty list trusts them all. */
  readonly identities: readonly TrustedIdentity[];
  /** Certificates of time-stamp authorities, by whose word a Notation signature outlives its certificates. */
  readonly timestampAuthorities?: readonly Certificate[] | undefined;
  /** Whose keyless signatures are trusted; left out where none are. */
  readonly keyless?: KeylessTrust | undefined;
}

/** Identities that a Sigstore instance certifies. */
export interface KeylessTrust {
  readonly root: TrustedRoot;
  readonly identities: readonly IdentityRule[];
}

/**
 * What a signature is accepted for, in words of the requirements: null for a trusted key, the identity
 * that its certificate matches, `*` where a trusted authority alone is enough; of a keyless signature, whom the
 * certificate was issued to.
 */
export function identityOf({ key, certificates, bundle }: Evidence, trust: TrustedSigners): string | null {
  const [leaf] = certificates;
  if (leaf === undefined || isTrustedKey(key.fingerprint, trust)) return null;
  if (bundle !== undefined) return fulcioIdentityOf(leaf).subject;
  return trust.identities.find((identity) => matchesIdentity(identity, leaf))?.text ?? '*';
}

/**
 * How many different signers have signed (spec/signatures.md, "Counting signers"). Evidence that shares
 * any of what it counts as is of one signer, and so is what is connected by a third.
 */
export function countSigners(evidence: readonly Evidence[], trust: TrustedSigners): number {
  return groups(evidence.map((each) => countedAs(each, trust))).length;
}

/** Most signers that requirements can count: more can never be demanded. */
export function mostSigners(trust: TrustedSigners): number {
  const keys = new Set(trust.keys.map((key) => key.fingerprint)).size;
  const keyless = new Set(trust.keyless?.identities.map(ruleText)).size;
  if (trust.roots.length === 0) return keys + keyless;
  const { identities, roots } = trust;
  const certified =
    identities.length > 0
      ? groups(
          identities.map((identity) =>
            identities.flatMap((other, at) => (includes(identity, other) ? [at] : [])),
          ),
        )
      : groups(roots.map((root) => roots.flatMap((other, at) => (isSameAuthority(root, other) ? [at] : []))));
  return keys + keyless + certified.length;
}

/** Everything that a signature counts as. */
function countedAs({ key, certificates, bundle }: Evidence, trust: TrustedSigners): readonly string[] {
  const own = `key ${key.fingerprint}`;
  const [leaf] = certificates;
  if (leaf === undefined || isTrustedKey(key.fingerprint, trust)) return [own];
  if (bundle !== undefined) {
    // The key of a keyless signature is used once, so it is the identity, and the rule it matches, that counts.
    const identity = fulcioIdentityOf(leaf);
    const rules = (trust.keyless?.identities ?? [])
      .filter((rule) => matchesRule(identity, rule))
      .map(ruleText);
    return [`keyless ${ruleText(identity)}`, ...rules.map((rule) => `rule ${rule}`)];
  }
  // Whatever else it may match counts as well: an attribute more must not make another signer of it.
  const identities = trust.identities.flatMap((identity, at) =>
    mayMatchIdentity(identity, leaf) ? [`identity ${at}`] : [],
  );
  if (trust.identities.length > 0) return [own, ...identities];
  const authorities = trust.roots.flatMap((root, at) =>
    certificates.some((certificate) => isSameAuthority(root, certificate)) ? [`authority ${at}`] : [],
  );
  return [own, ...authorities];
}

/** One authority has one key or one name, in however many certificates. */
function isSameAuthority(one: Certificate, other: Certificate): boolean {
  return one.publicKey.fingerprint === other.publicKey.fingerprint || sameName(one.subject, other.subject);
}

/** Whether every certificate that matches `narrow` also matches `wide`. */
function includes(narrow: TrustedIdentity, wide: TrustedIdentity): boolean {
  if (wide.kind === 'any') return true;
  if (narrow.kind === 'any') return false;
  return [...wide.attributes].every(([oid, value]) => {
    const found = narrow.attributes.get(oid);
    return found !== undefined && foldValue(found) === foldValue(value);
  });
}

/** Whom the certificate of a keyless signature was issued to; undefined for others, and where it does not say. */
export function keylessIdentity({
  certificates,
  bundle,
}: Pick<Evidence, 'certificates' | 'bundle'>): FulcioIdentity | undefined {
  const [leaf] = certificates;
  if (leaf === undefined || bundle === undefined) return undefined;
  try {
    return fulcioIdentityOf(leaf);
  } catch (error) {
    if (isBullaError(error, 'certificate-invalid')) return undefined;
    throw error;
  }
}

/** Subject and issuer, so that equal ones have equal texts. */
function ruleText({ subject, issuer }: IdentityRule): string {
  return JSON.stringify([String(subject), String(issuer)]);
}

function isTrustedKey(fingerprint: string, { keys }: TrustedSigners): boolean {
  return keys.some((key) => key.fingerprint === fingerprint);
}

/** Sets of names, merged until no two share one. */
function groups<N>(members: readonly (readonly N[])[]): readonly ReadonlySet<N>[] {
  let merged: ReadonlySet<N>[] = [];
  for (const names of members) {
    const same = merged.filter((group) => names.some((name) => group.has(name)));
    const union = new Set([...names, ...same.flatMap((group) => [...group])]);
    merged = [...merged.filter((group) => !same.includes(group)), union];
  }
  return merged;
}
