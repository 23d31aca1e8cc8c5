import { BullaError } from '../errors.ts';
import { type Certificate, isIssuedBy, subjectOf } from './certificate.ts';
import type { PublicKey } from './public-key.ts';

/**
 * Checks that `certificates` are a chain for `key`: the first certifies the key, each is issued by the
 * one after it. Whether the last one is trusted is decided elsewhere.
 * @param where names the file in messages
 * @throws BullaError key-invalid where the key is another, certificate-invalid where the order is wrong
 */
export function checkChainOrder(certificates: readonly Certificate[], key: PublicKey, where: string): void {
  const [leaf] = certificates;
  if (leaf?.publicKey.fingerprint !== key.fingerprint) {
    const later = certificates.findIndex(({ publicKey }) => publicKey.fingerprint === key.fingerprint);
    throw new BullaError('key-invalid', `the first certificate of ${where} is not one for this key`, {
      hint:
        later > 0
          ? `put certificate ${later + 1} first: the order is that of the chain, from the signing certificate to the root`
          : 'give the chain that was issued for this key, or the key that belongs to it',
      details: {
        key: key.fingerprint,
        ...(leaf !== undefined && { certificate: leaf.publicKey.fingerprint }),
      },
    });
  }
  for (const [index, certificate] of certificates.entries()) {
    const issuer = certificates[index + 1];
    if (issuer !== undefined && !isIssuedBy(certificate, issuer)) {
      throw new BullaError(
        'certificate-invalid',
        `certificate ${index + 1} of ${where} (${subjectOf(certificate)}) is not issued by the next one (${subjectOf(issuer)})`,
        { hint: 'order the file from the signing certificate to the root, with nothing missing in between' },
      );
    }
  }
}
