import { BullaError } from '../errors.ts';
import { failureError, type RegistryFailure, wordsOf } from './failure.ts';

/** What a refused request would have written. */
export type Written = 'upload' | 'blob' | 'manifest';

/**
 * The rule of a registry, or of a proxy before it, that does not allow something to be written.
 * `immutable-tag`: the tag exists and never moves; `tag-refused`: no such tag may be written.
 */
export type RefusalReason =
  | 'immutable-tag'
  | 'tag-refused'
  | 'quota'
  | 'too-large'
  | 'missing-part'
  | 'no-repository'
  | 'type-refused'
  | 'read-only'
  | 'pull-through';

/**
 * Words by which registries, each in its own way, name the rule. Only the answer to a request that writes is
 * compared with them, and only to choose a hint: what happened is known by the status.
 */
const WORDS: ReadonlyMap<RefusalReason, RegExp> = new Map([
  [
    'quota',
    /quota|storage (?:limit|space|capacity|allowance)|(?:exceed|over|reach|hit)\w*\b.{0,80}\b(?:upper limit|storage|plan|allowance)|insufficient (?:storage|space|disk)|(?:no|out of|not enough|low on) (?:disk |storage |free )?space|disk (?:is )?full|upgrade your|payment|billing|(?:maximum|too many|limit)\b.{0,60}\b(?:images|repositories|tags|manifests|versions|artifacts)\b/i,
  ],
  [
    'pull-through',
    /pull[- ]?through|prox(?:y|ied|ying)[- ](?:cache|repositor|project|registr|organi[sz]ation|group)|cach(?:e|ing) (?:repositor|registr|project|proxy|rule)|(?:remote|virtual|group|mirror(?:ed)?) (?:repositor|registr)|\bis a (?:mirror|prox)|project type .{0,30}proxy|proxy (?:is|does)|repository type .{0,30}(?:proxy|group|remote|virtual)/i,
  ],
  [
    'read-only',
    /read[- _]?only|maintenance|\barchived?\b|frozen|temporarily (?:disabled|unavailable|suspended)|(?:push|write|upload)(?:es|s|ing)? (?:is|are|has been|have been) (?:currently )?(?:disabled|suspended|blocked|not (?:allowed|permitted|accepted|supported))|migrat(?:ion|ing)|garbage collection is (?:running|in progress)|repository is locked/i,
  ],
  [
    'immutable-tag',
    /immutab|(?:already|also) exists|cannot be (?:re-?)?(?:overwritten|updated|changed|moved|modified|replaced|pushed again)|overwr(?:it|ote)|redeploy|(?:updating|modifying) (?:assets|tags)|tag .{0,140}(?:locked|protected|write-once)|protected tag|write[- ]once/i,
  ],
  [
    'too-large',
    /too (?:large|big|long)|(?:exceed|larger|bigger|greater|more)\w*\b.{0,60}\b(?:size|bytes|limit|[kmg]i?b)\b|size .{0,40}(?:exceed|limit)|body limit/i,
  ],
  [
    'no-repository',
    /(?:repositor(?:y|ies)|project|namespace|registry name|organi[sz]ation|package)\b.{0,200}(?:not (?:found|exist|created|known|initialized)|doesn'?t exist|no such|unknown|missing|must (?:first )?be created|to be created|create it first)|(?:not (?:found|find)|unknown|no such|missing|create)\b.{0,30}(?:repositor|project|namespace|organi[sz]ation)|name (?:is )?(?:unknown|not known)/i,
  ],
  [
    'type-refused',
    /(?:media|artifact|config|manifest|content)[- _]?types?|unsupported (?:manifest|artifact|media|content|schema)|(?:artifacts?|manifests?|oci) .{0,60}not (?:allowed|supported|permitted|accepted|enabled)|invalid (?:manifest|json syntax)|manifest (?:is )?invalid|not (?:an? )?(?:allowed|supported|valid) (?:manifest|artifact)/i,
  ],
]);

/** Statuses by which a server says that something, of its own or of ours, may be otherwise the next time. */
const NOT_A_RULE: ReadonlySet<number> = new Set([401, 408, 425, 429, 500, 502, 504]);

/** An answer, as the rules look at it. */
interface Answer {
  readonly status: number;
  readonly written: Written;
  /** Whether its words are those of a rule. */
  readonly says: (reason: RefusalReason) => boolean;
  readonly hasCode: (code: RegExp) => boolean;
  /** Says of an upload, or of a part of a manifest, that it is unknown: not of the repository. */
  readonly isAboutPart: boolean;
}

/** The first that applies counts. */
const RULES: readonly (readonly [RefusalReason, (answer: Answer) => boolean])[] = [
  ['quota', ({ status, says }) => status === 507 || status === 402 || says('quota')],
  ['pull-through', ({ says }) => says('pull-through')],
  ['read-only', ({ status, says }) => status === 423 || says('read-only')],
  [
    'immutable-tag',
    ({ written, says, hasCode }) => written === 'manifest' && (hasCode(/IMMUTAB/i) || says('immutable-tag')),
  ],
  ['too-large', ({ status, says }) => status === 413 || (status === 400 && says('too-large'))],
  ['no-repository', isAboutRepository],
  // Where not even an upload may begin, nothing may be pushed.
  ['read-only', ({ status, written }) => written !== 'manifest' && [405, 501].includes(status)],
  ['type-refused', isAboutType],
];

function isAboutRepository({ status, written, says, hasCode, isAboutPart }: Answer): boolean {
  if (hasCode(/^NAME_UNKNOWN$/)) return true;
  if (status === 404) return written === 'upload' || (written === 'manifest' && !isAboutPart);
  return [400, 403].includes(status) && !isAboutPart && says('no-repository');
}

function isAboutType({ status, written, says, hasCode }: Answer): boolean {
  if (written !== 'manifest' || hasCode(/^MANIFEST_BLOB_UNKNOWN$/)) return false;
  if (status === 415 || status === 406) return true;
  return [400, 403, 405, 422].includes(status) && (hasCode(/^MANIFEST_INVALID$/) || says('type-refused'));
}

/** The rule that an answer names; undefined where it names none, or the status says that there is none. */
export function reasonOf(failure: RegistryFailure, written: Written): RefusalReason | undefined {
  const { status, codes } = failure;
  if (NOT_A_RULE.has(status) || status < 400) return undefined;
  const text = wordsOf(failure).replaceAll('_', ' ');
  const hasCode = (code: RegExp): boolean => codes.some((one) => code.test(one));
  const answer = {
    status,
    written,
    hasCode,
    says: (reason: RefusalReason) => WORDS.get(reason)?.test(text) === true,
    isAboutPart: hasCode(/BLOB|UPLOAD|MANIFEST/i),
  };
  const reason = RULES.find(([, applies]) => applies(answer))?.[0];
  // A server that answers 503 may only be busy, unless it says more.
  return status === 503 && reason !== undefined && !answer.says(reason) ? undefined : reason;
}

const MEANINGS: Readonly<Record<RefusalReason, string>> = {
  'immutable-tag': 'the tag cannot be moved',
  'tag-refused': 'the tag cannot be written',
  quota: 'the quota is used up',
  'too-large': 'too large for the registry, or for a proxy before it',
  'missing-part': 'the registry lacks a part of the manifest',
  'no-repository': 'the repository does not exist',
  'type-refused': 'the registry does not accept manifests of this kind',
  'read-only': 'the registry does not accept pushes',
  'pull-through': 'the repository is a cache and does not accept pushes',
};

const ELSEWHERE = 'a trust collection can be kept in another repository: bulla init REPO --at OTHER/REPO';

const HINTS: Readonly<Record<RefusalReason, string>> = {
  'immutable-tag':
    'use another tag, or except this one from the immutability of tags in the settings of the registry',
  'tag-refused': 'use another tag, or allow this one in the settings of the registry',
  quota:
    'the storage or plan of the registry is used up: remove unneeded content, raise the quota, or use another repository',
  'too-large':
    'raise the size limit of the registry, or of the proxy before it (nginx: client_max_body_size)',
  'missing-part': 'push what the manifest names first; bulla copy and bulla push bring all of an image',
  'no-repository':
    'create the repository (or its project) in the registry first, or check its name: this registry does not create it on push',
  'type-refused':
    'allow OCI artifacts of this type in the settings of the registry or the project, or use another registry',
  'read-only':
    'this registry or repository takes no pushes, at least for now: try again later if it is in maintenance, or use another repository',
  'pull-through':
    'this is a cache or a mirror of another registry: push to the registry behind it, or use another repository',
};

/** What can be done about it; what a tag is for says more. */
function hintFor(reason: RefusalReason, reference: string | undefined): string {
  if (['no-repository', 'too-large', 'missing-part'].includes(reason)) return HINTS[reason];
  const isTag = reason === 'immutable-tag' || reason === 'tag-refused';
  if (reference?.startsWith('_trust') === true)
    return isTag
      ? `except tags that begin with "_trust" from this rule in the settings of the registry; or ${ELSEWHERE}`
      : `${HINTS[reason]}; ${ELSEWHERE}`;
  if (isTag && reference?.startsWith('sha256-') === true)
    return 'except tags that begin with "sha256-" and "_trust" from this rule in the settings of the registry: without the referrers API, signatures are listed there';
  return isTag ? HINTS[reason] : `${HINTS[reason]}; ${ELSEWHERE}`;
}

export interface Refused {
  /** Tag or digest that was to be written. */
  readonly reference?: string | undefined;
  /** The rule, where more is known than the answer says. */
  readonly reason?: RefusalReason | undefined;
}

/**
 * The error for an answer to a request that writes: with the registry's own words, the rule if one is known, and what
 * can be done about it.
 */
export function refusalError(
  failure: RegistryFailure,
  where: string,
  written: Written,
  { reference, reason = reasonOf(failure, written) }: Refused = {},
): BullaError {
  const plain = failureError(failure, where);
  if (reason === undefined) return plain;
  // A server that answers 503 says that it may be different soon; and a part may only not be there yet.
  const isPassing = failure.status === 503 || reason === 'missing-part';
  const code = reason === 'immutable-tag' ? 'conflict' : isPassing ? 'registry-error' : 'registry-policy';
  return new BullaError(code, `${MEANINGS[reason]}: ${plain.message}`, {
    hint: hintFor(reason, reference),
    details: { ...plain.details, reason },
  });
}
