import { BullaError, type ErrorCode, isBullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { placeOf } from '../../oci/place.ts';
import { parseReference, type RegistryReference } from '../../oci/reference.ts';
import type { AcceptedEvidence } from '../../policy/decision.ts';
import { type Policy, type PolicyMode, ruleFor } from '../../policy/file/policy.ts';
import { denied, isRefusal, noRule, type PolicyPorts, verifyByRule } from '../verify/by-policy.ts';
import { withTag } from '../verify/image-places.ts';
import type { Verified } from '../verify/verify.ts';

/** What the gate says about one image. */
export interface Verdict {
  /**
   * `allowed`: a rule lets it pass without verification; `refused`: the policy is against it; `unknown`: nothing can be
   * known now, as with a registry that does not answer.
   */
  readonly outcome: 'allowed' | 'verified' | 'refused' | 'unknown';
  /** The rule that decided; undefined where there is none. */
  readonly scope?: string;
  readonly mode: PolicyMode;
  /** What may be run, of a verified image. */
  readonly digest?: Digest;
  /** Roles that signed the name, and who made the signatures. */
  readonly signers: readonly string[];
  /** The registry's tag leads elsewhere than to what was signed. */
  readonly isDrifted?: true;
  readonly error?: { readonly code: ErrorCode; readonly message: string; readonly hint?: string };
  /** Until when it may be remembered, in milliseconds since the epoch: something that it rests on expires then. */
  readonly until?: number;
}

/** An image as an object names it, read. */
export interface GateImage {
  /** With the tag that Kubernetes would take. */
  readonly text: string;
  readonly reference: RegistryReference;
}

/** @throws BullaError usage for what is not an image in a registry */
export function parseImage(written: string): GateImage {
  // Here these are prefixes of other places; to Kubernetes they are names of images at Docker Hub.
  if (/^(?:oci|oci-archive|docker-archive):|^docker:\/\//.test(written)) throw notAnImage(written);
  const text = withTag(written);
  const reference = parseReference(text);
  if (reference.kind !== 'registry') throw notAnImage(written);
  return { text, reference };
}

function notAnImage(written: string): BullaError {
  return new BullaError('usage', `${JSON.stringify(written.slice(0, 160))} is not an image in a registry`, {
    hint: 'write HOST/REPOSITORY:TAG',
  });
}

/** Whether the question can be answered without asking anything: the answer then. */
export function withoutAsking({ text, reference }: GateImage, policy: Policy): Verdict | undefined {
  const place = placeOf(reference);
  const rule = ruleFor(policy, place);
  if (rule === undefined) return refusedBy(noRule(text, place), { mode: 'enforce' });
  const { scope, mode, verdict } = rule;
  if (verdict.kind === 'allow') return { outcome: 'allowed', scope, mode, signers: [] };
  return verdict.kind === 'deny' ? refusedBy(denied(text, scope, verdict.reason), rule) : undefined;
}

/**
 * What a policy says about an image. It never fails: what cannot be decided is `unknown`.
 */
export async function verdictOf(image: GateImage, policy: Policy, ports: PolicyPorts): Promise<Verdict> {
  const known = withoutAsking(image, policy);
  if (known !== undefined) return known;
  const place = placeOf(image.reference);
  const rule = ruleFor(policy, place);
  if (rule?.verdict.kind !== 'verify') throw new TypeError('it was answered without asking');
  const { scope, mode, verdict } = rule;
  const { tag: _, ...untagged } = image.reference;
  // The tag is not signed where no name is demanded, and nodes ignore a tag beside a digest.
  const isNamed = verdict.name !== undefined || verdict.notary !== undefined;
  const isTagless = !isNamed && image.reference.digest !== undefined;
  try {
    const reference = isTagless ? untagged : image.reference;
    const verified = await verifyByRule({ text: image.text, reference }, place, verdict, ports);
    const until = validUntil(verified, ports.now, verdict.name?.maxStaleness ?? 0);
    return {
      ...{ outcome: 'verified', scope, mode, digest: verified.image.digest, signers: signersOf(verified) },
      ...(until !== undefined && { until }),
      ...(verified.name?.drift?.kind === 'moved' && { isDrifted: true }),
    };
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return refusedBy(error, rule);
  }
}

/** The verdict where an image could not be decided about; whether that blocks, its rule says. */
export function undecided({ reference }: GateImage, policy: Policy, error: BullaError): Verdict {
  return refusedBy(error, ruleFor(policy, placeOf(reference)) ?? { mode: 'enforce' });
}

/** The verdict of a failure. */
export function refusedBy(
  error: BullaError,
  { scope, mode }: { readonly scope?: string; readonly mode: PolicyMode },
): Verdict {
  const { code, message, hint } = error;
  return {
    outcome: isRefusal(error) || code === 'usage' || code === 'content-invalid' ? 'refused' : 'unknown',
    ...(scope !== undefined && { scope }),
    mode,
    signers: [],
    error: {
      code,
      message: message.slice(0, MAX_MESSAGE),
      ...(hint !== undefined && { hint: hint.slice(0, MAX_MESSAGE) }),
    },
  };
}

const MAX_MESSAGE = 1_000;
const MAX_SIGNERS = 16;

function signersOf({ name, evidence }: Verified): readonly string[] {
  const roles =
    name === undefined
      ? []
      : name.by === 'notary'
        ? ['notary']
        : name.named.signers.map((role) => `role ${role}`);
  return [...new Set([...roles, ...evidence.map(whoSigned)])]
    .slice(0, MAX_SIGNERS)
    .map((who) => who.slice(0, 200));
}

/** The identity that the policy trusts, else the key. */
function whoSigned({ identity, key }: AcceptedEvidence): string {
  return identity === null || identity === '*' ? `key ${key.fingerprint.slice(0, 12)}` : identity;
}

/** When the first thing that a verified image rests on expires. What had expired before did not count, or need not. */
function validUntil({ name, evidence }: Verified, now: Date, staleness: number): number | undefined {
  const times = evidence.flatMap(({ expiry, certificates, revocation = [] }) => [
    ...(expiry === undefined ? [] : [expiry.getTime()]),
    ...certificates.map(({ notAfter }) => notAfter.getTime()),
    ...revocation.flatMap(({ until }) => (until === undefined ? [] : [until.getTime()])),
  ]);
  if (name?.by === 'notary') times.push(name.repository.expires.getTime());
  else if (name !== undefined) {
    const expires = name.collection.client.trusted.expires.getTime();
    times.push(expires > now.getTime() ? expires : expires + staleness);
  }
  const coming = times.filter((time) => time > now.getTime());
  return coming.length === 0 ? undefined : Math.min(...coming);
}
