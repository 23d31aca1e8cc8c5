import type { IncomingMessage } from 'node:http';
import { type Admission, admit, type Hook } from '../../actions/gate/admit.ts';
import { admittedUnseen, answerTo, deniedAsBroken, EMERGENCY_WARNING } from '../../actions/gate/answer.ts';
import { MAX_REVIEW_BYTES, parseReview, type Review } from '../../actions/gate/review.ts';
import type { GateImage, Verdict } from '../../actions/gate/verdict.ts';
import { type ImagePath, parseImagePath } from '../../actions/verify/image-places.ts';
import { type BullaError, isBullaError } from '../../errors.ts';
import type { Policy } from '../../policy/file/policy.ts';
import type { Answer, PostEndpoint } from '../endpoints.ts';

export interface ReviewPorts {
  readonly policy: () => Policy;
  /** Says what the policy says about an image of a review. It never fails, and ends before the deadline. */
  readonly ask: (image: GateImage, review: Pick<Review, 'namespace' | 'pullSecrets'>) => Promise<Verdict>;
  readonly isEmergency: boolean;
  readonly decided: (review: Review, hook: Hook, admission: Admission, tookMs: number) => void;
  /** Of a review that cannot be understood. */
  readonly broken: (hook: Hook, error: BullaError) => void;
}

/** Bytes of bodies that are being read at a time: many small reviews, or a few of the largest. */
const MAX_OPEN_BYTES = 32 * 1024 * 1024;

/** `POST /mutate` and `POST /validate`. */
export function reviewEndpoints(ports: ReviewPorts): ReadonlyMap<string, PostEndpoint> {
  const budget = new Budget(MAX_OPEN_BYTES);
  const paths = new Paths();
  return new Map(
    (['mutate', 'validate'] as const).map((hook) => [
      `/${hook}`,
      {
        route: hook,
        maxBytes: MAX_REVIEW_BYTES,
        refuse: (request) => (request.method === 'POST' ? refusalOf(request, budget) : undefined),
        answer: (body) => answer(hook, body, paths.of(ports.policy()), ports),
      },
    ]),
  );
}

function refusalOf(request: IncomingMessage, budget: Budget): Answer | undefined {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json') return { status: 415, text: 'a review is application/json\n' };
  const length = Number(request.headers['content-length'] ?? MAX_REVIEW_BYTES);
  if (length > MAX_REVIEW_BYTES) return undefined;
  return budget.take(length, request)
    ? undefined
    : { status: 503, text: 'too many reviews are being read\n' };
}

async function answer(
  hook: Hook,
  body: Uint8Array,
  paths: readonly ImagePath[],
  ports: ReviewPorts,
): Promise<Answer> {
  const began = performance.now();
  let review: ReturnType<typeof parseReview>;
  try {
    review = parseReview(body, paths);
  } catch (error) {
    if (!isBullaError(error, 'content-invalid')) throw error;
    ports.broken(hook, error);
    return { status: 400, text: `${error.message}\n` };
  }
  if ('error' in review) {
    ports.broken(hook, review.error);
    return json(answerTo(review.uid, deniedAsBroken(review)));
  }
  if (ports.isEmergency) {
    const admission = admittedUnseen();
    ports.decided(review, hook, admission, performance.now() - began);
    return json(answerTo(review.uid, admission, [EMERGENCY_WARNING]));
  }
  const admission = await admit(review, hook, (image) => ports.ask(image, review));
  ports.decided(review, hook, admission, performance.now() - began);
  return json(answerTo(review.uid, admission));
}

function json(text: string): Answer {
  return { status: 200, text, type: 'application/json' };
}

/** The paths of a policy, read once for each. */
class Paths {
  private policy: Policy | undefined;
  private paths: readonly ImagePath[] = [];

  of(policy: Policy): readonly ImagePath[] {
    if (policy !== this.policy) {
      this.policy = policy;
      this.paths = (policy.gate?.images ?? []).map(parseImagePath);
    }
    return this.paths;
  }
}

/** Bytes that may be held at a time. */
class Budget {
  private left: number;

  constructor(bytes: number) {
    this.left = bytes;
  }

  /** Takes so many until the request has been read, or has failed. */
  take(bytes: number, request: IncomingMessage): boolean {
    if (bytes > this.left) return false;
    this.left -= bytes;
    request.once('close', () => {
      this.left += bytes;
    });
    return true;
  }
}
