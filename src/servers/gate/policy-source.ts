import type { Policy } from '../../policy/file/policy.ts';

/** A policy as it was read, with all that it names. */
export interface LoadedPolicy {
  readonly policy: Policy;
  /** SHA-256 over all that was read, in hexadecimal: another one is another policy. */
  readonly hash: string;
  /** Files to watch. */
  readonly files: readonly string[];
}

/** Where the policy of a gate comes from. */
export interface PolicySource {
  /** For messages. */
  readonly where: string;
  /** @throws BullaError policy-invalid, not-found, … */
  read(): Promise<LoadedPolicy>;
  /** How often it is read without being asked to, in milliseconds; undefined where its files tell when. */
  readonly everyMs?: number | undefined;
}
