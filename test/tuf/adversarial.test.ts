import { createHash, createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hex, utf8 } from '../../src/encoding/bytes.ts';
import type { JsonObject } from '../../src/encoding/json.ts';
import { binFor } from '../../src/tuf/hash-bins.ts';
import { keyIdOf, TufKey } from '../../src/tuf/keys.ts';
import { metadataFileName } from '../../src/tuf/role-name.ts';
import { TestClient } from '../support/tuf/client.ts';
import { makeKey, poolKey, type TestKey } from '../support/tuf/keys.ts';
import { inDays, object, RepositorySimulator, rewrite } from '../support/tuf/repository.ts';

const code = (name: string, details: object = {}) =>
  expect.objectContaining({ code: name, details: expect.objectContaining(details) });
const find = async (repository: RepositorySimulator, path: string) =>
  await (await new TestClient(repository).refresh()).findTarget(path);

/** The same key, written in another way under the id that this way has. */
function respelled({ key, ...rest }: TestKey, change: (json: JsonObject) => void): TestKey {
  const json = structuredClone({ ...key.json }) as JsonObject;
  change(json);
  return { ...rest, key: new TufKey(keyIdOf(json), json) };
}

const member = (name: string, value: string) => (json: JsonObject) => {
  json[name] = value;
};
const spelled = (text: string) => (json: JsonObject) => {
  json['keyval'] = { public: text };
};

describe('one key in several spellings counts once', () => {
  const ecdsa = poolKey(50);
  const rsa = makeKey('PS256');
  const spki = createPublicKey(ecdsa.privateKey).export({ type: 'spki', format: 'der' });
  const point = spki.subarray(-65);
  const pem = (der: Uint8Array) =>
    `-----BEGIN PUBLIC KEY-----\n${Buffer.from(der).toString('base64')}\n-----END PUBLIC KEY-----\n`;
  const compressed = Buffer.concat([
    Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
    Buffer.from([2 + (point[64]! & 1)]),
    point.subarray(1, 33),
  ]);
  const hybrid = Buffer.concat([
    spki.subarray(0, -65),
    Buffer.from([6 + (point[64]! & 1)]),
    point.subarray(1),
  ]);

  it.each<[string, TestKey, (json: JsonObject) => void]>([
    ['an unknown field', ecdsa, member('comment', 'another')],
    ['the older key type', ecdsa, member('keytype', 'ecdsa-sha2-nistp256')],
    ['PEM without line breaks', ecdsa, spelled(pem(spki))],
    ['a compressed point', ecdsa, spelled(pem(compressed))],
    ['a hybrid point', ecdsa, spelled(pem(hybrid))],
    ['hex of the point', ecdsa, spelled(hex(point))],
    ['hex in capitals', ecdsa, spelled(hex(point).toUpperCase())],
    ['RSA with the older padding', rsa, member('scheme', 'rsa-pkcs1v15-sha256')],
    [
      'RSA without the envelope',
      rsa,
      spelled(String(createPublicKey(rsa.privateKey).export({ type: 'pkcs1', format: 'pem' }))),
    ],
  ])('%s', async (_name, key, change) => {
    const other = respelled(key, change);
    const [first, second] = [key, { ...other, algorithm: algorithmOf(other) }];
    expect(second.key.keyid).not.toBe(first.key.keyid);
    for (const [keys, threshold] of [
      [[first], 1],
      [[second], 1],
      [[first, second], 1],
      [[first, second], 2],
    ] as const) {
      const repository = new RepositorySimulator();
      repository.delegate('targets', 'names', { keys, threshold });
      repository.addTarget('names', 'v1');
      repository.publishAll('names');
      const found = find(repository, 'v1');
      if (threshold === 1) expect((await found).role).toBe('names');
      else
        await expect(found).rejects.toThrow(
          code('trust-invalid', { role: 'names', reason: 'signatures', threshold }),
        );
    }
  });

  function algorithmOf({ key, algorithm }: TestKey): TestKey['algorithm'] {
    return key.json['scheme'] === 'rsa-pkcs1v15-sha256' ? 'RS256' : algorithm;
  }
});

