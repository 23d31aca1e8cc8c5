import { generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { signImage } from '../../../src/actions/sign/signature.ts';
import { type Demands, type VerifyPorts, verify } from '../../../src/actions/verify/verify.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { BullaError } from '../../../src/errors.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { placeOf } from '../../../src/oci/place.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import { requirements } from '../../../src/policy/requirements.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import type { Pin } from '../../../src/trust/read/pin.ts';
import { pushImage, tagOf } from '../../support/content.ts';
import { changeHead, setting } from '../../support/trust/changing.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { daysLater, NOW, ROOT } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const key = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const pin: Pin = { scope: PLACE, trust: { kind: 'key-ids', keyIds: [poolKey(ROOT).key.keyid] } };

let store: MemoryStore;
let one: ManifestContent;
let other: ManifestContent;

/** Two images; v1 is signed for the first, in a collection and by a key. */
beforeEach(async () => {
  store = new MemoryStore();
  one = await pushImage(store, 'one', 'v1');
  other = await pushImage(store, 'other', 'v2');
  await pushHead(store, await newCollection());
  await nameV1(one);
  await signImage(store, { tag: tagOf('v1') }, { name: 'v1', signer: key, now: NOW, agent: 'test' });
});

async function nameV1({ descriptor: { digest, size } }: ManifestContent): Promise<void> {
  const set = new Map([['v1', { length: size, sha256: digest.slice(7) }]]);
  await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [{ ...setting([]), set }]));
}

/** What a service passes for one request: values, and stores of its own. */
function ports(change: Partial<VerifyPorts> = {}): VerifyPorts {
  return {
    now: NOW,
    memory: new ProcessMemory(),
    pins: async () => [],
    placeOf: (reference) => (reference.kind === 'registry' ? placeOf(reference) : reference.path),
    openSource: async () => store,
    isUnattended: true,
    image: async () => store,
    requirements: async () => requirements({ keys: [key.publicKey], now: NOW }),
    ...change,
  };
}

const ask = (text: string, demands: Demands = {}, change: Partial<VerifyPorts> = {}) =>
  verify({ text, reference: parseReference(text) }, demands, ports(change));

const trusted = { pins: async () => [pin] };

