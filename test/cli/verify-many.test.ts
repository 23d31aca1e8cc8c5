import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { verifyMany } from '../../src/api/index.ts';
import type { Target } from '../../src/oci/target.ts';
import { type CliOptions, type CliResult, bulla as run } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { repositoryOf } from '../support/registry/open.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';

let home: string;
let registry: FaultyRegistry;

let ready: Promise<void> | undefined;
beforeEach(() => {
  ready ??= setUp();
  return ready;
});
afterAll(async () => {
  await registry.close();
  await rm(home, { recursive: true });
});

/** Two repositories, `app` with a collection and `web` without; `v1` to `v5` are signed, `bare` is not. */
async function setUp(): Promise<void> {
  home = await mkdtemp(join(tmpdir(), 'bulla-many-'));
  await storePlainKeys(home, 'publisher', 'root', 'online');
  registry = await startRegistry();
  await bulla('init HOST/app');
  for (const name of ['app', 'web']) {
    const target: Target = repositoryOf(registry, {}, name);
    for (const tag of ['v1', 'v2', 'v3', 'v4', 'v5', 'bare']) await pushImage(target, `${name} ${tag}`, tag);
    const tags = ['v1', 'v2', 'v3', 'v4', 'v5'].map((tag) => `HOST/${name}:${tag}`).join(' ');
    const signed = await bulla(`sign --no-proof ${tags}`);
    expect(signed, signed.stderr).toMatchObject({ code: 0 });
  }
}

