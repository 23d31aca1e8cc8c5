import { BullaError } from '../errors.ts';
import type { NotaryRoleKeys } from './content.ts';
import type { NotaryFile, NotarySignature } from './file.ts';
import type { ListedKey, NotaryKey } from './keys.ts';

/** What became of the signatures of a file under the keys of one role. */
export interface NotaryCount {
  /** Keys whose signatures are valid; each key once, whatever ids it is listed under. */
  readonly valid: readonly NotaryKey[];
  /** Why others of the role's keys do not count, by key id. */
  readonly refused: ReadonlyMap<string, string>;
}

/**
 * Counts the keys of a role that have signed a file. A key counts once, by what it is; a signature that
 * does not verify is ignored, and does not invalidate the file.
 * @param usable further condition on a key: the reason why it does not count, or undefined
 */
export function countNotarySignatures(
  file: NotaryFile,
  keys: ReadonlyMap<string, ListedKey>,
  keyids: readonly string[],
  usable: (key: NotaryKey) => string | undefined = () => undefined,
): NotaryCount {
  const signatures = new Map(file.signatures.map((signature) => [signature.keyid, signature]));
  const valid = new Map<string, NotaryKey>();
  const refused = new Map<string, string>();
  for (const keyid of new Set(keyids)) {
    const verdict = judge(file, keys.get(keyid), signatures.get(keyid), usable);
    if (typeof verdict === 'string') refused.set(keyid, verdict);
    else if (valid.has(verdict.publicKey.fingerprint)) refused.set(keyid, 'the same key under another id');
    else valid.set(verdict.publicKey.fingerprint, verdict);
  }
  return { valid: [...valid.values()], refused };
}

/** The key that has signed, or why it does not count. Only keys with a signature are read. */
function judge(
  file: NotaryFile,
  listed: ListedKey | undefined,
  signature: NotarySignature | undefined,
  usable: (key: NotaryKey) => string | undefined,
): NotaryKey | string {
  if (listed === undefined) return 'is not listed';
  if (signature === undefined) return 'has not signed';
  const { key, problem } = listed;
  if (key === undefined) return problem ?? 'cannot be used';
  const why = usable(key);
  if (why !== undefined) return why;
  const { sig, method } = signature;
  return sig !== undefined && key.verify(file.message, sig, method) ? key : 'its signature does not verify';
}

/**
 * Demands that a threshold of a role's keys has signed a file.
 * @param delegator whose keys these are, for the message
 * @throws BullaError trust-invalid (details.role, reason `signatures`, valid, threshold, refused)
 */
export function assertNotaryThreshold(
  file: NotaryFile,
  keys: ReadonlyMap<string, ListedKey>,
  role: NotaryRoleKeys,
  delegator: string,
  usable?: (key: NotaryKey) => string | undefined,
): void {
  const { valid, refused } = countNotarySignatures(file, keys, role.keyids, usable);
  if (valid.length >= role.threshold) return;
  const reasons = [...refused].map(([keyid, why]) => `${keyid.slice(0, 12)} ${why}`);
  throw new BullaError(
    'trust-invalid',
    `metadata of ${JSON.stringify(file.role)} is signed by ${valid.length} of the ${role.threshold} keys that ${delegator} demands${reasons.length === 0 ? '' : `: ${reasons.slice(0, 8).join('; ')}`}`,
    {
      hint: 'it was altered, or signed with keys that are not trusted for it (any more); nothing of it is used',
      details: {
        role: file.role,
        reason: 'signatures',
        valid: valid.map(({ computedId }) => computedId),
        threshold: role.threshold,
        refused: Object.fromEntries(refused),
      },
    },
  );
}
