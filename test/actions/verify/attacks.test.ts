import { generateKeyPairSync } from 'node:crypto';
import { p256 } from '@noble/curves/nist.js';
import { describe, expect, it } from 'vitest';
import { verifyImage } from '../../../src/actions/verify/image.ts';
import { algorithm } from '../../../src/crypto/algorithm.ts';
import { ecdsaFromDer, ecdsaToDer } from '../../../src/crypto/signature.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { base64, fromBase64, utf8 } from '../../../src/encoding/bytes.ts';
import type { ErrorCode } from '../../../src/errors.ts';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { describe as describeBytes } from '../../../src/oci/descriptor.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { type Requirements, requirements } from '../../../src/policy/requirements.ts';
import { SIGNATURE_TYPES } from '../../../src/signatures/formats.ts';
import { pushImage, tagOf } from '../../support/content.ts';
import { attach, forgeBundle, forgeJws, notationPayload, PROTECTED, statement } from '../../support/forge.ts';
import { EKU, issue, issueChain, LEAF_NAME, ROOT_NAME } from '../../support/issue.ts';
import { rsaKeys } from '../../support/rsa-keys.ts';
import { SigstoreInstance } from '../../support/sigstore/instance.ts';

const now = new Date('2026-12-01T00:00:00Z');
const key = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const stranger = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const rsa = rsaKeys(2048);
const acme = issueChain();
const tag = tagOf('v1');

interface Scene {
  readonly store: MemoryStore;
  readonly image: Descriptor;
  readonly other: Descriptor;
}

interface Attack {
  readonly name: string;
  readonly make: (scene: Scene) => Promise<unknown>;
  readonly code: ErrorCode;
  readonly required?: Partial<Requirements>;
  /** Has to stand in the message, so that the refusal is for the reason that is tested. */
  readonly says?: RegExp;
}

async function run({ make, required }: Pick<Attack, 'make' | 'required'>) {
  const store = new MemoryStore('registry.example.com/app');
  const other = (await pushImage(store, 'other', 'other')).descriptor;
  const image = (await pushImage(store, 'app', 'v1')).descriptor;
  await make({ store, image, other });
  const trusted = required ?? { keys: [key.publicKey], roots: [acme.root.certificate] };
  return verifyImage(store, { tag }, { name: 'app:v1', required: requirements({ now, ...trusted }) });
}

function attack(name: string, code: ErrorCode, make: Attack['make'], more: Partial<Attack> = {}): Attack {
  return { name, code, make, ...more };
}

/** A bundle over a statement that says something different. */
function bundled(different: (scene: Scene) => object, signer = key) {
  return async (scene: Scene) => {
    const payload = JSON.stringify(statement(scene.image, different(scene)));
    return attach(scene.store, scene.image, { envelope: await forgeBundle({ payload, signer }) });
  };
}

interface JwsChange {
  readonly header?: object | string;
  readonly payload?: (scene: Scene) => string;
  readonly chain?: typeof acme.chain;
  readonly signer?: typeof key;
  readonly unprotected?: object;
  readonly edit?: (jws: Record<string, unknown>) => unknown;
}

/** A Notation JWS that is wrong in one place. */
function jws(change: JwsChange) {
  return async (scene: Scene) => {
    const forged = await forgeJws({
      header: change.header ?? PROTECTED,
      payload: change.payload?.(scene) ?? notationPayload(scene.image),
      signer: change.signer ?? acme.leaf.signer,
      chain: change.chain ?? acme.chain,
      ...(change.unprotected && { unprotected: change.unprotected }),
    });
    const edited = change.edit?.(forged) ?? forged;
    const envelope = typeof edited === 'string' ? edited : JSON.stringify(edited);
    return attach(scene.store, scene.image, { layerType: SIGNATURE_TYPES.jws, envelope });
  };
}

/** A whole chain in which one thing is not as Notation wants it; the root is trusted. */
function badChain(leaf: Parameters<typeof issueChain>[0], root: Parameters<typeof issueChain>[1] = {}) {
  const made = issueChain(leaf, root);
  return {
    make: jws({ signer: made.leaf.signer, chain: made.chain }),
    required: { roots: [made.root.certificate] },
  };
}

