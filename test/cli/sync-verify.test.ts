import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { sync } from '../../src/api/index.ts';
import type { Target } from '../../src/oci/target.ts';
import { type CliResult, bulla as run } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { codeOf, repositoryOf } from '../support/registry/open.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';

let home: string;
let registry: FaultyRegistry;
let count = 0;

let ready: Promise<void> | undefined;
beforeEach(() => {
  ready ??= setUp();
  return ready;
});
afterAll(async () => {
  await registry.close();
  await rm(home, { recursive: true });
});

/** `web` without a collection, `app` with one, in which `moved` is not what it was; of both, `bare` is not signed. */
async function setUp(): Promise<void> {
  home = await mkdtemp(join(tmpdir(), 'bulla-sync-verify-'));
  await storePlainKeys(home, 'publisher', 'root', 'online');
  registry = await startRegistry();
  await bulla('init', `${registry.host}/app`);
  for (const name of ['app', 'web']) {
    const target = repository(name);
    for (const tag of ['v1', 'moved', 'bare']) await pushImage(target, `${name} ${tag}`, tag);
    const signed = ['v1', 'moved'].map((tag) => `${registry.host}/${name}:${tag}`);
    expect(await bulla('sign', '--no-proof', ...signed)).toMatchObject({ code: 0 });
    await pushImage(target, `${name}, by a thief`, 'moved');
  }
}

const repository = (name: string): Target => repositoryOf(registry, {}, name);

