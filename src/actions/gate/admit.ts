import { isBullaError } from '../../errors.ts';
import type { Review } from './review.ts';
import { type GateImage, parseImage, refusedBy, type Verdict } from './verdict.ts';

/** Which webhook asks: the one that may change the object, or the one that comes last. */
export type Hook = 'mutate' | 'validate';

/** What becomes of one image of an object. */
export interface ImageDecision {
  readonly place: string;
  readonly image: string;
  /** `warned`: it would be denied if its rule did not only audit. */
  readonly action: 'passes' | 'pinned' | 'warned' | 'denied';
  readonly verdict: Verdict;
}

/** One operation of a JSON patch (RFC 6902). */
export interface PatchOperation {
  readonly op: 'replace';
  readonly path: string;
  readonly value: string;
}

/** What the API server is told. */
export interface Admission {
  readonly allowed: boolean;
  /** Why not, with the status of the answer that the client gets. */
  readonly refusal?: { readonly code: 400 | 403 | 503; readonly message: string };
  readonly warnings: readonly string[];
  readonly patch: readonly PatchOperation[];
  readonly auditAnnotations: Readonly<Record<string, string>>;
  readonly images: readonly ImageDecision[];
}

/** Longest warning that the API server keeps whole, in characters. */
const MAX_WARNING = 120;
const MAX_WARNINGS = 8;
const MAX_NAME = 70;
const SHOWN_DENIALS = 5;
const MAX_DENIAL = 3_000;
const MAX_ANNOTATION = 8_000;

/**
 * Decides about an object: all images that are new in it must pass (spec/gate.md, "Decision").
 * @param ask says what the policy says about an image; it never fails
 */
export async function admit(
  review: Review,
  hook: Hook,
  ask: (image: GateImage) => Promise<Verdict>,
): Promise<Admission> {
  const verdicts = new Map<string, Promise<Verdict>>();
  for (const { image } of review.images) if (!verdicts.has(image)) verdicts.set(image, verdictOn(image, ask));
  const images: ImageDecision[] = [];
  const patch: PatchOperation[] = [];
  for (const { image, place, pointer } of review.images) {
    const verdict = (await verdicts.get(image)) as Verdict;
    const decided = decide(image, verdict, hook);
    images.push({ place, image, ...decided });
    if (decided.action === 'pinned')
      patch.push({ op: 'replace', path: pointer, value: pinnedImage(image, verdict) });
  }
  const denied = images.filter(({ action }) => action === 'denied');
  const allowed = denied.length === 0;
  return {
    allowed,
    ...(!allowed && { refusal: refusalOf(review, denied) }),
    warnings: warningsOf(images),
    patch: allowed ? patch : [],
    auditAnnotations: annotationsOf(allowed, images),
    images,
  };
}

async function verdictOn(image: string, ask: (image: GateImage) => Promise<Verdict>): Promise<Verdict> {
  let parsed: GateImage;
  try {
    parsed = parseImage(image);
  } catch (error) {
    if (isBullaError(error)) return refusedBy(error, { mode: 'enforce' });
    throw error;
  }
  return await ask(parsed);
}

/** Istio writes this where its own webhook puts the image in, before or after us; what it puts there is validated. */
const FILLED_IN_LATER = 'auto';

function decide(
  image: string,
  verdict: Verdict,
  hook: Hook,
): { readonly action: ImageDecision['action']; readonly verdict: Verdict } {
  const { outcome, mode, digest } = verdict;
  if (outcome === 'allowed' || (hook === 'mutate' && image === FILLED_IN_LATER))
    return { action: 'passes', verdict };
  if (outcome !== 'verified' || digest === undefined)
    return { action: mode === 'audit' ? 'warned' : 'denied', verdict };
  const written = parseImage(image).reference.digest;
  if (mode === 'audit' || written === digest) return { action: 'passes', verdict };
  if (written === undefined && hook === 'mutate')
    return { action: mode === 'enforce' ? 'pinned' : 'passes', verdict };
  return { action: 'denied', verdict: unpinned(image, verdict) };
}

/** A tag may lead to another image by the time that a node asks. */
function unpinned(image: string, verdict: Verdict): Verdict {
  return {
    ...verdict,
    outcome: 'refused',
    error: {
      code: 'policy-denied',
      message: `${image} is verified, but written without its digest`,
      hint: `write ${pinnedImage(image, verdict)}, or run: bulla verify --k8s FILE --policy FILE --write`,
    },
  };
}

function pinnedImage(image: string, { digest }: Verdict): string {
  return `${parseImage(image).text}@${digest}`;
}

function refusalOf({ subject }: Review, denied: readonly ImageDecision[]): NonNullable<Admission['refusal']> {
  const byImage = new Map<string, ImageDecision>();
  for (const each of denied) if (!byImage.has(each.image)) byImage.set(each.image, each);
  const all = [...byImage.values()];
  const shown = all.slice(0, SHOWN_DENIALS).map(({ place, verdict: { error } }) => {
    const hint = error?.hint === undefined ? '' : ` (${error.hint})`;
    return `${place}: ${error?.message ?? 'not verified'} [${error?.code ?? 'internal'}]${hint}`;
  });
  const more = all.length - shown.length;
  const text = `${subject} is denied: ${shown.join('; ')}${more > 0 ? `; and ${more} more images` : ''}`;
  const isKnown = all.some(({ verdict }) => verdict.outcome === 'refused');
  return { code: isKnown ? 403 : 503, message: oneLine(text, MAX_DENIAL) };
}

function warningsOf(images: readonly ImageDecision[]): readonly string[] {
  const lines = new Set<string>();
  for (const { action, image, verdict } of images) {
    if (action === 'warned')
      lines.add(
        oneLine(`bulla: only audited: [${verdict.error?.code ?? 'internal'}] ${ending(image)}`, MAX_WARNING),
      );
    else if (action !== 'denied' && verdict.isDrifted === true)
      lines.add(oneLine(`bulla: the tag was moved, the signed digest runs: ${ending(image)}`, MAX_WARNING));
  }
  const all = [...lines];
  if (all.length <= MAX_WARNINGS) return all;
  return [
    ...all.slice(0, MAX_WARNINGS - 1),
    `bulla: ${all.length - MAX_WARNINGS + 1} more warnings about images`,
  ];
}

/** What tells images apart is at their end. */
function ending(image: string): string {
  return image.length <= MAX_NAME ? image : `…${image.slice(1 - MAX_NAME)}`;
}

function annotationsOf(allowed: boolean, images: readonly ImageDecision[]): Record<string, string> {
  if (images.length === 0) return {};
  const entries: string[] = [];
  let size = 0;
  for (const { place, image, action, verdict } of images) {
    const { scope, digest, signers, error } = verdict;
    const entry = JSON.stringify({ place, image, action, rule: scope, digest, signers, code: error?.code });
    size += entry.length + 1;
    if (size > MAX_ANNOTATION) break;
    entries.push(entry);
  }
  const isAudited = images.some(({ action }) => action === 'warned');
  return {
    decision: allowed ? (isAudited ? 'audited' : 'allowed') : 'denied',
    images: `[${entries.join(',')}]`,
    ...(entries.length < images.length && { 'images-left-out': String(images.length - entries.length) }),
  };
}

/** What names from outside say, on one line that no terminal acts on. */
export function oneLine(text: string, most: number): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ');
  return line.length <= most ? line : `${line.slice(0, most - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
