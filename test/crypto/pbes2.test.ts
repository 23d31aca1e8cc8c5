import { describe, expect, it } from 'vitest';
import { TAG } from '../../src/crypto/der.ts';
import { der, derInteger, derOid, derSequence } from '../../src/crypto/der-write.ts';
import { checkPbes2 } from '../../src/crypto/pbes2.ts';
import { formatPem } from '../../src/crypto/pem.ts';
import { parsePublicKeysPem } from '../../src/crypto/public-key.ts';

const [PBES2, PBKDF2, SCRYPT] = ['1.2.840.113549.1.5.13', '1.2.840.113549.1.5.12', '1.3.6.1.4.1.11591.4.11'];
const salt = der(TAG.octetString, new Uint8Array(16));
const number = (value: number): Uint8Array => {
  const hex = value.toString(16);
  return derInteger(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'));
};

/** An EncryptedPrivateKeyInfo whose key is derived so; its cipher does not matter. */
function sealed(scheme: string, derivation: string, ...parameters: Uint8Array[]): Uint8Array {
  const kdf = derSequence(derOid(derivation), derSequence(salt, ...parameters));
  const cipher = derSequence(derOid('2.16.840.1.101.3.4.1.42'), der(TAG.octetString, new Uint8Array(16)));
  return derSequence(derSequence(derOid(scheme), derSequence(kdf, cipher)), salt);
}
const rounds = (count: number): Uint8Array => sealed(PBES2!, PBKDF2!, number(count));
const scrypt = (n: number, r: number, p: number): Uint8Array =>
  sealed(PBES2!, SCRYPT!, number(n), number(r), number(p));

describe('the work that an encrypted key asks for', () => {
  it.each<[string, Uint8Array]>([
    ['one round', rounds(1)],
    ['five million rounds', rounds(5_000_000)],
    ['scrypt as OpenSSL asks for it', scrypt(16_384, 8, 1)],
    ['scrypt with all of its memory', scrypt(262_144, 8, 16)],
  ])('is done: %s', (_, bytes) => {
    expect(() => checkPbes2(bytes, 'k')).not.toThrow();
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['a round more', rounds(5_000_001), /5000001 rounds/],
    ['scrypt with more memory', scrypt(262_145, 8, 1), /N=262145/],
    ['scrypt with large blocks', scrypt(16_384, 200, 1), /r=200/],
    ['scrypt with more passes', scrypt(16_384, 8, 17), /p=17/],
    ['another scheme', sealed('1.2.840.113549.1.5.3', PBKDF2!, number(1)), /not with PBES2/],
    ['another derivation', sealed(PBES2!, '1.2.3.4', number(1)), /not PBKDF2 or scrypt/],
    ['nothing', new Uint8Array(), /./],
  ])('is refused: %s', (_, bytes, message) => {
    expect(() => checkPbes2(bytes, 'k')).toThrow(
      expect.objectContaining({ code: 'key-invalid', message: expect.stringMatching(message) }),
    );
  });
});

describe('a file with a private key in the place of a public one', () => {
  it.each(['PRIVATE KEY', 'EC PRIVATE KEY', 'RSA PRIVATE KEY', 'ENCRYPTED PRIVATE KEY'])(
    'is refused, and it is said how to write its public half: %s',
    (label) => {
      expect(() => parsePublicKeysPem(formatPem(label, new Uint8Array([1])), 'k')).toThrow(
        expect.objectContaining({ code: 'key-invalid', hint: expect.stringContaining('openssl pkey -in') }),
      );
    },
  );
});
