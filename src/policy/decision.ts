import { subjectOf } from '../crypto/certificate.ts';
import { BullaError, type ErrorCode } from '../errors.ts';
import type { Evidence, Finding, Refusal } from '../signatures/evidence.ts';
import { judge, loggedProblems } from './judgement.ts';
import { everyRequirement, type Requirements } from './requirements.ts';
import { countSigners, identityOf } from './signers.ts';
import { summarizeRefusal } from './summary.ts';

/** What was found about an image's signatures. */
export interface SignatureFindings {
  readonly findings: readonly Finding[];
  /** Signatures that were listed and not looked at, because there were too many. */
  readonly unexamined: number;
}

/** A signature that counts. */
export interface AcceptedEvidence extends Evidence {
  /** Why it is accepted: null for a trusted key, an identity, or `*` for any identity that a CA certifies. */
  readonly identity: string | null;
  /** Checks that failed, and that the policy only reports. */
  readonly logged?: readonly string[];
}

/** Whether an image is accepted for its signatures, and every reason why or why not. */
export type Decision =
  | {
      readonly accepted: true;
      readonly evidence: readonly AcceptedEvidence[];
      readonly refusals: readonly Refusal[];
    }
  | { readonly accepted: false; readonly error: BullaError; readonly refusals: readonly Refusal[] };

/**
 * Decides whether signatures satisfy requirements (spec/signatures.md, "Verification", step 13).
 * @param reference the image as the user named it, for messages
 */
export function decide(reference: string, found: SignatureFindings, required: Requirements): Decision {
  return decider(reference, required)(found);
}

/**
 * {@link decide}, for findings that become more: each piece of evidence is judged once, so that many
 * signatures with long chains don't cost more each time that one is added.
 */
export function decider(reference: string, required: Requirements): (found: SignatureFindings) => Decision {
  const deciders = everyRequirement(required).map((one) => deciderOfOne(reference, one));
  return (found) => combined(deciders.map((decide) => decide(found)));
}

function deciderOfOne(reference: string, required: Requirements): (found: SignatureFindings) => Decision {
  const judged = new Map<Evidence, Refusal | undefined>();
  const judgeOnce = (evidence: Evidence): Refusal | undefined => {
    if (!judged.has(evidence)) judged.set(evidence, judge(evidence, required));
    return judged.get(evidence);
  };
  return (found) => sum(reference, found, required, judgeOnce);
}

/** All must accept; what one of them refuses, another may count. */
function combined(decisions: readonly Decision[]): Decision {
  const evidence = new Map<string, AcceptedEvidence>();
  for (const decision of decisions) {
    if (!decision.accepted) return decision;
    for (const each of decision.evidence) evidence.set(`${each.manifest} ${each.key.fingerprint}`, each);
  }
  const [first] = decisions;
  return { accepted: true, evidence: [...evidence.values()], refusals: first?.refusals ?? [] };
}

function sum(
  reference: string,
  found: SignatureFindings,
  required: Requirements,
  judgeOnce: (evidence: Evidence) => Refusal | undefined,
): Decision {
  const evidence: Evidence[] = [];
  const refusals: Refusal[] = [];
  for (const finding of found.findings) {
    const refusal = finding.outcome === 'refused' ? finding.refusal : judgeOnce(finding.evidence);
    if (refusal !== undefined) refusals.push(refusal);
    else if (finding.outcome === 'verified') evidence.push(finding.evidence);
  }
  const signers = countSigners(evidence, required);
  if (signers >= required.threshold) {
    const accepted = evidence.map((each) => ({
      ...each,
      identity: identityOf(each, required),
      ...(required.logged !== undefined && { logged: loggedProblems(each, required) }),
    }));
    return { accepted: true, evidence: accepted, refusals };
  }
  return {
    accepted: false,
    error: shortfall(reference, refusals, found.unexamined, signers, required),
    refusals,
  };
}

/** The error of a refused image: one code, one sentence for all, and every cause in the details. */
function shortfall(
  reference: string,
  refusals: readonly Refusal[],
  unexamined: number,
  signers: number,
  required: Requirements,
): BullaError {
  const details = {
    causes: refusals.map(summarizeRefusal),
    counted: signers,
    threshold: required.threshold,
    unexamined,
  };
  const causes = `${summarize(refusals)}${unexamined === 0 ? '' : `; ${unexamined} more were listed and not looked at`}`;
  if (signers > 0) {
    return new BullaError(
      'threshold-not-met',
      `${reference} is signed by ${signers} of the ${required.threshold} different signers that must sign it${causes}`,
      {
        hint: 'have it signed by another of the trusted signers; certificates count by the identity that they match, one of --certificate-identity each',
        details,
      },
    );
  }
  if (refusals.length === 0 && unexamined === 0) {
    return new BullaError('unsigned', `${reference} has no signature; expected ${expectation(required)}`, {
      hint: 'sign it with `bulla sign`; if it was copied here, copy it again with its signatures',
      details,
    });
  }
  const nearest = nearestOf(refusals);
  const hint =
    unexamined > 0
      ? 'so many signatures are a mishap or an attack: see `bulla signature ls`, remove them with `bulla signature rm`'
      : nearest?.hint;
  return new BullaError(
    codeOf(nearest, unexamined),
    `${reference} has no signature that counts; expected ${expectation(required)}${causes}`,
    { ...(hint !== undefined && { hint }), details },
  );
}

/** From what is nearest to success to what is farthest: a decision has the code of its nearest refusal. */
const NEARNESS: readonly ErrorCode[] = [
  'revoked',
  'certificate-expired',
  'untrusted-identity',
  'certificate-invalid',
  'digest-mismatch',
  'signature-mismatch',
  'unsupported-signature',
];

/** What cannot be read does not match. Where some were not looked at, "unsupported" would say too much. */
function codeOf(nearest: Refusal | undefined, unexamined: number): ErrorCode {
  if (nearest === undefined || !NEARNESS.includes(nearest.code)) return 'signature-mismatch';
  return nearest.code === 'unsupported-signature' && unexamined > 0 ? 'signature-mismatch' : nearest.code;
}

function nearestOf(refusals: readonly Refusal[]): Refusal | undefined {
  const rank = ({ code }: Refusal): number =>
    NEARNESS.indexOf(NEARNESS.includes(code) ? code : 'signature-mismatch');
  return [...refusals].sort((a, b) => rank(a) - rank(b))[0];
}

const SHOWN_CAUSES = 5;

function summarize(refusals: readonly Refusal[]): string {
  if (refusals.length === 0) return '';
  const shown = refusals.slice(0, SHOWN_CAUSES).map(({ message }) => message);
  const rest = refusals.length - shown.length;
  return `: ${shown.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`;
}

/** What would have been accepted, in words. */
export function expectation(required: Omit<Requirements, 'now' | 'also'>): string {
  const signers = [
    ...required.keys.map((key) => `key ${key.fingerprint.slice(0, 12)}`),
    ...required.roots.map((root) => `a certificate issued by ${subjectOf(root)}`),
    ...(required.keyless?.identities ?? []).map(({ subject, issuer }) => `${subject} (${issuer})`),
  ];
  const count =
    required.threshold === 1 ? 'a signature' : `signatures of ${required.threshold} different signers`;
  return `${count} by ${signers.join(' or ')}`;
}