describe('a key that gets another id', () => {
  /** Root lists the timestamp key in another spelling, and so under another id; the key is the same. */
  const reidentify = (repository: RepositorySimulator) => {
    const [key] = repository.signers.get('timestamp')!;
    const renamed = respelled(key!, member('keytype', 'ecdsa-sha2-nistp256'));
    repository.setKeys('timestamp', [renamed]);
    repository.publish('root');
    return renamed;
  };

  it('still bounds the versions that it signed: an old timestamp under the new id is a rollback', async () => {
    const repository = new RepositorySimulator();
    const old = repository.fileOf('timestamp')!;
    repository.publish('timestamp').publish('timestamp');
    const client = new TestClient(repository);
    await client.refresh();
    const { key } = reidentify(repository);
    const replayed = rewrite(old, (document) => {
      (document['signatures'] as JsonObject[])[0]!['keyid'] = key.keyid;
    });
    repository.lies.set('timestamp.json', replayed);
    await expect(client.refresh()).rejects.toThrow(
      code('trust-rollback', { role: 'timestamp', from: 3, to: 1 }),
    );
    repository.lies.clear();
    repository.publish('timestamp');
    await client.refresh();
    expect(await client.topLevel()).toEqual([2, 4, 1, 1]);
  });

  it('signs a new root twice, for the old id and for the new one', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    await client.refresh();
    const [key] = repository.signers.get('root')!;
    const renamed = respelled(key!, member('comment', 'new'));
    repository.setKeys('root', [renamed]);
    repository.signers.set('root', [renamed]);
    repository.of('root')['version'] = 2;
    repository.lies.set('2.root.json', repository.sign('root'));
    await expect(client.refresh()).rejects.toThrow(
      code('trust-invalid', { role: 'root', reason: 'signatures' }),
    );
    repository.signers.set('root', [key!, renamed]);
    repository.lies.set('2.root.json', repository.sign('root'));
    await client.refresh();
    expect(await client.versions('root')).toEqual([2]);
  });

  it('of one root means nothing in the next: the id of a key that is gone vouches for nothing', async () => {
    const repository = new RepositorySimulator();
    const [old] = repository.signers.get('timestamp')!;
    const thief = poolKey(51);
    (repository.of('root')['keys'] as JsonObject)[old!.key.keyid] = thief.key.json;
    repository.publish('root');
    await expect(new TestClient(repository).refresh()).rejects.toThrow(
      code('trust-invalid', { role: 'timestamp', reason: 'signatures' }),
    );
  });
});

describe('a key with several offices', () => {
  it('leaves one office and keeps the other: its versions there go on counting', async () => {
    const repository = new RepositorySimulator();
    const shared = repository.newKey();
    for (const role of ['targets', 'snapshot', 'timestamp']) repository.setKeys(role, [shared]);
    repository.publish('root', 'targets', 'snapshot', 'timestamp');
    const client = new TestClient(repository);
    await client.refresh();
    repository.setKeys('targets', [repository.newKey()]);
    repository.publish('root');
    repository.restart('timestamp');
    repository.publish('timestamp');
    await expect(client.refresh()).rejects.toThrow(code('trust-rollback', { role: 'timestamp' }));
  });

  it('of root and timestamp signs no root in the place of a timestamp', async () => {
    const repository = new RepositorySimulator();
    repository.setKeys('timestamp', repository.signers.get('root')!);
    repository.publish('root');
    repository.lies.set('timestamp.json', repository.fileOf('root')!);
    await expect(new TestClient(repository).refresh()).rejects.toThrow(
      code('content-invalid', { role: 'timestamp' }),
    );
  });
});