function bulla(...argv: readonly string[]): Promise<CliResult> {
  return run(argv, { cwd: home, env: { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' } });
}

/** Runs a sync of entries in JSON, in which HOST stands for the registry. */
async function synced(entries: string, ...flags: readonly string[]): Promise<CliResult> {
  const config = join(home, `sync-${++count}.yaml`);
  await writeFile(config, `sync: [${entries.replaceAll('HOST', registry.host)}]`, { mode: 0o600 });
  return await bulla('sync', '--config', config, '--once', ...flags);
}

/** The images at the target; the tags of the collection, and those beside images, left out. */
async function tagsOf(name: string): Promise<readonly string[]> {
  return (await repository(name).listTags()).filter((tag) => !/^(_trust|sha256-)/.test(tag)).sort();
}

describe('a sync that verifies', () => {
  it('copies what is signed, and names the rest', async () => {
    const { code, stderr, stdout } = await synced(
      '{ source: HOST/web, target: HOST/m1, type: repository, verify: true }',
    );
    expect(code, stderr).toBe(10);
    expect(await tagsOf('m1')).toEqual(['v1']);
    expect(stderr).toMatch(/m1:bare.*\[unsigned\]/);
    expect(stderr).toMatch(/m1:moved.*\[unsigned\]/);
    expect(stdout).toContain('3 tags: 1 copied');
    expect(await bulla('verify', `${registry.host}/m1:v1`)).toMatchObject({ code: 0 });
  });

  it('takes the digest that the collection signs, and no tag that was moved', async () => {
    const { code, stderr } = await synced(
      '{ source: HOST/app, target: HOST/m2, type: repository, verify: true }',
    );
    expect(code, stderr).toBe(24);
    expect(await tagsOf('m2')).toEqual(['v1']);
  });

  it('leaves what the target has, and does not take it for verified', async () => {
    await pushImage(repository('m3'), 'as it was', 'moved');
    const bare = await pushImage(repository('m3'), 'web bare', 'bare');
    const { code, stdout } = await synced(
      '{ source: HOST/web, target: HOST/m3, type: repository, verify: true, fastCopy: true }',
      ...['-o', 'json'],
    );
    expect(code).toBe(10);
    expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({ copied: 1, present: 0, failed: 2 });
    expect((await repository('m3').resolve(tagOf('bare'))).digest).toBe(bare.descriptor.digest);
    expect((await repository('m3').resolve(tagOf('moved'))).digest).not.toBe(
      (await repository('web').resolve(tagOf('moved'))).digest,
    );
  });

  it('verifies images by tag and by digest, and the repositories of a registry', async () => {
    const { digest } = (await repository('web').resolve(tagOf('bare'))) ?? {};
    for (const source of ['web:bare', `web@${digest}`]) {
      const entry = `{ source: "HOST/${source}", target: "HOST/m4:v1", type: image, verify: true }`;
      expect(await synced(entry), source).toMatchObject({ code: 10 });
    }
    expect(
      await synced('{ source: "HOST/web:v1", target: "HOST/m4:v1", type: image, verify: true }'),
    ).toMatchObject({
      code: 0,
    });
    const all = '{ source: HOST, target: HOST/all, type: registry, repos: { allow: [web] }, verify: true }';
    expect(await synced(all)).toMatchObject({ code: 10 });
    expect(await tagsOf('all/web')).toEqual(['v1']);
  });

  it('is judged by a policy file', async () => {
    const policy = join(home, 'policy.yaml');
    await writeFile(policy, `version: 1\nrules:\n  - scope: ${registry.host}/web\n    deny: closed\n`);
    const entry = '{ source: "HOST/web:v1", target: "HOST/m5:v1", type: image, verify: true }';
    const { code, stderr } = await synced(entry, '--policy', policy);
    expect(stderr).toMatch(/closed.*\[policy-denied\]/);
    expect(code).toBe(12);
    expect(await tagsOf('m5').catch(() => [])).toEqual([]);
    const audit = 'version: 1\nrules:\n  - { scope: "*", mode: audit, deny: closed }\n';
    await writeFile(policy, audit);
    const audited = await synced(entry, '--policy', policy);
    expect(audited, audited.stderr).toMatchObject({ code: 0 });
    expect(audited.stderr).toMatch(/warning: .*closed/);
  });

  it('attack: stays, and does not go by a policy that was replaced, or by one that is gone', async () => {
    const policy = join(home, 'staying.yaml');
    const text = (verdict: string): string => `version: 1\nrules: [{ scope: "*", ${verdict} }]\n`;
    await writeFile(policy, text('allow: for now'));
    const config = join(home, 'staying-sync.yaml');
    const entry = `{ source: ${registry.host}/s7, target: ${registry.host}/m7, type: repository, verify: true }`;
    await writeFile(config, `sync: [${entry}]`, { mode: 0o600 });
    await pushImage(repository('s7'), 'first', 'v1');
    const ending = new AbortController();
    let printed = '';
    const running = run(['sync', '--config', config, '--every', '1s', '--policy', policy], {
      ...{ cwd: home, env: { BULLA_HOME: home }, signal: ending.signal },
      onStderr: (piece) => (printed += piece),
    });
    const until = async (is: () => boolean | Promise<boolean>): Promise<void> => {
      while (!(await is())) await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await until(async () => (await tagsOf('m7').catch((): readonly string[] => [])).includes('v1'));
    await writeFile(policy, text('deny: closed'));
    await until(() => /closed/.test(printed));
    await pushImage(repository('s7'), 'second', 'v2');
    await until(() => /v2.*closed/.test(printed));
    await rm(policy);
    await pushImage(repository('s7'), 'third', 'v3');
    await until(() => /v3.*staying\.yaml/.test(printed));
    ending.abort();
    await running;
    expect(await tagsOf('m7')).toEqual(['v1']);
  });

  it('copies nothing where verification was demanded and nothing verifies, and no platform alone', async () => {
    const entry = {
      ...{ source: `${registry.host}/web`, target: `${registry.host}/m6`, type: 'repository' as const },
      verify: true,
    };
    const { worst } = await sync({ sync: [entry] });
    expect(worst?.code).toBe('usage');
    const refuse = (): Promise<void> => Promise.reject(worst);
    expect((await sync({ sync: [entry] }, { verify: refuse })).repositories[0]?.counts).toMatchObject({
      failed: 3,
    });
    expect((await sync({ sync: [entry] }, { verify: async () => undefined })).worst).toBeUndefined();
    expect(await codeOf(sync({ sync: [{ ...entry, platform: 'linux/amd64' }] }))).toBe('config-invalid');
    expect(await codeOf(sync({ defaults: { platform: 'linux/amd64' }, sync: [entry] }))).toBe(
      'config-invalid',
    );
  });
});
