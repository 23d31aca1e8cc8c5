import type { Admission, Hook } from '../../actions/gate/admit.ts';
import type { Review } from '../../actions/gate/review.ts';

/** Takes one line of JSON, without its end. */
export type LineSink = (line: string) => void;

const MAX_IMAGES = 100;

/** The line of a decision (spec/gate.md, "Decision log"). It holds no secret and no part of the object but its images. */
export function decisionLine(
  review: Review,
  hook: Hook,
  admission: Admission,
  at: Date,
  tookMs: number,
): string {
  const { uid, operation, subject, namespace, user, isDryRun, images } = {
    ...review,
    images: admission.images,
  };
  return JSON.stringify({
    time: at.toISOString(),
    level: admission.allowed ? 'info' : 'warning',
    event: 'decision',
    hook,
    ...{ uid, operation, namespace, subject, user, dryRun: isDryRun },
    allowed: admission.allowed,
    decision: admission.auditAnnotations['decision'] ?? 'allowed',
    milliseconds: Math.round(tookMs),
    images: images.slice(0, MAX_IMAGES).map(({ place, image, action, verdict }) => ({
      ...{ place, image, action, rule: verdict.scope, mode: verdict.mode, digest: verdict.digest },
      signers: verdict.signers,
      ...(verdict.error !== undefined && { code: verdict.error.code, message: verdict.error.message }),
    })),
    ...(images.length > MAX_IMAGES && { imagesLeftOut: images.length - MAX_IMAGES }),
  });
}
