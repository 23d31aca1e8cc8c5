import { BullaError, type ErrorCode, EXIT_CODES, isBullaError, messageOf } from '../../errors.ts';
import type { Failure } from './report.ts';

/** What the alarm, the log and the metrics report about an error. */
export function failureOf(error: unknown): Failure {
  const { code, message, hint, details } = isBullaError(error)
    ? error
    : new BullaError('internal', `a defect of bulla: ${messageOf(error)}`, {
        cause: error,
        hint: 'please report it with the log',
      });
  const { reason, role, status, retryAfterSeconds } = details;
  return {
    code,
    message,
    hint,
    ...(typeof reason === 'string' && { reason }),
    ...(typeof role === 'string' && { role }),
    ...(typeof status === 'number' && { status }),
    ...(typeof retryAfterSeconds === 'number' && { retryAfterMs: retryAfterSeconds * 1000 }),
    ...(details['budget'] === true && { isOverBudget: true }),
  };
}

/** The reason with which work that used up its time is ended. */
export function overBudget(place: string, budgetMs: number): BullaError {
  return new BullaError('timeout', `${place} took longer than the ${budgetMs / 1000} s that it may take`, {
    hint: 'others are served meanwhile; if the repository is honest, look how many tags begin with _trust and how fast the registry is',
    details: { budget: true },
  });
}

/** Exit statuses from the most alarming to the least; what isn't listed stands before all. */
const RANKS: readonly number[] = [1, 21, 22, 24, 40, 13, 12, 20, 25, 23, 11, 2, 4, 5, 30, 31, 10, 3, 130];

/** The one of several outcomes that a script has to know of; undefined where there are none. */
export function worstOf(codes: Iterable<ErrorCode>): ErrorCode | undefined {
  let worst: ErrorCode | undefined;
  for (const code of codes) if (worst === undefined || rankOf(code) < rankOf(worst)) worst = code;
  return worst;
}

function rankOf(code: ErrorCode): number {
  return RANKS.indexOf(EXIT_CODES[code]);
}
