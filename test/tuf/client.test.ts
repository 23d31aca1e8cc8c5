import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { BullaError } from '../../src/errors.ts';
import { refresh, type TufClient } from '../../src/tuf/client.ts';
import { keyIdWarnings } from '../../src/tuf/key-warnings.ts';
import { MemoryStateStore } from '../../src/tuf/memory.ts';
import { composeMetadataFile } from '../../src/tuf/metadata-file.ts';
import { malleated } from '../support/trust/malleate.ts';
import { TestClient } from '../support/tuf/client.ts';
import { poolKey, signatureOf } from '../support/tuf/keys.ts';
import { DAY_MS, inDays, NOW, object, RepositorySimulator } from '../support/tuf/repository.ts';

const code = (name: string, details: object = {}) =>
  expect.objectContaining({ code: name, details: expect.objectContaining(details) });

describe('refresh', () => {
  it('asks for the files in order, and keeps them byte for byte', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    await client.refresh();
    expect(repository.requests).toEqual([
      '2.root.json',
      'timestamp.json',
      '1.snapshot.json',
      '1.targets.json',
    ]);
    for (const role of ['root', 'timestamp', 'snapshot', 'targets']) {
      expect(await client.store.load(role)).toEqual(repository.fileOf(role));
    }
  });

  it('asks a second time only whether there is something new', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    await client.refresh();
    await client.refresh();
    expect(repository.requests).toEqual(['2.root.json', 'timestamp.json']);
  });

  it('fetches unversioned names where snapshots are not consistent', async () => {
    const repository = new RepositorySimulator({ consistentSnapshot: false });
    repository.addTarget('targets', 'a/b');
    repository.publishAll();
    const client = await new TestClient(repository).refresh();
    const found = await client.findTarget('a/b');
    for await (const _ of await client.fetchTarget(found, repository));
    expect(repository.requests).toEqual([
      '2.root.json',
      'timestamp.json',
      'snapshot.json',
      'targets.json',
      'a/b',
    ]);
  });

  it.each([true, false])('checks lengths and hashes where they are told (%s)', async (hashes) => {
    const repository = new RepositorySimulator();
    repository.hashes = hashes;
    repository.publishAll();
    await new TestClient(repository).refresh();
  });

  it('needs a root to begin with', async () => {
    const repository = new RepositorySimulator();
    await expect(refresh(repository, new MemoryStateStore(), NOW)).rejects.toThrow(code('trust-unpinned'));
  });

  it('refuses an initial root that is not signed by its own threshold, before any request', async () => {
    const repository = new RepositorySimulator();
    repository.signers.set('root', [repository.newKey()]);
    const initialRoot = repository.sign('root');
    const result = refresh(repository, new MemoryStateStore(), NOW, { initialRoot });
    await expect(result).rejects.toThrow(code('trust-invalid', { role: 'root', reason: 'signatures' }));
    expect(repository.requests).toEqual([]);
  });

  it('keeps the timestamp it has where the served one has the same version, whatever that says (§5.4.3.1)', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    await client.refresh();
    const known = await client.store.load('timestamp');
    repository.metaOf('timestamp')['snapshot.json'] = object({ version: 100 });
    repository.serve('timestamp', repository.sign('timestamp'));
    await client.refresh();
    expect(await client.store.load('timestamp')).toEqual(known);
    expect(repository.requests).toEqual(['2.root.json', 'timestamp.json']);
  });

  it('goes on where an earlier refresh was cut off', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    for (const fileName of ['1.targets.json', '1.snapshot.json']) {
      repository.lies.set(fileName, new BullaError('registry-unreachable', 'cut'));
      await expect(client.refresh()).rejects.toThrow(code('registry-unreachable'));
    }
    repository.lies.clear();
    await client.refresh();
    expect(await client.topLevel()).toEqual([1, 1, 1, 1]);
  });

  it('begins again where another process changes the trusted state meanwhile', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    await client.refresh();
    repository.publishAll();
    const { fetchMetadata } = repository;
    let other: Promise<TufClient> | undefined;
    repository.fetchMetadata = async (fileName) => {
      if (fileName === '2.snapshot.json' && other === undefined) {
        repository.publishAll();
        other = refresh(repository, client.store, NOW);
        await other;
      }
      return await fetchMetadata.call(repository, fileName);
    };
    const done = await client.refresh();
    expect(done.trusted.timestamp.content.version).toBe(3);
    expect(await client.topLevel()).toEqual([1, 3, 3, 3]);
  });

  it('gives up after so many changes by others, and says so', async () => {
    const repository = new RepositorySimulator();
    const store = new MemoryStateStore();
    store.replace = async () => false;
    const result = refresh(repository, store, NOW, { initialRoot: repository.rootBytes() });
    await expect(result).rejects.toThrow(code('storage-error'));
  });

  describe('does not go on with a trusted state', () => {
    const DAMAGE: Readonly<Record<string, (state: Map<string, Uint8Array>, role: string) => void>> = {
      'that was cut to nothing': (state, role) => state.set(role, new Uint8Array()),
      'of garbage': (state, role) => state.set(role, utf8('{"half')),
      'that is JSON of something else': (state, role) => state.set(role, utf8('{}')),
      'whose signature is broken': (state, role) =>
        state.set(
          role,
          utf8(
            Buffer.from(state.get(role)!)
              .toString()
              .replace(/"sig":"[0-9a-f]{8}/, '"sig":"00000000'),
          ),
        ),
      'with the file of another role': (state, role) =>
        state.set(role, state.get(role === 'snapshot' ? 'timestamp' : 'snapshot')!),
      'with a file of another repository': (state, role) => state.set(role, otherRepository().fileOf(role)!),
      'with nothing in it but zeros': (state, role) => state.set(role, new Uint8Array(1024)),
    };

    it.each(
      Object.keys(DAMAGE)
        .flatMap((how) => ['root', 'timestamp', 'snapshot'].map((role) => [how, role] as const))
        .filter(([how, role]) => !(role === 'root' && how.includes('another repository'))),
    )('%s: %s', async (how, role) => {
      const repository = new RepositorySimulator();
      const client = new TestClient(repository);
      await client.refresh();
      const state = new Map<string, Uint8Array>();
      for (const name of ['root', 'timestamp', 'snapshot']) state.set(name, (await client.store.load(name))!);
      DAMAGE[how]!(state, role);
      await client.store.keep(role, state.get(role)!);
      const damaged = { code: 'storage-error', details: { role, reason: 'damaged-state' } };
      await expect(client.refresh()).rejects.toMatchObject(damaged);
      repository.publishAll();
      await expect(client.refresh()).rejects.toMatchObject(damaged);
    });

    it('of which one file is gone', async () => {
      for (const [role, stored] of [
        ['timestamp', undefined],
        ['timestamp', 'both-or-neither'],
        ['snapshot', 'both-or-neither'],
        ['snapshot', 'both'],
      ] as const) {
        const repository = new RepositorySimulator();
        const client = new TestClient(repository);
        await client.refresh();
        await client.store.replace([{ role, expected: await client.store.load(role), bytes: undefined }]);
        await expect(refresh(repository, client.store, NOW, { stored })).rejects.toMatchObject({
          code: 'storage-error',
          details: { role },
        });
      }
    });
  });

  it('fetches a damaged file of a role again, whose version the snapshot bounds', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    await client.refresh();
    await client.store.keep('targets', utf8('{"half'));
    await client.refresh();
    expect(await client.topLevel()).toEqual([1, 1, 1, 1]);
  });

  it('fetches a snapshot again where the timestamp names other bytes of its version', async () => {
    const repository = new RepositorySimulator();
    repository.hashes = true;
    repository.publish('snapshot', 'timestamp');
    const client = new TestClient(repository);
    await client.refresh();
    const other = malleated(repository.fileOf('snapshot') as Uint8Array, 'snapshot');
    repository.serve('snapshot', other);
    repository.publish('timestamp');
    await client.refresh();
    expect(repository.requests).toContain('2.snapshot.json');
    expect(await client.store.load('snapshot')).toEqual(other);
  });
});

