import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pushImage } from '../support/content.ts';
import { forgeKey, forgeRepository, target } from '../support/notary/forge.ts';
import { ground, signedOf } from '../support/notary/ground.ts';
import { repositoryOf } from '../support/registry/open.ts';

describe('bulla verify --notary', () => {
  it('prints the digest of targets/releases, then of targets, as docker takes them', async () => {
    const { verify, rootKey, name, one, two } = await ground();
    const released = await verify('v2', ...rootKey);
    expect(released, released.stderr).toMatchObject({
      code: 0,
      stdout: `${name}@${two.descriptor.digest}\n`,
    });
    expect(released.stderr).toContain('v2 is signed by alice, bob');
    expect(await verify('v1', ...rootKey)).toMatchObject({
      code: 0,
      stdout: `${name}@${one.descriptor.digest}\n`,
    });
    expect(await verify('own', ...rootKey)).toMatchObject({ code: 23 });
    expect(await verify('hidden', ...rootKey)).toMatchObject({ code: 23 });
    expect((await verify('v2', '-o', 'json', ...rootKey)).json()).toMatchObject({
      ok: true,
      reference: `${name}@${two.descriptor.digest}`,
      digest: two.descriptor.digest,
      tag: 'v2',
      signed: 'name',
      name: {
        signers: ['alice', 'bob'],
        role: 'targets/releases',
        wasKnown: true,
        drift: null,
        notary: { gun: name },
      },
    });
  });

  it('trusts nothing without a pin', async () => {
    const { verify, rootKey } = await ground();
    const result = await verify('v1');
    expect(result.code).toBe(25);
    expect(result.stderr).toContain(rootKey[1]);
    expect(result.stdout).toBe('');
    expect(await verify('v1', '--tofu')).toMatchObject({ code: 0 });
    // It is remembered from then on.
    expect(await verify('v1')).toMatchObject({ code: 0 });
  });

  it('does not trust on first use in CI', async () => {
    const { run, name, notary } = await ground();
    const argv = ['verify', `${name}:v1`, '--notary', notary.url, '--tofu'];
    expect(await run(argv, { env: { CI: 'true' } })).toMatchObject({ code: 25 });
  });

  it('takes each kind of pin', async () => {
    const { verify, repository, notary, name, home } = await ground();
    const [root] = repository.root;
    await writeFile(join(home, 'root.json'), notary.repositories.get(name)!.get('root')!);
    await writeFile(join(home, 'root.pem'), root!.publicPem);
    await writeFile(join(home, 'other.pem'), (await forgeKey()).publicPem);
    for (const flags of [
      ['--root', 'root.json'],
      ['--notary-root-key', 'root.pem'],
      ['--root-key-id', root!.keystoreId],
      ['--root-key-id', '0'.repeat(64), '--root-key-id', root!.id],
    ])
      expect(await verify('v1', ...flags), flags.join(' ')).toMatchObject({ code: 0 });
    expect(await verify('v1', '--notary-root-key', 'other.pem')).toMatchObject({ code: 22 });
    expect(await verify('v1', '--root-key-id', '0'.repeat(64))).toMatchObject({ code: 22 });
    for (const flags of [
      ['--root-key-id', 'abc'],
      ['--root', 'root.json', '--tofu'],
      ['--root', 'none.json'],
      ['--notary-root-key', 'root.json'],
      ['--key', 'root.pem', '--tofu'],
      ['--at', 'localhost/x', '--tofu'],
      ['--no-name', '--tofu'],
    ])
      expect([2, 11], flags.join(' ')).toContain((await verify('v1', ...flags)).code);
  });

  it('demands delegations', async () => {
    const { verify, rootKey, serve, repository, one, two, name } = await ground();
    expect(
      await verify('v2', ...rootKey, '--delegation', 'alice', '--delegation', 'targets/bob'),
    ).toMatchObject({ code: 0 });
    expect(await verify('v1', ...rootKey, '--delegation', 'alice')).toMatchObject({ code: 23 });
    expect(await verify('v2', ...rootKey, '--delegation', 'carol')).toMatchObject({ code: 23 });
    expect(await verify('own', ...rootKey, '--signer', 'alice')).toMatchObject({
      code: 0,
      stdout: `${name}@${two.descriptor.digest}\n`,
    });
    repository.delegations.get('targets/alice')!.targets!['v2'] = signedOf(one);
    serve({ version: 2 });
    expect(await verify('v2', ...rootKey, '--delegation', 'alice')).toMatchObject({ code: 24 });
    expect(await verify('v2', ...rootKey, '--delegation', 'bob')).toMatchObject({ code: 0 });
  });

  it('a digest that is given must be the signed one', async () => {
    const { run, name, notary, rootKey, one, two } = await ground();
    const verify = (digest: string) =>
      run(['verify', `${name}:v2@${digest}`, '--notary', notary.url, ...rootKey]);
    expect(await verify(two.descriptor.digest)).toMatchObject({ code: 0 });
    expect(await verify(one.descriptor.digest)).toMatchObject({ code: 24 });
    const bare = run(['verify', `${name}@${one.descriptor.digest}`, '--notary', notary.url, ...rootKey]);
    expect(await bare).toMatchObject({ code: 2 });
  });

  it('tells where the registry’s tag points, and refuses drift if it is told to', async () => {
    const { verify, rootKey, images, registry, name, one } = await ground();
    await pushImage(images, 'moved', 'v1');
    const moved = await verify('v1', ...rootKey);
    expect(moved).toMatchObject({ code: 0, stdout: `${name}@${one.descriptor.digest}\n` });
    expect(moved.stderr).toContain("the registry's tag v1 points to");
    expect(await verify('v1', ...rootKey, '--drift', 'reject')).toMatchObject({ code: 24 });
    registry.forget();
    expect(await verify('v1', ...rootKey, '--no-drift')).toMatchObject({ code: 0 });
    expect(registry.requests(/./)).toEqual([]);
  });

  it('refuses what went back, also when it is another process', async () => {
    const { verify, rootKey, serve, notary, name } = await ground();
    const old = notary.repositories.get(name)!;
    serve({ version: 2 });
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 0 });
    notary.repositories.set(name, old);
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 21 });
    notary.repositories.delete(name);
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 21 });
  });

  it.each([
    ['cut off', (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
    ['empty', () => Buffer.alloc(0)],
    ['not JSON', () => Buffer.from('x')],
    [
      'of another repository',
      (bytes: Buffer) => Buffer.from(bytes.toString().replace('/team/app', '/team/apq')),
    ],
    [
      'of another version',
      (bytes: Buffer) => Buffer.from(bytes.toString().replace('"version":1', '"version":2')),
    ],
    [
      'without a root',
      (bytes: Buffer) => Buffer.from(bytes.toString().replace(/"root":"[^"]*"/, '"root":"e30="')),
    ],
  ])('memory that is %s fails closed', async (_what, damage) => {
    const { verify, rootKey, home, run, name, notary } = await ground();
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 0 });
    const directory = join(home, 'bulla', 'state', 'notary');
    const [file] = (await readdir(directory)).filter((entry) => entry.endsWith('.json'));
    const path = join(directory, file!);
    await writeFile(path, damage(await readFile(path)));
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 5 });
    expect(await verify('v1', '--tofu')).toMatchObject({ code: 5 });
    expect(await run(['pin', name, '--notary', notary.url, ...rootKey])).toMatchObject({ code: 0 });
    expect(await verify('v1')).toMatchObject({ code: 0 });
  });

  it.each([
    ['a link to nothing', (path: string) => symlink(`${path}.gone`, path)],
    ['a directory', (path: string) => mkdir(path)],
  ])('memory that is %s fails closed', async (_what, replace) => {
    const { verify, rootKey, home, run, name, notary } = await ground();
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 0 });
    const directory = join(home, 'bulla', 'state', 'notary');
    const [file] = (await readdir(directory)).filter((entry) => entry.endsWith('.json'));
    await rm(join(directory, file!));
    await replace(join(directory, file!));
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 5 });
    expect(await run(['pin', name, '--notary', notary.url, ...rootKey])).toMatchObject({ code: 0 });
    expect(await verify('v1')).toMatchObject({ code: 0 });
  });

  it('names what is wrong', async () => {
    const { run, verify, rootKey, serve, name, notary } = await ground();
    const absent = await run(['verify', `${name}x:v1`, '--notary', notary.url, ...rootKey]);
    expect(absent).toMatchObject({ code: 11 });
    expect(absent.stderr).toContain('there is no trust data of');
    expect(await run(['verify', 'oci:layout:v1', '--notary', notary.url, ...rootKey])).toMatchObject({
      code: 2,
    });
    serve({ timestampExpires: '2026-11-01T00:00:00Z' });
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 20 });
    await notary.stop();
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 3 });
    expect(await verify('v1', ...rootKey, '--offline')).toMatchObject({ code: 3 });
    expect(await run(['verify', `${name}:v1`, '--delegation', 'alice'])).toMatchObject({ code: 2 });
  });

  it('an expired signer does no harm unless it is demanded; expired releases refuse', async () => {
    const { verify, rootKey, serve, repository } = await ground();
    repository.delegations.get('targets/bob')!.expires = '2026-01-01T00:00:00Z';
    serve({ version: 2 });
    const result = await verify('v2', ...rootKey);
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toContain('nothing of targets/bob counts');
    expect(await verify('v2', ...rootKey, '--delegation', 'bob')).toMatchObject({ code: 20 });
    repository.delegations.get('targets/releases')!.expires = '2026-01-01T00:00:00Z';
    serve({ version: 3 });
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 20 });
  });

  it('reads a dump, without a socket', async () => {
    const { run, name, notary, rootKey, home, one } = await ground();
    expect(await run(['export', 'notary-dump', 'dump', name, '--server', notary.url])).toMatchObject({
      code: 0,
    });
    await notary.stop();
    const offline = await run(['verify', `${name}:v1`, '--notary', './dump', ...rootKey, '--offline']);
    expect(offline, offline.stderr).toMatchObject({ code: 0, stdout: `${name}@${one.descriptor.digest}\n` });
    for (const place of [join(home, 'dump'), 'dump', 'dump/'])
      expect(await run(['verify', `${name}:v1`, '--notary', place, ...rootKey])).toMatchObject({ code: 0 });
    expect(await run(['verify', `${name}:v1`, '--notary', './none', ...rootKey])).toMatchObject({ code: 11 });
  });

  it('a copy is verified by the name that was signed', async () => {
    const { run, registry, notary, rootKey, name, images, one } = await ground();
    const other = `${registry.host}/team/copy`;
    await pushImage(repositoryOf(registry, {}, 'team/copy'), 'one', 'v1');
    void images;
    const argv = ['verify', `${other}:v1`, '--notary', notary.url, ...rootKey];
    expect(await run(argv)).toMatchObject({ code: 11 });
    expect(await run([...argv, '--collection', name])).toMatchObject({
      code: 0,
      stdout: `${other}@${one.descriptor.digest}\n`,
    });
  });

  it('asks the server that docker would ask', async () => {
    const { run, name, notary, rootKey } = await ground();
    const argv = ['verify', `${name}:v1`, '--notary', 'auto', ...rootKey];
    expect(await run(argv, { env: { DOCKER_CONTENT_TRUST_SERVER: notary.url } })).toMatchObject({ code: 0 });
  });

  it('ten thousand names: less than two megabytes, whoever signs them', async () => {
    const { verify, rootKey, serve, repository, notary, one } = await ground();
    const many = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [`v${index}`, signedOf(one)]),
    );
    repository.targets.targets = many;
    repository.delegations.get('targets/alice')!.targets = many;
    repository.delegations.get('targets/releases')!.targets = many;
    serve({ version: 2 });
    notary.state.sent = 0;
    expect(await verify('v9999', ...rootKey, '--no-drift')).toMatchObject({ code: 0 });
    expect(notary.state.sent).toBeLessThan(2 * 1024 * 1024);
    serve({ version: 1 });
    expect(await verify('v9999', ...rootKey, '--no-drift')).toMatchObject({ code: 21 });
  });
});

