import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { LogEntry } from '../../../src/trust/format/log.ts';
import { NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { findName, signersOf } from '../../../src/trust/read/names.ts';
import { tagOf } from '../../support/content.ts';
import { changeHead, contentOf, readAny, setting } from '../../support/trust/changing.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { anyOf, NOW, ROOT } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const digest = (text: string) => `sha256:${contentOf(text).sha256}`;

/** A collection with the signers `ci` and `alice`, and what each role says. */
async function collection(said: Readonly<Record<string, readonly LogEntry[]>>): Promise<MemoryStore> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection());
  await changeHead(store, (edit) => {
    edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(ROOT)), paths: ['*'] });
    edit.addSigner({ name: 'alice', ...anyOf(1, poolKey(ROOT)), paths: ['v*'] });
  });
  for (const [role, entries] of Object.entries(said))
    await changeHead(store, (edit) => edit.apply(role, entries));
  return store;
}

describe('findName', () => {
  it('asks the role names, and no other', async () => {
    const head = await readAny(
      await collection({ [NAMES_ROLE]: [setting(['v1'])], ci: [setting(['nightly'])] }),
    );
    expect(await findName(head, tagOf('v1'))).toEqual({
      tag: 'v1',
      digest: digest('v1'),
      length: 2,
      signers: ['names'],
    });
    await expect(findName(head, tagOf('nightly'))).rejects.toMatchObject({ code: 'name-not-signed' });
    expect(signersOf(head)).toEqual(['names', 'ci', 'alice']);
  });

  it('wants every signer that is asked for', async () => {
    const head = await readAny(await collection({ ci: [setting(['v1', 'v2'])], alice: [setting(['v1'])] }));
    const both = { signers: ['ci', 'alice', 'ci'] };
    expect(await findName(head, tagOf('v1'), both)).toMatchObject({ signers: ['ci', 'alice'] });
    await expect(findName(head, tagOf('v2'), both)).rejects.toMatchObject({
      code: 'name-not-signed',
      details: { missing: ['alice'] },
    });
    await expect(findName(head, tagOf('v1'), { signers: ['ci', 'names'] })).rejects.toMatchObject({
      details: { missing: ['names'] },
    });
  });

  it('refuses signers that name different digests', async () => {
    const head = await readAny(
      await collection({ ci: [setting(['v1'], NOW, 'one')], alice: [setting(['v1'], NOW, 'other')] }),
    );
    for (const question of [{ signers: ['ci', 'alice'] }, { anySigner: true }])
      await expect(findName(head, tagOf('v1'), question)).rejects.toMatchObject({
        code: 'digest-mismatch',
        details: { signers: [{ role: 'ci' }, { role: 'alice' }] },
      });
    expect((await findName(head, tagOf('v1'), { signers: ['ci'] })).digest).toBe(digest('one'));
  });

  it('takes the word of any signer where that is asked for', async () => {
    const head = await readAny(await collection({ alice: [setting(['v1'])] }));
    expect((await findName(head, tagOf('v1'), { anySigner: true })).signers).toEqual(['alice']);
    await expect(findName(head, tagOf('v2'), { anySigner: true })).rejects.toMatchObject({
      code: 'name-not-signed',
    });
  });

  it('does not hear a signer about names that it is not trusted with', async () => {
    const head = await readAny(await collection({ alice: [setting(['latest'])] }));
    for (const question of [{ signers: ['alice'] }, { anySigner: true }])
      await expect(findName(head, tagOf('latest'), question)).rejects.toMatchObject({
        code: 'name-not-signed',
      });
  });

  it('knows no signer that the collection has not', async () => {
    const head = await readAny(await collection({}));
    for (const role of ['mallory', 'targets', 'root', '-0', '__proto__'])
      await expect(findName(head, tagOf('v1'), { signers: [role] })).rejects.toMatchObject({
        code: 'name-not-signed',
        hint: expect.stringContaining('names'),
      });
  });

  it('keeps the tags of the collection out', async () => {
    const head = await readAny(await collection({ [NAMES_ROLE]: [setting(['_trust'])] }));
    for (const tag of ['_trust', '_trust.next.0123456789ab', '_trusted'])
      await expect(findName(head, tagOf(tag))).rejects.toMatchObject({ code: 'usage' });
  });

  it('finds a name in the one bin that may hold it', async () => {
    const names = Array.from({ length: 1200 }, (_, at) => `v1.${at}`);
    const store = await collection({ [NAMES_ROLE]: [setting([...names])] });
    const head = await readAny(store);
    expect(head.object.bins).toBeDefined();
    expect(await findName(head, tagOf('v1.77'))).toEqual({
      tag: 'v1.77',
      digest: digest('v1.77'),
      length: 5,
      signers: ['names'],
    });
    await expect(findName(head, tagOf('v1.1200'))).rejects.toMatchObject({ code: 'name-not-signed' });
  });

  it('tells the media type where the manifest does not', async () => {
    const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
    const set = new Map([['v1', { ...contentOf('v1'), mediaType }]]);
    const head = await readAny(await collection({ [NAMES_ROLE]: [{ ...setting([]), set }] }));
    expect(await findName(head, tagOf('v1'))).toMatchObject({ mediaType });
  });

  it('refuses a statement without a SHA-256', async () => {
    const store = await collection({});
    await changeHead(store, (edit) => {
      edit.edit.targets(NAMES_ROLE).setTarget('v1', { length: 2, hashes: { sha512: 'a'.repeat(128) } });
    });
    await expect(findName(await readAny(store), tagOf('v1'))).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { reason: 'target' },
    });
  });
});
