import type { JsonObject, JsonValue } from '../../encoding/json.ts';
import { isJsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import type { TufKey } from '../keys.ts';

/** Who may sign for a role: any `threshold` of these keys. */
export interface KeyChoice {
  readonly keys: readonly TufKey[];
  readonly threshold: number;
}

/** An object of JSON as the parser makes them: without a prototype, so that any name is a plain key. */
export function jsonObject(members: { readonly [key: string]: JsonValue } = {}): JsonObject {
  return Object.assign(Object.create(null), members);
}

/**
 * Refuses keys that cannot sign, or that would weaken a threshold.
 * @throws BullaError key-invalid, usage
 */
export function assertKeyChoice(role: string, { keys, threshold }: KeyChoice): void {
  const material = new Set<string>();
  for (const key of keys) {
    const { fingerprint } = key;
    if (fingerprint === undefined || !key.hasCorrectId) throw unusable(role, key);
    if (material.has(fingerprint)) throw refused(role, 'one key is given twice');
    material.add(fingerprint);
  }
  if (Number.isInteger(threshold) && threshold >= 1 && threshold <= keys.length) return;
  throw refused(role, `a threshold from 1 to ${keys.length} was expected, and ${threshold} was given`);
}

/** Writes keys and threshold of a role into its JSON; what else it holds stays. */
export function writeKeyChoice(entry: JsonObject, { keys, threshold }: KeyChoice): void {
  entry['keyids'] = keys.map(({ keyid }) => keyid);
  entry['threshold'] = threshold;
}

/**
 * Makes a `keys` object hold the given keys and drops those that no role uses any more: a key that
 * stays behind would be counted again as soon as its id is listed.
 * @param roles JSON of all roles that the object serves
 */
export function updateKeyList(
  list: JsonObject,
  added: readonly TufKey[],
  roles: Iterable<JsonValue | undefined>,
): void {
  for (const key of added) list[key.keyid] = key.json;
  const used = new Set(
    [...roles].flatMap((role) => (isJsonObject(role) ? (role['keyids'] as string[]) : [])),
  );
  for (const keyid of Object.keys(list)) if (!used.has(keyid)) delete list[keyid];
}

function unusable(role: string, key: TufKey): BullaError {
  const why =
    key.problem ?? `it is listed as ${key.keyid.slice(0, 12)}, and its id is ${key.computedId.slice(0, 12)}`;
  return new BullaError('key-invalid', `a key for ${JSON.stringify(role)} cannot be used: ${why}`, {
    hint: 'give a public key of a type that TUF knows, under its own id',
    details: { role, keyid: key.keyid },
  });
}

function refused(role: string, why: string): BullaError {
  return new BullaError('usage', `keys of ${JSON.stringify(role)}: ${why}`, {
    hint: 'give different keys, at least as many as have to sign together',
    details: { role },
  });
}
