import { fromHex } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import type { RoleKeys } from './delegation-keys.ts';
import type { TufKey } from './keys.ts';
import type { MetadataFile } from './metadata-file.ts';

/** What became of the signatures of a file under one delegation. */
export interface SignatureCount {
  /** Key ids whose signatures are valid, one per key material. */
  readonly valid: readonly string[];
  /** Why others of the role's keys do not count, by key id. */
  readonly refused: ReadonlyMap<string, string>;
  readonly threshold: number;
  readonly isMet: boolean;
}

export interface CountOptions {
  /** Ignore keys whose id is not their hash. */
  readonly strictKeyIds?: boolean;
}

/**
 * Counts the signatures on a file that are made by keys of a role. A key counts once, whatever ids it is
 * listed under (TUF 1.0.34 §5.3.4: distinct keys; by material, so that two ids for one key are one). A
 * signature that does not verify is ignored and does not invalidate the file.
 */
export function countSignatures(
  file: MetadataFile,
  keys: ReadonlyMap<string, TufKey>,
  role: RoleKeys,
  options: CountOptions = {},
): SignatureCount {
  const signatures = new Map(file.signatures.map(({ keyid, sig }) => [keyid, sig]));
  const counted = new Map<string, string>();
  const refused = new Map<string, string>();
  for (const keyid of new Set(role.keyids)) {
    const verdict = judge(file, keys.get(keyid), signatures.get(keyid), options);
    if (verdict.refused !== undefined) refused.set(keyid, verdict.refused);
    else if (counted.has(verdict.fingerprint))
      refused.set(keyid, `the same key as ${counted.get(verdict.fingerprint)}`);
    else counted.set(verdict.fingerprint, keyid);
  }
  return {
    valid: [...counted.values()],
    refused,
    threshold: role.threshold,
    isMet: counted.size >= role.threshold,
  };
}

/**
 * Whether any key of a role has made any signature on a file, whatever id that carries. Ids stand outside
 * of what is signed, and one key may get another: its earlier signatures remain its own.
 */
export function isSignedByAny(
  file: MetadataFile,
  keys: ReadonlyMap<string, TufKey>,
  role: RoleKeys,
  options: CountOptions = {},
): boolean {
  return role.keyids.some((keyid) =>
    file.signatures.some(({ sig }) => judge(file, keys.get(keyid), sig, options).refused === undefined),
  );
}

type Verdict = { readonly refused: string } | { readonly refused?: undefined; readonly fingerprint: string };

function judge(
  file: MetadataFile,
  key: TufKey | undefined,
  sig: string | undefined,
  options: CountOptions,
): Verdict {
  if (key === undefined) return { refused: 'no such key is listed' };
  if (sig === undefined) return { refused: 'has not signed' };
  if (options.strictKeyIds === true && !key.hasCorrectId) return { refused: 'is listed under a wrong id' };
  const { verifier } = key;
  if (verifier === undefined) return { refused: key.problem ?? 'cannot be used' };
  const signature = fromHex(sig);
  if (signature === undefined || !verifier.verify(file.message, signature)) {
    return { refused: 'its signature does not verify' };
  }
  return { fingerprint: verifier.publicKey.fingerprint };
}

/**
 * Demands that a threshold of a role's keys has signed a file.
 * @param delegator whose keys these are, for the message
 * @throws BullaError trust-invalid (details.role, valid, threshold, refused)
 */
export function assertThreshold(
  file: MetadataFile,
  keys: ReadonlyMap<string, TufKey>,
  role: RoleKeys,
  delegator: string,
  options: CountOptions = {},
): void {
  const count = countSignatures(file, keys, role, options);
  if (count.isMet) return;
  const reasons = [...count.refused].map(([keyid, why]) => `${keyid.slice(0, 12)} ${why}`);
  throw new BullaError(
    'trust-invalid',
    `metadata of ${JSON.stringify(file.role)} is signed by ${count.valid.length} of the ${count.threshold} keys that ${delegator} demands${reasons.length === 0 ? '' : `: ${reasons.join('; ')}`}`,
    {
      hint: 'it was altered, or signed with keys that are not trusted for it (any more); nothing of it is used',
      details: {
        role: file.role,
        reason: 'signatures',
        valid: count.valid,
        threshold: count.threshold,
        refused: Object.fromEntries(count.refused),
      },
    },
  );
}