describe('bulla pin --notary', () => {
  it('shows the root key, and pins it on request', async () => {
    const { run, verify, name, notary, repository } = await ground();
    const [root] = repository.root;
    const shown = await run(['pin', name, '--notary', notary.url]);
    expect(shown).toMatchObject({ code: 0, stdout: `KeyID: ${root!.id}\nKey: ${root!.publicPem}` });
    expect(shown.stderr).toContain(`--root-key-id ${root!.id}`);
    expect(await verify('v1')).toMatchObject({ code: 25 });
    expect(await run(['pin', name, '--notary', notary.url, '--root-key-id', root!.id])).toMatchObject({
      code: 0,
    });
    expect(await verify('v1')).toMatchObject({ code: 0 });
    expect((await run(['pin', 'ls', '-o', 'json'])).json()).toMatchObject({
      pins: [],
      notary: [{ scope: name, kind: 'key-ids' }],
    });
    expect((await run(['pin', 'ls'])).stdout).toContain(root!.id);
    expect((await run(['pin', name, '--notary', notary.url, '-o', 'json'])).json()).toMatchObject({
      trusted: true,
      rootVersion: 1,
      keys: [{ keyid: root!.id, keystoreId: root!.keystoreId, pem: root!.publicPem }],
    });
    expect(await run(['pin', 'rm', name, '--notary', notary.url])).toMatchObject({ code: 0 });
    expect(await verify('v1')).toMatchObject({ code: 25 });
    expect(await run(['pin', 'rm', name, '--notary', notary.url])).toMatchObject({ code: 11 });
  });

  it('pins each kind, refuses one that does not fit, and --tofu pins what is there', async () => {
    const { run, verify, name, notary, repository, home, serve } = await ground();
    const pin = (...flags: string[]) => run(['pin', name, '--notary', notary.url, ...flags]);
    await writeFile(join(home, 'root.pem'), repository.root[0]!.publicPem);
    await writeFile(join(home, 'root.json'), notary.repositories.get(name)!.get('root')!);
    for (const flags of [['--notary-root-key', 'root.pem'], ['--root', 'root.json'], ['--tofu']]) {
      expect(await pin(...flags), flags.join(' ')).toMatchObject({ code: 0 });
      expect(await verify('v1'), flags.join(' ')).toMatchObject({ code: 0 });
    }
    expect(await pin('--root-key-id', '0'.repeat(64))).toMatchObject({ code: 22 });
    expect(await pin('--at', 'localhost/x', '--tofu')).toMatchObject({ code: 2 });
    // What was pinned on first use holds against another root.
    const other = await forgeRepository(name);
    serve({ root: other.root, rootVersion: 2, version: 2 });
    expect(await verify('v1')).toMatchObject({ code: 22 });
  });

  it('pins every repository below a prefix', async () => {
    const { run, verify, name, notary, registry, repository } = await ground();
    const scope = `${registry.host}/team/*`;
    const pin = (...flags: string[]) => run(['pin', scope, '--notary', notary.url, ...flags]);
    expect(await pin('--tofu')).toMatchObject({ code: 2 });
    expect(await pin()).toMatchObject({ code: 2 });
    expect(await pin('--root-key-id', repository.root[0]!.keystoreId)).toMatchObject({ code: 0 });
    expect(await verify('v1')).toMatchObject({ code: 0 });
    // A pin of its own goes before that of a prefix, and one of the command line before both.
    const other = await forgeRepository(name);
    expect(await verify('v1', '--root-key-id', other.root[0]!.id)).toMatchObject({ code: 22 });
    expect(await run(['pin', 'rm', scope, '--notary', notary.url])).toMatchObject({ code: 0 });
    expect((await run(['pin', 'ls', '-o', 'json'])).json()).toMatchObject({ notary: [] });
  });

  it('follows rotations from an old pin', async () => {
    const { verify, rootKey, serve, repository, name } = await ground();
    for (const version of [2, 3, 4]) {
      const oldRoot = repository.root;
      serve({ root: [await forgeKey('P-384', { cn: name })], oldRoot, rootVersion: version, version });
    }
    expect(await verify('v1', ...rootKey)).toMatchObject({ code: 0 });
  });
});