const honest = {
  bundle: bundled(() => ({})),
  jws: jws({}),
};

describe('what the attacks start from is accepted', () => {
  it.each(Object.entries(honest))('%s', async (_, make) => {
    expect((await run({ make })).evidence).toHaveLength(1);
  });
  it('a statement with several subjects, one of which is the image', async () => {
    const make = bundled(({ image, other }) => ({
      subject: [other, image].map(({ digest }) => ({ digest: { sha256: digest.slice(7) } })),
    }));
    expect((await run({ make })).evidence).toHaveLength(1);
  });
});

const CONTENT: readonly Attack[] = [
  attack(
    'a bundle about another image, attached to this one',
    'digest-mismatch',
    bundled(({ other }) => ({ subject: [{ digest: { sha256: other.digest.slice(7) } }] })),
  ),
  attack(
    'a Notation signature of another image, attached to this one',
    'digest-mismatch',
    jws({ payload: ({ other }) => notationPayload(other) }),
  ),
  attack(
    'a payload with another media type',
    'signature-mismatch',
    jws({
      payload: ({ image }) =>
        notationPayload(image, { mediaType: 'application/vnd.oci.image.index.v1+json' }),
    }),
    { says: /image\.index/ },
  ),
  attack(
    'a payload with another size',
    'signature-mismatch',
    jws({ payload: ({ image }) => notationPayload(image, { size: 1 }) }),
    { says: /of 1 bytes/ },
  ),
  attack('a payload without a target', 'signature-mismatch', jws({ payload: () => '{}' }), {
    says: /targetArtifact/,
  }),
  attack(
    'a payload whose key stands twice',
    'signature-mismatch',
    jws({
      payload: ({ image, other }) => notationPayload(other).replace(/}}$/, `,"digest":"${image.digest}"}}`),
    }),
    { says: /twice/ },
  ),
  attack(
    'a statement whose key stands twice',
    'signature-mismatch',
    async ({ store, image, other }) => {
      const payload = JSON.stringify(statement(other)).replace(
        '"predicate"',
        `"subject":[{"digest":{"sha256":"${image.digest.slice(7)}"}}],"predicate"`,
      );
      await attach(store, image, { envelope: await forgeBundle({ payload, signer: key }) });
    },
    { says: /twice/ },
  ),
  attack(
    'a statement of another type',
    'unsupported-signature',
    bundled(() => ({ _type: 'https://example.com/v9' })),
  ),
  attack(
    'a statement without subjects',
    'signature-mismatch',
    bundled(() => ({ subject: [] })),
    { says: /subject/ },
  ),
  attack(
    'a predicate that says the scan failed, without --purpose',
    'signature-mismatch',
    bundled(() => ({ predicateType: 'https://example.com/scan-failed/v1' })),
    { says: /scan-failed/ },
  ),
  attack('a release signature where a scan is asked for', 'signature-mismatch', honest.jws, {
    required: { roots: [acme.root.certificate], purposes: ['https://example.com/scan/v1'] },
  }),
  attack(
    'a bundle that expired',
    'certificate-expired',
    bundled(({ image }) => ({
      subject: [
        {
          digest: { sha256: image.digest.slice(7) },
          annotations: { 'vnd.bulla.expires': '2026-11-01T00:00:00Z' },
        },
      ],
    })),
  ),
  attack(
    'a bundle whose expiry is on another subject only',
    'certificate-expired',
    bundled(({ image, other }) => ({
      subject: [
        { digest: { sha256: image.digest.slice(7) } },
        {
          digest: { sha256: other.digest.slice(7) },
          annotations: { 'vnd.bulla.expires': '2026-11-01T00:00:00Z' },
        },
      ],
    })),
  ),
  attack(
    'a bundle whose expiry is no time',
    'signature-mismatch',
    bundled(({ image }) => ({
      subject: [{ digest: { sha256: image.digest.slice(7) }, annotations: { 'vnd.bulla.expires': 'never' } }],
    })),
    { says: /RFC 3339/ },
  ),
  attack(
    'a bundle whose expiry is no string',
    'signature-mismatch',
    bundled(({ image }) => ({
      subject: [{ digest: { sha256: image.digest.slice(7) }, annotations: { 'vnd.bulla.expires': 9 } }],
    })),
    { says: /not a string/ },
  ),
];