function otherRepository(): RepositorySimulator {
  const other = new RepositorySimulator();
  for (const role of ['timestamp', 'snapshot']) other.setKeys(role, [poolKey(30)]);
  return other.publishAll();
}

describe('roots', () => {
  interface RootVersion {
    readonly keys: readonly number[];
    readonly threshold: number;
    readonly sigs: readonly number[];
    readonly refused?: true;
  }
  const root = (keys: number[], threshold: number, sigs: number[], refused?: true): RootVersion => ({
    keys,
    threshold,
    sigs,
    ...(refused && { refused }),
  });

  it.each<[string, RootVersion[]]>([
    ['one key for another', [root([1], 1, [1]), root([2], 1, [2, 1]), root([2], 1, [2])]],
    ['signatures of keys that no one lists', [root([1], 1, [3, 1, 4]), root([2], 1, [3, 2, 1, 4])]],
    [
      '3 of 5, other three each time',
      [root([0, 1, 2, 3, 4], 3, [0, 2, 4]), root([0, 1, 2, 3, 4], 3, [0, 4, 1])],
    ],
    ['3 of 5, one key exchanged', [root([0, 1, 2, 3, 4], 3, [0, 2, 4]), root([0, 1, 3, 4, 5], 3, [0, 4, 1])]],
    ['3 of 5, all exchanged', [root([0, 1, 2], 3, [0, 1, 2]), root([5, 6, 7], 3, [0, 1, 2, 5, 6, 7])]],
    ['a higher threshold', [root([1, 2, 3], 1, [1]), root([1, 2, 3], 2, [1, 2])]],
    ['a lower threshold', [root([1, 2, 3], 2, [1, 2]), root([1, 2, 3], 1, [1, 2]), root([1, 2, 3], 1, [1])]],
    ['not signed by the old key', [root([1], 1, [1]), root([2], 1, [2, 3, 4], true)]],
    ['not signed by the new key', [root([1], 1, [1]), root([2], 1, [1, 3, 4], true)]],
    ['too few new keys', [root([0, 1, 2, 3, 4], 3, [0, 2, 4]), root([0, 1, 3, 4, 5], 3, [0, 2, 4], true)]],
    ['too few old keys', [root([0, 1, 2, 3, 4], 3, [0, 2, 4]), root([0, 1, 3, 4, 5], 3, [0, 4, 5], true)]],
    ['a higher threshold that is not met', [root([1, 2, 3], 1, [1]), root([1, 2, 3], 2, [2], true)]],
    ['a lower threshold, the old one not met', [root([1, 2, 3], 2, [1, 2]), root([1, 2, 3], 1, [1], true)]],
  ])('%s', async (_name, versions) => {
    const repository = new RepositorySimulator();
    const keyOf = (index: number) => poolKey(10 + index);
    repository.restart('root');
    for (const { keys, threshold, sigs } of versions) {
      repository.setKeys('root', keys.map(keyOf), threshold);
      repository.signers.set('root', sigs.map(keyOf));
      repository.publish('root');
    }
    const client = new TestClient(repository);
    if (versions.at(-1)?.refused) {
      await expect(client.refresh()).rejects.toThrow(
        code('trust-invalid', { role: 'root', reason: 'signatures' }),
      );
      expect(await client.topLevel()).toEqual([versions.length - 1, undefined, undefined, undefined]);
    } else {
      await client.refresh();
      expect(await client.store.load('root')).toEqual(repository.fileOf('root'));
    }
  });

  it('may be expired in between, but not at the end (§5.3.6, §5.3.10); the last is kept', async () => {
    const repository = new RepositorySimulator();
    repository.of('root')['expires'] = inDays(-1);
    repository.publish('root');
    repository.of('root')['expires'] = inDays(1);
    repository.publish('root');
    const client = new TestClient(repository);
    await client.refresh();
    await expect(client.refresh(new Date(NOW.getTime() + 2 * DAY_MS))).rejects.toThrow(
      code('trust-expired', { role: 'root', expires: inDays(1) }),
    );
    repository.of('root')['expires'] = inDays(-1);
    repository.publish('root');
    await expect(client.refresh()).rejects.toThrow(code('trust-expired', { role: 'root' }));
    expect(await client.topLevel()).toEqual([4, 1, 1, 1]);
  });

  it('are followed so far in one refresh, and on in the next', async () => {
    const repository = new RepositorySimulator();
    for (let i = 0; i < 5; i++) repository.publish('root');
    const client = new TestClient(repository);
    await client.refresh(NOW, { limits: { rootRotations: 3 } });
    expect(await client.versions('root')).toEqual([4]);
    await client.refresh(NOW, { limits: { rootRotations: 3 } });
    expect(await client.versions('root')).toEqual([6]);
  });

  it('turn consistent snapshots on and off (§5.3.12)', async () => {
    const repository = new RepositorySimulator({ consistentSnapshot: false });
    const client = new TestClient(repository);
    await client.refresh();
    repository.of('root')['consistent_snapshot'] = true;
    repository.publish('root').publishAll();
    await client.refresh();
    expect(repository.requests).toContain('2.snapshot.json');
  });

  it('warn of keys under a wrong id, which count unless ids are pinned', async () => {
    const repository = new RepositorySimulator();
    const key = repository.newKey();
    const wrong = 'f'.repeat(64);
    const keys = repository.of('root')['keys'] as ReturnType<typeof object>;
    keys[wrong] = key.key.json;
    (repository.of('root')['roles'] as ReturnType<typeof object>)['timestamp'] = object({
      keyids: [wrong],
      threshold: 1,
    });
    repository.publish('root');
    const signed = repository.of('timestamp');
    signed['version'] = 2;
    const { sig } = signatureOf(signed, key);
    repository.serve('timestamp', composeMetadataFile('timestamp', signed, [{ keyid: wrong, sig }]).bytes);
    const client = new TestClient(repository);
    await expect(client.refresh(NOW, { strictKeyIds: true })).rejects.toThrow(
      code('trust-invalid', { role: 'timestamp' }),
    );
    await client.refresh();
    expect(client.warnings[0]).toContain(wrong);
    // Once for each root, not for each command.
    const { length } = client.warnings;
    await client.refresh();
    expect(client.warnings).toHaveLength(length);
  });

  it('warn of many such keys in one short line', () => {
    const keys = new Map([...'abcdef'].map((digit) => [digit.repeat(64), { hasCorrectId: false }]));
    const roles = new Map([['timestamp', { keyids: [...keys.keys(), '0'.repeat(64)], threshold: 1 }]]);
    const lines = [...keyIdWarnings({ keys, roles } as unknown as Parameters<typeof keyIdWarnings>[0])];
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line.length).toBeLessThan(160);
    expect(lines[1]).toContain('6 keys (aaaaaaaaaaaa, bbbbbbbbbbbb, cccccccccccc, and 3 more)');
  });
});

