import { type Certificate, parseCertificates, subjectOf } from '../crypto/certificate.ts';
import { checkValidAt } from '../crypto/certificate-profile.ts';
import { checkCertificationPath, commonNameOf } from '../crypto/certification-path.ts';
import { type PublicKey, parsePublicKeysPem } from '../crypto/public-key.ts';
import { isBullaError, messageOf } from '../errors.ts';
import type { NotaryRoot } from './content.ts';
import type { NotaryFile } from './file.ts';
import type { NotaryKey } from './keys.ts';
import { countNotarySignatures } from './threshold.ts';

/**
 * What says whose root is trusted (spec/notary.md, "Stored pins"): ids of root keys (over the certificate, or of
 * the bare key), a root file, authorities that certify root keys, bare public keys, or the first root that
 * is seen.
 */
export type NotaryPin =
  | { readonly kind: 'key-ids'; readonly keyIds: readonly string[] }
  | { readonly kind: 'root'; readonly bytes: Uint8Array }
  | { readonly kind: 'ca'; readonly pem: string }
  | { readonly kind: 'public-key'; readonly pem: string }
  | { readonly kind: 'tofu' };

/** Why a root key does not count for a repository, or undefined: its certificate must carry the name. */
export function problemWithRootKey(
  key: NotaryKey,
  gun: string,
  validAt: Date | undefined,
): string | undefined {
  const [leaf, ...others] = key.certificates;
  if (leaf === undefined) return undefined;
  // A lone certificate that its owner made as that of an authority says as much as another.
  if (others.some(({ isCa }) => !isCa) || (leaf.isCa && others.length > 0))
    return 'its certificates must be one for the key, then those of authorities';
  const name = commonNameOf(leaf);
  if (name === undefined || !namesRepository(name, gun))
    return `its certificate is for ${JSON.stringify((name ?? subjectOf(leaf)).slice(0, 200))}, not for ${gun}`;
  return validAt === undefined ? undefined : problemAt(leaf, validAt);
}

/** Whether a certificate's common name covers a repository: it is its name, or a prefix that ends in `*`. */
function namesRepository(commonName: string, gun: string): boolean {
  if (commonName === gun) return true;
  return commonName.endsWith('*') && gun.startsWith(commonName.replace(/\*+$/, ''));
}

/** Tells whether keys are pinned; reads what is pinned once. */
export type PinnedKeys = (key: NotaryKey) => boolean;

/**
 * The keys that a pin names; none for pins of other kinds (a root file, first use).
 * @param validAt when certificates must be valid; left out: all at some one time
 * @throws BullaError certificate-invalid, key-invalid for a pin that cannot be read
 */
export function pinnedKeys(pin: NotaryPin, validAt?: Date): PinnedKeys {
  switch (pin.kind) {
    case 'key-ids': {
      const ids = new Set(pin.keyIds.map((id) => id.toLowerCase()));
      return (key) => ids.has(key.computedId) || ids.has(key.keystoreId);
    }
    case 'public-key': {
      const keys: readonly PublicKey[] = parsePublicKeysPem(pin.pem, 'the pinned root key');
      const prints = new Set(keys.map(({ fingerprint }) => fingerprint));
      return (key) => prints.has(key.publicKey.fingerprint);
    }
    case 'ca': {
      const authorities = parseCertificates(pin.pem, 'the pinned authority');
      return (key) => isCertified(key.certificates, authorities, validAt);
    }
    default:
      return () => false;
  }
}

/** Whether a root is signed by one of the pinned keys, which must be a root key of its own. */
export function isSignedByPinned(
  file: NotaryFile,
  root: NotaryRoot,
  isPinned: PinnedKeys,
  usable: (key: NotaryKey) => string | undefined,
): boolean {
  const { keyids } = root.roles.get('root') ?? { keyids: [] };
  const { valid } = countNotarySignatures(file, root.keys, keyids, (key) =>
    isPinned(key) ? usable(key) : 'is not pinned',
  );
  return valid.length > 0;
}

function isCertified(
  chain: readonly Certificate[],
  authorities: readonly Certificate[],
  validAt: Date | undefined,
): boolean {
  if (chain.length === 0) return false;
  try {
    checkCertificationPath(chain, authorities, validAt);
    return true;
  } catch (error) {
    if (isBullaError(error)) return false;
    throw error;
  }
}

function problemAt(certificate: Certificate, time: Date): string | undefined {
  try {
    checkValidAt([certificate], time);
    return undefined;
  } catch (error) {
    if (isBullaError(error)) return messageOf(error);
    throw error;
  }
}
