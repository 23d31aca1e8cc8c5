import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { TrustDirectory } from '../../src/state/trust-directory.ts';
import type { CollectionFiles } from '../../src/trust/change/create.ts';
import { bulla, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { NOW, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

interface Place {
  readonly name: string;
  readonly target: Target;
  readonly made: CollectionFiles;
  readonly cwd: string;
  readonly memory: TrustDirectory;
  run(...argv: string[]): Promise<CliResult>;
}

/** A registry with a collection, and a person with a home. */
async function place(): Promise<Place> {
  const cwd = await temporaryDirectory();
  const server = await serveRegistry({ dir: join(cwd, 'registry') });
  onTestFinished(() => server.close());
  const name = `${server.address}/team/app`;
  const target = openRepository(parseReference(name) as RegistryReference);
  onTestFinished(() => target.close());
  const made = await newCollection(name);
  await pushHead(target, made);
  const env = { BULLA_HOME: join(cwd, 'home') };
  const run = (...argv: string[]) => bulla(argv, { env, cwd, now: NOW });
  return { name, target, made, cwd, run, memory: new TrustDirectory(join(cwd, 'home/state/trust')) };
}

const ID = () => poolKey(ROOT).key.keyid;

describe('bulla pin', () => {
  it('shows the root keys that are there, and pins nothing', async () => {
    const { name, run, made } = await place();
    const shown = await run('pin', name, '-o', 'json');
    expect(shown.code).toBe(25);
    expect(shown.json()).toMatchObject({
      code: 'trust-unpinned',
      details: { repository: name, collection: made.id, keyIds: [ID()], threshold: 1, rootVersion: 1 },
    });
    expect(shown.json()['hint']).toContain(`bulla pin ${name} --root-key-id ${ID()}`);
    expect((await run('pin', 'ls')).stdout).toBe('');
  });

  it('says it where nothing is there to be pinned', async () => {
    const { name, run } = await place();
    const none = await run('pin', `${name}/none`);
    expect(none.code).toBe(11);
    // Nobody demanded one, and nobody removed it.
    expect(none.stderr).toContain(`${name}/none has no trust collection: there is no tag _trust [not-found]`);
  });

  it('pins by each kind of trust, lists and removes', async () => {
    const { name, run, made, cwd } = await place();
    await writeFile(join(cwd, 'root.json'), made.files.roots[0]?.bytes ?? '');
    expect(await run('pin', name, '--root', 'root.json', '--min-root-version', '1')).toMatchObject({
      code: 0,
    });
    expect((await run('pin', 'ls')).stdout).toContain(
      `root file, version 1 of collection ${made.id.slice(0, 12)}`,
    );
    expect(await run('pin', name, '--root-key-id', ID())).toMatchObject({ code: 0 });
    expect(await run('pin', 'registry.example.com/team/*', '--tofu')).toMatchObject({ code: 0 });
    expect(await run('pin', 'Registry.example.com/*', '--root-key-id', ID())).toMatchObject({ code: 0 });
    expect((await run('pin', 'ls', '-o', 'json')).json()).toMatchObject({
      pins: [
        { scope: name, kind: 'key-ids', keyIds: [ID()], minRootVersion: null },
        { scope: 'registry.example.com/*' },
        { scope: 'registry.example.com/team/*', kind: 'tofu' },
      ],
    });
    expect(await run('pin', 'rm', name)).toMatchObject({ code: 0 });
    expect(await run('pin', 'rm', name)).toMatchObject({ code: 11 });
  });

  it('forgets what was seen, when it is pinned anew or removed', async () => {
    const { name, run, made, memory } = await place();
    for (const argv of [
      ['pin', name, '--root-key-id', ID()],
      ['pin', 'rm', name],
      ['pin', 'rm', name],
    ]) {
      await memory.note(name, made.id);
      expect(await run(...argv)).toMatchObject({ code: 0 });
      expect(await memory.seen(name)).toBeUndefined();
    }
  });

  it.each<[string, (name: string) => string[], number]>([
    ['two kinds at once', (name) => [name, '--tofu', '--root-key-id', 'a'.repeat(64)], 2],
    ['a key id cut short', (name) => [name, '--root-key-id', 'a1b2'], 2],
    ['an image', (name) => [`${name}:v1`, '--tofu'], 2],
    ['a layout', () => ['oci:dir', '--tofu'], 2],
    ['a root file for a prefix', () => ['a.example/x/*', '--root', 'root.json'], 2],
    ['a root of another repository', () => ['a.example/x', '--root', 'root.json'], 22],
    ['something that is no root', (name) => [name, '--root', 'registry/index.json'], 11],
    ['a pattern for one repository', () => ['a.example/x', '--tofu', '--collection', 'b.example/*'], 2],
    ['root version 0', (name) => [name, '--tofu', '--min-root-version', '0'], 2],
  ])('with %s', async (_, argv, code) => {
    const { name, run, made, cwd } = await place();
    await writeFile(join(cwd, 'root.json'), made.files.roots[0]?.bytes ?? '');
    expect(await run('pin', ...argv(name))).toMatchObject({ code });
  });
});
