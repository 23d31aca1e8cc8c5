import { describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../src/encoding/json.ts';
import { isBullaError } from '../../src/errors.ts';
import { listNotaryNames } from '../../src/notary/names.ts';
import type { NotaryPin } from '../../src/notary/pin.ts';
import { type NotaryRepository, verifyNotaryRepository } from '../../src/notary/repository.ts';
import {
  type ForgedRepository,
  ForgedSource,
  forgeKey,
  forgeRepository,
  GUN,
  NOW,
  publish,
  target,
} from '../support/notary/forge.ts';

type Change = (signed: JsonObject) => void;
type Objects = Record<string, Record<string, JsonValue>>;

async function outcome(
  role: string,
  change: Change,
  prepare: (repository: ForgedRepository) => void | Promise<void> = () => undefined,
): Promise<string> {
  const repository = await forgeRepository();
  repository.delegations.set('targets/releases', {
    keys: [await forgeKey()],
    targets: { v2: target('two') },
  });
  await prepare(repository);
  repository.tamper = new Map([[role, change]]);
  return await verdict(new ForgedSource(publish(repository)));
}

async function verdict(source: ForgedSource, pin: NotaryPin = { kind: 'tofu' }): Promise<string> {
  try {
    const verified = await verifyNotaryRepository(source, { gun: GUN, now: NOW, pin });
    return namesOf(verified);
  } catch (error) {
    if (isBullaError(error)) return error.code;
    throw error;
  }
}

const namesOf = (repository: NotaryRepository | undefined): string =>
  repository === undefined
    ? 'nothing'
    : listNotaryNames(repository)
        .map(({ name }) => name)
        .join(' ');

const roleList = (signed: JsonObject): Record<string, JsonValue>[] =>
  (signed['delegations'] as unknown as { roles: Record<string, JsonValue>[] }).roles;

/** What is signed in another way than Notary writes it, and what becomes of it. */
const ODD: readonly (readonly [name: string, role: string, change: Change, expected: string])[] = [
  [
    'a time without a fraction',
    'targets',
    (s) => {
      s['expires'] = '2029-11-19T23:51:18Z';
    },
    'v1 v2',
  ],
  [
    'a time with an offset',
    'targets',
    (s) => {
      s['expires'] = '2029-11-19T23:51:18+02:00';
    },
    'v1 v2',
  ],
  [
    'the year 9999',
    'snapshot',
    (s) => {
      s['expires'] = '9999-12-31T23:59:59Z';
    },
    'v1 v2',
  ],
  [
    'the year 0001, as Go writes no time',
    'targets',
    (s) => {
      s['expires'] = '0001-01-01T00:00:00Z';
    },
    'content-invalid',
  ],
  ['no time', 'targets', (s) => void delete s['expires'], 'content-invalid'],
  [
    'a time that is none',
    'timestamp',
    (s) => {
      s['expires'] = 'never';
    },
    'content-invalid',
  ],
  [
    'null as a time',
    'root',
    (s) => {
      s['expires'] = null;
    },
    'content-invalid',
  ],
  [
    'version 0',
    'targets',
    (s) => {
      s['version'] = 0;
    },
    'content-invalid',
  ],
  [
    'a version below 0',
    'snapshot',
    (s) => {
      s['version'] = -1;
    },
    'content-invalid',
  ],
  [
    'a version that is text',
    'snapshot',
    (s) => {
      s['version'] = '1';
    },
    'content-invalid',
  ],
  ['no version', 'timestamp', (s) => void delete s['version'], 'content-invalid'],
  [
    'a type in lower case',
    'targets',
    (s) => {
      s['_type'] = 'targets';
    },
    'content-invalid',
  ],
  [
    'the type of another role',
    'snapshot',
    (s) => {
      s['_type'] = 'Timestamp';
    },
    'content-invalid',
  ],
  [
    'consistent_snapshot',
    'root',
    (s) => {
      s['consistent_snapshot'] = true;
    },
    'v1 v2',
  ],
  ['no consistent_snapshot', 'root', (s) => void delete s['consistent_snapshot'], 'v1 v2'],
  [
    'members that Notary does not know',
    'targets',
    (s) => {
      s['extra'] = { a: [1, 'b'] };
    },
    'v1 v2',
  ],
  [
    'a spec_version',
    'root',
    (s) => {
      s['spec_version'] = '1.0.0';
    },
    'v1 v2',
  ],
  [
    'roles of other kinds in root',
    'root',
    (s) => {
      (s['roles'] as Objects)['mirror'] = { keyids: [], threshold: 0 };
    },
    'v1 v2',
  ],
  [
    'no snapshot role in root',
    'root',
    (s) => void delete (s['roles'] as Objects)['snapshot'],
    'content-invalid',
  ],
  [
    'a threshold of 0',
    'root',
    (s) => {
      (s['roles'] as Objects)['targets']!['threshold'] = 0;
    },
    'content-invalid',
  ],
  [
    'no keys for a role',
    'root',
    (s) => {
      (s['roles'] as Objects)['targets']!['keyids'] = [];
    },
    'trust-invalid',
  ],
  [
    'null as keys of a role',
    'root',
    (s) => {
      (s['roles'] as Objects)['targets']!['keyids'] = null;
    },
    'content-invalid',
  ],
  [
    'key ids in upper case',
    'root',
    (s) => {
      const role = (s['roles'] as Objects)['targets'] as { keyids: string[] };
      role.keyids = role.keyids.map((id) => id.toUpperCase());
    },
    'trust-invalid',
  ],
  [
    'a key id twice, and a threshold of two',
    'root',
    (s) => {
      const role = (s['roles'] as Objects)['targets'] as { keyids: string[]; threshold: number };
      Object.assign(role, { keyids: [...role.keyids, ...role.keyids], threshold: 2 });
    },
    'trust-invalid',
  ],
  [
    'a key id twice',
    'root',
    (s) => {
      const role = (s['roles'] as Objects)['targets'] as { keyids: string[] };
      role.keyids = [...role.keyids, ...role.keyids];
    },
    'v1 v2',
  ],
  ['no delegations', 'targets', (s) => void delete s['delegations'], 'v1'],
  [
    'null as delegations',
    'targets',
    (s) => {
      s['delegations'] = null;
    },
    'v1',
  ],
  [
    'empty delegations',
    'targets',
    (s) => {
      s['delegations'] = {};
    },
    'v1',
  ],
  [
    'null as roles of delegations',
    'targets',
    (s) => {
      (s['delegations'] as Objects)['roles'] = null as never;
    },
    'v1',
  ],
  [
    'null as targets',
    'targets/releases',
    (s) => {
      s['targets'] = null;
    },
    'v1',
  ],
  ['no targets', 'targets/releases', (s) => void delete s['targets'], 'v1'],
  [
    'a list as targets',
    'targets',
    (s) => {
      s['targets'] = [];
    },
    'content-invalid',
  ],
  [
    'null as custom',
    'targets',
    (s) => {
      (s['targets'] as Objects)['v1']!['custom'] = null;
    },
    'v1 v2',
  ],
  [
    'a target without hashes',
    'targets',
    (s) => void delete (s['targets'] as Objects)['v1']!['hashes'],
    'content-invalid',
  ],
  [
    'a target without a length',
    'targets',
    (s) => void delete (s['targets'] as Objects)['v1']!['length'],
    'content-invalid',
  ],
  [
    'a length below 0',
    'targets',
    (s) => {
      (s['targets'] as Objects)['v1']!['length'] = -1;
    },
    'content-invalid',
  ],
  [
    'a hash in hex',
    'targets',
    (s) => {
      (s['targets'] as Objects)['v1']!['hashes'] = { sha256: 'ab'.repeat(32) };
    },
    'content-invalid',
  ],
  [
    'empty paths',
    'targets',
    (s) => {
      roleList(s)[0]!['paths'] = [];
    },
    'v1',
  ],
  [
    'null as paths',
    'targets',
    (s) => {
      roleList(s)[0]!['paths'] = null;
    },
    'v1',
  ],
  ['no paths', 'targets', (s) => void delete roleList(s)[0]!['paths'], 'v1'],
  [
    'a path that is another name',
    'targets',
    (s) => {
      roleList(s)[0]!['paths'] = ['v1'];
    },
    'v1',
  ],
  [
    'a pattern, which is no pattern here',
    'targets',
    (s) => {
      roleList(s)[0]!['paths'] = ['*'];
    },
    'v1',
  ],
  [
    'path_hash_prefixes, which are not paths here',
    'targets',
    (s) => {
      roleList(s)[0] = { ...roleList(s)[0], paths: [], path_hash_prefixes: [''] };
    },
    'v1',
  ],
  [
    'a delegation in upper case',
    'targets',
    (s) => {
      roleList(s)[0]!['name'] = 'targets/Releases';
    },
    'content-invalid',
  ],
  [
    'a delegation that leaves its place',
    'targets',
    (s) => {
      roleList(s)[0]!['name'] = 'targets/../root';
    },
    'content-invalid',
  ],
  [
    'a delegation of the root role',
    'targets',
    (s) => {
      roleList(s)[0]!['name'] = 'root';
    },
    'content-invalid',
  ],
  [
    'a delegation two levels below',
    'targets',
    (s) => {
      roleList(s)[0]!['name'] = 'targets/a/b';
    },
    'content-invalid',
  ],
  [
    'a delegation without a threshold',
    'targets',
    (s) => void delete roleList(s)[0]!['threshold'],
    'content-invalid',
  ],
  [
    'a delegation of unknown keys',
    'targets',
    (s) => {
      roleList(s)[0]!['keyids'] = ['0'.repeat(64)];
    },
    'trust-invalid',
  ],
  [
    'a role in snapshot that targets do not delegate',
    'snapshot',
    (s) => {
      (s['meta'] as Objects)['targets/ghost'] = (s['meta'] as Objects)['targets']!;
    },
    'v1 v2',
  ],
  [
    'a file in snapshot that is no role',
    'snapshot',
    (s) => {
      (s['meta'] as Objects)['../evil'] = (s['meta'] as Objects)['targets']!;
    },
    'v1 v2',
  ],
  [
    'a snapshot that lists itself',
    'snapshot',
    (s) => {
      (s['meta'] as Objects)['snapshot'] = (s['meta'] as Objects)['targets']!;
    },
    'v1 v2',
  ],
  [
    'a snapshot without root',
    'snapshot',
    (s) => void delete (s['meta'] as Objects)['root'],
    'content-invalid',
  ],
  [
    'a snapshot without targets',
    'snapshot',
    (s) => void delete (s['meta'] as Objects)['targets'],
    'content-invalid',
  ],
  [
    'a snapshot without a delegation',
    'snapshot',
    (s) => void delete (s['meta'] as Objects)['targets/releases'],
    'v1',
  ],
  [
    'names as today’s TUF has them',
    'snapshot',
    (s) => {
      const meta = Object.entries(s['meta'] as Objects);
      s['meta'] = Object.fromEntries(meta.map(([name, entry]) => [`${name}.json`, entry]));
    },
    'content-invalid',
  ],
  [
    'a timestamp that lists more',
    'timestamp',
    (s) => {
      (s['meta'] as Objects)['root'] = (s['meta'] as Objects)['snapshot']!;
    },
    'v1 v2',
  ],
  [
    'a timestamp without snapshot',
    'timestamp',
    (s) => {
      s['meta'] = {};
    },
    'content-invalid',
  ],
  [
    'sha512 alone in snapshot',
    'snapshot',
    (s) => {
      for (const meta of Object.values(s['meta'] as Objects)) delete (meta['hashes'] as JsonObject)['sha256'];
    },
    'v1 v2',
  ],
  [
    'sha512 alone in timestamp',
    'timestamp',
    (s) => {
      for (const meta of Object.values(s['meta'] as Objects)) delete (meta['hashes'] as JsonObject)['sha256'];
    },
    'v1 v2',
  ],
  [
    'hashes of kinds that are not known beside those that are',
    'timestamp',
    (s) => {
      ((s['meta'] as Objects)['snapshot']!['hashes'] as JsonObject)['md5'] = 'AAAA';
    },
    'v1 v2',
  ],
];

describe('metadata that Notary would not write', () => {
  it.each(ODD)('%s', async (_, role, change, expected) => {
    expect(await outcome(role, change)).toBe(expected);
  });
});

/** Three rotations of the root key. */
async function rotated() {
  const repository = await forgeRepository();
  const first = repository.root[0]!;
  let files = publish(repository);
  for (const version of [2, 3, 4]) {
    const next = await forgeKey('P-256', { cn: GUN });
    Object.assign(repository, { rootVersion: version, version, oldRoot: repository.root, root: [next] });
    files = publish(repository, files);
  }
  return { source: new ForgedSource(files), first, last: repository.root[0]! };
}

describe('a root that was rotated three times', () => {
  const pinOf = ({ id }: { id: string }): NotaryPin => ({ kind: 'key-ids', keyIds: [id] });

  it('is found from the first key, in upper case as well, and from the last', async () => {
    const { source, first, last } = await rotated();
    expect(await verdict(source, pinOf(first))).toBe('v1');
    expect(await verdict(source, pinOf({ id: first.id.toUpperCase() }))).toBe('v1');
    expect(await verdict(source, pinOf(last))).toBe('v1');
  });

  it('on a server that has root.json alone holds for the newest key and for the one before, which signed it', async () => {
    const { source, first, last } = await rotated();
    for (const name of [...source.files.keys()]) if (/^\d+\.root$/.test(name)) source.files.delete(name);
    expect(await verdict(source, pinOf(last))).toBe('v1');
    expect(await verdict(source, pinOf(first))).toBe('trust-invalid');
  });

  it.each([1, 2, 3])('without version %i of its root', async (version) => {
    const { source, first } = await rotated();
    source.files.delete(`${version}.root`);
    expect(await verdict(source, pinOf(first))).toBe('trust-invalid');
  });

  it('with two of its roots exchanged', async () => {
    const { source, first } = await rotated();
    const [two, three] = [source.files.get('2.root')!, source.files.get('3.root')!];
    source.files.set('2.root', three).set('3.root', two);
    expect(await verdict(source, pinOf(first))).toBe('trust-invalid');
  });
});

describe('signatures', () => {
  it('by a key of another role count for nothing', async () => {
    const repository = await forgeRepository();
    const key = repository.targets.keys[0]!;
    const files = publish(repository);
    repository.targets.keys = [repository.snapshot];
    files.set('targets', publish({ ...repository, targets: { ...repository.targets } }).get('targets')!);
    expect(key.id).not.toBe(repository.snapshot.id);
    expect(await verdict(new ForgedSource(files))).toBe('trust-invalid');
  });

  it.each([
    ['the method in upper case', 'ECDSA', 'v1'],
    ['the method of another kind of key', 'rsapss', 'trust-invalid'],
    ['a method that is not known', 'hmac', 'trust-invalid'],
    ['no method', '', 'trust-invalid'],
  ])('with %s', async (_, method, expected) => {
    const repository = await forgeRepository();
    repository.timestamp = { ...repository.timestamp, method };
    const files = publish(repository);
    expect(await verdict(new ForgedSource(files))).toBe(expected);
  });

  it.each(['RSA', 'P-384', 'P-521', 'Ed25519'] as const)('by %s keys in every role', async (type) => {
    const key = (): ReturnType<typeof forgeKey> => forgeKey(type);
    const [targets, snapshot, timestamp, root] = await Promise.all([key(), key(), key(), key()]);
    const repository = await forgeRepository(GUN, { root, targets, snapshot, timestamp });
    expect(await verdict(new ForgedSource(publish(repository)))).toBe('v1');
  });

  it('of one key for every role', async () => {
    const key = await forgeKey();
    const repository = await forgeRepository(GUN, { root: key, targets: key, snapshot: key, timestamp: key });
    repository.delegations.set('targets/a', { keys: [key], targets: { v2: target('two') } });
    expect(await verdict(new ForgedSource(publish(repository)))).toBe('v1 v2');
  });
});
