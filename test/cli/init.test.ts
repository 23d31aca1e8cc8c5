import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { generatePrivateKey, privateKeyPem } from '../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { Keystore } from '../../src/keystore/store.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { type CliOptions, type CliResult, bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import { readAny } from '../support/trust/changing.ts';

const now = new Date('2030-01-01T00:00:00Z');

// Sealing takes its time on purpose: the keys are made once, and copied.
let stock: string;
const online = generatePrivateKey('P-256');
beforeAll(async () => {
  stock = await mkdtemp(join(tmpdir(), 'bulla-stock-'));
  const keystore = new Keystore(stock);
  await keystore.put('publisher', generatePrivateKey('P-256'), utf8('x'));
  await keystore.put('root', generatePrivateKey('P-256'), utf8('x'));
  await keystore.put('online', online, utf8('x'));
});
afterAll(() => rm(stock, { recursive: true, force: true }));

let home: string;
let env: Record<string, string>;
beforeEach(async () => {
  home = await temporaryDirectory();
  env = { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' };
});
const stocked = () => cp(stock, join(home, 'keys'), { recursive: true });
const bulla = (line: string, options: CliOptions = {}): Promise<CliResult> =>
  run(line.split(' '), { cwd: home, env, now, ...options });

describe('bulla init', () => {
  it('makes the keys, the collection and its head, and remembers it', async () => {
    const registry = await registryFor();
    const repository = `${registry.host}/team/app`;
    const made = await bulla(`init ${repository} -o json`);
    expect(made).toMatchObject({ code: 0 });
    const collection = await readAny(repositoryOf(registry), { now, place: repository });
    expect(made.json()).toMatchObject({
      collection: repository,
      id: collection.id,
      stage: null,
      expires: {
        root: '2031-01-01T00:00:00Z',
        names: '2031-01-01T00:00:00Z',
        timestamp: '2030-01-15T00:00:00Z',
      },
      shortcomings: [],
      keys: { root: { threshold: 1, keys: [{ name: 'root', made: true }] } },
    });
    const { keyid } = (made.json()['keys'] as Record<'root', { keys: { keyid: string }[] }>).root.keys[0]!;
    expect((await bulla('key show root')).stdout).toContain(
      `  key id       ${keyid}  (in trust collections)\n`,
    );
    // The root key is not what a bare `bulla sign` takes.
    expect((await bulla('key default')).stdout).toBe('publisher\n');
    expect(await repositoryOf(registry).listTags()).toEqual(['_trust']);
    expect(await bulla(`init ${repository}`)).toMatchObject({ code: 30, stdout: '' });
  });

  it('takes keys that are there, thresholds and lifetimes, and lies elsewhere', async () => {
    await stocked();
    await writeFile(join(home, 'b.pub'), publicKeyPem(publicKeyOf(generatePrivateKey('Ed25519'))));
    const registry = await registryFor();
    const made = await bulla(
      `init ${registry.host}/team/app --at ${registry.host}/trust/app --publisher-key publisher --publisher-key b.pub ` +
        '--threshold names=1 --expires online=7d --expires names=30d -o json',
    );
    expect(made.json()).toMatchObject({
      collection: `${registry.host}/team/app`,
      place: `${registry.host}/trust/app`,
      expires: {
        names: '2030-01-31T00:00:00Z',
        snapshot: '2030-01-08T00:00:00Z',
        root: '2031-01-01T00:00:00Z',
      },
      keys: { names: { keys: [{ made: false }, { made: false, name: 'b.pub' }] } },
    });
    expect(await repositoryOf(registry).listTags()).toEqual([]);
    const collection = await readAny(repositoryOf(registry, {}, 'trust/app'), { now });
    expect(collection.name).toBe(`${registry.host}/team/app`);
  });

  it('stages what needs no online key where only its public part is there', async () => {
    await stocked();
    await rm(join(home, 'keys', 'online.key'));
    await writeFile(join(home, 'online.pub'), publicKeyPem(publicKeyOf(online)));
    const registry = await registryFor();
    const made = await bulla(`init ${registry.host}/team/app --online-key online.pub -o json`);
    expect(made.code).toBe(31);
    const { stage } = made.json();
    expect(stage).toMatch(/^_trust\.stage\.[0-9a-f]{16}$/);
    expect(await repositoryOf(registry).listTags()).toEqual([stage]);
    const other = await temporaryDirectory();
    await writeFile(join(other, 'online.key'), privateKeyPem(online), { mode: 0o600 });
    const there = { cwd: other, env: { BULLA_HOME: join(other, 'bulla') } };
    const complete = `init ${registry.host}/team/app --complete --online-key online.key`;
    const { keys } = made.json() as { keys: Record<string, { keys: { keyid: string }[] }> };
    const ids = Object.fromEntries(Object.entries(keys).map(([role, of]) => [role, of.keys[0]?.keyid]));
    expect(await bulla(complete, there)).toMatchObject({ code: 25 });
    expect(await bulla(`${complete} --root-key-id ${ids['online']}`, there)).toMatchObject({ code: 11 });
    expect(await bulla(`${complete} --root-key-id ${ids['root']}`, there)).toMatchObject({ code: 0 });
    const collection = await readAny(repositoryOf(registry), { now });
    expect(collection.id).toBe(made.json()['id']);
    expect(await bulla(`${complete} --root-key-id ${ids['root']}`, there)).toMatchObject({ code: 30 });
  });

  it.each([
    ['404 after a tag that does not exist', 404, 'existing'],
    ['400 after a tag that does not exist', 400, 'existing'],
    ['nothing after a tag that does not exist', undefined, 'existing'],
    ['400 after any tag', 400, 'none'],
    ['nothing after any tag', undefined, 'none'],
  ] as const)('works on a registry that lists %s, and so does what follows', async (_, status, allowed) => {
    const registry = await registryFor({
      tagDialect: (query, tags) => {
        const last = query.get('last');
        if (last === null || (allowed === 'existing' && tags.includes(last))) return undefined;
        return status === undefined ? { tags: [] } : { refuse: status, code: 'NAME_UNKNOWN' };
      },
    });
    const repository = `${registry.host}/team/app`;
    await stocked();
    const made = await bulla(`init ${repository} -o json`);
    expect(made).toMatchObject({ code: 0 });
    expect(made.json()).toMatchObject({ shortcomings: [] });
    await pushImage(repositoryOf(registry), 'image', 'v1');
    expect(await bulla(`sign ${repository}:v1`)).toMatchObject({ code: 0 });
    expect(await bulla(`status ${repository}`)).toMatchObject({ code: 0 });
    expect(await bulla(`resign ${repository}`)).toMatchObject({ code: 0 });
    expect(await bulla(`pending ${repository}`)).toMatchObject({ code: 0 });
  });

  it('works in a layout', async () => {
    await stocked();
    expect(await bulla('init oci:img')).toMatchObject({ code: 11 });
    const store = new LayoutStore(await DirectoryFiles.open(join(home, 'img'), { create: true }));
    await store.close();
    expect((await bulla('init oci:img --collection registry.example.com/app -o json')).json()).toMatchObject({
      collection: 'registry.example.com/app',
      shortcomings: [],
    });
  });

  it.each([
    ['an image', 'init localhost:1/a:v1'],
    ['a role that has no threshold', 'init localhost:1/a --threshold timestamp=2'],
    ['a threshold that no keys meet', 'init localhost:1/a --threshold names=2'],
    ['an unknown role', 'init localhost:1/a --expires alice=1y'],
    ['no duration', 'init localhost:1/a --expires root=soon'],
  ])('refuses %s', async (_, line) => {
    await stocked();
    expect(await bulla(line)).toMatchObject({ code: 2, stdout: '' });
  });

  it('needs the private keys of root and publisher', async () => {
    await stocked();
    await writeFile(join(home, 'r.pub'), publicKeyPem(publicKeyOf(generatePrivateKey('P-256'))));
    const registry = await registryFor();
    const made = await bulla(`init ${registry.host}/team/app --root-key r.pub`);
    expect(made).toMatchObject({ code: 12, stdout: '' });
    expect(await repositoryOf(registry).listTags()).toEqual([]);
  });
});
