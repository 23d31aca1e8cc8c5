import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { stateFileName, TrustedDirectory } from '../../src/state/trusted-directory.ts';
import { refresh } from '../../src/tuf/client.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { NOW, RepositorySimulator } from '../support/tuf/repository.ts';

describe('trusted state in a directory', () => {
  it('holds each role under its unversioned name, byte for byte, and no other .json', async () => {
    const path = join(await temporaryDirectory(), 'new', 'state');
    const repository = new RepositorySimulator();
    repository.delegate('targets', 'a/b');
    repository.publishAll('a/b');
    const store = await TrustedDirectory.open(path);
    const client = await refresh(repository, store, NOW, { initialRoot: repository.rootBytes() });
    await client.findTarget('v1').catch(() => undefined);
    const names = (await readdir(path)).filter((name) => name.endsWith('.json')).sort();
    expect(names).toEqual(['a%2Fb.json', 'root.json', 'snapshot.json', 'targets.json', 'timestamp.json']);
    expect(await readFile(join(path, 'timestamp.json'))).toEqual(
      Buffer.from(repository.fileOf('timestamp')!),
    );
  });

  it('replaces only what is still there, and finds nothing wrong with what is there already', async () => {
    const store = await TrustedDirectory.open(await temporaryDirectory());
    const [one, two, three] = [utf8('1'), utf8('2'), utf8('3')];
    expect(await store.replace([{ role: 'timestamp', expected: undefined, bytes: one }])).toBe(true);
    expect(await store.replace([{ role: 'timestamp', expected: undefined, bytes: two }])).toBe(false);
    expect(await store.replace([{ role: 'timestamp', expected: undefined, bytes: one }])).toBe(true);
    expect(await store.replace([{ role: 'timestamp', expected: one, bytes: two }])).toBe(true);
    expect(await store.replace([{ role: 'timestamp', expected: one, bytes: three }])).toBe(false);
    expect(await store.load('timestamp')).toEqual(two);
    expect(await store.replace([{ role: 'timestamp', expected: one, bytes: undefined }])).toBe(false);
    expect(await store.replace([{ role: 'timestamp', expected: two, bytes: undefined }])).toBe(true);
    expect(await store.load('timestamp')).toBeUndefined();
  });

  it('makes several changes together, or none of them', async () => {
    const store = await TrustedDirectory.open(await temporaryDirectory());
    const [one, two] = [utf8('1'), utf8('2')];
    const change = (role: string, expected: Uint8Array | undefined, bytes: Uint8Array) => ({
      role,
      expected,
      bytes,
    });
    expect(await store.replace([change('timestamp', undefined, one), change('root', two, one)])).toBe(false);
    expect(await store.load('timestamp')).toBeUndefined();
    expect(await store.replace([change('timestamp', undefined, one), change('root', undefined, one)])).toBe(
      true,
    );
    expect(await store.replace([change('timestamp', one, two), change('root', two, one)])).toBe(true);
    expect([await store.load('timestamp'), await store.load('root')]).toEqual([two, one]);
  });

  it('lets one of many that replace the same win', async () => {
    const path = await temporaryDirectory();
    const stores = await Promise.all(Array.from({ length: 8 }, () => TrustedDirectory.open(path)));
    const won = await Promise.all(
      stores.map((store, index) =>
        store.replace([{ role: 'root', expected: undefined, bytes: utf8(`${index}`) }]),
      ),
    );
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(await stores[0]!.load('root')).toEqual(utf8(`${won.indexOf(true)}`));
  });

  it('serves many refreshes at once, of a repository that moves', async () => {
    const path = await temporaryDirectory();
    const repository = new RepositorySimulator();
    const initialRoot = repository.rootBytes();
    const work = Array.from({ length: 6 }, async () => {
      for (let i = 0; i < 3; i++) {
        repository.publishAll();
        await refresh(repository, await TrustedDirectory.open(path), NOW, { initialRoot });
      }
    });
    await Promise.all(work);
    const store = await TrustedDirectory.open(path);
    const version = JSON.parse(await readFile(join(path, 'timestamp.json'), 'utf8')).signed.version as number;
    const client = await refresh(repository, store, NOW);
    expect(client.trusted.timestamp.content.version).toBe(repository.version('timestamp'));
    expect(version).toBeGreaterThan(1);
  });

  it.each([
    ['root', 'root.json'],
    ['ROOT', '%52%4f%4f%54.json'],
    ['a/b', 'a%2Fb.json'],
    ['..', '...json'],
    ['%52', '%2552.json'],
  ])('the file of %s is %s', (role, name) => {
    expect(stateFileName(role)).toBe(name);
  });

  it('gives every role a file of its own, whatever its length, even where case does not count', () => {
    const roles = [
      'root',
      'Root',
      'ROOT',
      '%52oot',
      'x'.repeat(300),
      'X'.repeat(300),
      `${'x'.repeat(300)}y`,
      '/',
      '%2F',
    ];
    const names = new Set(roles.map((role) => stateFileName(role).toLowerCase()));
    expect(names.size).toBe(roles.length);
    for (const name of names) expect(name.length).toBeLessThan(250);
  });

  it('says what is wrong with the disk', async () => {
    const path = join(await temporaryDirectory(), 'state');
    const store = await TrustedDirectory.open(path);
    await mkdir(join(path, 'timestamp.json'));
    await expect(store.load('timestamp')).rejects.toThrow(expect.objectContaining({ code: 'storage-error' }));
    await writeFile(join(path, 'file'), '');
    await expect(TrustedDirectory.open(join(path, 'file'))).rejects.toThrow(
      expect.objectContaining({ code: 'storage-error' }),
    );
  });
});
