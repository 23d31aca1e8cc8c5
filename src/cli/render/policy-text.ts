import type { PolicyAnswer } from '../../actions/verify/by-policy.ts';
import { parsePublicKeyPem } from '../../crypto/public-key.ts';
import { expectation } from '../../policy/decision.ts';
import type { PolicyRule, SignatureRule } from '../../policy/file/policy.ts';
import { PUBLISHERS } from '../../policy/file/publishers.ts';
import { type Remark, remarksOn, verifiedJson } from './verified-text.ts';

/** What a policy decided about an image, for people. */
export function answerRemarks(answer: PolicyAnswer, text: string, stateDirectory: string): readonly Remark[] {
  const { rule, verified, refusal } = answer;
  if (verified !== undefined)
    return [['verbose', ruleText(rule)], ...remarksOn(verified, text, stateDirectory)];
  if (refusal !== undefined)
    return [
      [
        'warn',
        `not verified, and let through because the rule for ${rule.scope} only audits: ${refusal.message}`,
      ],
    ];
  const reason = rule.verdict.kind === 'allow' ? rule.verdict.reason : '';
  return [['warn', `not verified: the rule for ${rule.scope} allows it: ${reason}`]];
}

/** The same for `-o json` (spec/policy.md, "Output"). */
export function answerJson({ rule, runnable, verified, refusal }: PolicyAnswer): Record<string, unknown> {
  const { scope, mode, verdict } = rule;
  return {
    reference: runnable,
    ...(verified !== undefined && verifiedJson(verified)),
    policy: { scope, mode, decision: verdict.kind, verified: verified !== undefined },
    ...(refusal !== undefined && { refusal: { code: refusal.code, message: refusal.message } }),
  };
}

/** What a rule demands, a line for each demand. */
export function* demandsText({ verdict, mode, scope, file }: PolicyRule): Generator<string> {
  yield `${scope} (${mode}${file === undefined ? '' : `, in ${file}`})`;
  if (verdict.kind !== 'verify') {
    yield `  ${verdict.kind}: ${verdict.reason}`;
    return;
  }
  const { name, notary, signatures } = verdict;
  if (name !== undefined) {
    const { signers, threshold, root, drift } = name;
    const count = threshold === signers.length ? 'all of' : `${threshold} of`;
    const trusted = root === undefined ? 'as pinned' : `by ${root.kind}`;
    yield `  the name is signed by ${count} ${signers.join(', ')}; root keys trusted ${trusted}; a moved tag: ${drift}`;
  }
  if (notary !== undefined) {
    const { server, delegations, root, drift } = notary;
    const by = delegations.length === 0 ? '' : ` by all of ${delegations.join(', ')}`;
    yield `  the name is signed${by} at the Notary server ${server}; root keys trusted by ${root.kind}; a moved tag: ${drift}`;
  }
  for (const rule of signatures) yield* demandText(rule);
}

function* demandText(rule: SignatureRule): Generator<string> {
  yield `  ${expectation(rule)}, for ${rule.purposes.join(' or ')}`;
  for (const { text } of rule.conditions ?? []) yield `    ${text}`;
  for (const name of rule.publishers ?? []) yield* publisherText(name);
  if (rule.keyless?.root.isUnlogged) yield '    with a time stamp instead of an entry in a log';
  if (rule.proof?.transparency) yield '    in a transparency log';
  if (rule.proof?.timestamp) yield '    with a time stamp';
  if (rule.logged !== undefined) yield `    only logged: ${[...rule.logged].join(', ')}`;
  if (rule.revocation !== undefined) yield `    revocation: ${REVOCATION[rule.revocation.mode]}`;
}

const REVOCATION = {
  enforce: 'the status of each certificate must be known, and good',
  soft: 'no certificate may be revoked, as far as its status is known',
  log: 'only reported',
} as const;

/** What the name of a publisher means, and where that is from. */
function* publisherText(name: string): Generator<string> {
  const publisher = PUBLISHERS.get(name);
  if (publisher === undefined) return;
  const { images, source, date, keyless, keys } = publisher;
  yield `    publisher ${name} (${images}; ${source}, ${date}):`;
  for (const identity of keyless) yield `      ${Object.values(identity).join(', issuer ')}`;
  for (const pem of keys)
    yield `      key with SHA-256 ${parsePublicKeyPem(pem, `the key of ${name}`).fingerprint}`;
}

function ruleText({ scope, mode }: PolicyRule): string {
  return `the rule for ${scope} decides (${mode})`;
}
