import { type Certificate, subjectOf } from '../crypto/certificate.ts';
import { matchesIdentity } from '../crypto/identity.ts';
import type { JsonObject } from '../encoding/json.ts';
import { formatTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';
import { checkTrustedChain } from '../signatures/chain.ts';
import type { Evidence, Refusal } from '../signatures/evidence.ts';
import type { Bundle } from '../sigstore/bundle.ts';
import { type HashName, hashNamed } from '../sigstore/log-body.ts';
import { parseTimeStampToken, verifyTimeStampBy } from '../sigstore/time-stamp.ts';
import { checkIdentity, verifyCertificate, verifyMaterial } from '../sigstore/verify.ts';
import type { Condition } from './conditions.ts';
import type { Requirements } from './requirements.ts';
import { revocationProblem } from './revocation.ts';
import type { KeylessTrust } from './signers.ts';

/**
 * Why a verified signature does not count; undefined where it does (spec/signatures.md,
 * "Verification", steps 9 to 12).
 */
export function judge(evidence: Evidence, required: Requirements): Refusal | undefined {
  return refusalBy(evidence, () => {
    check(evidence, required);
    checkRevocation(evidence, required, stampIn(evidence, required)?.time);
  });
}

/** What a policy only reports about a signature that counts: messages of the checks that failed. */
export function loggedProblems(evidence: Evidence, required: Requirements): readonly string[] {
  if (required.logged === undefined) return [];
  const problem = refusalBy(evidence, () => check(evidence, { ...required, logged: undefined }));
  return problem === undefined ? [] : [problem.message];
}

/** Whether a failure of this check is only reported: those of Notation signatures by an authority alone. */
function isLogged(
  { kind, bundle }: Evidence,
  { logged }: Requirements,
  check: 'expiry' | 'authenticTimestamp',
): boolean {
  return logged?.has(check) === true && bundle === undefined && kind.startsWith('notation-');
}

/** The time stamp of a signature. If its authenticity is only reported, one that does not verify says nothing. */
function stampIn(evidence: Evidence, required: Requirements): ReturnType<typeof stampOf> {
  try {
    return stampOf(evidence, required);
  } catch (error) {
    if (!(error instanceof BullaError) || !isLogged(evidence, required, 'authenticTimestamp')) throw error;
    return undefined;
  }
}

/**
 * The chains whose certificates must not have been revoked for a signature to count: those of a signature that counts
 * otherwise, so that no address is taken from certificates of strangers.
 */
export function revocableChains(
  evidence: Evidence,
  required: Requirements,
): readonly (readonly Certificate[])[] {
  if (required.revocation === undefined || isByTrustedKey(evidence, required)) return [];
  if (refusalBy(evidence, () => check(evidence, required)) !== undefined || evidence.bundle !== undefined)
    return [];
  const path = stampIn(evidence, required)?.path;
  return [evidence.certificates, ...(path === undefined ? [] : [path])];
}

function check(evidence: Evidence, required: Requirements): void {
  checkSigner(evidence, required);
  checkProof(evidence, required);
  checkPurpose(evidence, required);
  checkAnnotations(evidence, required);
  checkConditions(
    required.conditions ?? [],
    evidence.predicate,
    required.now,
    `attestation ${evidence.manifest}`,
  );
  if (!isLogged(evidence, required, 'expiry')) checkExpiry(evidence, required.now);
}

function refusalBy(evidence: Evidence, check: () => void): Refusal | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (!(error instanceof BullaError)) throw error;
    const { code, message, hint } = error;
    return {
      manifest: evidence.manifest,
      kind: evidence.kind,
      code,
      message,
      ...(hint !== undefined && { hint }),
    };
  }
}

/**
 * A trusted key is sufficient. Otherwise the whole chain must be valid, lead to a trusted
 * certificate, be valid now, and begin with a trusted subject.
 */
function checkSigner(evidence: Evidence, required: Requirements): void {
  if (isByTrustedKey(evidence, required)) return;
  const where = `signature ${evidence.manifest}`;
  const [leaf] = evidence.certificates;
  if (leaf !== undefined && evidence.bundle !== undefined) {
    checkKeyless(evidence.bundle, leaf, required.keyless, where);
    return;
  }
  if (leaf === undefined || required.roots.length === 0) {
    const who =
      leaf === undefined ? `key ${evidence.key.fingerprint}` : `the certificate of ${subjectOf(leaf)}`;
    throw new BullaError('signature-mismatch', `${where} is by ${who}, which is not a trusted key`, {
      hint: 'give the authority that issued the certificate with --ca if you trust it',
    });
  }
  // By the word of a trusted authority the certificates had to be valid then, and not now.
  const isTimeless = isLogged(evidence, required, 'authenticTimestamp');
  const now = isTimeless ? undefined : (stampOf(evidence, required)?.time ?? required.now);
  checkTrustedChain(evidence.certificates, required.roots, { now, signingTime: evidence.signingTime }, where);
  const { identities } = required;
  if (identities.length > 0 && !identities.some((identity) => matchesIdentity(identity, leaf))) {
    throw new BullaError(
      'untrusted-identity',
      `${where} is by ${subjectOf(leaf)}; expected ${identities.map(({ text }) => text).join(' or ')}`,
      {
        hint: 'the authority is trusted, this signer is not: correct --certificate-identity, or ask who signed',
      },
    );
  }
}

function isByTrustedKey({ key }: Evidence, { keys }: Requirements): boolean {
  return keys.some(({ fingerprint }) => fingerprint === key.fingerprint);
}

/**
 * When a trusted authority saw the signature, and the certificates of that authority; undefined without a time stamp, or
 * without an authority to trust. One that does not verify is never ignored.
 */
