import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parseTag } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { type RegistryServer, serveRegistry } from '../../src/servers/registry/server.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { blobOf, imageOf, pushBytes, pushImage } from '../support/content.ts';
import { cloudflare } from '../support/emulators/cloudflare.ts';
import { ecr } from '../support/emulators/ecr.ts';
import { harbor } from '../support/emulators/harbor.ts';
import { type Dialect, type Emulator, startEmulator } from '../support/emulators/proxy.ts';
import { EMULATED } from '../support/emulators/table.ts';
import { ended, Flow } from '../support/flow/flow.ts';
import { runHere } from '../support/flow/in-process.ts';

let server: RegistryServer;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bulla-emulated-'));
  server = await serveRegistry({ dir: directory });
});
afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

async function emulator(dialect: Dialect): Promise<Emulator> {
  const started = await startEmulator(server.address, dialect);
  onTestFinished(() => started.stop());
  return started;
}

let repositories = 0;

/** A flow in a repository of its own. */
async function flowOn({ host }: Emulator, prefix = ''): Promise<Flow> {
  const name = `${host}/${prefix}team-${++repositories}`;
  return await Flow.make(
    { repository: `${name}/app`, elsewhere: `${name}/mirror` },
    await temporaryDirectory(),
    runHere,
  );
}

const withRules = Object.entries(EMULATED).flatMap(([name, { immutable }]) =>
  immutable === undefined ? [] : [[name, immutable] as const],
);

describe.each(withRules)('%s with immutable tags', (_, immutable) => {
  it('refuses a collection with its own words, and says where else it can be', async () => {
    const flow = await flowOn(await emulator(immutable(/./)));
    const refused = await flow.trust('founder', 'init', flow.place.repository);
    ended(refused, 30, '');
    expect(refused.stderr).toContain('--at');
    expect(refused.stderr).toMatch(/immutable|immutability|disallowed|already pushed/);
  });

  it('refuses to move a tag, and leaves what was signed', async () => {
    const flow = await flowOn(await emulator(immutable(/^(?!_trust|sha256-)/)));
    const { layout } = flow.images;
    ended(await flow.run('founder', 'push', `${layout}:v1`, flow.image('v1')), 0);
    const moved = await flow.run('founder', 'push', `${layout}:v2`, flow.image('v1'));
    ended(moved, 30, '');
    expect(moved.stderr).toMatch(/immutable|immutability|disallowed|already pushed/);
    ended(await flow.run('founder', 'init', flow.place.repository), 0);
    ended(await flow.run('founder', 'sign', flow.image('v1'), '--key', 'publisher'), 0, flow.printed('v1'));
    ended(await flow.run('founder', 'verify', flow.image('v1')), 0, flow.printed('v1'));
  });
});

describe('policies', () => {
  it('says that a repository has to be created first, in the words of the registry', async () => {
    const flow = await flowOn(await emulator(ecr({ repositories: [] })));
    const pushed = await flow.run('founder', 'push', `${flow.images.layout}:v1`, flow.image('v1'));
    expect([3, 4, 11, 30]).toContain(pushed.status);
    expect(pushed.stderr).toContain('does not exist in the registry');
    expect(pushed.stderr).toMatch(/hint: .*creat/);
  });

  it('says that a quota is full', async () => {
    const flow = await flowOn(await emulator(harbor({ quota: 100 })));
    const pushed = await flow.run('founder', 'push', `${flow.images.layout}:v1`, flow.image('v1'));
    expect([3, 4]).toContain(pushed.status);
    expect(pushed.stderr).toContain('will exceed the configured upper limit');
  });

  it('uploads what a robot account of one project may not mount', async () => {
    const flow = await flowOn(await emulator(harbor()));
    ended(await flow.run('founder', 'push', `${flow.images.layout}:v1`, flow.image('v1')), 0);
    const other = `${flow.place.repository.split('/')[0]}/other-project/app:v1`;
    ended(await flow.run('founder', 'copy', flow.image('v1'), other), 0);
  });

  it('sends in chunks what is too large for a proxy at once', async () => {
    const flow = await flowOn(await emulator(cloudflare(1024 * 1024)));
    const [registry = '', ...rest] = flow.place.repository.split('/');
    const target = openRepository({ registry, repository: rest.join('/') });
    onTestFinished(() => target.close());
    const layer = blobOf('0123456789abcdef'.repeat(200 * 1024));
    const config = blobOf(
      '{"architecture":"amd64","os":"linux"}',
      'application/vnd.oci.image.config.v1+json',
    );
    expect(await pushBytes(target, config)).toBe('pushed');
    expect(await pushBytes(target, layer)).toBe('pushed');
    await target.pushManifest(imageOf(config.descriptor, [layer.descriptor]), { tag: parseTag('v1') });
  });
});

describe('a list of many tags is whole', () => {
  const MANY = 130;
  const tags = Array.from({ length: MANY }, (_, at) =>
    at % 3 === 0 ? `v${at}` : at % 3 === 1 ? `_${at}.x` : `r-${at}`,
  );
  beforeAll(async () => {
    for (const repository of ['many', 'virtual/many']) {
      const target = openRepository({ registry: server.address, repository });
      const image = await pushImage(target, 'one');
      for (const tag of tags) await target.pushManifest(image, { tag: parseTag(tag) });
      await target.close();
    }
  });

  const dialects: [string, () => Dialect, string][] = [
    ...Object.entries(EMULATED).map(([name, one]): [string, () => Dialect, string] => [
      name,
      name === 'ecr' ? () => ecr() : one.dialect,
      one.prefix ?? '',
    ]),
    ['cloudflare with pages of 30', () => cloudflare(1024 * 1024, 30), ''],
  ];
  it.each(dialects)('%s', async (_, dialect, prefix) => {
    const { host } = await emulator(dialect());
    const target = openRepository({ registry: host, repository: `${prefix}many` });
    onTestFinished(() => target.close());
    expect([...(await target.listTags())].sort()).toEqual([...tags].sort());
    for (const last of ['_', 'r', 'v0', '_1.x', 'zzz'])
      expect(await target.listTags({ last: parseTag(last) }), last).toEqual(
        expect.arrayContaining(tags.filter((tag) => tag > last)),
      );
  });
});
