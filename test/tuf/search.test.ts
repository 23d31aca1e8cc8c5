import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { binFor, binNames } from '../../src/tuf/hash-bins.ts';
import { TestClient } from '../support/tuf/client.ts';
import { NOW, RepositorySimulator } from '../support/tuf/repository.ts';

/** A delegation: from, to, and what is special about it. */
type Edge = readonly [
  from: string,
  to: string,
  special?: { readonly paths?: string[]; readonly terminating?: true },
];

function graph(edges: readonly Edge[]): RepositorySimulator {
  const repository = new RepositorySimulator();
  const key = repository.newKey();
  for (const [from, to, special] of edges) repository.delegate(from, to, { keys: [key], ...special });
  return repository.publishAll(...new Set(edges.map(([, to]) => to)));
}

/** Delegated roles in the order in which their files were fetched. */
async function visited(repository: RepositorySimulator, path: string): Promise<string[]> {
  const client = await new TestClient(repository).refresh();
  repository.requests.length = 0;
  await client.findTarget(path).catch(() => undefined);
  return repository.requests.map((name) => name.replace(/^\d+\.(.*)\.json$/, '$1'));
}

describe('the order of the search (§5.6.7)', () => {
  it.each<[string, Edge[], string[]]>([
    ['one delegation', [['targets', 'A']], ['A']],
    [
      'two',
      [
        ['targets', 'A'],
        ['targets', 'B'],
      ],
      ['A', 'B'],
    ],
    [
      'two levels',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['B', 'C'],
      ],
      ['A', 'B', 'C'],
    ],
    [
      'depth first',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C'],
        ['A', 'D'],
      ],
      ['A', 'C', 'D', 'B'],
    ],
    [
      'three levels',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C'],
        ['C', 'D'],
      ],
      ['A', 'C', 'D', 'B'],
    ],
    [
      'a terminating role ends the search on every level',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C', { terminating: true }],
        ['A', 'D'],
      ],
      ['A', 'C'],
    ],
    [
      'what is below a terminating role is asked',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C', { terminating: true }],
        ['C', 'D'],
      ],
      ['A', 'C', 'D'],
    ],
    [
      'a terminating role that is not trusted with the path ends nothing',
      [
        ['targets', 'A', { paths: ['*.py'], terminating: true }],
        ['targets', 'B'],
      ],
      ['B'],
    ],
    [
      'paths that do not match',
      [
        ['targets', 'A', { paths: ['*.py'] }],
        ['targets', 'B'],
        ['A', 'C'],
      ],
      ['B'],
    ],
    [
      'a circle',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['B', 'C'],
        ['C', 'D'],
        ['D', 'B'],
      ],
      ['A', 'B', 'C', 'D'],
    ],
    [
      'two ways to one role',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['B', 'C'],
        ['A', 'C'],
      ],
      ['A', 'C', 'B'],
    ],
    [
      'names that are integers, or belong to Object',
      [
        ['targets', '10'],
        ['targets', '9'],
        ['targets', 'constructor'],
        ['targets', '__proto__'],
        ['targets', '1'],
      ],
      ['10', '9', 'constructor', '__proto__', '1'],
    ],
    [
      'names that need encoding',
      [
        ['targets', '../a'],
        ['targets', '?#'],
      ],
      ['..%2Fa', '%3F%23'],
    ],
  ])('%s', async (_name, edges, expected) => {
    expect(await visited(graph(edges), 'missing')).toEqual(expected);
  });

  it.each<[string, string[] | undefined, string[]]>([
    ['targetfile', ['targets'], []],
    ['README.md', ['targets', 'A'], ['A']],
    ['releases/x/x_v1', ['targets', 'B', 'C'], ['B', 'C']],
    ['releases/y/y_v1.zip', ['targets', 'B', 'D'], ['B', 'D']],
    ['releases/z/z_v1.zip', undefined, ['B']],
    ['releases/README.md', undefined, []],
    ['foo-1.tgz', ['targets', 'A'], ['A']],
    ['foo-alpha.tgz', undefined, []],
    ['README.MD', undefined, []],
    ['.hidden.md', ['targets', 'A'], ['A']],
  ])('%s is found through %j', async (path, chain, expected) => {
    const repository = new RepositorySimulator();
    repository.addTarget('targets', 'targetfile');
    repository.delegate('targets', 'A', { paths: ['*.doc', '*.md', 'foo-?.tgz'] });
    repository.delegate('targets', 'B', { paths: ['releases/*/*'] });
    repository.delegate('B', 'C', { paths: ['releases/x/*'] });
    repository.delegate('B', 'D', { paths: ['releases/y/*.zip'] });
    for (const name of ['README.md', 'releases/README.md', 'foo-1.tgz', 'foo-alpha.tgz', '.hidden.md']) {
      repository.addTarget('A', name);
    }
    repository.addTarget('C', 'releases/x/x_v1');
    for (const name of ['y/y_v1.zip', 'z/z_v1.zip']) repository.addTarget('D', `releases/${name}`);
    repository.publishAll('A', 'B', 'C', 'D');
    expect(await visited(repository, path)).toEqual(expected);
    const found = (await new TestClient(repository).refresh()).findTarget(path);
    if (chain === undefined)
      await expect(found).rejects.toThrow(expect.objectContaining({ code: 'name-not-signed' }));
    else expect((await found).chain).toEqual(chain);
  });

  it('believes the first delegation that names the target, and tells of the others when asked', async () => {
    const repository = new RepositorySimulator();
    for (const name of ['names', 'alice', 'ci']) {
      repository.delegate('targets', name);
      repository.addTarget(name, 'v1', utf8(`as ${name} has it`));
    }
    repository.publishAll('names', 'alice', 'ci');
    const client = await new TestClient(repository).refresh();
    expect((await client.findTarget('v1')).role).toBe('names');
    const roles = [];
    for await (const found of client.findTargets('v1')) roles.push(found.role);
    expect(roles).toEqual(['names', 'alice', 'ci']);
    expect(await client.findTarget('v1', { through: 'ci' })).toMatchObject({
      role: 'ci',
      chain: ['targets', 'ci'],
    });
    const nobody = client.findTarget('v1', { through: 'mallory' });
    await expect(nobody).rejects.toThrow(expect.objectContaining({ code: 'name-not-signed' }));
  });

  it('asks each delegator of a role for itself (the diamond)', async () => {
    const repository = new RepositorySimulator();
    repository.delegate('targets', 'parent-a', { paths: ['team-a/*'] });
    repository.delegate('targets', 'parent-b', { paths: ['team-b/*'] });
    repository.delegate('parent-a', 'release', { paths: ['team-a/*'] });
    repository.delegate('parent-b', 'release', { paths: ['team-b/*'] });
    repository.signers.set('release', repository.signers.get('release')!.slice(0, 1));
    repository.addTarget('release', 'team-a/x');
    repository.addTarget('release', 'team-b/x');
    repository.publishAll('release', 'parent-a', 'parent-b');
    const state = new TestClient(repository);
    for (const client of [await state.refresh(), await state.refresh()]) {
      expect((await client.findTarget('team-a/x')).role).toBe('release');
      await expect(client.findTarget('team-b/x')).rejects.toThrow(
        expect.objectContaining({
          code: 'trust-invalid',
          details: expect.objectContaining({ role: 'release' }),
        }),
      );
    }
  });

  it('uses what is cached only in the version that snapshot lists', async () => {
    const repository = new RepositorySimulator();
    repository.delegate('targets', 'names');
    repository.addTarget('names', 'v1');
    repository.publishAll('names');
    const state = new TestClient(repository);
    await (await state.refresh()).findTarget('v1');
    await (await state.refresh()).findTarget('v1');
    expect(repository.requests).toEqual(['2.root.json', 'timestamp.json']);
    repository.addTarget('names', 'v2');
    repository.publishAll('names');
    await (await state.refresh()).findTarget('v2');
    expect(repository.requests.at(-1)).toBe('2.names.json');
  });
});