function stampOf(
  { timeStamp, manifest }: Evidence,
  { timestampAuthorities = [], now }: Requirements,
): ReturnType<typeof verifyTimeStampBy> | undefined {
  if (timeStamp === undefined || timestampAuthorities.length === 0) return undefined;
  const what = `the time stamp of signature ${manifest}`;
  const stamp = verifyTimeStampBy(
    parseTimeStampToken(timeStamp.token, what),
    timeStamp.stamped,
    timestampAuthorities,
    what,
  );
  if (stamp.time <= now) return stamp;
  throw new BullaError('certificate-invalid', `${what} is from the future: ${formatTime(stamp.time)}`, {
    hint: 'check the clock of this machine',
  });
}

/** Logs and time stamps are right, and at the times that they prove an accepted identity had the certificate. */
function checkKeyless(
  bundle: Bundle,
  leaf: Certificate,
  trust: KeylessTrust | undefined,
  where: string,
): void {
  if (trust === undefined) {
    throw new BullaError(
      'unsupported-signature',
      `${where} is keyless: made with a short-lived certificate, and no identity is trusted`,
      { hint: 'say who must have signed: --certificate-identity and --certificate-oidc-issuer' },
    );
  }
  const material = verifyMaterial(bundle, leaf.publicKey, trust.root, where, loggedDigest(bundle));
  checkIdentity(verifyCertificate(leaf, material, trust.root, where), trust.identities, where);
}

/** Log entry and time stamp, if the policy demands them: also of a signature by a trusted key. */
function checkProof(evidence: Evidence, required: Requirements): void {
  const { bundle, key, manifest } = evidence;
  const { proof } = required;
  if (proof === undefined) return;
  const where = `signature ${manifest}`;
  const material = bundle && verifyMaterial(bundle, key, proof.root, where, loggedDigest(bundle));
  if (proof.transparency && (material?.logEntries.length ?? 0) === 0) {
    throw new BullaError(
      'signature-mismatch',
      `${where} is in no transparency log, and the policy demands it`,
      {
        hint: 'sign with --tlog or --keyless',
      },
    );
  }
  const isStamped = (material?.stamped.length ?? 0) > 0 || stampOf(evidence, required) !== undefined;
  if (proof.timestamp && !isStamped) {
    throw new BullaError('signature-mismatch', `${where} has no time stamp, and the policy demands one`, {
      hint: 'sign with --timestamp-url (a key with certificates), or with --tlog or --keyless and a signing config that lists a time-stamp authority',
    });
  }
}

/** What was signed is not in the bundle of a `.sig` tag; its reader has computed the digest. */
function loggedDigest({ content }: Bundle): (algorithm: HashName) => Uint8Array | undefined {
  const digest = content.kind === 'message' ? content.digest : undefined;
  return (algorithm) =>
    digest !== undefined && hashNamed(digest.algorithm) === algorithm ? digest.value : undefined;
}

/** What the authorities say about the certificates, as far as the policy wants to know (spec/policy.md, "Revocation"). */
function checkRevocation(evidence: Evidence, required: Requirements, stamped: Date | undefined): void {
  const { revocation: demand } = required;
  const { manifest, revocation: found, bundle } = evidence;
  if (
    demand === undefined ||
    demand.mode === 'log' ||
    bundle !== undefined ||
    isByTrustedKey(evidence, required)
  )
    return;
  const where = `signature ${manifest}`;
  if (found === undefined)
    throw new BullaError('certificate-invalid', `${where}: nothing was asked about its certificates`, {
      hint: 'give a port that asks about the revocation of certificates',
    });
  for (const finding of found) {
    const problem = revocationProblem(
      finding,
      evidence.certificates.includes(finding.certificate) ? stamped : undefined,
    );
    if (problem !== undefined && (demand.mode === 'enforce' || problem.code === 'revoked'))
      throw new BullaError(problem.code, `${where}: ${problem.message}`, {
        cause: problem,
        details: problem.details,
        ...(problem.hint !== undefined && { hint: problem.hint }),
      });
  }
}

function checkPurpose(evidence: Evidence, required: Requirements): void {
  if (required.purposes.includes(evidence.purpose)) return;
  throw new BullaError(
    'signature-mismatch',
    `signature ${evidence.manifest} is for the purpose ${evidence.purpose}; expected ${required.purposes.join(' or ')}`,
    { hint: 'a signature for another purpose does not release an image; ask for it with --purpose' },
  );
}

function checkAnnotations(evidence: Evidence, required: Requirements): void {
  for (const [name, value] of required.annotations) {
    const found = evidence.annotations.get(name);
    if (found === value) continue;
    throw new BullaError(
      'signature-mismatch',
      `signature ${evidence.manifest} should say ${name}=${value} and ${found === undefined ? 'says nothing of it' : `says ${name}=${found}`}`,
      { hint: 'ask for annotations that were signed; `bulla signature ls` shows them' },
    );
  }
}

function checkExpiry(evidence: Evidence, now: Date): void {
  const { expiry, manifest } = evidence;
  if (expiry === undefined || now < expiry) return;
  throw new BullaError('certificate-expired', `signature ${manifest} expired at ${formatTime(expiry)}`, {
    hint: 'have the image signed again',
  });
}

/**
 * Demands that a predicate fulfils conditions.
 * @throws BullaError signature-mismatch
 */
export function checkConditions(
  conditions: readonly Condition[],
  predicate: JsonObject | undefined,
  now: Date,
  where: string,
): void {
  for (const condition of conditions) {
    const why = condition.unmet(predicate ?? {}, now);
    if (why === undefined) continue;
    throw new BullaError('signature-mismatch', `${where}: ${why}; expected that ${condition.text}`, {
      hint: `the attestation does not say what the policy demands (verified ${formatTime(now)})`,
      details: { path: condition.path },
    });
  }
}
