import { defaultAlgorithm } from '../crypto/algorithm.ts';
import type { GeneratedKeyType } from '../crypto/private-key.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { BullaError } from '../errors.ts';
import type { KeyBackEnd, KeySources } from './back-end.ts';
import { backEndOf } from './back-ends/registry.ts';
import type { KeptKey } from './store.ts';

/** Whether a text is the URI of a key that a device or service keeps. */
export function isKept(text: string, sources: Pick<KeySources, 'backEnds'>): boolean {
  return backEndOf(text, sources) !== undefined;
}

/**
 * What the key store keeps of a key elsewhere. It is asked for its public key; no PIN or passphrase is needed for that
 * where it shows it without.
 * @throws BullaError usage, not-found, key-invalid, key-unavailable, unauthorized, forbidden, timeout
 */
export async function lookAtKept(
  uri: string,
  sources: KeySources,
): Promise<{ readonly publicKey: PublicKey; readonly kept: KeptKey }> {
  const handle = await (await backEndFor(uri, sources)).find(uri, sources);
  const { publicKey } = handle;
  const algorithms = handle.algorithms ?? [defaultAlgorithm(publicKey.type, publicKey.modulusBits).id];
  return { publicKey, kept: { uri, algorithms } };
}

/**
 * Makes a key where it is to be kept.
 * @throws BullaError usage where keys are made there by other tools, conflict where there is one already; as {@link lookAtKept}
 */
export async function generateKept(uri: string, type: GeneratedKeyType, sources: KeySources): Promise<void> {
  const backEnd = await backEndFor(uri, sources);
  if (backEnd.generate !== undefined) return await backEnd.generate(uri, type, sources);
  throw new BullaError('usage', `keys at ${uri.replace(/:.*/s, ':')} are made with other tools`, {
    hint: 'make it with those (docs/keys.md), then: bulla key import URI NAME',
  });
}

async function backEndFor(uri: string, sources: KeySources): Promise<KeyBackEnd> {
  const backEnd = await backEndOf(uri, sources)?.();
  if (backEnd !== undefined) return backEnd;
  throw new BullaError('usage', `${uri} is not the URI of a key that is kept elsewhere`, {
    hint: 'write ssh-agent:, pkcs11:…, openbao://KEY, awskms:///alias/NAME, … (docs/keys.md)',
  });
}
