import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { JsonObject } from '../../src/encoding/json.ts';
import { BullaError } from '../../src/errors.ts';
import { refresh } from '../../src/tuf/client.ts';
import { MemoryStateStore } from '../../src/tuf/memory.ts';
import { TestClient } from '../support/tuf/client.ts';
import { poolKey, signatureOf, type TestKey } from '../support/tuf/keys.ts';
import { inDays, NOW, object, RepositorySimulator, rewrite, tamper } from '../support/tuf/repository.ts';

/**
 * Every attack of TUF's threat list (TUF 1.0.34 §1.5.2), the audits' findings and the traps of
 * JavaScript, each by name, with the code that it ends with.
 */
interface Attack {
  readonly name: string;
  /** An honest refresh comes before the attack, so that the client has trusted state. */
  readonly seen?: true;
  /** What the repository was before that; it is published. */
  readonly before?: (repository: RepositorySimulator) => void;
  readonly attack: (repository: RepositorySimulator) => void;
  readonly code: string;
  readonly details?: object;
  /** The attack hits only whoever looks for this target. */
  readonly target?: string;
}

const publishAll = (repository: RepositorySimulator) =>
  void repository.publish('targets', 'snapshot', 'timestamp');
const stranger: TestKey = poolKey(40);

/** Serves a role signed by other keys than its own. */
function signedBy(repository: RepositorySimulator, role: string, ...keys: TestKey[]): void {
  const honest = repository.signers.get(role)!;
  repository.signers.set(role, keys);
  repository.publish(role);
  repository.signers.set(role, honest);
}

