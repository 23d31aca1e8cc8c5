import { generateKeyPairSync } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as bulla from '../../src/api/index.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { temporaryDirectory } from '../support/cli.ts';

const { createSigner, isBullaError } = bulla;
const passphrase = 'of the keys';
const demo = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const newSigner = (): bulla.Signer =>
  createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);

/** A registry with an image, and what one user works with. */
async function world(): Promise<{
  repository: string;
  mirror: string;
  home: string;
  config: bulla.ChangeOptions;
}> {
  const dir = await temporaryDirectory();
  const server = await serveRegistry({ dir: join(dir, 'registry') });
  onTestFinished(() => server.close());
  const home = join(dir, 'home');
  const directories = {
    config: join(home, 'config'),
    cache: join(home, 'cache'),
    state: join(home, 'state'),
  };
  const warnings: string[] = [];
  const config = { directories, passphrase, onWarning: (text: string) => warnings.push(text) };
  const repository = `${server.address}/team/app`;
  await bulla.push(`oci:${demo}`, `${repository}:v1`, config);
  return { repository, mirror: `${server.address}/mirror/app`, home, config };
}

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    () => 'none',
    (error: unknown) => (isBullaError(error) ? error.code : String(error)),
  );

describe('init and revoke', () => {
  it('make a collection with keys that stay in the key store, and only once', async () => {
    const { repository, home, config } = await world();
    const { made, head, stage } = await bulla.init(repository, config);
    expect([made.id.length, head?.startsWith('sha256:'), stage]).toEqual([64, true, undefined]);
    expect(await readdir(join(home, 'config/keys'))).toEqual(
      expect.arrayContaining(['online.key', 'publisher.key', 'root.key']),
    );
    expect(await codeOf(bulla.init(repository, config))).toBe('conflict');
  });

  it('take signers in memory, thresholds and lifetimes', async () => {
    const { repository, home, config } = await world();
    const [root, other, names, online] = [newSigner(), newSigner(), newSigner(), newSigner()];
    const { chosen, expires } = await bulla.init(repository, {
      ...config,
      now: new Date('2031-01-01T00:00:00Z'),
      keys: { root: [root, other], names: [names], online: [online] },
      thresholds: { root: 2 },
      lifetimes: { timestamp: 86_400_000 },
    });
    expect(chosen.root).toMatchObject({ threshold: 2, keys: [{}, {}] });
    expect(expires.get('timestamp')).toEqual(new Date('2031-01-02T00:00:00Z'));
    expect(await readdir(home)).not.toContain('config');
  });

  it.each([
    ['a tag where a repository is wanted', (at: string) => `${at}:v1`, 'usage'],
    ['a digest', (at: string) => `${at}@sha256:${'a'.repeat(64)}`, 'usage'],
    ['nothing that is a reference', () => ':', 'usage'],
  ])('refuse %s', async (_, text, code) => {
    const { repository, config } = await world();
    expect(await codeOf(bulla.init(text(repository), config))).toBe(code);
  });

  it('revoke several tags, and say which were named', async () => {
    const { repository, config } = await world();
    await bulla.init(repository, config);
    await bulla.sign(`${repository}:v1`, { ...config, name: 'only' });
    const { names, role } = await bulla.revoke([`${repository}:v1`, `${repository}:v9`], config);
    expect(role).toBe('names');
    expect(names).toEqual([
      { tag: 'v1', wasNamed: true, others: [] },
      { tag: 'v9', wasNamed: false, others: [] },
    ]);
    expect(await codeOf(bulla.verify(`${repository}:v1`, config))).toBe('name-not-signed');
  });

  it.each([
    ['without a tag', (at: string) => [at]],
    ['by digest', (at: string) => [`${at}@sha256:${'a'.repeat(64)}`]],
    ['of two repositories', (at: string) => [`${at}:v1`, `${at}-other:v1`]],
    ['of none', () => []],
  ])('revoke nothing %s', async (_, texts) => {
    const { repository, config } = await world();
    expect(await codeOf(bulla.revoke(texts(repository), config))).toBe('usage');
  });

  it('revoke nothing where there is no collection, or with a key of another user', async () => {
    const { repository, config } = await world();
    expect(await codeOf(bulla.revoke(`${repository}:v1`, config))).toBe('not-found');
    const { made } = await bulla.init(repository, config);
    const stranger = { config: 'no-config', cache: 'no-cache', state: 'no-state' };
    const trust = { kind: 'root', bytes: made.files.roots[0]?.bytes ?? new Uint8Array() } as const;
    const foreign = { ...config, directories: stranger, memory: new bulla.ProcessMemory(), trust };
    const cache = new bulla.ProcessBlobCache();
    const revoking = bulla.revoke(`${repository}:v1`, { ...foreign, cache, keys: [newSigner()] });
    expect(await codeOf(revoking)).toBe('untrusted-identity');
  });
});

