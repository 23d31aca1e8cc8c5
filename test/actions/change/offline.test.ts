import { describe, expect, it } from 'vitest';
import { exportChange } from '../../../src/actions/change/offline.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import {
  type ChangeFile,
  encodeChangeFile,
  parseChangeFile,
} from '../../../src/trust/approve/change-file.ts';
import { gatherChange, importChange, isPublished } from '../../../src/trust/approve/import-change.ts';
import { PendingChange } from '../../../src/trust/approve/pending-change.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import {
  addSigner,
  ONLINE_ROLE,
  rekey,
  removeSigner,
  renew,
  type StructureChange,
} from '../../../src/trust/change/role-changes.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { composeMetadataFile, parseMetadataFile } from '../../../src/tuf/metadata-file.ts';
import { changeHead, readAny, setting } from '../../support/trust/changing.ts';
import { newCollection, pushAssembly, pushHead } from '../../support/trust/collection.ts';
import { malleated } from '../../support/trust/malleate.ts';
import { anyOf, daysLater, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const versions = trustVersions((range) => Math.floor(Math.random() * range));
const ALICE = 3;
const SECOND = 4;

async function collection(name?: string): Promise<MemoryStore> {
  const store = new MemoryStore();
  await pushHead(store, await newCollection(name));
  return store;
}

const copyOf = async (store: MemoryStore): Promise<WorkingCopy> => WorkingCopy.open(await readAny(store));

/** Makes a change on one machine, as the file that is carried to another. */
async function carried(store: MemoryStore, change: StructureChange, now = NOW): Promise<ChangeFile> {
  const pending = await exportChange(await copyOf(store), change, { now, versions, signers: [] });
  return parseChangeFile(encodeChangeFile(pending.toFile()), 'change');
}

/** Signs it where the keys are. */
async function signed(file: ChangeFile, ...keys: number[]): Promise<ChangeFile> {
  const pending = PendingChange.open(file, NOW);
  await pending.sign(signersOf(...keys.map(poolKey)));
  return parseChangeFile(encodeChangeFile(pending.toFile()), 'change');
}

async function imported(store: MemoryStore, ...copies: ChangeFile[]): Promise<void> {
  const change = gatherChange(copies, NOW);
  await changeHead(store, async (edit) => importChange(change)(edit, edit.copy));
}

const alice = addSigner({ name: 'alice', ...anyOf(1, poolKey(ALICE)), paths: ['v*'] });
const KEYS = { keep: false, drop: [], threshold: undefined };
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: { code: string }) => error.code,
  );

