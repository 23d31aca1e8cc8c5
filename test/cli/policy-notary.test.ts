import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { readPolicy, verifyByPolicy } from '../../src/api/index.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { podOf, review } from '../actions/gate/reviews.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { patchOf, post, startGate, writeCertificate } from '../support/gate.ts';
import { forgeKey, forgeRepository, publish } from '../support/notary/forge.ts';
import { ground, now, signedOf } from '../support/notary/ground.ts';
import type { NotarySimulatorOptions } from '../support/notary/server.ts';
import { poolKey } from '../support/tuf/keys.ts';

/** A rule about everything in the registry: what `notary` has beside its server and root, and what else it demands. */
async function demanding(options: NotarySimulatorOptions = {}) {
  const made = await ground(options);
  const { home, name, registry, notary, repository, run } = made;
  const root = { keyIds: [repository.root[0]!.id] };
  const write = async (more: object = {}, beside: object = {}): Promise<string> => {
    const demand = { server: notary.url, root, ...more };
    const rules = [{ scope: `${registry.host}/*`, notary: demand, ...beside }];
    const path = join(home, 'policy.yaml');
    await writeFile(path, JSON.stringify({ version: 1, rules }));
    return path;
  };
  const verify = async (tag: string, more: object = {}, beside: object = {}) => {
    await write(more, beside);
    return await run(['verify', `${name}:${tag}`, '--policy', 'policy.yaml', '-o', 'json']);
  };
  return { ...made, root, write, verify };
}

const codeOf = ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }): unknown =>
  code === 0 ? 'ok' : ((/"code":\s*"([a-z-]+)"/.exec(stdout + stderr) ?? [])[1] ?? stderr);