const PAYLOAD_TYPE = 'application/vnd.example+json';
const DSSE: readonly Attack[] = [
  attack(
    'a bundle by a stranger',
    'signature-mismatch',
    bundled(() => ({}), stranger),
    { says: /trusted key/ },
  ),
  attack(
    'a payload of another type, signed by a trusted key',
    'unsupported-signature',
    async ({ store, image }) => {
      const envelope = await forgeBundle({
        payload: JSON.stringify(statement(image)),
        signer: key,
        payloadType: PAYLOAD_TYPE,
      });
      await attach(store, image, { envelope });
    },
  ),
  attack(
    'a payload signed as another type and relabelled',
    'signature-mismatch',
    async ({ store, image }) => {
      const payload = JSON.stringify(statement(image));
      const envelope = await forgeBundle({
        payload,
        signer: key,
        payloadType: PAYLOAD_TYPE,
        writtenType: SIGNATURE_TYPES.inToto,
      });
      await attach(store, image, { envelope });
    },
  ),
  attack(
    'two signatures in one bundle',
    'signature-mismatch',
    async ({ store, image }) => {
      const envelope = await forgeBundle({
        payload: JSON.stringify(statement(image)),
        signer: key,
        copies: 2,
      });
      await attach(store, image, { envelope });
    },
    { says: /exactly one signature/ },
  ),
  attack(
    'a keyless bundle',
    'unsupported-signature',
    async ({ store, image }) => {
      const envelope = new SigstoreInstance().sign(utf8(JSON.stringify(statement(image))));
      await attach(store, image, { envelope });
    },
    { says: /keyless/ },
  ),
  attack('a bundle with a key and a certificate', 'signature-mismatch', async ({ store, image }) => {
    const material = { publicKey: {}, x509CertificateChain: { certificates: [] } };
    await attach(store, image, {
      envelope: await forgeBundle({ payload: JSON.stringify(statement(image)), signer: key, material }),
    });
  }),
  attack('a bundle of another version', 'unsupported-signature', async ({ store, image }) => {
    const envelope = await forgeBundle({ payload: JSON.stringify(statement(image)), signer: key });
    await attach(store, image, { envelope: envelope.replace('v0.3+json', 'v0.9+json') });
  }),
  attack(
    'key confusion: PSS by an RSA key that cosign uses with PKCS #1',
    'signature-mismatch',
    async ({ store, image }) => {
      const signer = createSigner(rsa.privateKey, algorithm('PS256'));
      await attach(store, image, {
        envelope: await forgeBundle({ payload: JSON.stringify(statement(image)), signer }),
      });
    },
    { required: { keys: [createSigner(rsa.privateKey).publicKey] } },
  ),
  attack('key confusion: an ECDSA signature and an RSA key', 'signature-mismatch', honest.bundle, {
    required: { keys: [createSigner(rsa.privateKey).publicKey] },
  }),
  attack('an ECDSA signature in another spelling of DER', 'signature-mismatch', async ({ store, image }) => {
    const forged = JSON.parse(await forgeBundle({ payload: JSON.stringify(statement(image)), signer: key }));
    const [entry] = forged.dsseEnvelope.signatures;
    const der = fromBase64(entry.sig)!;
    entry.sig = base64(Uint8Array.from([0x30, 0x81, ...der.subarray(1)]));
    await attach(store, image, { envelope: JSON.stringify(forged) });
  }),
  attack(
    'a bundle whose key stands twice',
    'signature-mismatch',
    async ({ store, image }) => {
      const envelope = await forgeBundle({ payload: JSON.stringify(statement(image)), signer: key });
      await attach(store, image, {
        envelope: envelope.replace('"dsseEnvelope"', '"dsseEnvelope":{},"dsseEnvelope"'),
      });
    },
    { says: /twice/ },
  ),
];

