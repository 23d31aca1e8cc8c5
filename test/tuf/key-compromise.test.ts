import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { JsonObject } from '../../src/encoding/json.ts';
import { binFor, binNames } from '../../src/tuf/hash-bins.ts';
import { TestClient } from '../support/tuf/client.ts';
import type { TestKey } from '../support/tuf/keys.ts';
import { inDays, object, RepositorySimulator } from '../support/tuf/repository.ts';

/*
 * What whoever has stolen a threshold of a role's keys can do, what he cannot, and how the level above
 * ends it (TUF 1.0.34 §1.5.2, §6.1). Below the threshold he can do nothing: see attacks.test.ts.
 */
const refused = (code: string, details: object) =>
  expect.objectContaining({ code, details: expect.objectContaining(details) });
const digestOf = async (client: TestClient, path: string) =>
  (await (await client.refresh()).findTarget(path)).target.hashes.get('sha256');

/** Targets delegates to alice (two of three keys) and to ci (one); both have signed a name. */
function twoSigners(): { repository: RepositorySimulator; alice: TestKey[]; client: TestClient } {
  const repository = new RepositorySimulator();
  const alice = [repository.newKey(), repository.newKey(), repository.newKey()];
  repository.delegate('targets', 'alice', { paths: ['alice/*'], keys: alice, threshold: 2 });
  repository.delegate('targets', 'ci', { paths: ['ci/*'] });
  repository.addTarget('alice', 'alice/v1');
  repository.addTarget('ci', 'ci/v1');
  repository.publishAll('alice', 'ci');
  return { repository, alice, client: new TestClient(repository) };
}

describe('keys of a delegated role', () => {
  it('below the threshold: one of two opens nothing, and what is known goes on being valid', async () => {
    const { repository, alice, client } = twoSigners();
    const honest = await digestOf(client, 'alice/v1');
    repository.signers.set('alice', alice.slice(0, 1));
    repository.addTarget('alice', 'alice/v1', utf8('evil'));
    repository.publish('alice', 'snapshot', 'timestamp');
    await expect(digestOf(client, 'alice/v1')).rejects.toThrow(
      refused('trust-invalid', { role: 'alice', reason: 'signatures', threshold: 2 }),
    );
    repository.signers.set('alice', alice);
    repository.addTarget('alice', 'alice/v1');
    repository.publish('alice', 'snapshot', 'timestamp');
    expect(await digestOf(client, 'alice/v1')).toBe(honest);
  });

  it('at the threshold: they name what the role is trusted with, nothing else, until they are replaced', async () => {
    const { repository, alice, client } = twoSigners();
    const honest = await digestOf(client, 'alice/v1');
    const ci = await digestOf(client, 'ci/v1');
    repository.signers.set('alice', alice.slice(1));
    for (const path of ['alice/v1', 'ci/v1']) repository.addTarget('alice', path, utf8('evil'));
    repository.publish('alice', 'snapshot', 'timestamp');
    expect(await digestOf(client, 'alice/v1')).not.toBe(honest);
    expect(await digestOf(client, 'ci/v1')).toBe(ci);
    // Targets gives the role another key. The thief goes on signing.
    const [role] = (repository.of('targets')['delegations'] as JsonObject)['roles'] as JsonObject[];
    const key = repository.newKey();
    const keys = (repository.of('targets')['delegations'] as JsonObject)['keys'] as JsonObject;
    keys[key.key.keyid] = key.key.json;
    Object.assign(role!, { keyids: [key.key.keyid], threshold: 1 });
    repository.publishAll('alice');
    await expect(digestOf(client, 'alice/v1')).rejects.toThrow(refused('trust-invalid', { role: 'alice' }));
    repository.signers.set('alice', [key]);
    repository.addTarget('alice', 'alice/v1');
    repository.publishAll('alice');
    expect(await digestOf(client, 'alice/v1')).toBe(honest);
  });

  it('of bins: one bin cannot name what belongs to another', async () => {
    const repository = new RepositorySimulator();
    const layout = { bitLength: 2, namePrefix: 'b' };
    const key = repository.delegateBins('targets', 'b', 2);
    for (const bin of binNames(layout)) repository.addRole(bin, key);
    for (const bin of binNames(layout)) if (bin !== binFor(layout, 'v1')) repository.addTarget(bin, 'v1');
    repository.publishAll(...binNames(layout));
    await expect(digestOf(new TestClient(repository), 'v1')).rejects.toThrow(refused('name-not-signed', {}));
  });
});

