import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startDelayProxy } from '../support/delay-proxy.ts';
import { bulla, havePeers } from './peers.ts';
import { type RegistryKind, startRegistry } from './registries.ts';
import { TUF_READERS } from './tuf-readers.ts';

const DEMO_LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const KINDS: readonly (readonly [RegistryKind, boolean])[] = [
  ['docker-registry', havePeers('docker-registry')],
  ['registry3', havePeers('registry3')],
  ['olareg', havePeers('olareg')],
  ['embedded', true],
];

/** A registry that is reached through a proxy which counts, and the command line of somebody new. */
async function begin(kind: RegistryKind) {
  const registry = await startRegistry(kind);
  onTestFinished(() => registry.stop());
  const proxy = await startDelayProxy(registry.host, 0);
  onTestFinished(() => proxy.stop());
  const directory = await mkdtemp(join(tmpdir(), 'bulla-collections-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const name = `${proxy.host}/team/app`;
  const run = async (home: string, ...argv: string[]) => {
    const env = { BULLA_HOME: join(directory, home), BULLA_PASSPHRASE: 'x', CI: '' };
    const outcome = await bulla(argv, { env, cwd: directory });
    return {
      ...outcome,
      requests: proxy.requests.map(({ method, path, status }) => ({ method, path, status })),
    };
  };
  return { name, proxy, directory, run };
}

describe.each(KINDS)('a collection on %s', (kind, isThere) => {
  it.runIf(isThere)('is verified, shown and exported', async () => {
    const { name, proxy, directory, run } = await begin(kind);
    expect(await run('publisher', 'push', DEMO_LAYOUT, `${name}:v1`)).toMatchObject({ status: 0 });
    expect(await run('publisher', 'init', name)).toMatchObject({ status: 0 });
    expect(await run('publisher', 'sign', `${name}:v1`)).toMatchObject({ status: 0 });

    // Somebody who knows nothing: two requests at the same time; then one, answered with 304.
    proxy.reset();
    const first = await run('deployer', 'verify', `${name}:v1`, '--tofu');
    expect(first, first.stderr).toMatchObject({ status: 0 });
    expect(first.requests.map(({ path }) => path).toSorted()).toEqual([
      '/v2/team/app/manifests/_trust',
      '/v2/team/app/manifests/v1',
    ]);
    proxy.reset();
    const again = await run('deployer', 'verify', `${name}:v1`, '--no-drift');
    expect(again.stdout).toBe(first.stdout);
    // olareg knows no conditional GET; it is one request there, too.
    const unchanged = kind === 'olareg' ? 200 : 304;
    expect(again.requests).toEqual([
      { method: 'GET', path: '/v2/team/app/manifests/_trust', status: unchanged },
    ]);

    const { stdout } = await run('deployer', 'tree', name);
    expect(stdout).toMatch(/names .* 1 name\n/);
    expect((await run('deployer', 'ls', name)).stdout).toMatch(/^v1 {2}sha256:[0-9a-f]{64} {2}names\n/);
    expect((await run('deployer', 'log', name)).stdout).toMatch(/\n {2}\+ v1 {2}sha256:/);
    const status = await run('deployer', 'status', name, '--check');
    expect(status, status.stdout).toMatchObject({ status: 0 });
    expect(status.stdout).toContain('nothing to do');
    await run('publisher', 'revoke', `${name}:v1`);
    expect(await run('deployer', 'verify', `${name}:v1`)).toMatchObject({ status: 23, stdout: '' });

    await run('publisher', 'sign', `${name}:v1`, '--name-only');
    const exported = await run('deployer', 'export', 'tuf', name, 'tuf', '--targets');
    expect(exported, exported.stderr).toMatchObject({ status: 0 });
    const sha256 = first.stdout.trim().split('@sha256:')[1];
    for (const [reader, isHere, read] of TUF_READERS)
      if (isHere) expect(await read(join(directory, 'tuf'), ['v1']), reader).toEqual({ v1: sha256 });
  });
});
