import { type Certificate, parseCertificate } from '../../src/crypto/certificate.ts';
import { type CertificateContent, createCertificate } from '../../src/crypto/certificate-build.ts';
import { type GeneratedKeyType, generatePrivateKey } from '../../src/crypto/private-key.ts';
import { createSigner, type Signer } from '../../src/crypto/signer.ts';

/** A certificate with the key that it certifies. */
export interface Certified {
  readonly subject: string;
  readonly signer: Signer;
  readonly certificate: Certificate;
}

export interface CertifyOptions extends Partial<Omit<CertificateContent, 'subject' | 'publicKey'>> {
  /** Self-signed where left out. */
  readonly issuer?: Certified;
  /** A new key of this type, P-256 where left out; or this very signer. */
  readonly key?: GeneratedKeyType | Signer;
}

/** Validity of test certificates, so that tests can choose a time within or beyond it. */
export const NOT_BEFORE: Date = new Date('2026-01-01T00:00:00Z');
export const NOT_AFTER: Date = new Date('2027-01-01T00:00:00Z');
export const DURING: Date = new Date('2026-07-01T00:00:00Z');

/** Makes a key and a certificate for it: a leaf with Notation's profile, or an authority. */
export async function certify(subject: string, options: CertifyOptions = {}): Promise<Certified> {
  const { issuer, key = 'P-256', notBefore = NOT_BEFORE, notAfter = NOT_AFTER, authority, uris } = options;
  const signer = typeof key === 'string' ? createSigner(generatePrivateKey(key)) : key;
  const der = await createCertificate(
    {
      subject,
      publicKey: signer.publicKey,
      notBefore,
      notAfter,
      ...(authority !== undefined && { authority }),
      ...(uris !== undefined && { uris }),
    },
    issuer ?? { subject, signer },
  );
  return { subject, signer, certificate: parseCertificate(der, subject) };
}

/** Root, intermediate and leaf; `chain` is in the order of a signature: leaf first. */
export async function certifiedChain(
  subject = 'C=DE, ST=Berlin, O=Acme, CN=release',
): Promise<{ root: Certified; intermediate: Certified; leaf: Certified; chain: Certificate[] }> {
  const root = await certify('C=DE, ST=Berlin, O=Acme, CN=Root', { authority: {} });
  const intermediate = await certify('C=DE, ST=Berlin, O=Acme, CN=Issuing', {
    issuer: root,
    authority: { pathLength: 0 },
  });
  const leaf = await certify(subject, { issuer: intermediate });
  return {
    root,
    intermediate,
    leaf,
    chain: [leaf, intermediate, root].map(({ certificate }) => certificate),
  };
}
