import { linkSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { TrustedDirectory } from '../../src/state/trusted-directory.ts';
import { refresh } from '../../src/tuf/client.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { NOW, RepositorySimulator } from '../support/tuf/repository.ts';

vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>();
  return { ...real, linkSync: vi.fn(real.linkSync) };
});
const link = vi.mocked(linkSync);
afterEach(() => void link.mockReset());

const { linkSync: reallyLink } = await vi.importActual<typeof import('node:fs')>('node:fs');
const change = (role: string, bytes: Uint8Array, expected?: Uint8Array) => ({ role, expected, bytes });

describe('trusted state that two processes begin at once', () => {
  it('keeps what was there first, whatever the second looked at before', async () => {
    const path = await temporaryDirectory();
    const store = await TrustedDirectory.open(path);
    link.mockImplementation((from, to) => {
      if (String(to).endsWith('timestamp.json')) writeFileSync(to, 'of the other');
      reallyLink(from, to);
    });
    expect(await store.replace([change('timestamp', utf8('ours')), change('snapshot', utf8('ours'))])).toBe(
      false,
    );
    expect(await store.load('timestamp')).toEqual(utf8('of the other'));
    expect(await readdir(path)).toEqual(['timestamp.json']);
  });

  it('has nothing against the other storing the same', async () => {
    const store = await TrustedDirectory.open(await temporaryDirectory());
    link.mockImplementation((from, to) => {
      writeFileSync(to, 'the same');
      reallyLink(from, to);
    });
    expect(await store.replace([change('timestamp', utf8('the same'))])).toBe(true);
  });

  it('is not overwritten by one that holds the lock either, for a new root', async () => {
    const store = await TrustedDirectory.open(await temporaryDirectory());
    link.mockImplementation(reallyLink);
    await store.replace([change('root', utf8('1'))]);
    link.mockImplementation((from, to) => {
      writeFileSync(to, 'of the other');
      reallyLink(from, to);
    });
    expect(
      await store.replace([change('timestamp', utf8('ours')), change('root', utf8('2'), utf8('1'))]),
    ).toBe(false);
    expect([await store.load('timestamp'), await store.load('root')]).toEqual([
      utf8('of the other'),
      utf8('1'),
    ]);
  });
});

describe('trusted state where files have one name only', () => {
  it.each(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])('is kept under the lock (%s)', async (code) => {
    link.mockImplementation(() => {
      throw Object.assign(new Error(`${code}: link`), { code });
    });
    const path = await temporaryDirectory();
    const repository = new RepositorySimulator();
    const store = await TrustedDirectory.open(join(path, 'state'));
    const initialRoot = repository.rootBytes();
    await refresh(repository, store, NOW, { initialRoot });
    repository.publish('root').publishAll();
    await refresh(repository, store, NOW, { initialRoot });
    for (const role of ['root', 'timestamp', 'snapshot', 'targets'])
      expect(await store.load(role)).toEqual(repository.fileOf(role));
    const names = ['root.json', 'snapshot.json', 'targets.json', 'timestamp.json'];
    expect((await readdir(join(path, 'state'))).sort()).toEqual(names);
  });
});