describe('a name at a Notary server, demanded by a policy', () => {
  it('gives the signed digest, and the rule that decided', async () => {
    const { verify, name, one, two, registry } = await demanding();
    expect((await verify('v2')).json()).toMatchObject({
      reference: `${name}@${two.descriptor.digest}`,
      name: { signers: ['alice', 'bob'], role: 'targets/releases', notary: { gun: name } },
      policy: { scope: `${registry.host}/*`, decision: 'verify', verified: true },
    });
    expect((await verify('v1')).json()).toMatchObject({ reference: `${name}@${one.descriptor.digest}` });
  });

  it('refuses names that nobody there released', async () => {
    const { verify } = await demanding();
    for (const tag of ['own', 'hidden', 'none']) expect(codeOf(await verify(tag))).toBe('name-not-signed');
  });

  it('refuses another digest beside the tag', async () => {
    const { verify, one, two } = await demanding();
    expect(codeOf(await verify(`v2@${two.descriptor.digest}`))).toBe('ok');
    expect(codeOf(await verify(`v2@${one.descriptor.digest}`))).toBe('digest-mismatch');
  });

  it('a digest without a tag must be what a released name means', async () => {
    const { write, run, name, one, two, images } = await demanding();
    const other = await pushImage(images, 'other', 'other');
    const verify = async (digest: string, more: object = {}) => {
      await write(more);
      return await run(['verify', `${name}@${digest}`, '--policy', 'policy.yaml', '-o', 'json']);
    };
    expect((await verify(two.descriptor.digest)).json()).toMatchObject({
      reference: `${name}@${two.descriptor.digest}`,
    });
    const alice = { delegations: ['alice'] };
    expect(codeOf(await verify(two.descriptor.digest, alice))).toBe('ok');
    expect(codeOf(await verify(one.descriptor.digest))).toBe('ok');
    expect(codeOf(await verify(one.descriptor.digest, alice))).toBe('name-not-signed');
    expect(codeOf(await verify(two.descriptor.digest, { delegations: ['alice', 'carol'] }))).toBe(
      'name-not-signed',
    );
    expect(codeOf(await verify(other.descriptor.digest))).toBe('name-not-signed');
  });

  it('attack: a digest that only a hidden or a former name means', async () => {
    const { write, run, name, one, repository, serve } = await demanding();
    await write();
    // targets still has v2 for it, which targets/releases has for another one; bob may not sign `hidden`.
    repository.targets.targets = { v2: signedOf(one) };
    serve({ version: 2 });
    const argv = ['verify', `${name}@${one.descriptor.digest}`, '--policy', 'policy.yaml', '-o', 'json'];
    expect(codeOf(await run(argv))).toBe('name-not-signed');
    await write({ delegations: ['bob'] });
    expect(codeOf(await run(argv))).toBe('name-not-signed');
  });

  it('attack: a password on the command line is not for the server that a policy names', async () => {
    const { write, run, name } = await demanding({ auth: { user: 'me', password: 'secret' } });
    await write();
    const login = ['--username', 'me', '--password-stdin'];
    const argv = ['verify', `${name}:v1`, '--policy', 'policy.yaml', '-o', 'json', ...login];
    expect(codeOf(await run(argv, { stdin: 'secret' }))).toBe('unauthorized');
  });

  it('demands every delegation', async () => {
    const { verify, repository, serve, one } = await demanding();
    expect(codeOf(await verify('v2', { delegations: ['alice', 'targets/bob'] }))).toBe('ok');
    expect(codeOf(await verify('v1', { delegations: ['alice'] }))).toBe('name-not-signed');
    expect(codeOf(await verify('v2', { delegations: ['alice', 'carol'] }))).toBe('name-not-signed');
    repository.delegations.get('targets/alice')!.targets!['v2'] = signedOf(one);
    serve({ version: 2 });
    expect(codeOf(await verify('v2', { delegations: ['alice', 'bob'] }))).toBe('digest-mismatch');
  });

  it.each(['keyIds', 'keys', 'a PEM key', 'file'])('trusts a root by %s, and no other', async (kind) => {
    const { verify, repository, notary, name, home, registry } = await demanding();
    const [key] = repository.root;
    await writeFile(join(home, 'root.pem'), key!.publicPem);
    await writeFile(join(home, 'root.json'), notary.repositories.get(name)!.get('root')!);
    const other = await forgeKey('P-256', { cn: name });
    await writeFile(join(home, 'other.pem'), other.publicPem);
    await writeFile(join(home, 'other.json'), publish(await forgeRepository(name)).get('root')!);
    const [right, wrong, scope] = {
      keyIds: [{ keyIds: [key!.keystoreId] }, { keyIds: [other.id] }],
      keys: [{ keys: ['root.pem'] }, { keys: ['other.pem'] }],
      'a PEM key': [{ keys: [key!.publicPem] }, { keys: [other.publicPem] }],
      file: [{ file: 'root.json' }, { file: 'other.json' }, name],
    }[kind] as [object, object, string?];
    const beside = { scope: scope ?? `${registry.host}/*` };
    expect(codeOf(await verify('v1', { root: wrong }, beside))).toBe('trust-invalid');
    expect(codeOf(await verify('v1', { root: right }, beside))).toBe('ok');
  });

  it('attack: a pin of this machine or first use does not replace the root of the rule', async () => {
    const { verify, run, name, notary } = await demanding();
    const place = [`${name}:v1`, '--notary', notary.url];
    expect(await run(['verify', ...place, '--tofu'])).toMatchObject({ code: 0 });
    const root = { keyIds: ['0'.repeat(64)] };
    expect(codeOf(await verify('v1', { root }))).toBe('trust-invalid');
  });

  it('attack: what went back, or is gone, is refused by any process that saw it', async () => {
    const { verify, serve, notary, name } = await demanding();
    const old = notary.repositories.get(name)!;
    serve({ version: 2 });
    expect(codeOf(await verify('v1'))).toBe('ok');
    notary.repositories.set(name, old);
    expect(codeOf(await verify('v1'))).toBe('trust-rollback');
    notary.repositories.delete(name);
    expect(codeOf(await verify('v1'))).toBe('trust-rollback');
  });

  it('refuses what has expired', async () => {
    const { verify, serve } = await demanding();
    serve({ timestampExpires: '2026-11-01T00:00:00Z' });
    expect(codeOf(await verify('v1'))).toBe('trust-expired');
  });

  it('a repository without trust data is not signed; a server that is down says nothing', async () => {
    const { verify, notary, name } = await demanding();
    notary.repositories.delete(name);
    expect(codeOf(await verify('v1'))).toBe('name-not-signed');
    expect((await verify('v1', {}, { mode: 'audit' })).json()).toMatchObject({
      refusal: { code: 'name-not-signed' },
    });
    await notary.stop();
    expect(codeOf(await verify('v1', {}, { mode: 'audit' }))).toBe('registry-unreachable');
  });

  it.each([400, 401, 403, 410])('a server that answers %d says nothing, in any mode', async (status) => {
    const { verify } = await demanding({
      fault: (_, response) => {
        response.writeHead(status).end('{}');
        return true;
      },
    });
    const code = codeOf(await verify('v1', {}, { mode: 'audit' }));
    expect(['unauthorized', 'forbidden', 'registry-error', 'registry-unreachable']).toContain(code);
  });

  it('asks with the credentials that are kept for the server, or for the registry', async () => {
    const auth = { user: 'me', password: 'secret' };
    for (const side of ['notary', 'registry'] as const) {
      const { verify, run, home, name, ...hosts } = await demanding({ auth });
      expect(codeOf(await verify('v1'))).toBe('unauthorized');
      const config = { auths: { [hosts[side].host]: { auth: Buffer.from('me:secret').toString('base64') } } };
      await writeFile(join(home, 'config.json'), JSON.stringify(config));
      const argv = ['verify', `${name}:v1`, '--policy', 'policy.yaml'];
      const asked = await run(argv, { env: { DOCKER_CONFIG: home } });
      expect(asked, `${side}: ${asked.stderr}`).toMatchObject({ code: 0 });
    }
  });

  it('demands signatures as well', async () => {
    const { verify, home, images, serve, repository } = await demanding();
    const signer = createSigner(poolKey(8).privateKey, algorithm('ES256'));
    await writeFile(join(home, 'release.pub'), publicKeyPem(signer.publicKey));
    const signatures = [{ keys: ['release.pub'] }];
    expect(codeOf(await verify('v2', {}, { signatures }))).toBe('unsigned');
    await signImage(images, { tag: tagOf('v2') }, { name: 'v2', signer, now, agent: 'bulla/test' });
    expect(codeOf(await verify('v2', {}, { signatures }))).toBe('ok');
    // Attack: the tag leads to what is signed so, and its name to what is not.
    const three = await pushImage(images, 'three', 'v3');
    repository.targets.targets = { v1: signedOf(three) };
    serve({ version: 2 });
    expect(codeOf(await verify('v1', {}, { signatures }))).toBe('unsigned');
  });

  it('takes the name of a mirrored repository from the rule', async () => {
    const { verify, name, notary, registry, one } = await demanding();
    const repository = await forgeRepository('r.example/up/app');
    repository.targets.targets = { v1: signedOf(one) };
    notary.repositories.set('r.example/up/app', publish(repository));
    const more = { root: { keyIds: [repository.root[0]!.id] }, collection: 'r.example/up/*' };
    const answer = await verify('v1', more, { scope: `${registry.host}/team/*` });
    expect(answer.json()).toMatchObject({ reference: `${name}@${one.descriptor.digest}` });
    const other = { ...more, collection: 'r.example/down/*' };
    expect(codeOf(await verify('v1', other, { scope: `${registry.host}/team/*` }))).toBe('name-not-signed');
  });

  it('refuses a moved tag with drift: reject', async () => {
    const { verify, images } = await demanding();
    await pushImage(images, 'moved', 'v1');
    expect(codeOf(await verify('v1'))).toBe('ok');
    expect(codeOf(await verify('v1', { drift: 'reject' }))).toBe('digest-mismatch');
  });

  it('opens no socket with --offline, and reads a repository once for all its names', async () => {
    const { write, run, name, notary } = await demanding();
    await write();
    const argv = ['verify', `${name}:v1`, `${name}:v2`, '--policy', 'policy.yaml'];
    expect((await run([...argv, '--offline'])).code).not.toBe(0);
    expect(notary.requests).toEqual([]);
    expect(await run(argv)).toMatchObject({ code: 0 });
    expect(notary.requests.filter((path) => path.endsWith('/timestamp.json'))).toHaveLength(1);
  });

  it('refuses images in no registry', async () => {
    const { verify, write, run, name } = await demanding();
    expect(codeOf(await verify('v1', {}, { scope: '*' }))).toBe('ok');
    await run(['copy', `${name}:v1`, 'oci:layout:v1']);
    await write({}, { scope: '*' });
    const result = await run(['verify', 'oci:layout:v1', '--policy', 'policy.yaml', '-o', 'json']);
    expect(codeOf(result)).toBe('policy-denied');
  });

  it('is explained, and checked', async () => {
    const { write, run, name, notary } = await demanding();
    await write({ delegations: ['alice'] });
    const explained = await run(['policy', 'explain', `${name}:v2`, '--policy', 'policy.yaml']);
    expect(explained).toMatchObject({ code: 0 });
    expect(explained.stderr).toContain(`signed by all of alice at the Notary server ${notary.url}`);
    expect((await run(['policy', 'check', 'policy.yaml', '-v'])).stderr).toContain(notary.url);
  });

  it('is demanded by the library as well', async () => {
    const { write, home, name, two, notary } = await demanding();
    const directories = { config: home, cache: join(home, 'cache'), state: join(home, 'state') };
    const policy = await readPolicy(await write({ delegations: ['alice'] }));
    const user = { now, directories };
    expect(await verifyByPolicy(`${name}:v2`, policy, user)).toMatchObject({
      runnable: `${name}@${two.descriptor.digest}`,
      verified: { name: { by: 'notary' } },
    });
    const unsigned = verifyByPolicy(`${name}:v1`, policy, user);
    await expect(unsigned).rejects.toMatchObject({ code: 'name-not-signed' });
    notary.repositories.clear();
    const gone = verifyByPolicy(`${name}:v2`, policy, user);
    await expect(gone).rejects.toMatchObject({ code: 'trust-rollback' });
  });
});