describe('bulla inspect --notary', () => {
  it('shows roles, keys, names and signers', async () => {
    const { run, name, notary, rootKey, two, one, repository } = await ground();
    const json = (await run(['inspect', name, '--notary', notary.url, ...rootKey, '-o', 'json'])).json();
    expect(json).toMatchObject({
      trusted: true,
      gun: name,
      root: { version: 1, keys: [{ keyid: rootKey[1] }] },
      signers: [
        { name: 'alice', keyIds: [repository.delegations.get('targets/alice')!.keys[0]!.keystoreId] },
        { name: 'bob', paths: ['v'] },
      ],
      names: [
        { name: 'own', role: 'targets/alice' },
        { name: 'v1', role: 'targets' },
        { name: 'v2', role: 'targets' },
      ],
      released: [
        { name: 'v1', digest: one.descriptor.digest, signers: [] },
        { name: 'v2', digest: one.descriptor.digest, signers: [] },
        { name: 'v2', digest: two.descriptor.digest, signers: ['alice', 'bob'] },
      ],
      hidden: [{ name: 'hidden', role: 'targets/bob' }],
    });
    const text = await run(['inspect', name, '--notary', notary.url, ...rootKey]);
    expect(text.stdout).toContain('(Repo Admin)');
    expect(text.stdout).toContain('hidden');
  });

  it('shows what is not pinned or has expired, with a warning, and remembers nothing of it', async () => {
    const { run, verify, name, notary, serve } = await ground();
    serve({ timestampExpires: '2026-11-01T00:00:00Z' });
    const shown = await run(['inspect', name, '--notary', notary.url, '-o', 'json']);
    expect(shown.code).toBe(0);
    expect(shown.json()).toMatchObject({ trusted: false, expired: ['timestamp'] });
    expect(shown.stderr).toContain('warning');
    expect(await verify('v1')).toMatchObject({ code: 25 });
  });

  it('shows no more than it was told to', async () => {
    const { run, name, notary } = await ground();
    expect(await run(['inspect', `${name}x`, '--notary', notary.url])).toMatchObject({ code: 11 });
    expect(await run(['inspect', `${name}:v1`, '--notary', notary.url])).toMatchObject({ code: 2 });
    notary.repositories
      .get(name)!
      .set('targets', Buffer.from(JSON.stringify({ signed: target('x'), signatures: [] })));
    expect(await run(['inspect', name, '--notary', notary.url])).toMatchObject({ code: 40 });
  });
});