function bulla(line: string, options: CliOptions = {}): Promise<CliResult> {
  return run(line.replaceAll('HOST', registry.host).split(' '), {
    cwd: home,
    env: { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' },
    ...options,
  });
}

const lines = (text: string): readonly string[] => text.split('\n').filter((line) => line !== '');
const objects = ({ stdout }: CliResult): readonly Record<string, unknown>[] =>
  lines(stdout).map((line) => JSON.parse(line) as Record<string, unknown>);

describe('verifying several images', () => {
  it('prints a line for each, and a summary', async () => {
    const { code, stdout, stderr } = await bulla('verify HOST/web:v1 HOST/web:v2 HOST/app:v3');
    expect(code, stderr).toBe(0);
    expect(lines(stdout).map((line) => line.split('@')[0])).toEqual([
      `${registry.host}/web`,
      `${registry.host}/web`,
      `${registry.host}/app`,
    ]);
    expect(stderr).toContain('3 of 3 verified');
  });

  it.each([
    ['one is not signed', 'HOST/web:v1 HOST/web:bare HOST/web:v2', 10, 2],
    ['one is not there', 'HOST/web:v1 HOST/web:gone', 11, 1],
    ['a name is not signed', 'HOST/app:bare HOST/web:bare HOST/web:v1', 23, 1],
    ['a registry is not there', 'HOST/web:v1 127.0.0.1:1/web:v1', 3, 1],
    ['one is no reference', 'HOST/web:v1 HOST/UPPER:v1 HOST/web:v2', 2, 2],
    ['one names a repository', 'HOST/web:v1 HOST/web', 2, 1],
    ['all fail', 'HOST/web:bare HOST/app:bare', 23, 0],
  ])('goes on where %s', async (_, references, status, verified) => {
    const { code, stdout, stderr } = await bulla(`verify ${references}`);
    expect(code, stderr).toBe(status);
    expect(lines(stdout)).toHaveLength(verified);
    const total = references.split(' ').length;
    expect(stderr).toContain(`${verified} of ${total} verified, ${total - verified} failed`);
  });

  it('writes JSON lines, in which each failure names its reference', async () => {
    const result = await bulla('verify HOST/web:v1 HOST/web:bare HOST/app:bare -o json');
    expect(result.code).toBe(23);
    const [first, second, third, last, ...more] = objects(result);
    expect(more).toEqual([]);
    const given = (name: string): string => `${registry.host}/${name}`;
    expect(first).toMatchObject({ ok: true, given: given('web:v1'), tag: 'v1', signed: 'image' });
    expect(second).toMatchObject({ ok: false, given: given('web:bare'), code: 'unsigned' });
    expect(third).toMatchObject({ ok: false, reference: given('app:bare'), code: 'name-not-signed' });
    expect(last).toMatchObject({
      ok: false,
      code: 'name-not-signed',
      details: { total: 3, done: 1, failed: 2, left: 0 },
    });
    const well = objects(await bulla('verify HOST/web:v1 HOST/web:v2 -o json'));
    expect(well.at(-1)).toEqual({ ok: true, details: { total: 2, done: 2, failed: 0, left: 0 } });
  });

  it.each([
    ['a file', 'list'],
    ['standard input', '-'],
  ])('reads references from %s, without comments and empty lines', async (_, from) => {
    const list = `# two\n\n${registry.host}/web:v1\r\n  ${registry.host}/web:v2  \n${registry.host}/web:v1\n`;
    await writeFile(join(home, 'list'), list);
    const { code, stdout, stderr } = await bulla(`verify --from ${from}`, { stdin: list });
    expect(code, stderr).toBe(0);
    expect(lines(stdout)).toHaveLength(2);
  });

  it('takes a list together with arguments, and a list of one as a list', async () => {
    await writeFile(join(home, 'one'), `${registry.host}/web:v2\n`);
    expect(lines((await bulla('verify HOST/web:v1 --from one')).stdout)).toHaveLength(2);
    expect(objects(await bulla('verify --from one -o json'))).toHaveLength(2);
  });

  it.each([
    ['nothing', 'verify', ''],
    ['an empty list', 'verify --from -', '# nothing\n\n'],
    ['a list that is not there', 'verify --from missing', ''],
  ])('refuses %s', async (_, line, stdin) => {
    const { code, stdout } = await bulla(line, { stdin });
    expect([2, 11]).toContain(code);
    expect(stdout).toBe('');
  });

  it('reads the head of a collection once for all its names', async () => {
    registry.forget();
    const { code, stderr } = await bulla(
      'verify HOST/app:v1 HOST/app:v2 HOST/app:v3 HOST/app:v4 HOST/app:v5',
    );
    expect(code, stderr).toBe(0);
    expect(registry.requests(/manifests\/_trust$/)).toHaveLength(1);
  });

  it('reads a failing collection once, and fails each of its names', async () => {
    registry.fault({ method: 'GET', path: /app\/manifests\/_trust$/, action: { status: 403 } });
    registry.forget();
    const { code, stdout } = await bulla('verify HOST/app:v1 HOST/web:v1 HOST/app:v2');
    expect(code).toBe(4);
    expect(lines(stdout)).toHaveLength(1);
    expect(registry.requests(/manifests\/_trust$/)).toHaveLength(1);
  });

  it('says what is done where it is interrupted', async () => {
    const ending = new AbortController();
    const result = await bulla(
      'verify HOST/web:v1 HOST/web:v2 HOST/web:v3 HOST/web:v4 --concurrency 1 -o json',
      {
        signal: ending.signal,
        onStdout: () => ending.abort(),
      },
    );
    expect(result.code).toBe(130);
    const [first, last] = objects(result);
    expect(first).toMatchObject({ ok: true, tag: 'v1' });
    expect(last).toMatchObject({ code: 'interrupted', details: { total: 4, done: 1, left: 3 } });
  });

  it('is verifyMany in the library', async () => {
    const texts = ['web:v1', 'web:bare', 'web:v1', 'app:v2'].map((name) => `${registry.host}/${name}`);
    const told: string[] = [];
    const outcomes = await verifyMany(texts, {
      directories: { config: home, state: join(home, 'state'), cache: join(home, 'cache') },
      onOutcome: ({ text }) => told.push(text),
    });
    expect(outcomes.map((one) => (one.ok ? one.value.signed : one.error.code))).toEqual([
      'image',
      'unsigned',
      'name',
    ]);
    expect(told).toHaveLength(3);
  });
});

describe('verifying several images by a policy', () => {
  it('applies the rule of each', async () => {
    await bulla('key export publisher --public --out publisher.pub');
    await writeFile(
      join(home, 'policy.yaml'),
      `version: 1\nrules:\n  - scope: ${registry.host}/web\n    signatures:\n      - keys: [publisher.pub]\n  - scope: ${registry.host}/app\n    deny: not here\n`,
    );
    const result = await bulla('verify HOST/web:v1 HOST/app:v1 --policy policy.yaml -o json');
    const [web, app] = objects(result);
    expect(web, result.stdout).toMatchObject({ ok: true, policy: { decision: 'verify' } });
    expect(app).toMatchObject({ ok: false, code: 'policy-denied' });
    expect(result.code).toBe(12);
  });
});