const ARBITRARY_SOFTWARE: Attack[] = ['root', 'timestamp', 'snapshot', 'targets'].flatMap(
  (role): Attack[] => [
    {
      name: `${role} signed by a stranger`,
      attack: (repository) => {
        signedBy(repository, role, stranger);
        if (role === 'snapshot') repository.publish('timestamp');
        if (role === 'targets') repository.publish('snapshot', 'timestamp');
      },
      code: 'trust-invalid',
      details: { role, reason: 'signatures' },
    },
    {
      name: `${role} with no signature`,
      attack: (repository) => {
        signedBy(repository, role);
        if (role === 'snapshot') repository.publish('timestamp');
        if (role === 'targets') repository.publish('snapshot', 'timestamp');
      },
      code: 'trust-invalid',
      details: { role, reason: 'signatures' },
    },
    {
      name: `${role} whose content was changed after it was signed`,
      attack: (repository) => {
        repository.publish('root', 'targets', 'snapshot', 'timestamp');
        const name = repository.nameOf(role, repository.version(role));
        repository.lies.set(name, tamper(repository.files.get(name)!, /"expires":"2027/, '"expires":"2028'));
      },
      code: 'trust-invalid',
      details: { role, reason: 'signatures' },
    },
  ],
);

const ROLLBACK: Attack[] = [
  {
    name: 'an old timestamp',
    seen: true,
    before: (repository) => repository.publish('timestamp'),
    attack: (repository) => {
      repository.restart('timestamp');
      repository.publish('timestamp');
    },
    code: 'trust-rollback',
    details: { role: 'timestamp', from: 2, to: 1 },
  },
  {
    name: 'an old timestamp against one that has expired here',
    seen: true,
    before: (repository) => {
      repository.of('timestamp')['expires'] = inDays(0.001);
      repository.publish('timestamp');
    },
    attack: (repository) => {
      repository.restart('timestamp');
      repository.of('timestamp')['expires'] = inDays(100);
      repository.publish('timestamp');
    },
    code: 'trust-rollback',
    details: { role: 'timestamp' },
  },
  {
    name: 'a new timestamp for an old snapshot',
    seen: true,
    before: (repository) => repository.publish('snapshot', 'timestamp'),
    attack: (repository) => {
      repository.restart('snapshot');
      repository.publish('snapshot', 'timestamp');
    },
    code: 'trust-rollback',
    details: { role: 'snapshot', from: 2, to: 1 },
  },
  {
    name: 'a new snapshot for old targets',
    seen: true,
    before: (repository) => publishAll(repository),
    attack: (repository) => {
      repository.restart('targets');
      publishAll(repository);
    },
    code: 'trust-rollback',
    details: { role: 'targets', from: 2, to: 1 },
  },
  {
    name: 'a new snapshot for old targets, with hashes',
    seen: true,
    before: (repository) => {
      repository.hashes = true;
      publishAll(repository);
    },
    attack: (repository) => {
      repository.restart('targets');
      publishAll(repository);
    },
    code: 'trust-rollback',
    details: { role: 'targets' },
  },
  {
    name: 'a new snapshot for old targets, against a snapshot that has expired here',
    seen: true,
    before: (repository) => {
      repository.of('snapshot')['expires'] = inDays(0.001);
      publishAll(repository);
    },
    attack: (repository) => {
      repository.restart('targets');
      repository.of('snapshot')['expires'] = inDays(100);
      publishAll(repository);
    },
    code: 'trust-rollback',
    details: { role: 'targets' },
  },
  {
    name: 'a snapshot that no longer lists a role',
    seen: true,
    before: (repository) => {
      repository.delegate('targets', 'alice');
      repository.publishAll('alice');
    },
    attack: (repository) => {
      delete repository.metaOf('snapshot')['alice.json'];
      repository.publish('snapshot', 'timestamp');
    },
    code: 'trust-rollback',
    details: { role: 'alice', from: 1, to: null },
  },
  {
    name: 'a root of a version that is not the next',
    attack: (repository) => {
      repository.of('root')['version'] = 2;
      repository.publish('root');
      repository.lies.set('2.root.json', repository.rootBytes(3));
    },
    code: 'trust-invalid',
    details: { role: 'root', reason: 'version', expected: 2, found: 3 },
  },
  {
    name: 'the same root again under the next number',
    attack: (repository) => repository.lies.set('2.root.json', repository.rootBytes(1)),
    code: 'trust-invalid',
    details: { role: 'root', reason: 'version' },
  },
];

const FREEZE: Attack[] = [
  ...['root', 'timestamp', 'snapshot', 'targets'].map(
    (role): Attack => ({
      name: `${role} that has expired`,
      attack: (repository) => {
        repository.of(role)['expires'] = inDays(-1);
        repository.publish('root', 'targets', 'snapshot', 'timestamp');
      },
      code: 'trust-expired',
      details: { role, expires: inDays(-1) },
    }),
  ),
  {
    name: 'a timestamp that expires this very moment',
    attack: (repository) => {
      repository.of('timestamp')['expires'] = inDays(0);
      repository.publish('timestamp');
    },
    code: 'trust-expired',
    details: { role: 'timestamp' },
  },
  {
    name: 'the known timestamp again, which has expired by now',
    seen: true,
    before: (repository) => {
      repository.of('timestamp')['expires'] = inDays(0.001);
      repository.publish('timestamp');
    },
    attack: () => undefined,
    code: 'trust-expired',
    details: { role: 'timestamp' },
  },
  {
    name: 'a delegated role that has expired',
    attack: (repository) => {
      repository.delegate('targets', 'alice');
      repository.of('alice')['expires'] = inDays(-1);
      repository.publishAll('alice');
    },
    code: 'trust-expired',
    details: { role: 'alice' },
    target: 'v1',
  },
  {
    name: 'a cut line while asking for the next root is not "no newer root"',
    seen: true,
    attack: (repository) => repository.lies.set('2.root.json', new BullaError('registry-unreachable', 'cut')),
    code: 'registry-unreachable',
  },
];

const ENDLESS_DATA: Attack[] = [
  ['2.root.json', 600_000, 'root'] as const,
  ['timestamp.json', 20_000, 'timestamp'] as const,
  ['2.snapshot.json', 2_100_000, 'snapshot'] as const,
  ['2.targets.json', 5_100_000, 'targets'] as const,
].map(([name, size, role]) => ({
  name: `${role} of ${size} bytes`,
  attack: (repository: RepositorySimulator) => {
    publishAll(repository);
    const honest = new TextDecoder().decode(repository.files.get(name) ?? repository.rootBytes());
    repository.lies.set(name, utf8(honest + ' '.repeat(size)));
  },
  code: 'content-invalid',
  details: { role },
}));

const MIX_AND_MATCH: Attack[] = [
  {
    name: 'snapshot of another version than timestamp names',
    attack: (repository) => {
      publishAll(repository);
      publishAll(repository);
      repository.lies.set('3.snapshot.json', repository.files.get('2.snapshot.json'));
    },
    code: 'trust-invalid',
    details: { role: 'snapshot', reason: 'version', expected: 3, found: 2 },
  },
  {
    name: 'targets of another version than snapshot names',
    attack: (repository) => {
      publishAll(repository);
      publishAll(repository);
      repository.lies.set('3.targets.json', repository.files.get('1.targets.json'));
    },
    code: 'trust-invalid',
    details: { role: 'targets', reason: 'version', expected: 3, found: 1 },
  },
  ...['snapshot', 'targets'].map(
    (role): Attack => ({
      name: `two ${role} files of one version, where hashes are told`,
      attack: (repository) => {
        repository.hashes = true;
        publishAll(repository);
        repository.of(role)['expires'] = inDays(300);
        repository.lies.set(`2.${role}.json`, repository.sign(role));
      },
      code: 'trust-invalid',
      details: { role, reason: 'hash' },
    }),
  ),
  {
    name: "another role's file, signed by keys that both roles share",
    attack: (repository) => {
      repository.setKeys('timestamp', repository.signers.get('snapshot')!);
      repository.metaOf('snapshot')['snapshot.json'] = object({ version: 1 });
      repository.publish('root', 'snapshot');
      repository.lies.set('timestamp.json', repository.fileOf('snapshot'));
    },
    code: 'content-invalid',
    details: { role: 'timestamp' },
  },
  {
    name: 'hashes of kinds that nobody here can compute',
    attack: (repository) => {
      publishAll(repository);
      repository.metaOf('timestamp')['snapshot.json'] = object({
        version: 2,
        hashes: object({ crc32: '0' }),
      });
      repository.publish('timestamp');
    },
    code: 'trust-invalid',
    details: { role: 'snapshot', reason: 'hash' },
  },
];

const MALICIOUS_MIRROR: Attack[] = [
  ...['timestamp.json', '1.snapshot.json', '1.targets.json'].map(
    (fileName): Attack => ({
      name: `no ${fileName}`,
      attack: (repository) => repository.lies.set(fileName, undefined),
      code: 'trust-invalid',
      details: { reason: 'missing', fileName },
    }),
  ),
  {
    name: 'no file of a delegated role',
    attack: (repository) => {
      repository.delegate('targets', 'alice');
      repository.publishAll('alice');
      repository.lies.set('1.alice.json', undefined);
    },
    code: 'trust-invalid',
    details: { role: 'alice', reason: 'missing' },
    target: 'v1',
  },
  {
    name: 'a sign-in page instead of metadata',
    attack: (repository) => repository.lies.set('timestamp.json', utf8('<html>Sign in</html>')),
    code: 'content-invalid',
    details: { role: 'timestamp' },
  },
  {
    name: 'a delegation that snapshot does not list',
    attack: (repository) => {
      repository.delegate('targets', 'alice');
      publishAll(repository);
    },
    code: 'trust-invalid',
    details: { role: 'alice', reason: 'unlisted' },
    target: 'v1',
  },
];

/** Half of a threshold of 2: the key of each level is lost, and alone it opens nothing. */
const KEY_COMPROMISE: Attack[] = [
  ...['root', 'timestamp', 'snapshot', 'targets'].map(
    (role): Attack => ({
      name: `one of two keys of ${role} is stolen`,
      before: (repository) => {
        const keys = [...repository.signers.get(role)!, repository.newKey()];
        repository.setKeys(role, keys, 2);
        if (role === 'root') repository.signers.set('root', keys);
        repository.publish('root');
        if (role !== 'root') repository.publish('targets', 'snapshot', 'timestamp');
      },
      attack: (repository) => {
        signedBy(repository, role, repository.signers.get(role)![0]!);
        if (role === 'targets') repository.publish('snapshot', 'timestamp');
        if (role === 'snapshot') repository.publish('timestamp');
      },
      seen: true,
      code: 'trust-invalid',
      details: { role, reason: 'signatures', threshold: 2 },
    }),
  ),
  {
    name: 'the online keys are stolen: targets they sign are not believed',
    attack: (repository) => {
      repository.addTarget('targets', 'evil');
      signedBy(
        repository,
        'targets',
        ...repository.signers.get('snapshot')!,
        ...repository.signers.get('timestamp')!,
      );
      repository.publish('snapshot', 'timestamp');
    },
    code: 'trust-invalid',
    details: { role: 'targets' },
  },
  {
    name: "a signer's key is stolen: it cannot name what was not delegated to it",
    before: (repository) => {
      repository.delegate('targets', 'alice', { paths: ['alice/*'] });
      repository.publishAll('alice');
    },
    attack: (repository) => {
      repository.addTarget('alice', 'v1');
      repository.publishAll('alice');
    },
    code: 'name-not-signed',
    target: 'v1',
  },
  {
    name: "a signer's key is replaced: the file of the old key is not believed, cached or not",
    seen: true,
    before: (repository) => {
      repository.delegate('targets', 'alice');
      repository.addTarget('alice', 'v1');
      repository.publishAll('alice');
    },
    attack: (repository) => {
      const delegations = repository.of('targets')['delegations'] as JsonObject;
      const key = repository.newKey();
      (delegations['keys'] as JsonObject)[key.key.keyid] = key.key.json;
      (delegations['roles'] as JsonObject[])[0]!['keyids'] = [key.key.keyid];
      publishAll(repository);
    },
    code: 'trust-invalid',
    details: { role: 'alice', reason: 'signatures' },
    target: 'v1',
  },
  {
    name: 'the timestamp key is stolen after root replaced it',
    attack: (repository) => {
      const stolen = repository.signers.get('timestamp')!;
      repository.setKeys('timestamp', [repository.newKey()]);
      repository.publish('root', 'targets', 'snapshot');
      signedBy(repository, 'timestamp', ...stolen);
    },
    code: 'trust-invalid',
    details: { role: 'timestamp' },
  },
];

const AUDITS: Attack[] = [
  {
    name: 'one key under two ids for a threshold of 2',
    attack: (repository) => {
      const [key] = repository.signers.get('snapshot')!;
      const alias = {
        ...key!,
        key: Object.create(key!.key, { keyid: { value: 'alias' } }) as TestKey['key'],
      };
      repository.setKeys('snapshot', [key!, alias], 2);
      repository.publish('root', 'snapshot', 'timestamp');
    },
    code: 'trust-invalid',
    details: { role: 'snapshot', reason: 'signatures', threshold: 2 },
  },
  {
    name: 'one key id listed nine times',
    attack: (repository) => {
      const [key] = repository.signers.get('snapshot')!;
      const roles = repository.of('root')['roles'] as JsonObject;
      roles['snapshot'] = object({ keyids: Array<string>(9).fill(key!.key.keyid), threshold: 6 });
      repository.publish('root', 'snapshot', 'timestamp');
    },
    code: 'content-invalid',
    details: { role: 'root' },
  },
  {
    name: 'one signature twice',
    attack: (repository) => {
      const twice = rewrite(repository.fileOf('snapshot')!, (document) => {
        const signatures = document['signatures'] as JsonObject[];
        signatures.push(signatures[0]!);
      });
      repository.lies.set('1.snapshot.json', twice);
    },
    code: 'content-invalid',
    details: { role: 'snapshot' },
  },
  {
    name: 'a threshold above the number of keys',
    attack: (repository) => {
      repository.setKeys('snapshot', repository.signers.get('snapshot')!, 6);
      repository.publish('root', 'snapshot', 'timestamp');
    },
    code: 'trust-invalid',
    details: { role: 'snapshot' },
  },
  {
    name: 'a version beyond what a number can hold',
    attack: (repository) => {
      repository.lies.set(
        'timestamp.json',
        tamper(repository.fileOf('timestamp')!, '"version":1}', '"version":18446744073709551616}'),
      );
    },
    code: 'content-invalid',
    details: { role: 'timestamp' },
  },
  {
    name: 'version 0',
    attack: (repository) => {
      repository.restart('timestamp', 0);
      repository.publish('timestamp');
    },
    code: 'content-invalid',
    details: { role: 'timestamp' },
  },
  {
    name: 'an algorithm that the file chooses for itself',
    attack: (repository) => {
      const forged = rewrite(repository.fileOf('timestamp')!, (document) => {
        (document['signed'] as JsonObject)['expires'] = inDays(300);
        (document['signatures'] as JsonObject[])[0]!['method'] = 'none';
      });
      repository.lies.set('timestamp.json', forged);
    },
    code: 'trust-invalid',
    details: { role: 'timestamp' },
  },
  {
    name: 'a delegated role called root',
    attack: (repository) => {
      repository.delegate('targets', 'evil');
      const delegations = repository.of('targets')['delegations'] as JsonObject;
      (delegations['roles'] as JsonObject[])[0]!['name'] = 'root';
      publishAll(repository);
    },
    code: 'content-invalid',
    details: { role: 'targets' },
  },
  {
    name: 'a second meaning: a key twice in one object',
    attack: (repository) => {
      repository.lies.set(
        'timestamp.json',
        tamper(repository.fileOf('timestamp')!, '"_type"', '"version":9,"_type"'),
      );
    },
    code: 'content-invalid',
    details: { role: 'timestamp' },
  },
  {
    name: 'nesting without end',
    attack: (repository) => repository.lies.set('timestamp.json', utf8('['.repeat(16_000))),
    code: 'content-invalid',
    details: { role: 'timestamp' },
  },
  {
    name: 'a delegation to itself without end',
    attack: (repository) => {
      repository.delegate('targets', 'loop');
      repository.delegate('loop', 'loop', { keys: repository.signers.get('loop')! });
      repository.publishAll('loop');
    },
    code: 'name-not-signed',
    target: 'v1',
  },
  {
    name: 'more delegations than anybody needs',
    attack: (repository) => {
      const [key] = [repository.newKey()];
      const names = Array.from({ length: 40 }, (_, index) => `r${index}`);
      for (const [index, name] of names.entries()) {
        repository.delegate(index === 0 ? 'targets' : `r${index - 1}`, name, { keys: [key] });
      }
      repository.publishAll(...names);
    },
    code: 'trust-invalid',
    details: { reason: 'too-many-roles' },
    target: 'v1',
  },
];

const TRAPS: Attack[] = [
  ...['constructor', '__proto__', 'toString', 'hasOwnProperty'].map(
    (path): Attack => ({
      name: `a target called ${path} that nobody signed`,
      attack: () => undefined,
      code: 'name-not-signed',
      target: path,
    }),
  ),
  ...[
    ['{a,b}', 'a'],
    ['!a', 'b'],
    ['[ab]', 'a'],
    ['@(a|b)', 'a'],
    ['**', 'a/b'],
    ['a', 'A'],
  ].map(
    ([pattern, path]): Attack => ({
      name: `a delegation of ${pattern} that would speak of ${path}`,
      attack: (repository) => {
        repository.delegate('targets', 'alice', { paths: [pattern!] });
        repository.addTarget('alice', path!);
        repository.publishAll('alice');
      },
      code: 'name-not-signed',
      target: path!,
    }),
  ),
  {
    name: 'a role called __proto__ that has no file',
    attack: (repository) => {
      repository.delegate('targets', '__proto__');
      publishAll(repository);
    },
    code: 'trust-invalid',
    details: { role: '__proto__', reason: 'unlisted' },
    target: 'v1',
  },
  {
    name: 'a key under __proto__',
    attack: (repository) => {
      repository.lies.set(
        '2.root.json',
        tamper(repository.rootBytes(), /"keys":\{"/, '"keys":{"__proto__":[],"'),
      );
    },
    code: 'trust-invalid',
    details: { role: 'root' },
  },
];

describe.each([
  ['arbitrary software', ARBITRARY_SOFTWARE],
  ['rollback', ROLLBACK],
  ['freeze', FREEZE],
  ['endless data', ENDLESS_DATA],
  ['mix and match', MIX_AND_MATCH],
  ['malicious mirror', MALICIOUS_MIRROR],
  ['key compromise', KEY_COMPROMISE],
  ['findings of audits', AUDITS],
  ['traps of JavaScript', TRAPS],
] as const)('%s', (_title, attacks) => {
  it.each(attacks.map((attack) => [attack.name, attack] as const))('%s', async (_name, attack) => {
    const repository = new RepositorySimulator();
    attack.before?.(repository);
    const client = new TestClient(repository);
    if (attack.seen === true) await visit(client, attack.target);
    const before = await client.topLevel();
    attack.attack(repository);
    const later = attack.seen === true ? new Date(NOW.getTime() + 600_000) : NOW;
    await expect(visit(client, attack.target, later)).rejects.toThrow(
      expect.objectContaining({
        code: attack.code,
        ...(attack.details !== undefined && { details: expect.objectContaining(attack.details) }),
      }),
    );
    if (attack.code === 'trust-rollback') expect(await client.topLevel()).not.toContain(undefined);
    if (attack.code === 'trust-rollback') {
      const after = await client.topLevel();
      expect(after.every((version, index) => version! >= before[index]!)).toBe(true);
    }
  });
});

async function visit(client: TestClient, target: string | undefined, now: Date = NOW): Promise<void> {
  const refreshed = await client.refresh(now);
  if (target !== undefined) await refreshed.findTarget(target);
}

describe('content of targets', () => {
  const download = async (repository: RepositorySimulator, path: string): Promise<string> => {
    const client = await new TestClient(repository).refresh();
    let text = '';
    for await (const piece of await client.fetchTarget(await client.findTarget(path), repository)) {
      text += new TextDecoder().decode(piece);
    }
    return text;
  };
  const withTarget = (path: string) => {
    const repository = new RepositorySimulator();
    repository.addTarget('targets', path, utf8('the content that was signed'));
    return repository.publishAll();
  };
  const hash = createHash('sha256').update('the content that was signed').digest('hex');

  it('comes whole where it is what was signed', async () => {
    expect(await download(withTarget('a/v1'), 'a/v1')).toBe('the content that was signed');
  });

  it.each([
    ['wrong software: other bytes of the same length', 'THE CONTENT THAT WAS SIGNED', 'digest-mismatch'],
    ['endless data: more bytes', 'the content that was signed and more', 'digest-mismatch'],
    ['too few bytes', 'the content', 'digest-mismatch'],
    ['nothing', '', 'digest-mismatch'],
  ])('%s', async (_name, served, expected) => {
    const repository = withTarget('a/v1');
    repository.lies.set(`a/${hash}.v1`, utf8(served));
    await expect(download(repository, 'a/v1')).rejects.toThrow(expect.objectContaining({ code: expected }));
  });

  it('does not give the last piece of what is not what was signed', async () => {
    const repository = withTarget('v1');
    repository.lies.set(`${hash}.v1`, utf8('THE CONTENT THAT WAS SIGNED'));
    const client = await new TestClient(repository).refresh();
    const seen: string[] = [];
    const read = async () => {
      for await (const piece of await client.fetchTarget(await client.findTarget('v1'), repository)) {
        seen.push(new TextDecoder().decode(piece));
      }
    };
    await expect(read()).rejects.toThrow('signed');
    expect(seen.join('')).toBe('THE CONTENT THAT WAS ');
  });

  it('a file that the mirror says it has not', async () => {
    const repository = withTarget('v1');
    repository.lies.set(`${hash}.v1`, undefined);
    await expect(download(repository, 'v1')).rejects.toThrow(
      expect.objectContaining({ code: 'trust-invalid' }),
    );
  });

  it.each(['../v1', '/etc/passwd', 'a/../../v1', 'a//b', '.'])(
    'a signed name that leaves the folder: %s',
    async (path) => {
      const repository = withTarget(path);
      await expect(download(repository, path)).rejects.toThrow(
        expect.objectContaining({ code: 'content-invalid' }),
      );
    },
  );

  it('a hash of a kind that nobody here can compute', async () => {
    const repository = withTarget('v1');
    const entry = (repository.of('targets')['targets'] as JsonObject)['v1'] as JsonObject;
    entry['hashes'] = object({ blake9: 'ff' });
    repository.publishAll();
    repository.lies.set('v1', utf8('the content that was signed'));
    await expect(download(repository, 'v1')).rejects.toThrow(
      expect.objectContaining({ code: 'digest-mismatch' }),
    );
  });

  it('extraneous dependencies: a name that was never signed', async () => {
    await expect(download(withTarget('v1'), 'v2')).rejects.toThrow(
      expect.objectContaining({ code: 'name-not-signed' }),
    );
  });
});

describe('one changed byte', () => {
  const repository = new RepositorySimulator();
  repository.delegate('targets', 'names', { paths: ['*', '*/*'] });
  repository.addTarget('names', 'v1');
  repository.publishAll('names');

  it.each(['root', 'timestamp', 'snapshot', 'targets', 'names'])('of %s never verifies', async (role) => {
    const bytes = repository.fileOf(role)!;
    const name = repository.nameOf(role, repository.version(role));
    const signed = new TextDecoder().decode(bytes).indexOf('"signed"') + 9;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: signed, max: bytes.length - 2 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, xor) => {
          const changed = new Uint8Array(bytes);
          changed[at] = (changed[at] ?? 0) ^ xor;
          if (role === 'root') {
            const result = refresh(repository, new MemoryStateStore(), NOW, { initialRoot: changed });
            await expect(result).rejects.toMatchObject({
              code: expect.stringMatching(/^(trust-invalid|content-invalid)$/),
            });
            return;
          }
          repository.lies.set(name, changed);
          await expect(visit(new TestClient(repository), 'v1')).rejects.toMatchObject({
            code: expect.stringMatching(/^(trust-invalid|content-invalid)$/),
          });
          repository.lies.clear();
        },
      ),
      { numRuns: 120 },
    );
  });

  it('of a signature does not verify, nor does another spelling of it', () => {
    const key = poolKey(0);
    const signed = object({ a: 1 });
    const { sig } = signatureOf(signed, key);
    const verify = (hex: string) => key.key.verifier!.verify(utf8('{"a":1}'), Buffer.from(hex, 'hex'));
    expect(verify(sig)).toBe(true);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: sig.length - 1 }),
        fc.constantFrom(...'0123456789abcdef'),
        (at, digit) => {
          const changed = sig.slice(0, at) + digit + sig.slice(at + 1);
          expect(verify(changed)).toBe(changed === sig);
        },
      ),
    );
    expect(verify(`${sig}00`)).toBe(false);
    expect(verify(sig.replace(/^30(..)/, (_, length: string) => `3081${length}`))).toBe(false);
  });
});

describe('an unsigned field that a stranger adds changes nothing', () => {
  it.each(['root', 'timestamp', 'snapshot', 'targets'])('to %s', async (role) => {
    const repository = new RepositorySimulator();
    repository.publish('root', 'targets', 'snapshot', 'timestamp');
    const name = repository.nameOf(role, repository.version(role));
    const more = rewrite(repository.fileOf(role)!, (document) => {
      document['comment'] = 'hello';
      (document['signatures'] as JsonObject[])[0]!['note'] = object({ a: 1 });
    });
    repository.lies.set(name, more);
    const client = new TestClient(repository);
    await client.refresh();
    expect(await client.store.load(role)).toEqual(more);
  });
});