const JWS: readonly Attack[] = [
  attack(
    'alg none',
    'unsupported-signature',
    jws({ header: { ...PROTECTED, alg: 'none' }, edit: (j) => ({ ...j, signature: 'AA' }) }),
  ),
  attack('alg HS256', 'unsupported-signature', jws({ header: { ...PROTECTED, alg: 'HS256' } })),
  attack('alg RS256', 'unsupported-signature', jws({ header: { ...PROTECTED, alg: 'RS256' } })),
  attack(
    'alg of another curve than the key',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, alg: 'ES384' } }),
    { says: /names ES384/ },
  ),
  attack(
    'alg PS256 with an elliptic key',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, alg: 'PS256' } }),
    { says: /names PS256/ },
  ),
  attack('no alg', 'unsupported-signature', jws({ header: { ...PROTECTED, alg: undefined } })),
  attack('an empty signature', 'signature-mismatch', jws({ edit: (j) => ({ ...j, signature: '' }) })),
  attack(
    'a signature of zeros',
    'signature-mismatch',
    jws({ edit: (j) => ({ ...j, signature: 'A'.repeat(86) }) }),
  ),
  attack(
    'a signature with padding',
    'signature-mismatch',
    jws({ edit: (j) => ({ ...j, signature: `${j['signature']}==` }) }),
    { says: /base64url/ },
  ),
  attack(
    'another payload under the signature',
    'signature-mismatch',
    jws({ edit: (j) => ({ ...j, payload: `${j['payload']}AAAA` }) }),
  ),
  attack(
    'a protected header whose key stands twice',
    'signature-mismatch',
    jws({ header: JSON.stringify(PROTECTED).replace('{', '{"alg":"none",') }),
    { says: /twice/ },
  ),
  attack(
    'an envelope whose key stands twice',
    'signature-mismatch',
    jws({ edit: (j) => JSON.stringify(j).replace('{', '{"payload":"AA",') }),
    { says: /twice/ },
  ),
  attack(
    'several signatures (general JWS)',
    'signature-mismatch',
    jws({ edit: (j) => ({ ...j, signatures: [] }) }),
    { says: /several/ },
  ),
  attack(
    'a header both protected and not',
    'signature-mismatch',
    jws({ unprotected: { cty: 'text/plain' } }),
    { says: /both protected/ },
  ),
  attack('no critical headers', 'signature-mismatch', jws({ header: { ...PROTECTED, crit: undefined } }), {
    says: /critical/,
  }),
  attack(
    'a critical header that is not there',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, crit: [...PROTECTED.crit, 'x'] } }),
    { says: /missing/ },
  ),
  attack(
    'a critical header named twice',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, crit: [...PROTECTED.crit, ...PROTECTED.crit] } }),
    { says: /twice/ },
  ),
  attack(
    'an unknown critical header',
    'unsupported-signature',
    jws({ header: { ...PROTECTED, x: 1, crit: [...PROTECTED.crit, 'x'] } }),
    { says: /not known/ },
  ),
  attack(
    'a verification plug-in',
    'unsupported-signature',
    jws({
      header: {
        ...PROTECTED,
        'io.cncf.notary.verificationPlugin': 'p',
        crit: [...PROTECTED.crit, 'io.cncf.notary.verificationPlugin'],
      },
    }),
    { says: /plug-in/ },
  ),
  attack(
    'a verification plug-in that is not critical',
    'unsupported-signature',
    jws({ header: { ...PROTECTED, 'io.cncf.notary.verificationPlugin': 'p' } }),
  ),
  attack(
    'a signing authority',
    'unsupported-signature',
    jws({ header: { ...PROTECTED, 'io.cncf.notary.signingScheme': 'notary.x509.signingAuthority' } }),
  ),
  attack(
    'an unknown scheme',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, 'io.cncf.notary.signingScheme': 'x' } }),
  ),
  attack(
    'an authentic time in a scheme that has none',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, 'io.cncf.notary.authenticSigningTime': '2026-06-01T00:00:00Z' } }),
  ),
  attack(
    'another content type',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, cty: 'application/json' } }),
  ),
  attack(
    'no signing time',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, 'io.cncf.notary.signingTime': undefined } }),
  ),
  attack(
    'an expiry that is not critical',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, 'io.cncf.notary.expiry': '2030-01-01T00:00:00Z' } }),
    { says: /must be critical/ },
  ),
  attack(
    'an expiry before the signing',
    'signature-mismatch',
    jws({
      header: {
        ...PROTECTED,
        crit: [...PROTECTED.crit, 'io.cncf.notary.expiry'],
        'io.cncf.notary.expiry': '2026-01-01T00:00:00Z',
      },
    }),
  ),
  attack(
    'an expiry that is over',
    'certificate-expired',
    jws({
      header: {
        ...PROTECTED,
        crit: [...PROTECTED.crit, 'io.cncf.notary.expiry'],
        'io.cncf.notary.expiry': '2026-11-30T23:59:59Z',
      },
    }),
  ),
  attack(
    'an expiry that is over, and the key is trusted',
    'certificate-expired',
    jws({
      header: {
        ...PROTECTED,
        crit: [...PROTECTED.crit, 'io.cncf.notary.expiry'],
        'io.cncf.notary.expiry': '2026-12-01T00:00:00Z',
      },
    }),
    { required: { keys: [acme.leaf.signer.publicKey] } },
  ),
  attack(
    'an expiry that is no time',
    'signature-mismatch',
    jws({ header: { ...PROTECTED, 'io.cncf.notary.expiry': 'x' } }),
  ),
];