describe('hash bins', () => {
  it.each([1, 4, 8])(
    'succinct, of %i bits: one file for one name, whoever shares the bin',
    async (bitLength) => {
      const repository = new RepositorySimulator();
      repository.delegate('targets', 'names');
      const key = repository.delegateBins('names', 'names', bitLength);
      const layout = { bitLength, namePrefix: 'names' };
      for (const bin of binNames(layout)) repository.addRole(bin, key);
      for (let i = 0; i < 20; i++) repository.addTarget(binFor(layout, `v${i}`), `v${i}`);
      repository.publishAll(...binNames(layout), 'names');
      const client = await new TestClient(repository).refresh();
      repository.requests.length = 0;
      expect((await client.findTarget('v7')).chain).toEqual(['targets', 'names', binFor(layout, 'v7')]);
      expect(repository.requests).toEqual(['1.names.json', `1.${binFor(layout, 'v7')}.json`]);
    },
  );

  it('visits as many roles as the limits allow, and not one more', async () => {
    const repository = graph([
      ['targets', 'A'],
      ['A', 'B'],
    ]);
    const search = async (visitedRoles: number) => {
      const client = await new TestClient(repository).refresh(NOW, { limits: { visitedRoles } });
      return await client.findTarget('v1').catch((error: unknown) => error);
    };
    expect(await search(2)).toMatchObject({ code: 'trust-invalid' });
    expect(await search(3)).toMatchObject({ code: 'name-not-signed' });
  });

  it('a bin is not believed about a name that belongs to another', async () => {
    const repository = new RepositorySimulator();
    const key = repository.delegateBins('targets', 'b', 1);
    repository.addRole('b-0', key);
    repository.addRole('b-1', key);
    const wrong = binFor({ bitLength: 1, namePrefix: 'b' }, 'v1') === 'b-0' ? 'b-1' : 'b-0';
    repository.addTarget(wrong, 'v1');
    repository.publishAll('b-0', 'b-1');
    const client = await new TestClient(repository).refresh();
    await expect(client.findTarget('v1')).rejects.toThrow(
      expect.objectContaining({ code: 'name-not-signed' }),
    );
  });

  it('by path_hash_prefixes', async () => {
    const repository = new RepositorySimulator();
    const hash = createHash('sha256').update('v1').digest('hex');
    const digits = [...'0123456789abcdef'];
    for (const digit of digits) repository.delegate('targets', `bin-${digit}`, { prefixes: [digit] });
    repository.addTarget(`bin-${hash[0]}`, 'v1');
    repository.publishAll(...digits.map((digit) => `bin-${digit}`));
    expect(await visited(repository, 'v1')).toEqual([`bin-${hash[0]}`]);
  });
});
