import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { hexOf } from '../../src/oci/digest.ts';
import { TRUST_TYPES } from '../../src/trust/format/vocabulary.ts';
import { Ground } from './crowd/ground.ts';
import { havePeers, ok, peer } from './peers.ts';
import { type Registry, type RegistryKind, startRegistry } from './registries.ts';

const have = havePeers('docker-registry', 'olareg', 'oras');
const KINDS = ['docker-registry', 'olareg', 'embedded'] as const satisfies readonly RegistryKind[];
/** More than a thousand names, so that there are bins. */
const MANY = Array.from({ length: 1_010 }, (_, at) => `v${at}`);

describe.runIf(have)('bulla copy of a repository with a collection', () => {
  const registries = new Map<RegistryKind, Registry>();
  const grounds = new Map<string, Ground>();
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'bulla-trust-copies-'));
    for (const kind of KINDS) registries.set(kind, await startRegistry(kind));
    const host = registries.get('docker-registry')?.host;
    for (const [size, tags] of [
      ['small', ['v0', 'v1']],
      ['large', MANY],
    ] as const) {
      const ground = await Ground.make(`${host}/${size}`, tags);
      grounds.set(size, ground);
      const input = tags.map((tag) => `${ground.name}:${tag}`).join('\n');
      await ground.succeed(['sign', '--name-only', '--no-proof', '--from', '-'], { input });
    }
  });
  afterAll(async () => {
    for (const registry of registries.values()) await registry.stop();
    for (const ground of grounds.values()) ground.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  const places = ['docker-registry', 'olareg', 'embedded', 'oci', 'oci-archive'] as const;
  const cases = places.flatMap((place) => ['small', 'large'].map((size) => [place, size] as const));

  it.each(cases)('to %s: a %s head comes along, verifies there, and follows', async (place, size) => {
    const ground = grounds.get(size) as Ground;
    const digest = ground.digests.get('v1');
    const to =
      place === 'oci' || place === 'oci-archive'
        ? `${place}:${join(directory, `${place}-${size}`)}`
        : `${registries.get(place)?.host}/copy-${size}`;
    const copy = (): Promise<string> =>
      ground.succeed(['copy', `${ground.name}:v1`, `${to}:v1`, '-o', 'json']);
    expect(JSON.parse(await copy())).toMatchObject({ collection: { outcome: 'copied', name: ground.name } });
    const verify = ['verify', `${to}:v1`, '--collection', ground.name];
    expect(await ground.succeed(verify)).toBe(`${to}@${digest}\n`);
    await ground.succeed(['sign', '--again', '--name-only', '--no-proof', `${ground.name}:v0`]);
    expect(JSON.parse(await copy())).toMatchObject({ collection: { outcome: 'forwarded' } });
    expect(await ground.succeed(verify)).toBe(`${to}@${digest}\n`);
    // What was carried away comes back without harm.
    const back = await ground.succeed(['copy', `${to}:v1`, `${ground.name}:v1`, '-o', 'json']);
    expect(JSON.parse(back)).toMatchObject({ collection: { outcome: 'same' } });
  });

  it('leaves what oras takes out of a layout, byte for byte', async () => {
    const ground = grounds.get('small') as Ground;
    const layout = join(directory, 'taken');
    await ground.succeed(['copy', `${ground.name}:v1`, `oci:${layout}:v1`]);
    const pulled = join(directory, 'pulled');
    await ok(peer('oras'), ['pull', '--oci-layout', '-o', pulled, `${layout}:_trust`]);
    const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
      manifests: { digest: Digest; annotations?: Record<string, string> }[];
    };
    const head = index.manifests.find(({ annotations }) =>
      Object.values(annotations ?? {}).includes('_trust'),
    );
    const blob = (digest: Digest): Buffer => readFileSync(join(layout, 'blobs/sha256', hexOf(digest)));
    const { layers } = JSON.parse(blob(head?.digest as Digest).toString()) as {
      layers: { digest: Digest; annotations: Record<string, string> }[];
    };
    expect(readdirSync(pulled).sort()).toEqual(
      layers.map(({ annotations }) => annotations['tuf.io/filename']).sort(),
    );
    for (const { digest, annotations } of layers)
      expect(readFileSync(join(pulled, annotations['tuf.io/filename'] as string))).toEqual(blob(digest));
    const to = `${registries.get('olareg')?.host}/from-layout`;
    for (const tag of ['_trust', 'v1'])
      await ok(peer('oras'), [
        'cp',
        '--from-oci-layout',
        '--to-plain-http',
        `${layout}:${tag}`,
        `${to}:${tag}`,
      ]);
    await ground.succeed(['verify', `${to}:v1`, '--collection', ground.name]);
  });

  it.each(KINDS)('attaches proofs on %s, which travel with oras cp -r', async (kind) => {
    const ground = await Ground.make(`${registries.get(kind)?.host}/proven`, ['v1']);
    grounds.set(`proven-${kind}`, ground);
    const signed = JSON.parse(
      await ground.succeed(['sign', '--name-only', `${ground.name}:v1`, '-o', 'json']),
    ) as { collection: { proofs: string[] } };
    const to = `${registries.get('embedded')?.host}/travelled-${kind}`;
    await ok(peer('oras'), [
      'cp',
      '-r',
      '--from-plain-http',
      '--to-plain-http',
      `${ground.name}:v1`,
      `${to}:v1`,
    ]);
    const found = await ok(peer('oras'), ['discover', '--plain-http', '--format', 'json', `${to}:v1`]);
    expect(found).toContain(TRUST_TYPES.proof);
    expect(found).toContain(signed.collection.proofs[0]);
  });
});
