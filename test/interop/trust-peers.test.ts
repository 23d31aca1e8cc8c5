import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Ground } from './crowd/ground.ts';
import { havePeers, type Outcome, ok, peer, run } from './peers.ts';
import { type Registry, type RegistryKind, startRegistry } from './registries.ts';
import { TUF_READERS } from './tuf-readers.ts';

const have = havePeers('docker-registry', 'registry3', 'olareg', 'oras', 'skopeo', 'crane', 'regctl');
/** More than a thousand names, so that there are bins. */
const MANY = Array.from({ length: 1_050 }, (_, at) => `v${at}`);

/** Copies a tag from one repository to another. */
type Copier = (from: string, to: string) => Promise<Outcome>;
const orasCopy =
  (...more: string[]): Copier =>
  (from, to) =>
    run(peer('oras'), ['cp', ...more, '--from-plain-http', '--to-plain-http', from, to]);
const DESTINATIONS = ['registry3', 'olareg', 'embedded'] as const satisfies readonly RegistryKind[];
const copiers: readonly (readonly [name: string, to: readonly RegistryKind[], copy: Copier])[] = [
  ['oras cp', DESTINATIONS, orasCopy()],
  ['oras cp -r', ['olareg'], orasCopy('-r')],
  [
    'skopeo copy --all',
    ['registry3'],
    (from, to) =>
      run(peer('skopeo'), [
        ...['--insecure-policy', 'copy', '--all', '--src-tls-verify=false', '--dest-tls-verify=false'],
        ...[`docker://${from}`, `docker://${to}`],
      ]),
  ],
  ['crane copy', ['olareg'], (from, to) => run(peer('crane'), ['copy', '--insecure', from, to])],
  [
    'regctl image copy',
    ['embedded'],
    (from, to) => {
      const hosts = [from, to].flatMap((name) => ['--host', `reg=${name.split('/')[0]},tls=disabled`]);
      return run(peer('regctl'), [...hosts, 'image', 'copy', '--force-recursive', from, to]);
    },
  ],
];

describe.runIf(have)('heads in the hands of other tools', () => {
  const registries = new Map<RegistryKind, Registry>();
  const grounds = new Map<string, Ground>();
  let directory: string;
  let copies = 0;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'bulla-heads-'));
    for (const kind of ['docker-registry', ...DESTINATIONS] as const)
      registries.set(kind, await startRegistry(kind));
    const host = registries.get('docker-registry')?.host;
    const small = await Ground.make(`${host}/small`, ['v0', 'v1']);
    grounds.set('small', small);
    await small.succeed(['sign', '--name-only', `${small.name}:v0`, `${small.name}:v1`]);
    const large = await Ground.make(`${host}/large`, MANY);
    grounds.set('large', large);
    const list = MANY.map((tag) => `${large.name}:${tag}`).join('\n');
    await large.succeed(['sign', '--name-only', '--no-proof', '--from', '-'], { input: list });
  });
  afterAll(async () => {
    for (const registry of registries.values()) await registry.stop();
    for (const ground of grounds.values()) ground.remove();
    rmSync(directory, { recursive: true, force: true });
  });
  const groundOf = (size: string): Ground => grounds.get(size) as Ground;

  it.each(
    copiers.flatMap(([name, kinds, copy]) =>
      kinds.flatMap((kind) => ['small', 'large'].map((size) => [name, size, kind, copy] as const)),
    ),
  )('%s: a %s head that was brought to %s names what it named', async (_, size, kind, copy) => {
    const ground = groundOf(size);
    copies += 1;
    const to = `${registries.get(kind)?.host}/copy-${copies}`;
    for (const tag of ['_trust', 'v0', 'v1'])
      expect(await copy(`${ground.name}:${tag}`, `${to}:${tag}`)).toMatchObject({ status: 0 });
    const { v0, v1 } = Object.fromEntries(ground.digests);
    const verify = (): Promise<Outcome> => ground.run(['verify', `${to}:v1`, '--collection', ground.name]);
    expect(await verify()).toMatchObject({ status: 0, stdout: `${to}@${v1}\n` });
    // It is another repository's collection, and nobody said that this is on purpose.
    expect(await ground.run(['verify', `${to}:v1`, '--signer', 'names'])).toMatchObject({ stdout: '' });
    await ok(peer('oras'), ['tag', '--plain-http', `${to}:v0`, 'v1']);
    expect(await verify()).toMatchObject({
      stdout: `${to}@${v1}\n`,
      stderr: expect.stringContaining(`${v0}`),
    });
  });

  it.each(TUF_READERS.filter(([, isThere]) => isThere))(
    'oras pull leaves a TUF directory for %s',
    async (name, _, read) => {
      const ground = groundOf('small');
      const metadata = join(directory, name, 'metadata');
      const targets = join(directory, name, 'targets');
      await ok(peer('oras'), ['pull', '--plain-http', '-o', metadata, `${ground.name}:_trust`]);
      mkdirSync(targets, { recursive: true });
      const expected: Record<string, string> = {};
      for (const [tag, digest] of ground.digests) {
        const sha256 = digest.slice('sha256:'.length);
        const at = `${ground.name}@${digest}`;
        writeFileSync(
          join(targets, `${sha256}.${tag}`),
          await ok(peer('oras'), ['manifest', 'fetch', '--plain-http', at]),
        );
        expected[tag] = sha256;
      }
      expect(await read(join(directory, name), [...ground.digests.keys()])).toEqual(expected);
    },
  );

  it('oras pull of a large head leaves all of it but bins, which carry no name', async () => {
    const pulled = join(directory, 'pulled');
    await ok(peer('oras'), ['pull', '--plain-http', '-o', pulled, `${groundOf('large').name}:_trust`]);
    const roles = readdirSync(pulled).map((file) => file.replace(/^[0-9]+\./, ''));
    expect(roles.sort()).toEqual([
      'names.json',
      'names.log.json',
      'root.json',
      'snapshot.json',
      'targets.json',
      'timestamp.json',
    ]);
  });
});
