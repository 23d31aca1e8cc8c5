import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { refresh, type TufClient } from '../../src/tuf/client.ts';
import { readRepositoryFiles, writeRepositoryFiles } from '../../src/tuf/edit/repository.ts';
import { MemoryFetcher, MemoryStateStore } from '../../src/tuf/memory.ts';
import { parseRoot } from '../../src/tuf/root.ts';
import { TrustedMetadata } from '../../src/tuf/trusted-metadata.ts';

const code = (name: string) => expect.objectContaining({ code: name });

async function filesIn(name: string): Promise<Map<string, Uint8Array>> {
  const folder = new URL(`../../testdata/tuf/${name}`, import.meta.url).pathname;
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(async (path) => [relative(folder, path), new Uint8Array(await readFile(path))] as const),
    ),
  );
}

async function open(name: string, now: string): Promise<{ client: TufClient; fetcher: MemoryFetcher }> {
  const metadata = await filesIn(`${name}/metadata`);
  const fetcher = new MemoryFetcher(metadata, await filesIn(`${name}/targets`));
  const initialRoot = metadata.get('1.root.json')!;
  return { client: await refresh(fetcher, new MemoryStateStore(), new Date(now), { initialRoot }), fetcher };
}

describe('repositories of others', () => {
  it.each([
    ['go-tuf-example', '2026-01-01T00:00:00Z', ['map.json']],
    ['python-tuf-3/with', '2026-01-01T00:00:00Z', ['file1.txt', 'dir/file2.txt']],
    ['python-tuf-3/without', '2026-01-01T00:00:00Z', ['file1.txt', 'dir/file2.txt']],
  ])('%s is verified, with its targets', async (name, now, targets) => {
    const { client, fetcher } = await open(name, now);
    for (const target of targets) {
      const found = await client.findTarget(target);
      let length = 0;
      for await (const piece of await client.fetchTarget(found, fetcher)) length += piece.byteLength;
      expect(length).toBe(found.target.length);
    }
    await expect(client.findTarget('nobody')).rejects.toThrow(code('name-not-signed'));
  });

  it.each(['go-tuf-example', 'python-tuf-3/with', 'python-tuf-3/without'])(
    '%s is refused once it is expired',
    async (name) => {
      await expect(open(name, '2040-01-01T00:00:00Z')).rejects.toThrow(code('trust-expired'));
    },
  );

  it.each(['go-tuf-example', 'python-tuf-3/with', 'python-tuf-3/without'])(
    '%s is written back by the editor as it was read',
    async (name) => {
      const files = await filesIn(`${name}/metadata`);
      expect(Object.fromEntries(writeRepositoryFiles(readRepositoryFiles(files)))).toEqual(
        Object.fromEntries(files),
      );
    },
  );
});

describe("Sigstore's roots", () => {
  it('lead from one to the next', async () => {
    const files = await filesIn('sigstore');
    const trusted = new TrustedMetadata(files.get('12.root.json')!, new Date('2026-01-01T00:00:00Z'));
    for (const version of [13, 14]) {
      trusted.updateRoot(files.get(`${version}.root.json`)!);
      expect(trusted.root.content.version).toBe(version);
    }
    trusted.finishRoot();
    for (const file of readRepositoryFiles(files).roots) {
      for (const key of parseRoot(file).keys.values())
        expect([key.keyid, key.problem]).toEqual([key.computedId, undefined]);
    }
  });

  it('lead nowhere where one is left out', async () => {
    const files = await filesIn('sigstore');
    const trusted = new TrustedMetadata(files.get('12.root.json')!, new Date('2026-01-01T00:00:00Z'));
    expect(() => trusted.updateRoot(files.get('14.root.json')!)).toThrow(code('trust-invalid'));
  });
});