describe('a change that is signed on other machines', () => {
  it('adds a signer with the signatures of the root key and of the signer’s own, brought separately', async () => {
    const store = await collection();
    const file = await carried(store, alice);
    expect(file.summary.join('\n')).toContain('alice is new, asked after names, trusted with "v*"');
    expect(PendingChange.open(file, NOW).missing()).toMatchObject([{ role: 'targets' }, { role: 'alice' }]);
    const copies = [await signed(file, ROOT), await signed(file, ALICE)] as const;
    expect(await codeOf(imported(store, copies[1]))).toBe('threshold-not-met');
    await imported(store, ...copies);
    const copy = await copyOf(store);
    expect(copy.delegations.roles.map(({ name }) => name)).toEqual([NAMES_ROLE, 'alice']);
    expect(isPublished(gatherChange(copies, NOW), copy)).toBe(true);
  });

  it('changes nothing of an edit until all have signed', async () => {
    const store = await collection();
    const change = gatherChange([await carried(store, alice)], NOW);
    const copy = await copyOf(store);
    const edit = new CollectionEdit(copy, { now: NOW, policy: { versions } });
    await expect(importChange(change)(edit, copy)).rejects.toMatchObject({
      code: 'threshold-not-met',
      details: { missing: [{ role: 'targets' }] },
    });
  });

  it.each<[string, (change: PendingChange) => object]>([
    ['of another name', () => ({ name: 'registry.example.com/team/other' })],
    ['of another root', ({ change }) => ({ change: { ...change, id: 'a'.repeat(64) } })],
  ])('is for the collection that it was exported from, not for one %s', async (_, other) => {
    const store = await collection();
    const change = gatherChange([await signed(await carried(store, renew('root')), ROOT)], NOW);
    const copy = await copyOf(store);
    const altered = Object.create(change, Object.getOwnPropertyDescriptors(other(change))) as PendingChange;
    const foreign = { code: 'trust-invalid', details: { reason: 'binding' } };
    expect(() => isPublished(altered, copy)).toThrow(expect.objectContaining({ code: 'trust-invalid' }));
    const edit = new CollectionEdit(copy, { now: NOW, policy: { versions } });
    await expect(importChange(altered)(edit, copy)).rejects.toMatchObject(foreign);
  });

  it('renews an expired root, which only its key can', async () => {
    const store = await collection();
    const file = await carried(store, renew('root'));
    expect([...file.files.keys()]).toEqual(['root', 'targets']);
    await imported(store, await signed(file, ROOT));
    expect((await readAny(store)).client.trusted.root.content.version).toBe(2);
    // A root that has expired since is signed all the same: that is what renewing is for.
    expect(PendingChange.open(await carried(store, renew('root')), daysLater(4000)).roles).toContain('root');
  });

  it('rotates the root key with signatures of the old and the new one', async () => {
    const store = await collection();
    const file = await carried(store, rekey('root', { ...KEYS, add: [poolKey(SECOND).key] }));
    expect(file.summary.join('\n')).toContain(`targets loses the key ${poolKey(ROOT).key.keyid}`);
    expect(await codeOf(imported(store, await signed(file, SECOND)))).toBe('threshold-not-met');
    expect(await codeOf(imported(store, await signed(file, ROOT)))).toBe('threshold-not-met');
    await imported(store, await signed(file, ROOT), await signed(file, SECOND));
    expect((await copyOf(store)).files.roots).toHaveLength(2);
  });

  it('keeps what was named meanwhile, where the new key of names is at hand at the end', async () => {
    const store = await collection();
    // The test's own publisher signs the file that the import has to make anew.
    await changeHead(store, (edit) =>
      rekey(NAMES_ROLE, { ...KEYS, add: [poolKey(ALICE).key], keep: true })(edit, edit.copy),
    );
    const file = await signed(
      await carried(store, rekey(NAMES_ROLE, { ...KEYS, add: [], drop: [poolKey(ALICE).key.keyid] })),
      ROOT,
    );
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v1'])]));
    await imported(store, file);
    const { client } = await readAny(store);
    expect((await client.findTarget('v1')).role).toBe(NAMES_ROLE);
    expect((await copyOf(store)).delegations.roles[0]?.keyids).toEqual([poolKey(PUBLISHER).key.keyid]);
  });

  it('gives the online role other keys', async () => {
    const store = await collection();
    const file = await carried(
      store,
      rekey(ONLINE_ROLE, { ...KEYS, add: [poolKey(ONLINE).key, poolKey(ALICE).key] }),
    );
    expect([...file.files.keys()]).toEqual(['root']);
    await imported(store, await signed(file, ROOT));
    const { roles } = (await readAny(store)).client.trusted.root.content;
    expect(roles.get('snapshot')?.keyids).toHaveLength(2);
  });
});

