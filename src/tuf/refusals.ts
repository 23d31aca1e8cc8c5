import { formatTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';
import { formatVersion } from './edit/policy.ts';

/** Freeze: §5.3.10, §5.4.4, §5.5.6, §5.6.5. @throws BullaError trust-expired (details.role, expires, now) */
export function assertUnexpired(role: string, expires: Date, now: Date): void {
  if (expires.getTime() > now.getTime()) return;
  throw new BullaError(
    'trust-expired',
    `metadata of ${JSON.stringify(role)} expired at ${formatTime(expires)}, and it is ${formatTime(now)}`,
    {
      hint: 'newer files are being withheld, or the operator of the repository must sign again; check the clock here too',
      details: { role, expires: formatTime(expires), now: formatTime(now) },
    },
  );
}

/** Rollback: §5.4.3, §5.5.5. @throws BullaError trust-rollback (details.role, from, to) */
export function assertNoRollback(role: string, trusted: number, offered: number | undefined): void {
  if (offered !== undefined && offered >= trusted) return;
  const what =
    offered === undefined ? 'is no longer listed' : `went back to version ${formatVersion(offered)}`;
  throw new BullaError(
    'trust-rollback',
    `metadata of ${JSON.stringify(role)} ${what}; version ${formatVersion(trusted)} has been seen here`,
    {
      hint: 'an old state of the repository is being served; use a mirror that is up to date',
      details: { role, from: trusted, to: offered ?? null },
    },
  );
}

/** Mix-and-match: §5.3.5, §5.5.4, §5.6.4. @throws BullaError trust-invalid (details.role, expected, found) */
export function assertVersion(role: string, expected: number, found: number): void {
  if (expected === found) return;
  throw new BullaError(
    'trust-invalid',
    `metadata of ${JSON.stringify(role)} has version ${found}, and version ${expected} belongs here`,
    {
      hint: 'files of different states were mixed: the mirror is inconsistent, or the file was altered',
      details: { role, reason: 'version', expected, found },
    },
  );
}

/** A file that verified metadata says must be there. */
export function missingFile(role: string, fileName: string): BullaError {
  return new BullaError('trust-invalid', `the repository has no ${fileName}`, {
    hint: 'check the URL or folder of the repository; if it is right, the file is withheld or was never put there',
    details: { role, reason: 'missing', fileName },
  });
}

/** A role that snapshot does not list must not be used (§5.6.1). */
export function unlistedRole(role: string): BullaError {
  return new BullaError('trust-invalid', `snapshot does not list the role ${JSON.stringify(role)}`, {
    hint: 'the operator of the repository delegated to the role and did not publish its file',
    details: { role, reason: 'unlisted' },
  });
}
