import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parsePrivateKey } from '../../src/crypto/private-key.ts';
import { publicKeyOf, readPublicKeys } from '../../src/crypto/public-key.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { rsaKeys } from '../support/rsa-keys.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = rsaKeys(4096);
const pkcs8 = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
const sec1 = String(privateKey.export({ type: 'sec1', format: 'pem' }));
const spki = String(publicKey.export({ type: 'spki', format: 'pem' }));
const { fingerprint } = publicKeyOf(publicKey);

const wide = (text: string, mark: boolean, big: boolean): Uint8Array => {
  const bytes = Buffer.from((mark ? '\uFEFF' : '') + text, 'utf16le');
  return new Uint8Array(big ? bytes.swap16() : bytes);
};

const SPELLINGS: readonly (readonly [string, (pem: string) => Uint8Array])[] = [
  ['as it is', utf8],
  ['with CRLF', (pem) => utf8(pem.replaceAll('\n', '\r\n'))],
  ['with a mark of byte order', (pem) => utf8(`\uFEFF${pem}`)],
  ['with \\n written out', (pem) => utf8(pem.replaceAll('\n', '\\n'))],
  ['with \\r\\n written out', (pem) => utf8(pem.replaceAll('\n', '\\r\\n'))],
  ['with \\n written out, in quotes', (pem) => utf8(`"${pem.replaceAll('\n', '\\n')}"`)],
  ['in quotes', (pem) => utf8(`'${pem}'`)],
  ['on one line with spaces', (pem) => utf8(pem.replaceAll('\n', ' '))],
  ['on one line without', (pem) => utf8(pem.replaceAll('\n', ''))],
  ['in base64', (pem) => utf8(Buffer.from(pem).toString('base64'))],
  ['in base64 in lines', (pem) => utf8(Buffer.from(pem).toString('base64').replace(/.{76}/g, '$&\n'))],
  ['in UTF-16, little end first', (pem) => wide(pem, true, false)],
  ['in UTF-16, big end first', (pem) => wide(pem, true, true)],
  ['in UTF-16 without a mark', (pem) => wide(pem, false, false)],
  ['after words', (pem) => utf8(`my key:\n${pem}`)],
];

describe('a key of a person', () => {
  it.each(SPELLINGS)('is read %s', async (_, spell) => {
    for (const pem of [pkcs8, sec1]) {
      const key = await parsePrivateKey(spell(pem), 'k.pem').unlock();
      expect(createPublicKey(key).equals(publicKey)).toBe(true);
    }
    expect(readPublicKeys(spell(spki), 'k.pub').map((key) => key.fingerprint)).toEqual([fingerprint]);
  });

  it.each([
    ['SPKI of P-256', publicKey.export({ type: 'spki', format: 'der' }), fingerprint],
    [
      'SPKI of RSA',
      rsa.publicKey.export({ type: 'spki', format: 'der' }),
      publicKeyOf(rsa.publicKey).fingerprint,
    ],
    [
      'PKCS#1',
      rsa.publicKey.export({ type: 'pkcs1', format: 'der' }),
      publicKeyOf(rsa.publicKey).fingerprint,
    ],
  ])('may be public and in DER: %s', (_, der, expected) => {
    expect(readPublicKeys(new Uint8Array(der), 'k.der').map((key) => key.fingerprint)).toEqual([expected]);
  });

  it.each<[string, Uint8Array]>([
    ['a private key in DER', new Uint8Array(privateKey.export({ type: 'pkcs8', format: 'der' }))],
    ['an EC private key in DER', new Uint8Array(privateKey.export({ type: 'sec1', format: 'der' }))],
    ['a private key in PEM', utf8(pkcs8)],
    ['a private key on one line', utf8(pkcs8.replaceAll('\n', ' '))],
    [
      'DER with something after it',
      Buffer.concat([publicKey.export({ type: 'spki', format: 'der' }), Buffer.of(0)]),
    ],
    ['a key of OpenSSH', utf8('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE me')],
    ['binary', Uint8Array.of(0, 1, 2, 0xff)],
    ['half of UTF-16', wide(spki, true, false).subarray(0, 101)],
    ['base64 of something else', utf8(Buffer.from('hello').toString('base64'))],
    ['a line that is cut', utf8(spki.replaceAll('\n', '').slice(0, -10))],
    ['nothing', utf8('')],
  ])('is not %s', (_, bytes) => {
    expect(() => readPublicKeys(bytes, 'k')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });
});
