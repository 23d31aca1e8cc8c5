import { type Admission, oneLine } from './admit.ts';
import { type BrokenReview, REVIEW_VERSION } from './review.ts';

const REASONS: Readonly<Record<400 | 403 | 503, string>> = {
  400: 'BadRequest',
  403: 'Forbidden',
  503: 'ServiceUnavailable',
};

/** The AdmissionReview that answers one. */
export function answerTo(uid: string, admission: Admission, extraWarnings: readonly string[] = []): string {
  const { allowed, refusal, warnings, patch, auditAnnotations } = admission;
  const all = [...extraWarnings, ...warnings];
  return JSON.stringify({
    apiVersion: REVIEW_VERSION,
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed,
      ...(refusal !== undefined && {
        status: { code: refusal.code, reason: REASONS[refusal.code], message: refusal.message },
      }),
      ...(allowed &&
        patch.length > 0 && {
          patchType: 'JSONPatch',
          patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
        }),
      ...(Object.keys(auditAnnotations).length > 0 && { auditAnnotations }),
      ...(all.length > 0 && { warnings: all }),
    },
  });
}

/** What is said to a review that cannot be understood. */
export function deniedAsBroken({ error }: BrokenReview): Admission {
  return {
    ...NOTHING,
    allowed: false,
    refusal: { code: 400, message: oneLine(`${error.message} [${error.code}]`, 1_000) },
  };
}

/** Everything passes, and the answer says that it should not. */
export function admittedUnseen(): Admission {
  return { ...NOTHING, allowed: true, auditAnnotations: { decision: 'emergency' } };
}

export const EMERGENCY_WARNING = 'bulla: EMERGENCY: the gate admits everything, and verifies nothing';

const NOTHING = { warnings: [], patch: [], auditAnnotations: {}, images: [] } as const;