it('containerd is answered by it, for a tag and for a digest', async () => {
  const { write, run, name, one, two } = await demanding();
  await write({ delegations: ['alice'] });
  const ask = async (reference: string, digest: string) =>
    await run(
      [
        ...['gate', 'containerd', '--policy', 'policy.yaml', '--', '-name', reference, '-digest', digest],
        ...['-stdin-media-type', 'application/vnd.oci.descriptor.v1+json'],
      ],
      { stdin: JSON.stringify({ digest, size: 1, mediaType: 'x' }) },
    );
  const [signed, other] = [two.descriptor.digest, one.descriptor.digest];
  for (const reference of [`${name}:v2`, `${name}@${signed}`, `${name}:v2@${signed}`])
    expect(await ask(reference, signed), reference).toMatchObject({ code: 0 });
  for (const reference of [`${name}:v1`, `${name}:v2`, `${name}@${other}`])
    expect((await ask(reference, other)).code, reference).not.toBe(0);
});

it('the gate asks a Notary server: it writes signed digests, refuses other names, and knows nothing where it is down', async () => {
  const { write, home, name, one, two, serve, notary } = await demanding();
  const far = '2038-01-01T00:00:00Z';
  serve({ version: 2, expires: far, timestampExpires: far, rootExpires: far });
  await write({ delegations: ['alice'] });
  await writeCertificate(home);
  const gate = await startGate(home);
  const pod = (image: string): Uint8Array => review({ object: podOf(image) });
  const signed = `${name}:v2@${two.descriptor.digest}`;
  expect(patchOf(await post(gate, '/mutate', pod(`${name}:v2`)))).toMatchObject([{ value: signed }]);
  expect((await post(gate, '/validate', pod(signed))).response).toMatchObject({ allowed: true });
  const asked = notary.requests.length;
  expect((await post(gate, '/validate', pod(signed))).response).toMatchObject({ allowed: true });
  expect(notary.requests).toHaveLength(asked);
  const bare = `${name}@${two.descriptor.digest}`;
  expect((await post(gate, '/validate', pod(bare))).response).toMatchObject({ allowed: true });
  for (const image of [
    `${name}@${one.descriptor.digest}`,
    `${name}:v1@${one.descriptor.digest}`,
    `${name}:v2@${one.descriptor.digest}`,
  ])
    expect((await post(gate, '/validate', pod(image))).response).toMatchObject({
      allowed: false,
      status: { code: 403 },
    });
  await notary.stop();
  await rm(join(home, 'policy.yaml'));
  const away = name.replace('/team/app', '/team/other');
  expect((await post(gate, '/validate', pod(`${away}:v1`))).response).toMatchObject({
    allowed: false,
    status: { code: 503 },
  });
  expect((await gate.end()).code).toBe(0);
});
