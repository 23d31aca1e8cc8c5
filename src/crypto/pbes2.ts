import { BullaError } from '../errors.ts';
import { type DerValue, derChildren, readDer, readOid, readSmallInteger, TAG } from './der.ts';

const PBES2 = '1.2.840.113549.1.5.13';
const PBKDF2 = '1.2.840.113549.1.5.12';
const SCRYPT = '1.3.6.1.4.1.11591.4.11';
/** Rounds that take OpenSSL some seconds; what honest tools write is 2,048 to 1,000,000. */
const MAX_ITERATIONS = 5_000_000;
/** Bytes that scrypt may ask for, 128·N·r, and the passes over them. */
const MAX_SCRYPT_BYTES = 256 * 1024 * 1024;
const MAX_SCRYPT_P = 16;

/**
 * Checks the parameters of an EncryptedPrivateKeyInfo (RFC 5958 §3) before OpenSSL opens
 * it: only PBES2 (RFC 8018 §6.2), and only so many rounds, so that a hostile file cannot keep the
 * processor busy for hours.
 * @throws BullaError key-invalid
 */
export function checkPbes2(der: Uint8Array, where: string): void {
  let reason: string | undefined;
  try {
    reason = objection(der);
  } catch (cause) {
    throw refused(where, 'it is not an EncryptedPrivateKeyInfo', cause);
  }
  if (reason !== undefined) throw refused(where, reason);
}

function objection(der: Uint8Array): string | undefined {
  const [algorithm] = derChildren(readDer(der, TAG.sequence));
  const [scheme, parameters] = derChildren(algorithm ?? readDer(der), TAG.sequence);
  if (readOid(scheme) !== PBES2) return `it is encrypted with ${readOid(scheme)}, not with PBES2`;
  const [derivation] = derChildren(parameters as DerValue, TAG.sequence);
  const [kdf, inner] = derChildren(derivation as DerValue, TAG.sequence);
  const values = derChildren(inner as DerValue, TAG.sequence);
  switch (readOid(kdf)) {
    case PBKDF2: {
      const rounds = readSmallInteger(values[1]);
      return rounds > MAX_ITERATIONS ? `it asks for ${rounds} rounds of PBKDF2` : undefined;
    }
    case SCRYPT: {
      const [n, r, p] = values.slice(1, 4).map(readSmallInteger) as [number, number, number];
      const bearable = 128 * n * r <= MAX_SCRYPT_BYTES && p <= MAX_SCRYPT_P;
      return !bearable ? `it asks for scrypt with N=${n} r=${r} p=${p}` : undefined;
    }
    default:
      return `its key derivation is ${readOid(kdf)}, not PBKDF2 or scrypt`;
  }
}

function refused(where: string, why: string, cause?: unknown): BullaError {
  return new BullaError('key-invalid', `${where} is not an encrypted key that can be read: ${why}`, {
    cause,
    hint: 'convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc`',
  });
}
