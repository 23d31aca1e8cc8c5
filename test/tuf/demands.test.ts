import { describe, expect, it } from 'vitest';
import { BullaError } from '../../src/errors.ts';
import type { MetadataFile } from '../../src/tuf/metadata-file.ts';
import { TestClient } from '../support/tuf/client.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { NOW, RepositorySimulator } from '../support/tuf/repository.ts';

const ROLES = ['root', 'timestamp', 'snapshot', 'targets', 'names'];

function withNames(): RepositorySimulator {
  const repository = new RepositorySimulator();
  repository.delegate('targets', 'names');
  repository.addTarget('names', 'v1');
  return repository.publishAll('names');
}

const read = async (client: TestClient, demand: (file: MetadataFile) => void) =>
  await (await client.refresh(NOW, { demand })).findTarget('v1');

/** Demands nothing of any role but one, of which it wants what nobody has. */
const refusing = (role: string) => (file: MetadataFile) => {
  if (file.role === role)
    throw new BullaError('trust-invalid', 'not ours', { hint: 'none', details: { reason: 'not-ours' } });
};
const notOurs = expect.objectContaining({ details: { reason: 'not-ours' } });

describe('a demand of our own', () => {
  it('is made on every file, fetched and stored', async () => {
    const repository = withNames();
    const client = new TestClient(repository);
    for (const _ of ['fetched', 'stored']) {
      const seen = new Set<string>();
      await read(client, ({ role }) => void seen.add(role));
      expect([...seen].sort()).toEqual([...ROLES].sort());
    }
    repository.publish('root');
    const roots: number[] = [];
    await read(client, ({ role, signed }) => {
      if (role === 'root') roots.push(signed['version'] as number);
    });
    expect(new Set(roots)).toEqual(new Set([1, 2]));
  });

  it.each(ROLES)(
    'that a fetched %s does not meet ends the refresh, and nothing of it is kept',
    async (role) => {
      const repository = withNames();
      const client = new TestClient(repository);
      await expect(read(client, refusing(role))).rejects.toThrow(notOurs);
      expect(await client.store.load(role)).toBeUndefined();
      await read(client, () => undefined);
      expect(await client.store.load(role)).toEqual(repository.fileOf(role));
    },
  );

  it.each(ROLES.slice(0, 3))('that a stored %s does not meet says that it is damaged', async (role) => {
    const repository = withNames();
    const client = new TestClient(repository);
    await read(client, () => undefined);
    await expect(read(client, refusing(role))).rejects.toMatchObject({
      code: 'storage-error',
      details: { role, reason: 'damaged-state' },
      cause: { details: { reason: 'not-ours' } },
    });
  });

  it.each(ROLES.slice(3))(
    'that a stored %s does not meet is made on the one that is fetched',
    async (role) => {
      const repository = withNames();
      const client = new TestClient(repository);
      await read(client, () => undefined);
      await expect(read(client, refusing(role))).rejects.toThrow(notOurs);
    },
  );

  it.each(ROLES.slice(1))('is not asked about a %s that is not signed', async (role) => {
    const repository = withNames();
    repository.signers.set(role, [poolKey(60)]);
    repository.lies.set(repository.nameOf(role, repository.version(role)), repository.sign(role));
    const asked: string[] = [];
    await expect(
      read(new TestClient(repository), (file) => void asked.push(file.role)),
    ).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { role, reason: 'signatures' },
    });
    expect(asked).not.toContain(role);
  });
});

describe('timestamp and snapshot that come as one', () => {
  /** The repository's snapshot is refused from now on, and its timestamp is fine. */
  const withhold = (repository: RepositorySimulator) => {
    repository.publish('snapshot', 'timestamp');
    repository.lies.set(repository.nameOf('snapshot', repository.version('snapshot')), undefined);
  };

  it.each([
    [true, 2],
    [false, 3],
  ])('are kept as one: %s', async (isWhole, kept) => {
    const repository = withNames();
    const client = new TestClient(repository);
    await client.refresh(NOW, { isWhole });
    withhold(repository);
    await expect(client.refresh(NOW, { isWhole })).rejects.toMatchObject({ code: 'trust-invalid' });
    expect(await client.versions('timestamp', 'snapshot')).toEqual([kept, 2]);
    repository.lies.clear();
    await client.refresh(NOW, { isWhole });
    expect(await client.versions('timestamp', 'snapshot')).toEqual([3, 3]);
  });

  it('still bound versions by what was kept before', async () => {
    const repository = withNames();
    const client = new TestClient(repository);
    await client.refresh(NOW, { isWhole: true });
    withhold(repository);
    await expect(client.refresh(NOW, { isWhole: true })).rejects.toMatchObject({ code: 'trust-invalid' });
    repository.lies.clear();
    repository.restart('timestamp');
    repository.publish('timestamp');
    await expect(client.refresh(NOW, { isWhole: true })).rejects.toMatchObject({
      code: 'trust-rollback',
      details: { role: 'timestamp', from: 2, to: 1 },
    });
  });

  it('do not take a new root back, nor what is forgotten with its keys', async () => {
    const repository = withNames();
    const client = new TestClient(repository);
    await client.refresh(NOW, { isWhole: true });
    repository.setKeys('timestamp', [repository.newKey()]);
    repository.publish('root');
    withhold(repository);
    await expect(client.refresh(NOW, { isWhole: true })).rejects.toMatchObject({ code: 'trust-invalid' });
    expect(await client.versions('root', 'timestamp', 'snapshot')).toEqual([2, undefined, undefined]);
    repository.lies.clear();
    await client.refresh(NOW, { isWhole: true });
    expect(await client.topLevel()).toEqual([2, 3, 3, 2]);
  });

  it('keep nothing of a first refresh that fails, but the root', async () => {
    const repository = withNames();
    const client = new TestClient(repository);
    withhold(repository);
    await expect(client.refresh(NOW, { isWhole: true })).rejects.toMatchObject({ code: 'trust-invalid' });
    expect(await client.topLevel()).toEqual([1, undefined, undefined, undefined]);
    // Another copy, whose timestamp is older, is read then: nothing that was ever whole is newer.
    repository.lies.clear();
    repository.restart('snapshot', 2);
    repository.restart('timestamp', 2);
    repository.publish('snapshot', 'timestamp');
    await client.refresh(NOW, { isWhole: true });
    expect(await client.topLevel()).toEqual([1, 2, 2, 2]);
  });

  it('keep nothing where a new root of the same keys comes with them', async () => {
    const repository = withNames();
    const client = new TestClient(repository);
    await client.refresh(NOW, { isWhole: true });
    repository.publish('root');
    withhold(repository);
    await expect(client.refresh(NOW, { isWhole: true })).rejects.toMatchObject({ code: 'trust-invalid' });
    expect(await client.versions('root', 'timestamp', 'snapshot')).toEqual([2, 2, 2]);
  });
});
