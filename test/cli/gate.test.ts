import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { hookCallOf } from '../../src/cli/shell/gate-socket.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { startGate, writeCertificate } from '../support/gate.ts';
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

describe('with a gate on this machine', () => {
  const type = ['-stdin-media-type', 'application/vnd.oci.descriptor.v1+json'];
  const stdin = (digest = ''): string => JSON.stringify({ digest, size: 1, mediaType: 'x' });

  it('is answered by it, also where it denies, and by itself where none listens', async () => {
    const { cwd, digests, ask } = await place();
    await writeCertificate(cwd);
    const [signed = '', not = ''] = [digests.get('signed'), digests.get('not')];
    expect(await ask('signed', signed, '--socket', 'gate.sock')).toMatchObject({ code: 0 });
    const gate = await startGate(cwd, ['--socket', 'gate.sock']);
    expect(await ask('signed', signed, '--socket', 'gate.sock')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`${signed} is allowed (rule`),
    });
    const denied = await ask('not', not, '--socket', 'gate.sock');
    expect(denied).toMatchObject({ code: 12, stdout: expect.stringMatching(/^\S.*\[unsigned\].*\n$/) });
    expect(gate.log().filter(({ event }) => event === 'pull')).toHaveLength(2);
    await gate.end();
    expect(await ask('not', not, '--socket', 'gate.sock')).toMatchObject({ code: 10 });
  });

  it('denies without a policy where no gate listens', async () => {
    const { cwd, digests } = await place();
    const digest = digests.get('signed') ?? '';
    const question = ['--', '-name', `${registry.host}/app:signed`, '-digest', digest, ...type];
    const run = (...flags: readonly string[]) =>
      bulla(['gate', 'containerd', ...flags, ...question], { cwd, stdin: stdin(digest) });
    expect(await run('--socket', 'none.sock')).toMatchObject({
      code: 2,
      stdout: expect.stringContaining('no gate listens'),
    });
    expect(await run()).toMatchObject({ code: 2 });
  });

  it.each<[string, (path: string) => Promise<void>]>([
    ['a file', (path) => writeFile(path, '')],
    ['a socket that others may write to', async (path) => await listenAt(path, () => undefined, 0o666)],
    [
      'a gate that ends without an answer',
      async (path) => await listenAt(path, (socket) => socket.destroy(), 0o600),
    ],
    [
      'an answer that cannot be read',
      async (path) => await listenAt(path, (socket) => socket.end('yes\n'), 0o600),
    ],
    [
      'an answer that does not say yes',
      async (path) => await listenAt(path, (socket) => socket.end('{"allowed":1}\n'), 0o600),
    ],
  ])('attack: %s in its place never allows', async (_, make) => {
    const { cwd, digests, ask } = await place();
    await make(join(cwd, 'gate.sock'));
    expect(await ask('signed', digests.get('signed') ?? '', '--socket', 'gate.sock')).toMatchObject({
      code: 12,
    });
  });

  it('is asked before the program is loaded, with the same command line', () => {
    const question = ['--', '-name', 'a', '-digest', 'b'];
    const call = { socket: '/run/g', question: question.slice(1) };
    expect(hookCallOf(['gate', 'containerd', '--policy', 'p', '--socket', '/run/g', ...question])).toEqual(
      call,
    );
    expect(hookCallOf(['gate', 'containerd', '--socket=/run/g', ...question])).toEqual(call);
    expect(hookCallOf(['gate', 'containerd', '--policy', 'p', ...question])).toBeUndefined();
    expect(hookCallOf(['gate', 'containerd', '--install', 'd', '--socket', '/run/g', '--'])).toBeUndefined();
    expect(hookCallOf(['verify', '--socket', '/run/g', ...question])).toBeUndefined();
  });
});

/** Something that listens where a gate would. */
async function listenAt(path: string, serve: (socket: Socket) => void, mode: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  await chmod(path, mode);
  onTestFinished(() => void server.close());
}
