import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { startRegistry } from '../support/registry/server.ts';
import { NOW } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const registry = await startRegistry();

async function place() {
  const cwd = await temporaryDirectory();
  const name = `${registry.host}/app`;
  const target = openRepository(parseReference(name) as RegistryReference);
  const digests = new Map<string, string>();
  for (const tag of ['signed', 'not']) {
    const { descriptor } = await pushImage(target, tag, tag);
    digests.set(tag, descriptor.digest);
    const signer = createSigner(poolKey(8).privateKey, algorithm('ES256'));
    if (tag === 'signed')
      await signImage(target, { tag: tagOf(tag) }, { name: tag, signer, now: NOW, agent: 'bulla/test' });
  }
  await writeFile(join(cwd, 'key.pub'), publicKeyPem(publicKeyOf(poolKey(8).privateKey)));
  const rules = (mode: string): string =>
    `version: 1\nmode: ${mode}\nrules: [{ scope: ${registry.host}/*, signatures: [{ keys: [key.pub] }] }]\n`;
  await writeFile(join(cwd, 'policy.yaml'), rules('enforce'));
  await writeFile(join(cwd, 'audit.yaml'), rules('audit'));
  const ask = (tag: string, digest: string, ...flags: readonly string[]) =>
    bulla(
      [
        ...[
          'gate',
          'containerd',
          '--policy',
          'policy.yaml',
          ...flags,
          '--',
          '-name',
          `${name}:${tag}`,
          '-digest',
          digest,
        ],
        ...['-stdin-media-type', 'application/vnd.oci.descriptor.v1+json'],
      ],
      { now: NOW, cwd, env: { BULLA_HOME: cwd }, stdin: JSON.stringify({ digest, size: 1, mediaType: 'x' }) },
    );
  return { cwd, digests, ask };
}

it('allows what the policy allows, and says why it denies the rest', async () => {
  const { digests, ask } = await place();
  const [signed = '', not = ''] = [digests.get('signed'), digests.get('not')];
  expect(await ask('signed', signed)).toMatchObject({ code: 0, stdout: expect.stringContaining(signed) });
  expect(await ask('not', not)).toMatchObject({
    code: 10,
    stdout: expect.stringMatching(/^\S.*\[unsigned\].*\n$/),
  });
  // The tag points elsewhere by now, or a registry on the way says so.
  expect(await ask('signed', not)).toMatchObject({
    code: expect.any(Number),
    stdout: expect.stringContaining('['),
  });
  expect((await ask('signed', not)).code).not.toBe(0);
  expect(await ask('not', not, '--policy', 'audit.yaml')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('only audits'),
  });
  expect(await ask('signed', signed, '--policy', 'missing.yaml')).toMatchObject({ code: 11 });
});

it('denies in time where the registry does not answer', async () => {
  const { digests, ask } = await place();
  const late = await ask('signed', digests.get('signed') ?? '', '--within', '1ms');
  expect(late).toMatchObject({ code: 3, stdout: expect.stringContaining('[timeout]') });
});

it('installs a program that can be run, with a policy that can be read', async () => {
  const { cwd } = await place();
  const options = { now: NOW, cwd, env: { BULLA_HOME: cwd }, program: '/usr/bin/bulla' };
  const flags = ['gate', 'containerd', '--install', 'hooks', '--policy'];
  expect(await bulla([...flags, 'policy.yaml'], options)).toMatchObject({ code: 0 });
  const path = join(cwd, 'hooks/bulla');
  expect((await stat(path)).mode & 0o777).toBe(0o755);
  expect(await readFile(path, 'utf8')).toContain(`'gate' 'containerd' '--policy' '${cwd}/policy.yaml'`);
  expect(await bulla([...flags, 'key.pub'], options)).toMatchObject({ code: 2 });
});
