import { describe, expect, it } from 'vitest';
import { algorithm } from '../../../src/crypto/algorithm.ts';
import type { Certificate } from '../../../src/crypto/certificate.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { base64 } from '../../../src/encoding/bytes.ts';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { createCollection } from '../../../src/trust/change/create.ts';
import { anchorFor } from '../../../src/trust/read/bootstrap.ts';
import { certificatesOf } from '../../../src/trust/read/certified-root.ts';
import { type Collection, readCollection } from '../../../src/trust/read/collection.ts';
import { composeMetadataFile, type MetadataFile } from '../../../src/tuf/metadata-file.ts';
import { type Certified, type CertifyOptions, certify } from '../../support/certificates.ts';
import { reading } from '../../support/trust/changing.ts';
import { PLACE, policy, pushHead } from '../../support/trust/collection.ts';
import { changeWith, headFiles, pushFiles, resigned } from '../../support/trust/heads.ts';
import { anyOf, daysLater, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const URI = `oci://${PLACE}`;
const SECOND = 10;
const VALID = { notBefore: NOW, notAfter: daysLater(300) };

const authority = (options: CertifyOptions = {}) =>
  certify('C=DE, O=Acme, CN=Trust Root', { ...VALID, authority: {}, ...options });

/** A certificate of a pool key. */
async function certificateOf(
  index: number,
  issuer: Certified,
  options: CertifyOptions & { subject?: string } = {},
): Promise<Certificate> {
  const { privateKey, algorithm: id } = poolKey(index);
  const key = createSigner(privateKey, algorithm(id));
  const { subject = 'O=Acme, CN=app', ...rest } = options;
  return (await certify(subject, { ...VALID, issuer, key, ...rest })).certificate;
}

type Chains = Readonly<Record<number, readonly Certificate[]>>;

const byId = (chains: Chains) =>
  new Map(Object.entries(chains).map(([index, chain]) => [poolKey(Number(index)).key.keyid, chain]));

/** A collection whose root keys have these certificates. */
async function collectionWith(
  chains: Chains,
  keys: readonly number[] = [ROOT],
  threshold = 1,
): Promise<MemoryStore> {
  const store = new MemoryStore(PLACE);
  const root = keys.map((index) => poolKey(index));
  const [publisher, online] = [poolKey(PUBLISHER), poolKey(ONLINE)];
  const made = await createCollection(
    {
      ...{ name: PLACE, now: NOW, policy, certificates: byId(chains) },
      ...{ root: anyOf(threshold, ...root), names: anyOf(1, publisher), online: anyOf(1, online) },
    },
    signersOf(...root, publisher, online),
  );
  await pushHead(store, made);
  return store;
}

function readBy(store: MemoryStore, ca: Certified, now: Date = NOW): Promise<Collection | undefined> {
  const options = reading({ now });
  const pem = ca.certificate.x509.toString();
  const pin = { scope: PLACE, trust: { kind: 'ca', pem } } as const;
  return readCollection(store, {
    ...options,
    ...anchorFor({ repository: PLACE, isNamed: options.isNamed, now, pin, isUnattended: false }),
  });
}

describe('certificates in a root', () => {
  it('are all there, or none counts', async () => {
    const der = base64((await authority()).certificate.der);
    const rootWith = (chain: readonly unknown[]): MetadataFile => {
      const signed = { _type: 'root', bulla: { certificates: { k: chain } } } as unknown as JsonObject;
      return composeMetadataFile('root', signed, []);
    };
    expect(certificatesOf(rootWith([der]), 'k')).toHaveLength(1);
    expect(certificatesOf(rootWith([der, der]), 'k')).toHaveLength(2);
    for (const odd of ['!', 7, null, [der]])
      for (const chain of [
        [der, odd],
        [odd, der],
      ])
        expect(() => certificatesOf(rootWith(chain), 'k')).toThrow(
          expect.objectContaining({ code: 'certificate-invalid' }),
        );
  });
});

describe('a root key that a pinned authority certifies', () => {
  it.each<[string, CertifyOptions & { subject?: string }]>([
    ['the repository', { uris: [URI] }],
    ['a prefix, among other names', { uris: ['https://acme.example', 'oci://registry.example.com/team/*'] }],
    ['every repository of a registry', { uris: ['oci://registry.example.com/*'] }],
    ['the repository as common name, as in Notary v1', { subject: `CN=${PLACE}` }],
  ])('is believed where the certificate names %s', async (_, options) => {
    const ca = await authority();
    const store = await collectionWith({ [ROOT]: [await certificateOf(ROOT, ca, options)] });
    expect((await readBy(store, ca))?.name).toBe(PLACE);
  });

  it('is believed through an authority in between, with or without the pinned one in the chain', async () => {
    const ca = await authority();
    const between = await certify('O=Acme, CN=Issuing', {
      ...VALID,
      issuer: ca,
      authority: { pathLength: 0 },
    });
    const own = await certificateOf(ROOT, between, { uris: [URI] });
    for (const chain of [
      [own, between.certificate],
      [own, between.certificate, ca.certificate],
    ])
      expect((await readBy(await collectionWith({ [ROOT]: chain }), ca))?.name).toBe(PLACE);
  });

  it('counts beside others that are not certified, as long as there are enough', async () => {
    const ca = await authority();
    const chains = { [ROOT]: [await certificateOf(ROOT, ca, { uris: [URI] })] };
    expect((await readBy(await collectionWith(chains, [ROOT, SECOND]), ca))?.name).toBe(PLACE);
    await expect(readBy(await collectionWith(chains, [ROOT, SECOND], 2), ca)).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { reason: 'pin' },
    });
  });

  it('may have expired in an old root, and not in the newest', async () => {
    const ca = await authority();
    const old = await certificateOf(ROOT, ca, { uris: [URI], notAfter: daysLater(5) });
    const store = await collectionWith({ [ROOT]: [old] });
    expect((await readBy(store, ca, daysLater(5)))?.name).toBe(PLACE);
    await expect(readBy(store, ca, daysLater(6))).rejects.toMatchObject({ code: 'certificate-expired' });
    const next = await certificateOf(SECOND, ca, { uris: [URI] });
    await changeWith(
      store,
      (edit) => {
        edit.root().setKeys('root', anyOf(1, poolKey(SECOND)));
        edit.setRootCertificates(byId({ [SECOND]: [next] }));
      },
      { keys: [poolKey(SECOND)] },
    );
    expect((await readBy(store, ca, daysLater(6)))?.client.trusted.root.content.version).toBe(2);
  });
});

