import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { schemas } from '../support/schemas.ts';

const spec = new URL('../../spec/', import.meta.url);
const LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;

/** Fields that the page promises for a command. */
async function promised(): Promise<ReadonlyMap<string, readonly string[]>> {
  const page = await readFile(new URL('output.md', spec), 'utf8');
  const rows = new Map<string, readonly string[]>();
  for (const [, name = '', text = ''] of page.matchAll(/^\| `([a-z ]+)` \| (.*) \|$/gm)) {
    const fields = [...text.matchAll(/`(\w+)`/g)].map(([, field = '']) => field);
    const copied = text.includes('those of `copy`') ? (rows.get('copy') ?? []) : [];
    rows.set(name, [...copied, ...fields.filter((field) => field !== 'copy')]);
  }
  return rows;
}

describe('spec/output.md', () => {
  it('promises fields that every command prints', async () => {
    const cwd = await temporaryDirectory();
    const server = await serveRegistry({ dir: join(cwd, 'registry') });
    onTestFinished(() => server.close());
    const env = {
      BULLA_HOME: join(cwd, 'home'),
      BULLA_PASSPHRASE: 'pass',
      DOCKER_CONFIG: join(cwd, 'docker'),
    };
    const app = `${server.address}/app:v1`;
    const named = `${server.address}/named`;
    const commands: readonly (readonly [string, readonly string[]])[] = [
      ['key ls', ['key', 'ls']],
      ['push', ['push', LAYOUT, app, '--sign']],
      ['sign', ['sign', app]],
      ['verify', ['verify', app]],
      ['copy', ['copy', app, 'oci:here']],
      ['pull', ['pull', app, 'oci:there']],
      ['ls', ['ls', `${server.address}/app`]],
      ['tree', ['tree', app]],
      ['inspect', ['inspect', app, '--verbose']],
      ['log', ['log', named]],
      ['status', ['status', named]],
      ['report', ['report', named]],
      ['export tuf', ['export', 'tuf', named, 'tuf']],
      ['init', ['init', `${server.address}/other`]],
      ['signer ls', ['signer', 'ls', named]],
      ['rotate', ['rotate', named, 'names', '--renew', '--export-unsigned', 'change.json']],
      ['approve', ['approve', 'change.json', '--yes']],
      ['recover', ['recover', named, '--lost', 'online-key']],
      ['pending', ['pending', named]],
      ['withdraw', ['withdraw', named, 'STAGED']],
      ['signature ls', ['signature', 'ls', app]],
      ['signature rm', ['signature', 'rm', app, '--all']],
      ['pin', ['pin', app.replace(/:v1$/, ''), '--tofu']],
      ['pin ls', ['pin', 'ls']],
      ['pin rm', ['pin', 'rm', app.replace(/:v1$/, '')]],
      ['check', ['check', app, '--write']],
      ['login', ['login', server.address, '-u', 'a', '--password-stdin']],
      ['logout', ['logout', server.address]],
      ['completion', ['completion', 'bash']],
    ];
    await storePlainKeys(env.BULLA_HOME, 'release', 'publisher', 'root', 'online');
    const made = await bulla(['init', named], { env, cwd });
    expect(made.code, made.stderr).toBe(0);
    await storePlainKeys(join(cwd, 'other'), 'bob');
    const bob = join(cwd, 'other', 'keys', 'bob.pub');
    const add = ['signer', 'add', named, 'bob', '--key', bob, '--stage', '-o', 'json'];
    const { id } = (await bulla(add, { env, cwd })).json()['details'] as { id: string };
    const table = await promised();
    expect([...table.keys()].sort()).toEqual(commands.map(([name]) => name).sort());
    for (const [name, argv] of commands) {
      const words = argv.map((word) => (word === 'STAGED' ? id : word));
      const result = await bulla([...words, '-o', 'json'], { env, cwd, stdin: 'password' });
      expect(result, `${name}: ${result.stdout}`).toMatchObject({ code: 0 });
      const json = result.json();
      expect(json['ok'], name).toBe(true);
      // The image of the demo is an index, which has no config.
      const fields = (table.get(name) ?? []).filter((field) => !(name === 'inspect' && field === 'config'));
      expect(Object.keys(json), name).toEqual(expect.arrayContaining([...fields]));
    }
  });
});

describe('spec/schemas', () => {
  it('holds what the code checks documents with; `npx tsx test/support/schemas.ts` writes it', async () => {
    const expected = schemas();
    expect((await readdir(new URL('schemas/', spec))).sort()).toEqual([...expected.keys()].sort());
    for (const [name, text] of expected)
      expect(await readFile(new URL(`schemas/${name}`, spec), 'utf8')).toBe(text);
  });
});

describe('the documentation', () => {
  it('has no link to a page that is not there', async () => {
    const pages = [
      '../README.md',
      '../CONTRIBUTING.md',
      ...(await readdir(spec)).filter((name) => name.endsWith('.md')),
    ];
    for (const page of pages) {
      const base = new URL(page, spec);
      for (const [, target = ''] of (await readFile(base, 'utf8')).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        await expect(
          readdir(new URL(target, base)).catch(() => readFile(new URL(target, base))),
          `${page}: ${target}`,
        ).resolves.toBeDefined();
      }
    }
  });
});
