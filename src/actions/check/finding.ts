import { type BullaError, type ErrorCode, isBullaError, messageOf } from '../../errors.ts';

/** What is looked at, in the order of the report. */
export const CHECKS = [
  'tls',
  'credentials',
  'api',
  'clock',
  'listing',
  'head',
  'conditional-get',
  'referrers',
  'push',
  'types',
  'tag-moves',
  'read-after-write',
  'conditional-put',
  'mount',
  'delete-tags',
  'delete-manifests',
] as const;
export type CheckName = (typeof CHECKS)[number];

/** What bulla is used for. `verifying`: reading images and signatures. */
export const ABILITIES = ['verifying', 'signing', 'collections'] as const;
export type Ability = (typeof ABILITIES)[number];

/**
 * `good`: works as expected; `around`: does not, and bulla works around it; `warn`: it works, but needs
 * attention; `bad`: something will not work; `unknown`: it was not tried, or did not tell.
 */
export type State = 'good' | 'around' | 'warn' | 'bad' | 'unknown';

/** One thing that a registry does, and what follows from it. */
export interface Finding {
  readonly check: CheckName;
  readonly state: State;
  /** What was seen, in a few words. */
  readonly found: string;
  /** What bulla does about it, or what to do. */
  readonly consequence?: string | undefined;
  /** What was seen, for programs. */
  readonly facts?: Readonly<Record<string, unknown>> | undefined;
  /** Of `bad`: what a command that needs it ends with. */
  readonly code?: ErrorCode | undefined;
  /** Of `bad`: what does not work. */
  readonly breaks?: readonly Ability[] | undefined;
}

/** Something that will not work because of an error. */
export function failing(check: CheckName, error: BullaError, breaks: readonly Ability[]): Finding {
  return {
    check,
    state: 'bad',
    found: error.message,
    consequence: error.hint,
    facts: { code: error.code, ...error.details },
    code: error.code,
    breaks,
  };
}

/** Something that could not be asked. */
export function unasked(check: CheckName, why: string): Finding {
  return { check, state: 'unknown', found: why };
}

/**
 * The BullaError that a look at something ended with.
 * @throws errors that are not part of a report: the end of the run, and defects
 */
export function failureOf(error: unknown, signal: AbortSignal | undefined): BullaError {
  if (!isBullaError(error) || isBullaError(error, 'interrupted') || signal?.aborted === true) throw error;
  return error;
}

/** A registry's own words, short. */
export function words(error: BullaError): string {
  const { status, said } = error.details;
  if (typeof status !== 'number') return messageOf(error);
  return typeof said === 'string' ? `answered ${status}: ${said}` : `answered ${status}`;
}
