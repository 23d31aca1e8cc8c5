import { type Certificate, MAX_CHAIN_LENGTH, parseCertificates } from '../crypto/certificate.ts';
import { checkSigningChain, checkValidAt } from '../crypto/certificate-profile.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { malformed } from './errors.ts';

/**
 * Certificates that an envelope carries, in its order.
 * @throws BullaError certificate-invalid, content-invalid
 */
export function readChain(ders: readonly Uint8Array[], where: string): Certificate[] {
  if (ders.length === 0 || ders.length > MAX_CHAIN_LENGTH) {
    throw malformed(where, `it has ${ders.length} certificates; 1 to ${MAX_CHAIN_LENGTH} were expected`);
  }
  return parseCertificates(ders, where);
}

/** Whether one of the chain's certificates is trusted as it is: Notation's rule, so a root or an intermediate can be pinned. */
export function isAnchored(chain: readonly Certificate[], roots: readonly Certificate[]): boolean {
  const trusted = new Set(roots.map((root) => root.thumbprint));
  return chain.some((certificate) => trusted.has(certificate.thumbprint));
}

/**
 * Checks that a chain is whole and of Notation's profile, that it leads to a trusted certificate, and
 * that all of it is valid now, and was when the signature says that it was made. Without a trusted timestamp, a signature does not outlive its
 * certificates: the time that it names is the signer's own word.
 * @param now undefined if it does not matter whether they are valid now
 * @throws BullaError certificate-invalid, certificate-expired
 */
export function checkTrustedChain(
  chain: readonly Certificate[],
  roots: readonly Certificate[],
  { now, signingTime }: { readonly now: Date | undefined; readonly signingTime?: Date | undefined },
  where: string,
): void {
  try {
    checkSigningChain(chain);
    if (!isAnchored(chain, roots)) throw unanchored(roots);
    if (now !== undefined) checkValidAt(chain, now);
    if (signingTime !== undefined) checkValidAt(chain, signingTime);
  } catch (error) {
    if (!isBullaError(error)) throw error;
    const { code, message, hint, details } = error;
    throw new BullaError(code, `${where}: ${message}`, {
      cause: error,
      details,
      ...(hint !== undefined && { hint }),
    });
  }
}

function unanchored(roots: readonly Certificate[]): BullaError {
  const trusted = roots.map(({ thumbprint }) => thumbprint.slice(0, 12)).join(', ');
  return new BullaError(
    'certificate-invalid',
    `its certificates lead to none of those trusted (${trusted})`,
    {
      hint: 'give the root of its chain with --ca if you trust it',
    },
  );
}