const mallory = issueChain();
const impostor = issue({ subject: LEAF_NAME, usages: [0] });
const lone = issue({ subject: { ...LEAF_NAME, CN: 'lone' }, usages: [0] });
const middle = issue({
  subject: { ...ROOT_NAME, CN: 'Issuing' },
  issuer: acme.root,
  ca: true,
  pathLength: 0,
  usages: [5],
});
const deep = issue({ subject: { ...ROOT_NAME, CN: 'Deep' }, issuer: middle, ca: true, usages: [5] });
const below = issue({ subject: LEAF_NAME, issuer: deep, usages: [0] });

const CERTIFICATES: readonly Attack[] = [
  attack(
    'a chain to another root of the same name',
    'certificate-invalid',
    jws({ signer: mallory.leaf.signer, chain: mallory.chain }),
  ),
  attack(
    'a stranger under the trusted root in name only',
    'certificate-invalid',
    jws({ signer: impostor.signer, chain: [impostor.certificate, acme.root.certificate] }),
  ),
  attack(
    "the trusted leaf's chain over a stranger's signature",
    'signature-mismatch',
    jws({ signer: stranger }),
  ),
  attack('x5c in reverse order', 'signature-mismatch', jws({ chain: [...acme.chain].reverse() })),
  attack(
    'x5c with a certificate of somebody else at its end',
    'certificate-invalid',
    jws({ chain: [...acme.chain, mallory.root.certificate] }),
  ),
  attack(
    'x5c of somebody else, with the trusted root at its end',
    'certificate-invalid',
    jws({ signer: mallory.leaf.signer, chain: [...mallory.chain, acme.root.certificate] }),
  ),
  attack('x5c without the root', 'certificate-invalid', jws({ chain: acme.chain.slice(0, 1) })),
  attack('no x5c', 'signature-mismatch', jws({ chain: [] })),
  attack(
    'x5c of 17 certificates',
    'signature-mismatch',
    jws({ chain: Array.from({ length: 17 }, () => acme.chain[0]!) }),
  ),
  attack(
    'x5c that is not certificates',
    'certificate-invalid',
    jws({ edit: (j) => ({ ...j, header: { x5c: ['AAAA'] } }) }),
  ),
  attack(
    'more authorities than the path length allows',
    'certificate-invalid',
    jws({
      signer: below.signer,
      chain: [below, deep, middle, acme.root].map(({ certificate }) => certificate),
    }),
    { says: /authorities below/ },
  ),
  attack('a certificate that a leaf issued', 'certificate-invalid', async (scene) => {
    const child = issue({ subject: { ...LEAF_NAME, CN: 'child' }, issuer: acme.leaf, usages: [0] });
    await jws({ signer: child.signer, chain: [child.certificate, ...acme.chain] })(scene);
  }),
  attack(
    'an authority as the signer',
    'certificate-invalid',
    jws({ signer: acme.root.signer, chain: [acme.root.certificate] }),
  ),
  attack(
    'a self-signed signer who is not trusted',
    'certificate-invalid',
    jws({ signer: lone.signer, chain: [lone.certificate] }),
  ),
  {
    name: 'an expired leaf',
    code: 'certificate-expired',
    ...badChain({ notAfter: new Date('2026-11-30T00:00:00Z') }),
  },
  {
    name: 'an expired root',
    code: 'certificate-expired',
    ...badChain({}, { notAfter: new Date('2026-11-30T00:00:00Z') }),
  },
  {
    name: 'a leaf that is not valid yet',
    code: 'certificate-expired',
    ...badChain({ notBefore: new Date('2027-01-01T00:00:00Z') }),
  },
  { name: 'a leaf for servers', code: 'certificate-invalid', ...badChain({ extended: [EKU.serverAuth] }) },
  {
    name: 'a leaf for time stamps beside signing',
    code: 'certificate-invalid',
    ...badChain({ extended: [EKU.codeSigning, EKU.timeStamping] }),
  },
  {
    name: 'a leaf that is an authority',
    code: 'certificate-invalid',
    ...badChain({ ca: true, usages: [0, 5] }),
  },
  { name: 'a leaf without key usage', code: 'certificate-invalid', ...badChain({ usages: null }) },
  {
    name: 'a leaf whose key usage is not critical',
    code: 'certificate-invalid',
    ...badChain({ usageCritical: false }),
  },
  { name: 'a leaf that may encipher keys', code: 'certificate-invalid', ...badChain({ usages: [0, 2] }) },
  { name: 'a leaf that may not sign', code: 'certificate-invalid', ...badChain({ usages: [1] }) },
  { name: 'a root that may not certify', code: 'certificate-invalid', ...badChain({}, { usages: [0] }) },
  { name: 'a root that is no authority', code: 'certificate-invalid', ...badChain({}, { ca: false }) },
  { name: 'a leaf signed with SHA-1', code: 'certificate-invalid', ...badChain({ weak: true }) },
  {
    name: 'a leaf with an Ed25519 key',
    code: 'unsupported-signature',
    ...badChain({ keys: generateKeyPairSync('ed25519') }),
  },
];