describe('bins at their limits', () => {
  it.each([1, 31, 32])('%i bits: the bin of a name is found, and no other is needed', async (bitLength) => {
    const repository = new RepositorySimulator();
    const key = repository.delegateBins('targets', 'b', bitLength);
    const bin = binFor({ bitLength, namePrefix: 'b' }, 'v1');
    repository.addRole(bin, key);
    repository.addTarget(bin, 'v1');
    repository.publishAll(bin);
    expect((await find(repository, 'v1')).chain).toEqual(['targets', bin]);
    const absent = ['v2', 'v3', 'v4', 'v5'].find(
      (path) => binFor({ bitLength, namePrefix: 'b' }, path) !== bin,
    )!;
    await expect(find(repository, absent)).rejects.toThrow(code('trust-invalid', { reason: 'unlisted' }));
  });

  it.each([
    ['a prefix that leaves the folder', '../../x'],
    ['an empty prefix', ''],
    ['a prefix that is percent-encoded already', 'a%2Fb'],
    ['a prefix that belongs to Object', '__proto__'],
  ])('%s', async (_name, namePrefix) => {
    const repository = new RepositorySimulator();
    const key = repository.delegateBins('targets', namePrefix, 1);
    const bin = binFor({ bitLength: 1, namePrefix }, 'v1');
    repository.addRole(bin, key);
    repository.addTarget(bin, 'v1');
    repository.publishAll(bin);
    expect((await find(repository, 'v1')).role).toBe(bin);
    expect(repository.requests.at(-1)).toBe(metadataFileName(bin, 1));
    expect(repository.requests.at(-1)).not.toContain('/');
  });

  it('100,000 prefixes of hashes cost no time to speak of', async () => {
    const repository = new RepositorySimulator();
    const hash = createHash('sha256').update('v1').digest('hex');
    const many = Array.from({ length: 100_000 }, (_, index) => `0${index.toString(16).padStart(5, '0')}f`);
    repository.delegate('targets', 'a', { prefixes: many.filter((prefix) => !hash.startsWith(prefix)) });
    repository.delegate('targets', 'b', { prefixes: [...many, hash] });
    repository.addTarget('b', 'v1');
    repository.publishAll('a', 'b');
    expect((await find(repository, 'v1')).role).toBe('b');
    expect(repository.requests.at(-1)).toBe('1.b.json');
  });

  it.each(['', 'G', 'a'.repeat(65), 'é', 'A0', ' a', '0x1'])('a prefix that is none: %j', async (prefix) => {
    const repository = new RepositorySimulator();
    repository.delegate('targets', 'a', { prefixes: ['00', prefix] });
    repository.publishAll('a');
    await expect(find(repository, 'v1')).rejects.toThrow(code('content-invalid', { role: 'targets' }));
  });
});

describe('role names', () => {
  it.each([
    'a/b',
    'a%2Fb',
    'a%252Fb',
    '%2e%2e',
    '..',
    '.',
    '\0',
    'x'.repeat(3000),
    'TARGETS',
    'é\u0301',
    '-',
    '*',
  ])('%j has a file of its own, and is found', async (name) => {
    for (const consistentSnapshot of [true, false]) {
      const repository = new RepositorySimulator({ consistentSnapshot });
      repository.delegate('targets', name);
      repository.delegate('targets', `${name}%`);
      repository.addTarget(name, 'v1');
      repository.addTarget(`${name}%`, 'v2');
      repository.publishAll(name, `${name}%`);
      expect((await find(repository, 'v1')).role).toBe(name);
      expect((await find(repository, 'v2')).role).toBe(`${name}%`);
      expect(new Set(repository.requests).size).toBe(repository.requests.length);
    }
  });

  it('2.root: a repository that calls a role so cannot pass its file off as a root', async () => {
    const repository = new RepositorySimulator({ consistentSnapshot: false });
    repository.delegate('targets', '2.root', { keys: repository.signers.get('root')! });
    repository.publishAll('2.root');
    await expect(find(repository, 'v1')).rejects.toThrow(code('content-invalid', { role: 'root' }));
  });
});