describe('changes of keys', () => {
  it('leave bins to whoever publishes, and change their keys with those of names', async () => {
    const store = await collection();
    const names = Array.from({ length: 1100 }, (_, index) => `v1.${index}`);
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(names)]));
    const wish = { ...KEYS, add: [poolKey(ALICE).key], keep: true };
    const file = await carried(store, rekey(NAMES_ROLE, wish));
    expect([...file.files.keys()]).toEqual(['targets']);
    await imported(store, await signed(file, ROOT));
    const copy = await copyOf(store);
    expect(copy.bins?.keyids).toHaveLength(2);
    expect((await copy.collection.client.findTarget('v1.7')).target.length).toBe(4);
    await expect(carried(store, renew(NAMES_ROLE))).rejects.toMatchObject({ code: 'usage' });
  });

  it('free clients whom a thief of the online key pushed ahead', async () => {
    const store = await collection();
    const memory = new ProcessMemory();
    const far = trustVersions(() => 0);
    const copy = await copyOf(store);
    const tops = new Map(['snapshot', 'timestamp'].map((role) => [role, 2 ** 52]));
    const theft = new CollectionEdit(copy, { now: NOW, policy: { versions: far }, tops });
    const pushed = theft.prepare();
    const files = await pushed.edit.publish(signersOf(poolKey(ONLINE)));
    await pushAssembly(store, await pushed.assemble(files), HEAD_TAG);
    expect((await readAny(store, { memory })).client.trusted.timestamp.content.version).toBeGreaterThan(
      2 ** 52,
    );

    const stolen = rekey(ONLINE_ROLE, { ...KEYS, add: [poolKey(PUBLISHER).key] });
    await imported(store, await signed(await carried(store, stolen), ROOT));
    const after = await readAny(store, { memory });
    expect(after.client.trusted.timestamp.content.version).toBeLessThan(2 ** 27);
    expect(after.client.trusted.snapshot.content.version).toBeLessThan(2 ** 27);
  });
});

/** Changes one of the new files, as somebody between two machines could. */
function altered(
  file: ChangeFile,
  role: string,
  change: (signed: Record<string, unknown>) => void,
): ChangeFile {
  const parsed = parseMetadataFile(file.files.get(role) as Uint8Array, role, 1 << 20);
  const content = structuredClone(parsed.signed) as Record<string, unknown>;
  change(content);
  const { bytes } = composeMetadataFile(role, content as typeof parsed.signed, parsed.signatures);
  return { ...file, files: new Map([...file.files, [role, bytes]]) };
}