const STORAGE: readonly Attack[] = [
  attack('no signature', 'unsigned', async () => {}),
  attack('an SBOM and no signature', 'unsigned', async ({ store, image }) => {
    await attach(store, image, {
      artifactType: 'application/spdx+json',
      layerType: 'application/spdx+json',
      envelope: '{}',
    });
  }),
  attack(
    'inlined data that differs from the digest',
    'signature-mismatch',
    async ({ store, image, other }) => {
      const good = await forgeBundle({ payload: JSON.stringify(statement(image)), signer: key });
      const bad = await forgeBundle({ payload: JSON.stringify(statement(other)), signer: key });
      await attach(store, image, { envelope: bad, layer: { data: base64(utf8(good)) } });
    },
    { says: /digest|should have|expected/ },
  ),
  attack(
    'inlined data that is not base64',
    'signature-mismatch',
    async ({ store, image }) => {
      await attach(store, image, { envelope: '{}', layer: { data: '%%%' } });
    },
    { says: /base64/ },
  ),
  attack(
    'an envelope larger than the limit, which is not fetched',
    'signature-mismatch',
    async ({ store, image }) => {
      const huge = new Uint8Array(4 * 1024 * 1024 + 1);
      store.fetchBlob = () => Promise.reject(new Error('fetched'));
      await attach(store, image, { envelope: huge });
    },
    { says: /more than the/ },
  ),
  attack(
    'a COSE envelope that would become a gigabyte, which is not fetched',
    'signature-mismatch',
    async ({ store, image }) => {
      // Empty maps, one byte each.
      const envelope = new Uint8Array(256 * 1024 + 1).fill(0xa0);
      store.fetchBlob = () => Promise.reject(new Error('fetched'));
      await attach(store, image, { envelope, layerType: SIGNATURE_TYPES.cose });
    },
    { says: /more than the 262144/ },
  ),
  attack(
    'two layers in one signature',
    'signature-mismatch',
    async ({ store, image }) => {
      await attach(store, image, { envelope: '{}', copies: 2 });
    },
    { says: /one layer/ },
  ),
  attack('a Notation artifact with a bundle in it', 'unsupported-signature', async ({ store, image }) => {
    const envelope = await forgeBundle({ payload: JSON.stringify(statement(image)), signer: key });
    await attach(store, image, {
      artifactType: SIGNATURE_TYPES.notation,
      layerType: SIGNATURE_TYPES.bundle,
      envelope,
    });
  }),
  attack(
    'a list that names a signature with another subject',
    'signature-mismatch',
    async (scene) => {
      const { store, image, other } = scene;
      const payload = JSON.stringify(statement(image));
      const elsewhere = await attach(store, other, { envelope: await forgeBundle({ payload, signer: key }) });
      store.listReferrers = async () => [{ ...elsewhere.descriptor, artifactType: SIGNATURE_TYPES.bundle }];
    },
    { says: /its subject is/ },
  ),
  attack(
    'a list that names a signature that is not there',
    'signature-mismatch',
    async ({ store }) => {
      const ghost = describeBytes('application/vnd.oci.image.manifest.v1+json', utf8('ghost'));
      store.listReferrers = async () => [{ ...ghost, artifactType: SIGNATURE_TYPES.bundle }];
    },
    { says: /is not there/ },
  ),
];