describe('online keys: timestamp and snapshot, all of them', () => {
  it('cannot bring back old names to who has seen newer ones, only withhold new ones until targets expires', async () => {
    const repository = new RepositorySimulator();
    repository.addTarget('targets', 'v1', utf8('old'));
    repository.publishAll();
    const old = repository.metaOf('snapshot')['targets.json']!;
    repository.addTarget('targets', 'v1', utf8('new'));
    repository.of('targets')['expires'] = inDays(10);
    repository.publishAll();
    const client = new TestClient(repository);
    const seen = await digestOf(client, 'v1');
    repository.metaOf('snapshot')['targets.json'] = old;
    repository.publish('snapshot', 'timestamp');
    await expect(digestOf(client, 'v1')).rejects.toThrow(refused('trust-rollback', { role: 'targets' }));
    // Who is new believes it: for him nothing is old.
    expect(await digestOf(new TestClient(repository), 'v1')).not.toBe(seen);
    await expect(new TestClient(repository).refresh(new Date(inDays(400)))).rejects.toMatchObject({
      code: 'trust-expired',
    });
  });

  it('mix no roles of different times: a role that was seen never goes back alone', async () => {
    const { repository, client } = twoSigners();
    const old = repository.metaOf('snapshot')['ci.json']!;
    repository.publish('ci', 'snapshot', 'timestamp');
    await digestOf(client, 'ci/v1');
    repository.metaOf('snapshot')['ci.json'] = old;
    repository.metaOf('snapshot')['alice.json'] = object({ version: 9 });
    repository.publish('snapshot', 'timestamp');
    await expect(digestOf(client, 'ci/v1')).rejects.toThrow(
      refused('trust-rollback', { role: 'ci', from: 2, to: 1 }),
    );
  });

  it('run versions ahead, and root ends that with other keys', async () => {
    const { repository, client } = twoSigners();
    const honest = await digestOf(client, 'ci/v1');
    for (const role of ['snapshot', 'timestamp']) repository.of(role)['version'] = 2 ** 52;
    repository.metaOf('snapshot')['ci.json'] = object({ version: 2 ** 52 });
    repository.publish('snapshot', 'timestamp');
    await expect(digestOf(client, 'ci/v1')).rejects.toThrow(refused('trust-invalid', { role: 'ci' }));
    for (const role of ['snapshot', 'timestamp']) {
      repository.setKeys(role, [repository.newKey()]);
      repository.restart(role);
    }
    repository.publish('root', 'ci', 'snapshot', 'timestamp');
    expect(await digestOf(client, 'ci/v1')).toBe(honest);
  });
});

describe('keys of targets, at the threshold', () => {
  it('name anything, until root gives targets other keys; then also the names they delegated are gone', async () => {
    const { repository, client } = twoSigners();
    const stolen = repository.signers.get('targets')!;
    repository.delegate('targets', 'mallory', { paths: ['*'] });
    repository.addTarget('mallory', 'evil');
    repository.publishAll('mallory');
    expect(await digestOf(client, 'evil')).toBeDefined();
    repository.setKeys('targets', [repository.newKey()]);
    repository.publish('root');
    await expect(digestOf(client, 'evil')).rejects.toThrow(
      refused('trust-invalid', { role: 'targets', reason: 'signatures' }),
    );
    expect(repository.signers.get('targets')).not.toEqual(stolen);
    const delegations = repository.of('targets')['delegations'] as JsonObject;
    delegations['roles'] = (delegations['roles'] as JsonObject[]).filter(({ name }) => name !== 'mallory');
    repository.publishAll();
    await expect(digestOf(client, 'evil')).rejects.toThrow(refused('name-not-signed', { path: 'evil' }));
    expect(await digestOf(client, 'ci/v1')).toBeDefined();
  });
});

describe('keys of root', () => {
  const withTwo = () => {
    const repository = new RepositorySimulator();
    const keys = [...repository.signers.get('root')!, repository.newKey(), repository.newKey()];
    repository.setKeys('root', keys, 2);
    repository.signers.set('root', keys);
    repository.publish('root');
    return { repository, keys, client: new TestClient(repository) };
  };

  it('below the threshold cannot replace the others, nor lower the threshold', async () => {
    const { repository, keys, client } = withTwo();
    await client.refresh();
    repository.setKeys('root', keys.slice(0, 1), 1);
    repository.signers.set('root', keys.slice(0, 1));
    repository.publish('root');
    await expect(client.refresh()).rejects.toThrow(
      refused('trust-invalid', { role: 'root', reason: 'signatures', threshold: 2 }),
    );
    expect(await client.versions('root')).toEqual([2]);
  });

  it('at the threshold are the repository: who has followed them believes no other root again', async () => {
    const { repository, keys, client } = withTwo();
    await client.refresh();
    const thief = repository.newKey();
    const [honestKeys, honestRoles] = [repository.of('root')['keys'], repository.of('root')['roles']].map(
      (value) => structuredClone(value) as JsonObject,
    ) as [JsonObject, JsonObject];
    repository.setKeys('root', [thief]);
    repository.signers.set('root', [...keys.slice(1), thief]);
    repository.publish('root');
    await client.refresh();
    expect(await client.versions('root')).toEqual([3]);
    Object.assign(repository.of('root'), { keys: honestKeys, roles: honestRoles });
    repository.signers.set('root', keys);
    repository.publish('root');
    await expect(client.refresh()).rejects.toThrow(
      refused('trust-invalid', { role: 'root', reason: 'signatures' }),
    );
  });
});
