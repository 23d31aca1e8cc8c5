import type { IncomingMessage } from 'node:http';
import { type Admission, admit, type Hook } from '../../actions/gate/admit.ts';
import { admittedUnseen, answerTo, deniedAsBroken, EMERGENCY_WARNING } from '../../actions/gate/answer.ts';
import { MAX_REVIEW_BYTES, parseReview, type Review } from '../../actions/gate/review.ts';
import { type GateImage, undecided, type Verdict } from '../../actions/gate/verdict.ts';
import { type ImagePath, parseImagePath } from '../../actions/verify/image-places.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { Policy } from '../../policy/file/policy.ts';
import type { Answer, PostEndpoint } from '../endpoints.ts';

export interface ReviewPorts {
  readonly policy: () => Policy;
  /** Says what the policy says about an image of a review. It never fails, and may take longer than the deadline. */
  readonly ask: (image: GateImage, review: Pick<Review, 'namespace' | 'pullSecrets'>) => Promise<Verdict>;
  readonly deadlineMs: number;
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
  const admission = await inTime(review, hook, ports);
  ports.decided(review, hook, admission, performance.now() - began);
  return json(answerTo(review.uid, admission));
}

function json(text: string): Answer {
  return { status: 200, text, type: 'application/json' };
}

/** Decides before the deadline; images that nothing is known about by then are undecided. */
async function inTime(review: Review, hook: Hook, ports: ReviewPorts): Promise<Admission> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ports.deadlineMs);
  });
  try {
    return await admit(review, hook, async (image) => {
      const verdict = await Promise.race([ports.ask(image, review), late]);
      return verdict ?? undecided(image, ports.policy(), tooLate(image, ports.deadlineMs));
    });
  } finally {
    clearTimeout(timer);
  }
}

/** That an image was not verified in time. */
export function tooLate({ text }: GateImage, ms: number): BullaError {
  return new BullaError('timeout', `${text} was not verified within ${ms / 1000} s`, {
    hint: 'its registry is slow; the verification goes on, try again in some seconds',
  });
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