describe('a pinned authority does not make believe', () => {
  const INVALID = { code: 'trust-invalid', details: { reason: 'pin' } };

  it.each<[string, (ca: Certified) => Promise<readonly Certificate[]>]>([
    ['no certificate', async () => []],
    ['one of another authority', async () => [await certificateOf(ROOT, await authority(), { uris: [URI] })]],
    ['one for another key', async (ca) => [await certificateOf(SECOND, ca, { uris: [URI] })]],
    ['one for a neighbour', async (ca) => [await certificateOf(ROOT, ca, { uris: [`${URI}2`] })]],
    ['one for what is below', async (ca) => [await certificateOf(ROOT, ca, { uris: [`${URI}/*`] })]],
    [
      'one for a neighbouring prefix',
      async (ca) => [await certificateOf(ROOT, ca, { uris: ['oci://registry.example.com/tea/*'] })],
    ],
    [
      'a pattern within a name',
      async (ca) => [await certificateOf(ROOT, ca, { uris: ['oci://registry.example.com/team/a*'] })],
    ],
    ['a pattern for every registry', async (ca) => [await certificateOf(ROOT, ca, { uris: ['oci://*'] })]],
    [
      'a URI of another scheme',
      async (ca) => [await certificateOf(ROOT, ca, { uris: [`https://${PLACE}`] })],
    ],
    [
      'a common name beside a URI for another',
      async (ca) => [await certificateOf(ROOT, ca, { subject: `CN=${PLACE}`, uris: [`${URI}2`] })],
    ],
    [
      'one of an authority itself',
      async (ca) => [await certificateOf(ROOT, ca, { uris: [URI], authority: {} })],
    ],
    [
      'one that a certified key issued',
      async (ca) => {
        const other = await certify('O=Acme, CN=other', { ...VALID, issuer: ca, uris: [URI] });
        return [await certificateOf(ROOT, other, { uris: [URI] }), other.certificate];
      },
    ],
    [
      'an authority beyond its path length',
      async () => {
        const ca = await authority({ authority: { pathLength: 0 } });
        const between = await certify('O=Acme, CN=Issuing', { ...VALID, issuer: ca, authority: {} });
        return [await certificateOf(ROOT, between, { uris: [URI] }), between.certificate, ca.certificate];
      },
    ],
  ])('%s', async (_, chainOf) => {
    const ca = await authority();
    const store = await collectionWith({ [ROOT]: await chainOf(ca) });
    await expect(readBy(store, ca)).rejects.toMatchObject(INVALID);
  });

  it('a path length of its own that is exceeded', async () => {
    const ca = await authority({ authority: { pathLength: 0 } });
    const between = await certify('O=Acme, CN=Issuing', { ...VALID, issuer: ca, authority: {} });
    const chain = [await certificateOf(ROOT, between, { uris: [URI] }), between.certificate];
    await expect(readBy(await collectionWith({ [ROOT]: chain }), ca)).rejects.toMatchObject(INVALID);
  });

  it('a certificate that is not valid yet', async () => {
    const ca = await authority();
    const chain = [await certificateOf(ROOT, ca, { uris: [URI], notBefore: daysLater(1) })];
    await expect(readBy(await collectionWith({ [ROOT]: chain }), ca)).rejects.toMatchObject({
      code: 'certificate-expired',
    });
  });

  it('certificates that nobody signed: those beside the signed part', async () => {
    const ca = await authority();
    const store = await collectionWith({});
    const files = await headFiles(store);
    const json = JSON.parse(Buffer.from(files.get('1.root.json')!).toString()) as Record<string, unknown>;
    const chain = [await certificateOf(ROOT, ca, { uris: [URI] })];
    json['bulla'] = {
      certificates: Object.fromEntries(
        [...byId({ [ROOT]: chain })].map(([id, certs]) => [
          id,
          certs.map(({ der }) => Buffer.from(der).toString('base64')),
        ]),
      ),
    };
    await pushFiles(store, files.set('1.root.json', new Uint8Array(Buffer.from(JSON.stringify(json)))));
    await expect(readBy(store, ca)).rejects.toMatchObject(INVALID);
  });

  it('a later root by keys that are not certified', async () => {
    const ca = await authority();
    const store = await collectionWith({ [ROOT]: [await certificateOf(ROOT, ca, { uris: [URI] })] });
    await changeWith(store, (edit) => edit.root().setKeys('root', anyOf(1, poolKey(SECOND))), {
      keys: [poolKey(SECOND)],
    });
    await expect(readBy(store, ca)).rejects.toMatchObject(INVALID);
  });

  it('certificates that cannot be read', async () => {
    const ca = await authority();
    const store = await collectionWith({});
    const files = await headFiles(store);
    for (const value of ['text', ['?'], [1], ['AAAA'], [], null]) {
      const root = resigned(
        files.get('1.root.json')!,
        (signed) => {
          signed['bulla'] = { collection: PLACE, certificates: { [poolKey(ROOT).key.keyid]: value } };
        },
        poolKey(ROOT),
      );
      await pushFiles(store, new Map(files).set('1.root.json', root));
      await expect(readBy(store, ca)).rejects.toMatchObject(INVALID);
    }
  });
});
