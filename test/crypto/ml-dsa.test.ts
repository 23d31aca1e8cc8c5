import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlgorithmId, algorithm } from '../../src/crypto/algorithm.ts';
import { derSequence } from '../../src/crypto/der-write.ts';
import { NOBLE_ML_DSA } from '../../src/crypto/ml-dsa.ts';
import { ML_DSA, type MlDsaType, mlDsaSpki, useMlDsa } from '../../src/crypto/ml-dsa-keys.ts';
import { formatPem } from '../../src/crypto/pem.ts';
import {
  generatePrivateKey,
  parsePrivateKey,
  privateKeyPem,
  sealPrivateKey,
} from '../../src/crypto/private-key.ts';
import {
  parsePublicKeyPem,
  publicKeyFromSpki,
  publicKeyOf,
  publicKeyPem,
} from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/signature.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { concatBytes, fromHex, utf8 } from '../../src/encoding/bytes.ts';

interface Vectors {
  readonly verify: readonly {
    readonly publicKey: string;
    readonly tests: readonly { tcId: number; comment: string; msg: string; sig: string; result: string }[];
  }[];
  readonly sign: {
    readonly privateSeed: string;
    readonly privateKeyPkcs8: string;
    readonly publicKey: string;
    readonly tests: readonly { msg: string; sig: string }[];
  };
}

const bytes = (hex: string): Uint8Array => fromHex(hex) ?? new Uint8Array();
const vectors = (type: MlDsaType): Vectors =>
  JSON.parse(
    readFileSync(new URL(`../../testdata/ml-dsa/${type.toLowerCase()}.json`, import.meta.url), 'utf8'),
  );
const TYPES = [...ML_DSA.keys()];

beforeAll(() => useMlDsa(NOBLE_ML_DSA));
afterAll(() => useMlDsa(undefined));

describe.each(TYPES)('%s by the vectors of Wycheproof', (type) => {
  const { verify, sign } = vectors(type);
  const rule = algorithm(type as AlgorithmId);

  it('verifies what is valid, and nothing else', () => {
    for (const { publicKey, tests } of verify)
      for (const { comment, msg, sig, result } of tests) {
        const judged = ((): boolean | string => {
          try {
            const key = publicKeyFromSpki(mlDsaSpki(type, bytes(publicKey)), 'a vector');
            return verifySignature(key, rule, bytes(msg), bytes(sig), 'raw');
          } catch (error) {
            return (error as { code: string }).code;
          }
        })();
        // Valid by FIPS 204, and a key with which anyone can sign: it is refused as a weak one.
        const isWeak = comment === 'public key with t1 component set to zero';
        const isKey = bytes(publicKey).byteLength === ML_DSA.get(type)?.publicBytes;
        expect(judged, comment).toBe(isWeak || !isKey ? 'key-invalid' : result === 'valid');
      }
  });

  it('makes of a seed, and of PKCS #8, the public key of the vector, and reads what it writes', async () => {
    const file = parsePrivateKey(utf8(formatPem('PRIVATE KEY', bytes(sign.privateKeyPkcs8))), 'a vector');
    const key = await file.unlock();
    const publicKey = publicKeyOf(key);
    expect(publicKey.spki).toEqual(mlDsaSpki(type, bytes(sign.publicKey)));
    const [test] = sign.tests;
    expect(verifySignature(publicKey, rule, bytes(test?.msg ?? ''), bytes(test?.sig ?? ''), 'raw')).toBe(
      true,
    );
    const sealed = parsePrivateKey(utf8(await sealPrivateKey(key, utf8('x'))), 'sealed');
    const again = publicKeyOf(await sealed.unlock(utf8('x')));
    expect(again.fingerprint).toBe(publicKey.fingerprint);
    expect(privateKeyPem(key)).toBe(formatPem('PRIVATE KEY', bytes(sign.privateKeyPkcs8)));
    expect(parsePublicKeyPem(publicKeyPem(publicKey), 'pem').spki).toEqual(publicKey.spki);
    const signer = createSigner(key);
    expect(signer.algorithm.id).toBe(type);
    const signature = await signer.sign(utf8('seal'));
    expect(signature.byteLength).toBe(ML_DSA.get(type)?.signatureBytes);
    expect(verifySignature(publicKey, rule, utf8('seal'), signature, 'raw')).toBe(true);
    expect(verifySignature(publicKey, rule, utf8('seel'), signature, 'raw')).toBe(false);
  });
});

describe('a private key of ML-DSA', () => {
  const pkcs8 = bytes(vectors('ML-DSA-44').sign.privateKeyPkcs8);
  const seed = bytes(vectors('ML-DSA-44').sign.privateSeed);
  const octets = (content: Uint8Array): Uint8Array =>
    concatBytes([Uint8Array.of(0x04, 0x82, content.length >> 8, content.length & 255), content]);
  const head = pkcs8.subarray(2, pkcs8.byteLength - 36);
  const rebuilt = (inner: Uint8Array): Uint8Array => derSequence(head, octets(inner));
  const expanded = NOBLE_ML_DSA.expand('ML-DSA-44', seed).secretKey;
  const both = (key: Uint8Array): Uint8Array =>
    rebuilt(derSequence(concatBytes([Uint8Array.of(0x04, 32), seed]), octets(key)));
  const opened = async (der: Uint8Array) =>
    await parsePrivateKey(utf8(formatPem('PRIVATE KEY', der)), 'a test').unlock();

  it('is read with its expanded form beside the seed, as OpenSSL writes it', async () => {
    expect(publicKeyOf(await opened(both(expanded))).fingerprint).toBe(
      publicKeyOf(await opened(pkcs8)).fingerprint,
    );
  });

  const flipped = Uint8Array.from(expanded, (octet, at) => (at === 9 ? octet ^ 1 : octet));
  it.each<[string, () => Uint8Array]>([
    ['an expanded form of another seed', () => both(flipped)],
    ['no seed', () => rebuilt(octets(expanded))],
    ['a seed of 31 bytes', () => rebuilt(concatBytes([Uint8Array.of(0x80, 31), seed.subarray(1)]))],
    ['a cut end', () => pkcs8.subarray(0, pkcs8.byteLength - 1)],
  ])('is refused with %s', async (_, der) => {
    await expect(opened(der())).rejects.toMatchObject({ code: 'key-invalid' });
  });

  it('is not written in encrypted PKCS #8, nor as a key of a certificate', () => {
    const key = generatePrivateKey('ML-DSA-44');
    expect(() => privateKeyPem(key, utf8('x'))).toThrow(expect.objectContaining({ code: 'usage' }));
    expect(() => publicKeyOf(key).keyObject).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });

  it('and its public key are refused where the experiment is not begun', async () => {
    const spki = mlDsaSpki('ML-DSA-44', bytes(vectors('ML-DSA-44').sign.publicKey));
    useMlDsa(undefined);
    try {
      expect(() => publicKeyFromSpki(spki, 'a key')).toThrow(
        expect.objectContaining({ code: 'key-invalid' }),
      );
      expect(() => generatePrivateKey('ML-DSA-65')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
      await expect(opened(pkcs8)).rejects.toMatchObject({ code: 'key-invalid' });
    } finally {
      useMlDsa(NOBLE_ML_DSA);
    }
  });
});