describe('numbers at their limits', () => {
  const MOST = Number.MAX_SAFE_INTEGER;

  it('the highest version is the last one; another key begins anew', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    repository.of('timestamp')['version'] = MOST - 1;
    repository.publish('timestamp');
    await client.refresh();
    expect(await client.versions('timestamp')).toEqual([MOST]);
    const next = new TextDecoder()
      .decode(repository.fileOf('timestamp')!)
      .replace(`${MOST}`, '9007199254740992');
    repository.lies.set('timestamp.json', utf8(next));
    await expect(client.refresh()).rejects.toThrow(code('content-invalid', { role: 'timestamp' }));
    repository.lies.clear();
    repository.setKeys('timestamp', [repository.newKey()]);
    repository.restart('timestamp');
    repository.publish('root', 'timestamp');
    await client.refresh();
    expect(await client.versions('timestamp')).toEqual([1]);
  });

  it.each<[string, (repository: RepositorySimulator) => void, string, string]>([
    [
      'a length beyond all limits',
      (repository) => {
        repository.metaOf('timestamp')['snapshot.json'] = object({ version: 1, length: MOST });
        repository.publish('timestamp');
      },
      'trust-invalid',
      'snapshot',
    ],
    [
      'a length of nothing',
      (repository) => {
        repository.metaOf('snapshot')['targets.json'] = object({ version: 1, length: 0 });
        repository.publish('snapshot', 'timestamp');
      },
      'trust-invalid',
      'targets',
    ],
    [
      'a threshold beyond all keys',
      (repository) => {
        repository.setKeys('timestamp', repository.signers.get('timestamp')!, MOST);
        repository.publish('root', 'timestamp');
      },
      'trust-invalid',
      'timestamp',
    ],
    [
      'a year of five digits',
      (repository) => {
        repository.of('timestamp')['expires'] = '10000-01-01T00:00:00Z';
        repository.publish('timestamp');
      },
      'content-invalid',
      'timestamp',
    ],
    [
      'a day that is none',
      (repository) => {
        repository.of('timestamp')['expires'] = '2027-02-30T00:00:00Z';
        repository.publish('timestamp');
      },
      'content-invalid',
      'timestamp',
    ],
    [
      'a leap second, by which two readers disagree',
      (repository) => {
        repository.of('timestamp')['expires'] = '2026-12-31T23:59:60Z';
        repository.publish('timestamp');
      },
      'content-invalid',
      'timestamp',
    ],
    [
      'another major version of TUF',
      (repository) => {
        repository.of('snapshot')['spec_version'] = '2.0.0';
        repository.publish('snapshot', 'timestamp');
      },
      'content-invalid',
      'snapshot',
    ],
  ])('%s', async (_name, attack, expected, role) => {
    const repository = new RepositorySimulator();
    attack(repository);
    await expect(new TestClient(repository).refresh()).rejects.toMatchObject({ code: expected });
    const failure = await new TestClient(repository).refresh().catch((error: unknown) => error);
    expect(JSON.stringify(failure)).toContain(role);
  });

  it('a clock that does not know the time trusts nothing', async () => {
    const repository = new RepositorySimulator();
    await expect(new TestClient(repository).refresh(new Date(Number.NaN))).rejects.toMatchObject({
      code: 'usage',
    });
  });
});

describe('depth and size inside what is signed', () => {
  const nested = (depth: number): JsonObject[string] =>
    Array.from({ length: depth }).reduce<JsonObject[string]>((inner) => object({ a: inner }), 1);

  it.each([
    [40, undefined],
    [70, 'content-invalid'],
  ])('custom of %i levels', async (depth, expected) => {
    const repository = new RepositorySimulator();
    repository.addTarget('targets', 'v1');
    ((repository.of('targets')['targets'] as JsonObject)['v1'] as JsonObject)['custom'] = object({
      deep: nested(depth),
    });
    repository.publishAll();
    if (expected === undefined) expect((await find(repository, 'v1')).role).toBe('targets');
    else await expect(find(repository, 'v1')).rejects.toThrow(code(expected, { role: 'targets' }));
  });

  it('more signatures than anybody reads', async () => {
    const repository = new RepositorySimulator();
    const many = rewrite(repository.fileOf('targets')!, (document) => {
      const [signature] = document['signatures'] as JsonObject[];
      document['signatures'] = Array.from({ length: 1025 }, (_, index) =>
        object({ ...signature, keyid: index === 0 ? signature!['keyid']! : `k${index}` }),
      );
    });
    repository.lies.set('1.targets.json', many);
    await expect(new TestClient(repository).refresh()).rejects.toThrow(
      code('content-invalid', { role: 'targets' }),
    );
  });

  it('an expired root in the middle leads on, and does so also where it changes every key', async () => {
    const repository = new RepositorySimulator();
    const client = new TestClient(repository);
    await client.refresh();
    for (const days of [-300, -200, -100, 100]) {
      const before = repository.signers.get('root')!;
      const key = repository.newKey();
      repository.setKeys('root', [key]);
      repository.signers.set('root', [...before.slice(-1), key]);
      for (const role of ['timestamp', 'snapshot', 'targets'])
        repository.setKeys(role, [repository.newKey()]);
      repository.of('root')['expires'] = inDays(days);
      repository.publish('root');
    }
    for (const role of ['targets', 'snapshot', 'timestamp']) repository.restart(role);
    repository.publish('targets', 'snapshot', 'timestamp');
    await client.refresh();
    expect(await client.topLevel()).toEqual([5, 1, 1, 1]);
  });
});