describe('verifying an image', () => {
  it('decides by the name where a pin says whose root keys are trusted, and asks for no signature', async () => {
    const requirements = async () => Promise.reject(new Error('nobody asked for signatures'));
    const verified = await ask(`${PLACE}:v1`, {}, { ...trusted, requirements });
    expect(verified).toMatchObject({
      signed: 'name',
      evidence: [],
      name: { by: 'collection', isThere: true },
    });
    expect(verified.runnable).toBe(`${PLACE}@${one.descriptor.digest}`);
  });

  it('decides by detached signatures where no collection is pinned or known, whatever lies there', async () => {
    const verified = await ask(`${PLACE}:v1`);
    expect(verified).toMatchObject({ signed: 'image', name: undefined });
    expect(verified.evidence).toHaveLength(1);
    await expect(ask(`${PLACE}:v2`)).rejects.toMatchObject({ code: 'unsigned' });
  });

  it('decides by both where signatures are demanded beside the name', async () => {
    const verified = await ask(`${PLACE}:v1`, { signatures: true }, trusted);
    expect(verified).toMatchObject({ signed: 'image', name: { by: 'collection' } });
    await nameV1(other);
    await expect(ask(`${PLACE}:v1`, { signatures: true }, trusted)).rejects.toMatchObject({
      code: 'unsigned',
    });
  });

  it('tells which keys could be pinned where nothing says whose signatures to trust', async () => {
    const requirements = async () => {
      throw new BullaError('trust-unpinned', 'no key', { hint: 'give one' });
    };
    await expect(ask(`${PLACE}:v1`, {}, { requirements })).rejects.toMatchObject({
      code: 'trust-unpinned',
      details: { keyIds: [poolKey(ROOT).key.keyid] },
    });
    await store.deleteTag(HEAD_TAG);
    await expect(ask(`${PLACE}:v1`, {}, { requirements })).rejects.toMatchObject({ message: 'no key' });
  });

  it.each([
    ['a name is refused and demanded at once', ':v1', { name: false, drift: 'reject' }],
    ['some signers and any are demanded', ':v1', { signers: ['names'], anySigner: true }],
    ['a tag of the collection is asked for', `:${HEAD_TAG}`, { trust: pin.trust }],
    ['a collection is named by a pattern', ':v1', { collection: 'registry.example.com/*' }],
    ['a key id is not one', ':v1', { trust: { kind: 'key-ids', keyIds: ['abc'] } }],
  ] as const)('refuses as misuse where %s', async (_, what, demands) => {
    await expect(ask(`${PLACE}${what}`, demands)).rejects.toMatchObject({ code: 'usage' });
  });

  it('looks a digest without a tag up among the names, and goes by signatures where no name means it', async () => {
    await nameV1(one);
    const requirements = async () => Promise.reject(new Error('nobody asked for signatures'));
    const verified = await ask(`${PLACE}@${one.descriptor.digest}`, {}, { ...trusted, requirements });
    expect(verified).toMatchObject({ signed: 'name', name: { names: ['v1'], named: { tag: 'v1' } } });
    const bySignature = await ask(`${PLACE}@${one.descriptor.digest}`, { signatures: true }, trusted);
    expect(bySignature).toMatchObject({ signed: 'image', name: undefined });
    const none = `${PLACE}@${other.descriptor.digest}`;
    await expect(ask(none, {}, trusted)).rejects.toMatchObject({ code: 'unsigned' });
    await expect(ask(none, { trust: pin.trust })).rejects.toMatchObject({ code: 'name-not-signed' });
    await expect(ask(none, { anySigner: true }, trusted)).rejects.toMatchObject({ code: 'name-not-signed' });
  });

  it('gives what is signed where the tag was moved, and refuses that where it must not be', async () => {
    await store.pushManifest(other, { tag: tagOf('v1') });
    const verified = await ask(`${PLACE}:v1`, {}, trusted);
    expect(verified.image.digest).toBe(one.descriptor.digest);
    expect(verified.name).toMatchObject({ drift: { kind: 'moved', points: other.descriptor.digest } });
    const moved = { code: 'digest-mismatch', details: { reason: 'drift' } };
    await expect(ask(`${PLACE}:v1`, { drift: 'reject' }, trusted)).rejects.toMatchObject(moved);
    expect((await ask(`${PLACE}:v1`, { drift: 'ignore' }, trusted)).name?.drift).toBeUndefined();
  });

  it('takes time as a value: of two callers at two times, one is told that the collection has expired', async () => {
    const late = { ...trusted, now: daysLater(400) };
    const [now, later, allowed] = await Promise.allSettled([
      ask(`${PLACE}:v1`, {}, trusted),
      ask(`${PLACE}:v1`, {}, late),
      ask(`${PLACE}:v1`, { maxStaleness: 500 * 86_400_000 }, late),
    ]);
    expect(now.status).toBe('fulfilled');
    expect(later).toMatchObject({ reason: { code: 'trust-expired' } });
    expect(allowed.status).toBe('fulfilled');
  });
});

describe('what one caller remembers', () => {
  it('protects it from older states, and no other caller', async () => {
    const old = await store.fetchManifest(HEAD_TAG);
    await nameV1(other);
    const mine = new ProcessMemory();
    await ask(`${PLACE}:v1`, {}, { ...trusted, memory: mine });
    await store.pushManifest(old, { tag: HEAD_TAG });
    const later = new Date(NOW.getTime() + 120_000);
    const rolledBack = { code: 'trust-rollback' };
    await expect(ask(`${PLACE}:v1`, {}, { ...trusted, memory: mine, now: later })).rejects.toMatchObject(
      rolledBack,
    );
    expect((await ask(`${PLACE}:v1`, {}, { ...trusted, now: later })).image.digest).toBe(
      one.descriptor.digest,
    );
  });

  it('demands the collection from then on, without a pin', async () => {
    const memory = new ProcessMemory();
    await ask(`${PLACE}:v1`, {}, { ...trusted, memory });
    await store.deleteTag(HEAD_TAG);
    const missing = { code: 'trust-invalid', details: { reason: 'missing-head' } };
    await expect(ask(`${PLACE}:v1`, {}, { memory })).rejects.toMatchObject(missing);
    // Without the memory, the signature of the key would decide.
    expect(await ask(`${PLACE}:v1`)).toMatchObject({ signed: 'image' });
  });

  it('is not changed by what could not be verified', async () => {
    const memory = new ProcessMemory();
    const wrong: Pin = { scope: PLACE, trust: { kind: 'key-ids', keyIds: ['0'.repeat(64)] } };
    await expect(ask(`${PLACE}:v1`, {}, { memory, pins: async () => [wrong] })).rejects.toMatchObject({
      code: 'trust-invalid',
    });
    expect(await memory.seen(PLACE)).toBeUndefined();
  });
});
