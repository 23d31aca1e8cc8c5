import { BullaError } from '../errors.ts';
import { RELEASE_PURPOSE } from '../signatures/formats.ts';
import type { TrustedRoot } from '../sigstore/trusted-root.ts';
import type { Condition } from './conditions.ts';
import { mostSigners, type TrustedSigners } from './signers.ts';

/** What detached signatures must be for an image to be accepted: flags today, a rule of a policy file as well. */
export interface Requirements extends TrustedSigners {
  /** How many different signers must have signed (spec/signatures.md, "Counting signers"). */
  readonly threshold: number;
  /** Predicate types, one of which a signature must have. */
  readonly purposes: readonly string[];
  /** Annotations that must be signed, each with exactly this value. */
  readonly annotations: ReadonlyMap<string, string>;
  /** What an attestation must say beside its purpose. */
  readonly conditions?: readonly Condition[] | undefined;
  /** What trusted logs and time-stamp authorities must say about a signature; left out where nothing. */
  readonly proof?: ProofDemand | undefined;
  /** Whether the certificates of a signer must not have been revoked; left out where nothing is asked. */
  readonly revocation?: RevocationDemand | undefined;
  /** Checks of Notation signatures whose failure is only reported (spec/policy.md, `logged`). */
  readonly logged?: ReadonlySet<'expiry' | 'authenticTimestamp'> | undefined;
  /** The time it is. */
  readonly now: Date;
  /** More requirements, each of which must be satisfied as well. */
  readonly also?: readonly Requirements[] | undefined;
}

/** Demands of a policy on the signatures of all signers (spec/policy.md, "Proof"). */
export interface ProofDemand {
  /** It must be in a trusted log. */
  readonly transparency: boolean;
  /** A trusted time-stamp authority must have seen it. */
  readonly timestamp: boolean;
  readonly root: TrustedRoot;
}

/** What the revocation of certificates means (spec/policy.md, "Revocation"). */
export interface RevocationDemand {
  /**
   * `enforce`: a signature does not count without a certificate's status. `soft`: it does, with a warning, unless the
   * certificate was revoked. `log`: it always does, with a warning.
   */
  readonly mode: 'enforce' | 'soft' | 'log';
  /** Hosts that may be asked although their addresses are private. */
  readonly privateHosts: readonly string[];
}

/** Requirements without those beside them, the first one first. */
export function everyRequirement(required: Requirements): readonly Requirements[] {
  return [required, ...(required.also ?? []).flatMap(everyRequirement)];
}

/**
 * Requirements that can be met and mean something; what is left out has its default.
 * @throws BullaError trust-unpinned without a trusted key or CA; usage for a threshold that can't be met
 */
export function requirements(parts: Partial<Requirements> & Pick<Requirements, 'now'>): Requirements {
  const { keys = [], roots = [], identities = [], keyless, threshold = 1, annotations = new Map() } = parts;
  const purposes =
    parts.purposes === undefined || parts.purposes.length === 0 ? [RELEASE_PURPOSE] : parts.purposes;
  if (keys.length === 0 && roots.length === 0 && (keyless?.identities.length ?? 0) === 0) {
    throw new BullaError('trust-unpinned', 'no trusted key or CA given', {
      hint: 'give --key with a public key, or --ca with the certificate of an authority; for signed names: bulla pin, and for a copy of them --collection',
    });
  }
  if (identities.length > 0 && roots.length === 0) {
    throw new BullaError('usage', 'an identity needs an authority that certifies it', {
      hint: 'give --ca along with --certificate-identity',
    });
  }
  checkThreshold({ keys, roots, identities, keyless }, threshold);
  const { conditions, proof, revocation, logged, now, timestampAuthorities = [] } = parts;
  if (revocation !== undefined && roots.length === 0)
    throw new BullaError(
      'usage',
      'revocation is about the certificates of authorities, and none is trusted',
      {
        hint: 'give authorities, or leave revocation out',
      },
    );
  if (timestampAuthorities.length > 0 && roots.length === 0)
    throw new BullaError('usage', 'a time-stamp authority is for signatures with certificates', {
      hint: 'give the authority of the signers as well',
    });
  return {
    keys,
    roots,
    identities,
    timestampAuthorities,
    keyless,
    threshold,
    purposes,
    annotations,
    conditions,
    proof,
    revocation,
    logged,
    now,
  };
}

/** A threshold that some signers can meet. */
function checkThreshold(trust: TrustedSigners, threshold: number): void {
  if (!Number.isSafeInteger(threshold) || threshold < 1) {
    throw new BullaError('usage', `a threshold of ${threshold} is not a number of signatures`, {
      hint: 'the threshold is 1 or more',
    });
  }
  const most = mostSigners(trust);
  if (threshold <= most) return;
  throw new BullaError('usage', `a threshold of ${threshold} cannot be met by ${most} different signers`, {
    hint:
      trust.roots.length === 0
        ? 'give more keys with --key, or a lower --threshold; the same key in two files counts once'
        : 'give one --certificate-identity for each signer: an authority without identities is one signer, and so are identities of which one includes the other',
  });
}
