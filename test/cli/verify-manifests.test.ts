import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { bulla, type CliResult } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';
import { NOW } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

let registry: FaultyRegistry;
let home: string;
const digests = new Map<string, string>();

beforeAll(async () => {
  registry = await startRegistry();
  home = await mkdtemp(join(tmpdir(), 'bulla-manifests-'));
  const target = openRepository(parseReference(`${registry.host}/app`) as RegistryReference);
  for (const tag of ['signed', 'also', 'not']) {
    const { descriptor } = await pushImage(target, tag, tag);
    digests.set(tag, descriptor.digest);
    const signer = createSigner(poolKey(8).privateKey, algorithm('ES256'));
    if (tag !== 'not')
      await signImage(target, { tag: tagOf(tag) }, { name: tag, signer, now: NOW, agent: 'bulla/test' });
  }
  await writeFile(join(home, 'key.pub'), publicKeyPem(publicKeyOf(poolKey(8).privateKey)));
});

const manifest = (...tags: readonly string[]): string =>
  `apiVersion: v1 # a pod\nkind: Pod\nspec:\n  containers:\n${tags.map((tag) => `    - image: ${registry.host}/app:${tag} # ${tag}\n`).join('')}`;
const run = async (args: readonly string[], stdin?: string): Promise<CliResult> =>
  await bulla(['verify', '--key', 'key.pub', ...args], {
    now: NOW,
    cwd: home,
    env: { BULLA_HOME: home },
    ...(stdin !== undefined && { stdin }),
  });

it('verifies every image of manifests, each once, and prints its digest', async () => {
  await writeFile(join(home, 'a.yaml'), manifest('signed', 'also', 'signed'));
  const { code, stdout } = await run(['--k8s', 'a.yaml']);
  expect(code).toBe(0);
  expect(stdout.trim().split('\n')).toEqual(
    ['signed', 'also'].map((tag) => `${registry.host}/app@${digests.get(tag)}`),
  );
});

it('fails with the code of an image that is not signed, and writes nothing', async () => {
  const text = manifest('signed', 'not');
  await writeFile(join(home, 'b.yaml'), text);
  const { code, stderr } = await run(['--k8s', 'b.yaml', '--write']);
  expect(code).toBe(10);
  expect(stderr).toContain(':not');
  expect(await readFile(join(home, 'b.yaml'), 'utf8')).toBe(text);
});

it('pins verified digests in place; a second run finds them pinned', async () => {
  const text = manifest('signed', 'also');
  await writeFile(join(home, 'c.yaml'), text);
  await writeFile(join(home, 'd.yaml'), manifest('signed'));
  const first = await run(['--k8s', 'c.yaml', '--k8s', 'd.yaml', '--write']);
  expect(first.code).toBe(0);
  const written = await readFile(join(home, 'c.yaml'), 'utf8');
  expect(written).toBe(text.replace(/app:(\w+)/g, (all, tag: string) => `${all}@${digests.get(tag)}`));
  expect((await run(['--k8s', 'c.yaml', '--write'])).code).toBe(0);
  expect(await readFile(join(home, 'c.yaml'), 'utf8')).toBe(written);
});

it.each<[string, readonly string[], number]>([
  ['a file that is missing', ['--k8s', 'nothing.yaml'], 11],
  ['--write without a file', ['--k8s', '-', '--write'], 2],
  ['--write without --k8s', ['x.example/a:1', '--write'], 2],
  ['what is not YAML', ['--k8s', 'key.pub', '--image-path', '??'], 2],
])('refuses %s', async (_, args, code) => {
  expect((await run(args, '')).code).toBe(code);
});
