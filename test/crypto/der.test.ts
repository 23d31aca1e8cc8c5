import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createCertificateRequest } from '../../src/crypto/certificate-build.ts';
import { derChildren, readDer } from '../../src/crypto/der.ts';
import { DER_NULL, der, derBitString, derOid, derSequence } from '../../src/crypto/der-write.ts';
import { publicKeyFromSpki } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { fromHex, hex, utf8 } from '../../src/encoding/bytes.ts';
import { isBullaError } from '../../src/errors.ts';
import { rsaKeys } from '../support/rsa-keys.ts';

const bytes = (text: string): Uint8Array => fromHex(text.replaceAll(' ', '')) as Uint8Array;

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return 'done';
  } catch (error) {
    return isBullaError(error) ? error.code : String(error);
  }
}

describe('a DER value', () => {
  it.each(['1f', '3f', '5f', '7f', '9f', 'bf', 'df', 'ff'])(
    'has a tag of one octet: %s opens a longer one',
    async (tag) => {
      expect(await codeOf(() => readDer(bytes(`${tag} 00`)))).toBe('content-invalid');
      expect(await codeOf(() => readDer(bytes(`${tag} 01 00`)))).toBe('content-invalid');
      const before = (Number.parseInt(tag, 16) - 1).toString(16);
      expect(readDer(bytes(`${before} 01 00`)).content).toHaveLength(1);
    },
  );

  it.each([
    ['one octet more than the short form takes', 1, 0x80],
    ['two octets', 2, 0x100],
    ['three octets', 3, 0x10000],
    ['four octets', 4, 0x1000000],
  ])('has a length of %s', async (_, octets, length) => {
    const digits = length.toString(16).padStart(2 * octets, '0');
    const value = new Uint8Array(2 + octets + length);
    value.set(bytes(`04 8${octets} ${digits}`));
    expect(readDer(value).content).toHaveLength(length);
    // One less, in as many octets, has a shorter form.
    const shorter = value.slice(0, -1);
    shorter.set(bytes(`04 8${octets} ${(length - 1).toString(16).padStart(2 * octets, '0')}`));
    expect(await codeOf(() => readDer(shorter))).toBe('content-invalid');
  });

  it.each([
    ['an indefinite length', '30 80 00 00'],
    ['a length of five octets', '04 85 00 00 00 00 01 00'],
    ['a length of five octets beyond the end', '04 85 01 00 00 00 00 00'],
    ['a length of 127 octets', '04 ff 00'],
    ['a length beyond the end', '04 02 00'],
    ['no length', '04'],
    ['no tag', ''],
  ])('has not %s', async (_, text) => {
    expect(await codeOf(() => readDer(bytes(text)))).toBe('content-invalid');
  });
});

describe('a certificate that we write', () => {
  const signer = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);

  it.each(['oci://registry.example.com/team/app', 'URN:a', 'a+b-c.9:x', 'x:!~'])(
    'names the URI %s',
    async (uri) => {
      const request = await createCertificateRequest('CN=x', signer, [uri]);
      expect(hex(request)).toContain(hex(der(0x86, utf8(uri))));
    },
  );

  it.each([
    '',
    'x',
    ':x',
    'x:',
    '1x:y',
    '+x:y',
    'x y:z',
    'x:y z',
    ' x:y',
    'x:y ',
    'ü:x',
    'x:ü',
    'x:y\n',
    'x:\u007f',
  ])('does not name %j, which is not a URI, not even behind one', async (uri) => {
    expect(await codeOf(() => createCertificateRequest('CN=x', signer, [uri]))).toBe('usage');
    expect(await codeOf(() => createCertificateRequest('CN=x', signer, ['x:y', uri]))).toBe('usage');
  });

  it.each([
    ['country', 'C=DE', '2.5.4.6', 0x13, 'DE'],
    ['serial number', '2.5.4.5=12', '2.5.4.5', 0x13, '12'],
    ['domain component', 'DC=org', '0.9.2342.19200300.100.1.25', 0x16, 'org'],
    ['e-mail address', '1.2.840.113549.1.9.1=a@b.c', '1.2.840.113549.1.9.1', 0x16, 'a@b.c'],
    ['common name', 'CN=x', '2.5.4.3', 0x0c, 'x'],
    ['organisation', 'O=x', '2.5.4.10', 0x0c, 'x'],
  ])('writes a %s in the string that RFC 5280 gives it', async (_, subject, oid, tag, value) => {
    const request = await createCertificateRequest(subject, signer);
    const attribute = derSequence(derOid(oid), der(tag, utf8(value)));
    const [body] = derChildren(readDer(request));
    expect(hex(derChildren(body!)[1]!.raw)).toBe(hex(derSequence(der(0x31, attribute))));
  });

  it.each(['DC=ü', '2.5.4.5=ü', '1.2.840.113549.1.9.1=ü@b.c', 'C=de', 'C=DEU', 'C=ü'])(
    'does not write %s',
    async (subject) => expect(await codeOf(() => createCertificateRequest(subject, signer))).toBe('usage'),
  );
});

describe('a public key', () => {
  it('of RSA is the same without the NULL that belongs to its algorithm', () => {
    const { publicKey } = rsaKeys(2048);
    const key = new Uint8Array(publicKey.export({ type: 'pkcs1', format: 'der' }));
    const spki = (...parameters: Uint8Array[]) =>
      derSequence(derSequence(derOid('1.2.840.113549.1.1.1'), ...parameters), derBitString(key));
    const [usual, bare] = [publicKeyFromSpki(spki(DER_NULL), 'test'), publicKeyFromSpki(spki(), 'test')];
    expect(bare.fingerprint).toBe(usual.fingerprint);
    expect(hex(bare.spki)).toBe(hex(spki(DER_NULL)));
  });
});
