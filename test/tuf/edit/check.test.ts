import { beforeAll, describe, expect, it } from 'vitest';
import { checkRepository } from '../../../src/tuf/edit/check.ts';
import { RepositoryEdit } from '../../../src/tuf/edit/edit.ts';
import { EMPTY_REPOSITORY, type RepositoryFiles } from '../../../src/tuf/edit/repository.ts';
import {
  anyOf,
  daysLater,
  NOW,
  ONLINE,
  PUBLISHER,
  simpleRepository,
  simpleSigners,
  targetOf,
} from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

let base: RepositoryFiles;
let next: RepositoryFiles;
/** The same after another root, by the same keys. */
let renewed: RepositoryFiles;
beforeAll(async () => {
  base = await simpleRepository();
  const edit = new RepositoryEdit(base, { now: NOW });
  edit.targets('names').setTarget('v2', targetOf('two'));
  next = await edit.prepare().publish(simpleSigners());
  const other = new RepositoryEdit(base, { now: NOW });
  other.root().setKeys('timestamp', anyOf(1, poolKey(ONLINE), poolKey(PUBLISHER)));
  renewed = await other.prepare().publish(simpleSigners());
});

const check = (files: RepositoryFiles, before = base, roles: readonly string[] = ['names'], now = NOW) =>
  checkRepository(files, before, new Set(roles), now);

const rootsOnly = ({ roots }: RepositoryFiles): RepositoryFiles => ({ roots, roles: new Map() });

describe('what an edit has made', () => {
  it('holds, with what was there before it and without', async () => {
    await check(next);
    await check(next, EMPTY_REPOSITORY);
    await check(renewed);
  });

  it('has a root: of its own, or the one that was there', async () => {
    const rootless = { ...next, roots: [] };
    await expect(check(rootless, EMPTY_REPOSITORY)).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { reason: 'missing', fileName: '1.root.json' },
    });
    await check(rootsOnly(base), EMPTY_REPOSITORY, []);
  });

  it.each([
    ['without its timestamp', (files: RepositoryFiles) => without(files, 'timestamp')],
    ['without its snapshot', (files: RepositoryFiles) => without(files, 'snapshot')],
    ['without any of its roles', (files: RepositoryFiles) => ({ ...files, roles: new Map() })],
    [
      'with nothing but a role beside its root',
      (files: RepositoryFiles) => ({ roots: files.roots, roles: files.roles }),
    ],
  ])('is no repository of roots only %s', async (_, change) => {
    await expect(check(change(next))).rejects.toMatchObject({ code: 'trust-invalid' });
  });

  it('may be roots only, which follow from each other and have not expired', async () => {
    await check(rootsOnly(renewed), base, []);
    const [first, second] = renewed.roots;
    expect(second).toBeDefined();
    const late = daysLater(4000);
    await expect(check(rootsOnly(renewed), base, [], late)).rejects.toMatchObject({ code: 'trust-expired' });
    // The same root twice: the second has not the version that follows.
    const twice = { roots: [first!, first!], roles: new Map() };
    await expect(check(twice, base, [])).rejects.toMatchObject({ code: expect.stringMatching(/^trust-/) });
  });

  it('is refused by a client that has seen something newer', async () => {
    await expect(check(base, next)).rejects.toMatchObject({ code: 'trust-rollback' });
  });

  it('may have a role that delegates to itself, but not roles that only delegate to each other', async () => {
    const signer = anyOf(1, poolKey(PUBLISHER));
    const itself = new RepositoryEdit(base, { now: NOW });
    itself.targets('names').delegate({ ...signer, name: 'names', paths: ['*'] });
    await check(await itself.prepare().publish(simpleSigners()), base, ['names', 'targets']);
    const circle = new RepositoryEdit(base, { now: NOW });
    circle.targets('names').delegate({ ...signer, name: 'other', paths: ['*'] });
    circle.targets('other').delegate({ ...signer, name: 'names', paths: ['*'] });
    await expect(circle.prepare().publish(simpleSigners())).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { role: 'other', reason: 'undelegated' },
    });
  });

  it('is refused where a role is verified that has no file', async () => {
    await expect(check(next, base, ['nothing'])).rejects.toMatchObject({ code: 'trust-invalid' });
  });
});

function without(files: RepositoryFiles, role: 'timestamp' | 'snapshot'): RepositoryFiles {
  const { [role]: _, ...others } = files;
  return others;
}
