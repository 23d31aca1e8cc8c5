import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ended, Flow } from '../support/flow/flow.ts';
import { cargoOf } from './artifacts.ts';
import { bulla, havePeers, ok, peer } from './peers.ts';
import { type Registry, type RegistryKind, startRegistry } from './registries.ts';

/** oras 1.3 saves a repository and brings it back (`oras backup`, `oras restore`), signatures and `_trust` with it. */
describe.runIf(havePeers('docker-registry', 'registry3', 'olareg', 'oras'))('oras backup and restore', () => {
  const KINDS: readonly RegistryKind[] = ['docker-registry', 'registry3', 'olareg', 'embedded'];
  let directory: string;
  const registries = new Map<RegistryKind, Registry>();
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'bulla-backup-'));
    for (const kind of KINDS) registries.set(kind, await startRegistry(kind));
  });
  afterAll(async () => {
    for (const registry of registries.values()) await registry.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const ways = KINDS.map((from, at): [RegistryKind, RegistryKind, string] => [
    from,
    KINDS[(at + 1) % KINDS.length] ?? from,
    at % 2 === 0 ? 'saved' : 'saved.tar',
  ]);
  it.each(ways)('bring what was signed from %s to %s, by %s', async (from, to, form) => {
    const [source, target] = [registries.get(from)?.host ?? '', registries.get(to)?.host ?? ''];
    const [repository, restored] = [`${source}/team/app`, `${target}/back/app`];
    const home = mkdtempSync(join(directory, 'home-'));
    const flow = await Flow.make({ repository, elsewhere: restored }, home, (args, { env, cwd }) =>
      bulla(args, { env, cwd }),
    );
    for (const tag of ['v1', 'v2'])
      ended(await flow.run('founder', 'push', `${flow.images.layout}:${tag}`, flow.image(tag)), 0);
    ended(await flow.run('founder', 'init', repository), 0);
    ended(await flow.run('founder', 'sign', flow.image('v1'), '--key', 'publisher'), 0, flow.printed('v1'));
    const before = await cargoOf(source, 'team/app', flow.images.digests.get('v1') ?? '');
    expect(before.length).toBeGreaterThanOrEqual(3);

    const saved = join(home, form);
    await ok(peer('oras'), [
      'backup',
      '--plain-http',
      '--include-referrers',
      '--output',
      saved,
      `${repository}:v1,_trust`,
    ]);
    // Of referrers that are pushed at the same time, olareg forgets some.
    const pace = to === 'olareg' ? ['--concurrency', '1'] : [];
    await ok(peer('oras'), ['restore', '--plain-http', ...pace, '--input', saved, `${restored}:v1,_trust`]);

    expect(await cargoOf(target, 'back/app', flow.images.digests.get('v1') ?? '')).toEqual(before);
    ended(
      await flow.run('reader', 'pin', restored, '--root-key-id', flow.rootKeyId, '--collection', repository),
      0,
    );
    const key = ['--key', flow.path('publisher.pub')];
    ended(
      await flow.run('reader', 'verify', flow.image('v1', restored), ...key),
      0,
      flow.printed('v1', restored),
    );
    // And bulla reads what oras keeps.
    const kept = form.endsWith('.tar') ? `oci-archive:${saved}:v1` : `oci:${saved}:v1`;
    ended(await flow.run('reader', 'verify', kept, '--no-name', ...key), 0, /@sha256:/);
  });
});
