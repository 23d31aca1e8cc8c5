import { generateKeyPairSync, type KeyPairKeyObjectResult } from 'node:crypto';

const PER_SIZE = 4;
const made = new Map<number, { readonly pairs: KeyPairKeyObjectResult[]; next: number }>();

/**
 * A pair of RSA keys, which take a fifth of a second to make, and with 4096 bits seconds. Each call has another than
 * the three before it; then they come again, for other tests.
 */
export function rsaKeys(modulusLength: number): KeyPairKeyObjectResult {
  const known = made.get(modulusLength) ?? { pairs: [], next: 0 };
  made.set(modulusLength, known);
  const at = known.next++ % PER_SIZE;
  const pair = known.pairs[at] ?? generateKeyPairSync('rsa', { modulusLength });
  known.pairs[at] = pair;
  return pair;
}
