import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { fromBase64url } from '../../src/encoding/bytes.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { buildSignatureArtifact } from '../../src/signatures/artifact.ts';
import { RELEASE_PURPOSE } from '../../src/signatures/formats.ts';
import { buildNotationJws } from '../../src/signatures/notation-jws.ts';
import { notationAlgorithms } from '../../src/signatures/notation-payload.ts';
import { buildBundle } from '../../src/signatures/sigstore-bundle.ts';
import { buildStatement } from '../../src/signatures/statement.ts';
import { sigstoreAlgorithms } from '../../src/sigstore/algorithms.ts';
import { rsaKeys } from '../support/rsa-keys.ts';

const page = await readFile(new URL('../../spec/signatures.md', import.meta.url), 'utf8');
const example = (name: string) => {
  const [, text] = new RegExp(`\`\`\`json ${name}\\n([\\s\\S]*?)\`\`\``).exec(page) ?? [];
  return JSON.parse(text ?? `no example ${name}`);
};
const parse = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));

const image: Descriptor = {
  mediaType: 'application/vnd.oci.image.index.v1+json',
  digest: parseDigest('sha256:73c803930ea3ba1e54bc25c2bdc53edd0284c62ed651fe7b00369da519a3c333'),
  size: 16_724,
};
const annotations = new Map([['build', '17']]);
const now = new Date('2026-12-01T00:00:00Z');
const expiry = new Date('2027-03-01T00:00:00Z');
const statement = { digest: image.digest, annotations, expiry, purpose: RELEASE_PURPOSE };

// The key of RFC 6979, appendix A.2.5, with which ECDSA is deterministic.
const base64url = (digits: string) => Buffer.from(digits, 'hex').toString('base64url');
const signer = createSigner(
  createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: base64url('C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721'),
      x: base64url('60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6'),
      y: base64url('7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299'),
    },
  }),
);

describe('spec/signatures.md', () => {
  it('has the statement that is signed', () => {
    expect(parse(buildStatement(statement))).toEqual(example('statement'));
  });

  it('has the payload and the protected header of a Notation JWS', async () => {
    const parts = { image, annotations, signingTime: now, expiry, agent: 'bulla' };
    const jws = parse(await buildNotationJws(parts, signer, []));
    expect(parse(fromBase64url(jws.payload)!)).toEqual(example('payload'));
    expect(parse(fromBase64url(jws.protected)!)).toEqual(example('protected'));
  });

  it('has the manifest of a signature, to the digest of its envelope', async () => {
    const envelope = await buildBundle(statement, signer);
    const details = { image, created: now, purpose: RELEASE_PURPOSE };
    const built = parse(buildSignatureArtifact('sigstore-bundle', envelope, details).manifest.bytes);
    built.layers[0].data = '…';
    expect(built).toEqual(example('manifest'));
  });

  const rows = [...page.matchAll(/^\| `(P-\d+|RSA \d+|Ed25519)` \| (.*) \| (.*) \|$/gm)];
  it.each(rows.map(([, key, notation, sigstore]) => [key, notation, sigstore]))(
    'has the algorithms of %s',
    (key = '', notation, sigstore) => {
      const { publicKey } =
        key === 'Ed25519'
          ? generateKeyPairSync('ed25519')
          : key.startsWith('RSA')
            ? rsaKeys(Number(key.slice(4)))
            : generateKeyPairSync('ec', { namedCurve: key });
      const show = (algorithms: readonly { id: string }[]) =>
        algorithms.map(({ id }) => `\`${id}\``).join(', ') || '–';
      expect(show(notationAlgorithms(publicKeyOf(publicKey)))).toBe(notation);
      expect(show(sigstoreAlgorithms(publicKeyOf(publicKey)))).toBe(sigstore);
    },
  );
  it('has all of them', () => expect(rows).toHaveLength(7));
});