describe('copy, push and pull', () => {
  it('copy an image with its collection, and look first on a dry run', async () => {
    const { repository, mirror, config } = await world();
    await bulla.init(repository, config);
    await bulla.sign(`${repository}:v1`, { ...config, name: 'only' });
    const planned = await bulla.copy(`${repository}:v1`, mirror, { ...config, dryRun: true });
    expect(planned).toMatchObject({ tag: 'v1', tagMoved: true, collection: { outcome: 'copied' } });
    expect(await codeOf(bulla.copy(`${mirror}:v1`, `${mirror}:v2`, config))).toBe('not-found');
    const copied = await bulla.copy(`${repository}:v1`, mirror, config);
    expect(copied).toMatchObject({ reference: `${mirror}@${copied.root.digest}` });
    const { name } = await bulla.verify(`${mirror}:v1`, { ...config, collection: repository });
    expect(name?.by).toBeDefined();
  });

  it('copy as: the name is signed in the own collection of the destination', async () => {
    const { repository, mirror, config } = await world();
    await bulla.init(mirror, config);
    const as = { passphrase };
    const { named, collection } = await bulla.copy(`${repository}:v1`, `${mirror}:v3`, { ...config, as });
    expect([[...(named?.names.keys() ?? [])], collection]).toEqual([['v3'], undefined]);
    expect((await bulla.verify(`${mirror}:v3`, config)).name).toBeDefined();
    expect(await codeOf(bulla.copy(`${mirror}:v3`, `${repository}:v3`, { ...config, as }))).toBe('not-found');
  });

  it('push signs before the tag moves, and names where there is a collection', async () => {
    const { repository, config } = await world();
    await bulla.init(repository, config);
    const key = newSigner();
    const sign = { key: 'publisher', passphrase };
    const { signed, tagMoved } = await bulla.push(`oci:${demo}`, `${repository}:v2`, { ...config, sign });
    expect([signed?.signatures.length, tagMoved, [...(signed?.named?.names.keys() ?? [])]]).toEqual([
      1,
      true,
      ['v2'],
    ]);
    expect(await codeOf(bulla.push(`oci:${demo}`, 'oci:elsewhere', config))).toBe('usage');
    const refused = bulla.push(`oci:${demo}`, `${repository}:v4`, {
      ...config,
      sign: { key, role: 'nobody' },
    });
    expect(await codeOf(refused)).toBe('usage');
    expect(await codeOf(bulla.verify(`${repository}:v4`, config))).not.toBe('none');
  });

  it('pull brings what was verified, and nothing else', async () => {
    const { repository, home, config } = await world();
    const key = newSigner();
    const [archive, layout] = [`oci-archive:${join(home, '../app.tar')}`, `oci:${join(home, '../app')}`];
    const keys = [key.publicKey];
    expect(await codeOf(bulla.pull(`${repository}:v1`, archive, { ...config, keys }))).toBe('unsigned');
    expect(await codeOf(bulla.pull(`${repository}:v1`, `${repository}:v5`, config))).toBe('usage');
    expect(await readdir(join(home, '..'))).not.toContain('app.tar');
    await bulla.sign(`${repository}:v1`, { ...config, key });
    const { verified, root } = await bulla.pull(`${repository}:v1`, archive, { ...config, keys });
    expect(verified?.image.digest).toBe(root.digest);
    const unverified = await bulla.pull(`${repository}:v1`, layout, { ...config, verify: false });
    expect(unverified).toMatchObject({ verified: undefined, root: { digest: root.digest } });
  });
});

describe('resign and status', () => {
  it('renew on request, and report what fails beside what does not', async () => {
    const { repository, mirror, config } = await world();
    await bulla.init(repository, config);
    const report = await bulla.resign([repository, mirror], { ...config, renew: true });
    expect(report.worst).toBe('not-found');
    expect(report.results).toMatchObject([
      { place: repository, outcome: { kind: 'passed', freshness: { work: 'renewed' } } },
      { place: mirror, outcome: { kind: 'failed', failure: { code: 'not-found' } } },
    ]);
    expect((await bulla.resign(repository, config)).results).toMatchObject([
      { outcome: { freshness: { work: 'fresh' } } },
    ]);
  });

  it('show what expires, and to what was not pinned that it is not trusted', async () => {
    const { repository, mirror, config } = await world();
    await bulla.init(repository, config);
    expect(await bulla.status(repository, config)).toMatchObject({ trusted: true, findings: [] });
    const later = new Date(Date.now() + 360 * 86_400_000);
    const { findings, trusted } = await bulla.status(repository, { ...config, now: later });
    expect(trusted).toBe(false);
    expect(findings.filter(({ kind }) => kind === 'expiry').length).toBeGreaterThan(3);
    const memory = new bulla.ProcessMemory();
    expect(await bulla.status(repository, { ...config, memory, pins: [] })).toMatchObject({ trusted: false });
    expect(await codeOf(bulla.status(mirror, config))).toBe('not-found');
  });
});
