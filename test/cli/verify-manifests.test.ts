import { chmod, lstat, mkdtemp, readFile, stat, symlink, writeFile } from 'node:fs/promises';
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

it('leaves a file that only its owner may read so, and a link a link', async () => {
  await writeFile(join(home, 'secret.yaml'), manifest('signed'));
  await chmod(join(home, 'secret.yaml'), 0o600);
  await symlink('secret.yaml', join(home, 'link.yaml'));
  expect((await run(['--k8s', 'link.yaml', '--write'])).code).toBe(0);
  expect((await stat(join(home, 'secret.yaml'))).mode & 0o777).toBe(0o600);
  expect((await lstat(join(home, 'link.yaml'))).isSymbolicLink()).toBe(true);
  expect(await readFile(join(home, 'secret.yaml'), 'utf8')).toContain('@sha256:');
});

it.each(['oci:layout:v1', 'oci-archive:a.tar', 'docker://r.example/a:1'])(
  'refuses %s, which a cluster does not read as we do',
  async (image) => {
    const text = `apiVersion: v1\nkind: Pod\nspec: {containers: [{image: "${image}"}]}`;
    expect((await run(['--k8s', '-'], text)).code).toBe(40);
  },
);

it.each<[string, readonly string[], number]>([
  ['a file that is missing', ['--k8s', 'nothing.yaml'], 11],
  ['--write without a file', ['--k8s', '-', '--write'], 2],
  ['--write without --k8s', ['x.example/a:1', '--write'], 2],
  ['what is not YAML', ['--k8s', 'key.pub', '--image-path', '??'], 2],
])('refuses %s', async (_, args, code) => {
  expect((await run(args, '')).code).toBe(code);
});