const THRESHOLD: readonly Attack[] = [
  attack(
    'one signature twice, its s negated, counts once',
    'threshold-not-met',
    async ({ store, image }) => {
      const payload = JSON.stringify(statement(image));
      const first = await forgeBundle({ payload, signer: key });
      const raw = ecdsaFromDer(fromBase64(JSON.parse(first).dsseEnvelope.signatures[0].sig)!, 32)!;
      const s = BigInt(`0x${Buffer.from(raw.subarray(32)).toString('hex')}`);
      const negated = (p256.Point.Fn.ORDER - s).toString(16).padStart(64, '0');
      const signature = ecdsaToDer(Uint8Array.from([...raw.subarray(0, 32), ...Buffer.from(negated, 'hex')]));
      await attach(store, image, { envelope: first });
      await attach(store, image, { envelope: await forgeBundle({ payload, signer: key, signature }) });
    },
    { required: { keys: [key.publicKey, stranger.publicKey], threshold: 2 } },
  ),
  attack(
    'a bare key and a certificate for the same key count once',
    'threshold-not-met',
    async (scene) => {
      await jws({})(scene);
      await bundled(() => ({}), acme.leaf.signer)(scene);
    },
    { required: { keys: [acme.leaf.signer.publicKey], roots: [acme.root.certificate], threshold: 2 } },
  ),
  attack(
    'a signature for another purpose does not fill up a threshold',
    'threshold-not-met',
    async (scene) => {
      await bundled(() => ({}))(scene);
      await bundled(() => ({ predicateType: 'https://example.com/scan/v1' }), stranger)(scene);
    },
    { required: { keys: [key.publicKey, stranger.publicKey], threshold: 2 } },
  ),
];

describe.each([
  ['what is signed', CONTENT],
  ['Sigstore bundles', DSSE],
  ['Notation JWS', JWS],
  ['certificates', CERTIFICATES],
  ['how signatures are stored', STORAGE],
  ['thresholds', THRESHOLD],
])('%s', (_, attacks) => {
  it.each(attacks.map((row) => [row.name, row] as const))('refuses %s', async (_name, row) => {
    const error = await run(row).then(
      (verified) => verified,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      name: 'BullaError',
      code: row.code,
      message: expect.stringContaining('app:v1'),
    });
    expect((error as { hint?: string }).hint).toMatch(/\w/);
    if (row.says !== undefined) expect((error as Error).message).toMatch(row.says);
  });
});