describe('recovery from fast-forward (§5.3.11)', () => {
  const rotate = (repository: RepositorySimulator, ...roles: string[]) => {
    for (const role of roles) repository.setKeys(role, [repository.newKey()]);
    repository.publish('root');
  };

  it.each([
    ['timestamp', ['timestamp'], ['timestamp']],
    ['snapshot, by both keys', ['timestamp', 'snapshot'], ['snapshot', 'timestamp']],
    ['snapshot, by its key alone', ['snapshot'], ['snapshot', 'timestamp']],
    ['snapshot, by the timestamp key alone', ['timestamp'], ['snapshot', 'timestamp']],
    ['targets, by the snapshot key', ['snapshot'], ['targets', 'snapshot', 'timestamp']],
  ])('of %s', async (_name, rotated, back) => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    for (const role of ['targets', 'snapshot', 'timestamp']) {
      repository.of(role)['version'] = 1000;
      repository.publish(role);
    }
    await client.refresh();
    expect(await client.topLevel()).toEqual([1, 1001, 1001, 1001]);
    rotate(repository, ...rotated);
    for (const role of ['targets', 'snapshot', 'timestamp'])
      if (back.includes(role)) repository.restart(role);
    repository.publish('targets', 'snapshot', 'timestamp');
    await client.refresh();
    expect(await client.versions(...back)).toEqual(back.map(() => 1));
  });

  it('also where the rotation was undone before the client looked', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    const before = repository.signers.get('snapshot')!;
    repository.of('snapshot')['version'] = 1000;
    repository.publish('snapshot', 'timestamp');
    await client.refresh();
    rotate(repository, 'snapshot');
    repository.setKeys('snapshot', before);
    repository.publish('root');
    repository.restart('snapshot');
    repository.restart('timestamp');
    repository.publish('snapshot', 'timestamp');
    await client.refresh();
    expect(await client.topLevel()).toEqual([3, 1, 1, 1]);
  });

  it('removes a delegated role that is gone for good', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    repository.delegate('targets', 'gone');
    repository.publishAll('gone');
    await client.refresh();
    rotate(repository, 'snapshot');
    delete repository.metaOf('snapshot')['gone.json'];
    repository.publish('snapshot', 'timestamp');
    await client.refresh();
    expect(await client.topLevel()).toEqual([2, 3, 3, 2]);
  });

  it('does not come with a key that is only added, nor with a new threshold', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    repository.publish('timestamp').publish('timestamp');
    await client.refresh();
    const [old] = repository.signers.get('timestamp')!;
    repository.setKeys('timestamp', [old!, repository.newKey()], 2);
    repository.publish('root');
    repository.restart('timestamp', 2);
    repository.publish('timestamp');
    await expect(client.refresh()).rejects.toThrow(
      code('trust-rollback', { role: 'timestamp', from: 3, to: 2 }),
    );
  });

  it('needs no luck: after a kill between forgetting and keeping the root, the next refresh goes on', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    repository.of('timestamp')['version'] = 1000;
    repository.publish('timestamp');
    await client.refresh();
    rotate(repository, 'timestamp');
    repository.restart('timestamp');
    repository.publish('timestamp');
    const { replace } = client.store;
    client.store.replace = async (changes) => {
      const done = changes.filter(({ role }) => role !== 'root');
      await replace.call(client.store, done);
      throw new Error('killed');
    };
    await expect(client.refresh()).rejects.toThrow('killed');
    expect(await client.versions('root', 'timestamp')).toEqual([1, 1]);
    client.store.replace = replace;
    await client.refresh();
    expect(await client.versions('root', 'timestamp')).toEqual([2, 1]);
  });
});

describe('spec_version', () => {
  it.each([
    ['1.0', true],
    ['1.0.0', true],
    ['1.0.99', true],
    ['1.2.3', true],
    ['0.9', false],
    ['2.0.0', false],
    ['10.0.0', false],
    ['1.0.34-rc1', false],
  ])('%s: %s', async (version, accepted) => {
    const repository = new RepositorySimulator();
    repository.of('targets')['spec_version'] = version;
    repository.publishAll();
    const result = new TestClient(repository).refresh();
    if (accepted) await result;
    else await expect(result).rejects.toThrow(code('content-invalid', { role: 'targets' }));
  });
});