describe('attacks on changes that are carried', () => {
  it('content that was changed after it was signed', async () => {
    const store = await collection();
    const file = await signed(await carried(store, alice), ROOT, ALICE);
    const other = altered(file, 'targets', (content) => {
      content['expires'] = '2099-01-01T00:00:00Z';
    });
    expect(await codeOf(imported(store, other))).toBe('signature-mismatch');
    expect(await codeOf(imported(store, file, other))).toBe('signature-mismatch');
  });

  it('signatures of one key in two spellings pooled as two', async () => {
    const both = rekey('root', { add: [poolKey(SECOND).key], keep: true, drop: [], threshold: 2 });
    const store = await collection();
    const first = await carried(store, both);
    await imported(store, await signed(first, ROOT, SECOND));
    const file = await carried(store, alice);
    const one = await signed(file, ROOT, ALICE);
    const targets = malleated(one.files.get('targets') as Uint8Array, 'targets');
    const other = { ...one, files: new Map([...one.files, ['targets', targets]]) };
    expect(targets).not.toEqual(one.files.get('targets'));
    expect(await codeOf(imported(store, one, other))).toBe('threshold-not-met');
    await imported(store, other, await signed(file, SECOND));
    expect((await copyOf(store)).delegations.roles).toHaveLength(2);
  });

  it('a signature by a key that is not listed', async () => {
    const store = await collection();
    const file = await carried(store, alice);
    const parsed = parseMetadataFile(file.files.get('targets') as Uint8Array, 'targets', 1 << 20);
    const [mallory] = signersOf(poolKey(SECOND));
    const sig = Buffer.from((await mallory?.sign(parsed.message)) ?? []).toString('hex');
    for (const keyid of [poolKey(SECOND).key.keyid, poolKey(ROOT).key.keyid]) {
      const { bytes } = composeMetadataFile('targets', parsed.signed, [{ keyid, sig }]);
      const forged = { ...file, files: new Map([...file.files, ['targets', bytes]]) };
      const code = await codeOf(imported(store, await signed(file, ALICE), forged));
      expect(['threshold-not-met', 'signature-mismatch']).toContain(code);
    }
  });

  it('a change of another collection, by the same keys', async () => {
    const [store, other] = [await collection(), await collection('registry.example.com/team/other')];
    const file = await signed(await carried(other, alice), ROOT, ALICE);
    expect(await codeOf(imported(store, file))).toBe('trust-invalid');
    const relabelled = { ...file, id: (await copyOf(store)).collection.id };
    expect(await codeOf(imported(store, relabelled))).toBe('trust-invalid');
  });

  it('two roots of one version', async () => {
    const store = await collection();
    const [first, second] = [
      await carried(store, renew('root')),
      await carried(store, rekey('root', { ...KEYS, add: [poolKey(ROOT).key, poolKey(SECOND).key] })),
    ];
    await imported(store, await signed(first, ROOT));
    expect(await codeOf(imported(store, await signed(second, ROOT, SECOND)))).toBe('conflict');
  });

  it('an old signed change again, after a later one undid it', async () => {
    const store = await collection();
    const file = await signed(await carried(store, alice), ROOT, ALICE);
    await imported(store, file);
    await changeHead(store, (edit) => removeSigner('alice')(edit, edit.copy));
    expect(await codeOf(imported(store, file))).toBe('trust-rollback');
    await changeHead(store, (edit) =>
      rekey('root', { ...KEYS, add: [poolKey(ROOT).key, poolKey(SECOND).key] })(edit, edit.copy),
    );
    expect(await codeOf(imported(store, file))).toBe('trust-rollback');
  });

  it('a sibling of the published change, whichever of them has the higher version', async () => {
    const store = await collection();
    const bob = addSigner({ name: 'bob', ...anyOf(1, poolKey(ALICE)), paths: ['*'] });
    const [first, second] = [await carried(store, alice), await carried(store, bob)];
    await imported(store, await signed(first, ROOT, ALICE));
    expect(await codeOf(imported(store, await signed(second, ROOT, ALICE)))).toBe('conflict');
  });

  it('a key under another’s id', async () => {
    const file = await carried(await collection(), alice);
    const forged = altered(file, 'targets', (content) => {
      const { keys } = content['delegations'] as { keys: Record<string, unknown> };
      keys[poolKey(PUBLISHER).key.keyid] = poolKey(SECOND).key.json;
    });
    expect(() => PendingChange.open(forged, NOW)).toThrowError(/is not that key/);
  });

  it.each<[string, (file: ChangeFile) => ChangeFile]>([
    ['without the first root', (file) => ({ ...file, base: new Map([...file.base].slice(1)) })],
    ['with another first root', (file) => ({ ...file, id: 'ab'.repeat(32) as ChangeFile['id'] })],
    [
      'with a snapshot',
      (file) => ({ ...file, files: new Map([...file.files, ['snapshot', new Uint8Array()]]) }),
    ],
    [
      'for a role that nobody delegates to',
      (file) => ({ ...file, files: new Map([['bob', file.files.get('alice') as Uint8Array]]) }),
    ],
    [
      'with one role’s file for another’s',
      (file) => ({
        ...file,
        files: new Map([...file.files, ['alice', file.files.get('targets') as Uint8Array]]),
      }),
    ],
    ['without the log of a new role', (file) => ({ ...file, logs: new Map() })],
  ])('a change %s', async (_, forge) => {
    const file = await carried(await collection(), alice);
    const work = (async () => PendingChange.open(forge(file), NOW))();
    expect(['trust-invalid', 'content-invalid']).toContain(await codeOf(work));
  });

  it('a change that hides what a role says now', async () => {
    const store = await collection();
    await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [setting(['v1'])]));
    const file = await carried(store, renew(NAMES_ROLE));
    const base = new Map([...file.base].filter(([name]) => !name.includes('names')));
    expect(await codeOf((async () => PendingChange.open({ ...file, base }, NOW))())).toBe('trust-invalid');
  });
});
