import { constants, createHash, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { verifyDigest } from '../../src/crypto/digest-signature.ts';
import { generatePrivateKey } from '../../src/crypto/private-key.ts';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import { rsaKeys } from '../support/rsa-keys.ts';

const message = Buffer.from('what is signed');
const digestBy = (hash: string) => new Uint8Array(createHash(hash).update(message).digest());

describe('a signature of a digest', () => {
  const key = generatePrivateKey('P-256');
  const other = generatePrivateKey('P-256');
  const made = new Uint8Array(sign('sha256', message, key));
  const check = (by = key, id = 'ES256', digest = digestBy('sha256'), signature = made): boolean =>
    verifyDigest(publicKeyOf(by), algorithm(id as never), digest, signature);

  it('is valid for its key, its digest and its algorithm', () => {
    expect(check()).toBe(true);
    const p384 = generatePrivateKey('P-384');
    const longer = new Uint8Array(sign('sha384', message, p384));
    expect(check(p384, 'ES384', digestBy('sha384'), longer)).toBe(true);
  });

  it.each<[string, () => boolean]>([
    ['another key', () => check(other)],
    ['a key of another curve', () => check(generatePrivateKey('P-384'), 'ES256')],
    ['an algorithm of another curve', () => check(key, 'ES384', digestBy('sha384'))],
    ['another digest', () => check(key, 'ES256', digestBy('sha512').subarray(0, 32))],
    ['a signature in two halves', () => check(key, 'ES256', digestBy('sha256'), new Uint8Array(64).fill(1))],
    ['an empty signature', () => check(key, 'ES256', digestBy('sha256'), new Uint8Array())],
    ['a byte more', () => check(key, 'ES256', digestBy('sha256'), new Uint8Array([...made, 0]))],
    ['Ed25519, which signs no digest', () => check(generatePrivateKey('Ed25519'), 'Ed25519')],
  ])('is refused with %s', (_, verdict) => {
    expect(verdict()).toBe(false);
  });

  it('of RSA is one of PKCS#1, compared as a whole', () => {
    const { privateKey: rsa } = rsaKeys(2048);
    const publicKey = publicKeyOf(rsa);
    const digest = digestBy('sha256');
    const pkcs1 = new Uint8Array(sign('sha256', message, rsa));
    const pss = new Uint8Array(
      sign('sha256', message, { key: rsa, padding: constants.RSA_PKCS1_PSS_PADDING }),
    );
    const [RS256, PS256] = ['RS256', 'PS256'].map((id) => algorithm(id as never));
    expect(verifyDigest(publicKey, RS256!, digest, pkcs1)).toBe(true);
    expect(verifyDigest(publicKey, RS256!, digest, pss)).toBe(false);
    expect(verifyDigest(publicKey, PS256!, digest, pss)).toBe(false);
    expect(verifyDigest(publicKey, PS256!, digest, pkcs1)).toBe(false);
    expect(verifyDigest(publicKey, RS256!, digestBy('sha512').subarray(0, 32), pkcs1)).toBe(false);
    for (const signature of [pkcs1.subarray(1), new Uint8Array(256), new Uint8Array(256).fill(0xff)])
      expect(verifyDigest(publicKey, RS256!, digest, signature)).toBe(false);
  });
});
