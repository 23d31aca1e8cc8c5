import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cargoOf, digestOf, pushLadenImage } from './artifacts.ts';
import { BULLA, bulla, cleanEnvironment, havePeers, ok, peer } from './peers.ts';
import { type Registry, type RegistryKind, startRegistry } from './registries.ts';
import { Signers } from './signers.ts';

const REGISTRIES: readonly RegistryKind[] = ['docker-registry', 'olareg', 'embedded'];
const TAGS = ['v1', 'v2', 'v3'];

const have = havePeers('docker-registry', 'olareg', 'oras', 'notation', 'cosign', 'skopeo');

describe.runIf(have)('bulla copy --all-tags', () => {
  let signers: Signers;
  const registries = new Map<RegistryKind, Registry>();
  let origin = '';
  let copies = 0;

  const fresh = (kind: RegistryKind): string => {
    copies += 1;
    return `${registries.get(kind)?.host}/all-${copies}`;
  };
  /** What refers to the index. */
  const cargoAt = async (place: string): Promise<readonly string[]> => {
    const [host = '', name = ''] = place.split('/');
    return await cargoOf(host, name, await digestOf(`${place}:v1`));
  };
  const run = (...args: string[]) => bulla(args, { env: signers.env });

  beforeAll(async () => {
    signers = await Signers.create();
    for (const kind of REGISTRIES) registries.set(kind, await startRegistry(kind));
    const registry = registries.get('docker-registry') as Registry;
    origin = `${registry.host}/origin`;
    // An index with signatures of notation, cosign and oras; the other tags name single images.
    await pushLadenImage(registry, 'origin', signers);
    for (const tag of TAGS.slice(1)) {
      const image = await run('copy', '-q', `${origin}:v1`, `${origin}:${tag}`, '--platform', 'linux/amd64');
      expect(image.status, image.stderr).toBe(0);
      await signers.cosignSign(`${origin}:${tag}`);
    }
  });
  afterAll(async () => {
    for (const registry of registries.values()) await registry.stop();
    signers?.remove();
  });

  it.each(REGISTRIES)(
    'brings everything to %s, by way of a layout too, and a second run changes nothing',
    async (kind) => {
      const layout = `oci:${join(signers.directory, `layout-${kind}`)}`;
      const [direct, again] = [fresh(kind), fresh(kind)];
      for (const [from, to] of [
        [origin, direct],
        [direct, layout],
        [layout, again],
      ] as const) {
        const copied = await run('copy', '--all-tags', from, to);
        expect(copied.status, copied.stderr).toBe(0);
      }
      for (const tag of TAGS)
        for (const copy of [direct, again])
          expect(await digestOf(`${copy}:${tag}`)).toBe(await digestOf(`${origin}:${tag}`));
      const cargo = await cargoAt(origin);
      for (const copy of [direct, again]) expect(await cargoAt(copy)).toEqual(cargo);
      const second = await run('copy', '--all-tags', origin, direct);
      expect(second.stderr).toMatch(/3 tags: 0 copied .*, 3 there already/);
      const listed = await ok(peer('skopeo'), ['list-tags', '--tls-verify=false', `docker://${direct}`]);
      expect((JSON.parse(listed) as { Tags: string[] }).Tags).toEqual(expect.arrayContaining(TAGS));
    },
  );

  it('goes on where it was killed, and sends nothing twice', async () => {
    const to = fresh('olareg');
    for (const delay of [60, 150, 300, 600]) {
      const argv = [BULLA, 'copy', '--all-tags', '--concurrency', '1', origin, to];
      const child = spawn(process.execPath, argv, {
        env: { ...cleanEnvironment(), ...signers.env },
        stdio: 'ignore',
      });
      // A quick machine is through before it is killed: the end must not be waited for after it.
      const ended = once(child, 'close');
      await new Promise((resolve) => setTimeout(resolve, delay));
      child.kill('SIGKILL');
      await ended;
    }
    const rest = await run('copy', '--all-tags', origin, to);
    expect(rest.status, rest.stderr).toBe(0);
    for (const tag of TAGS) expect(await digestOf(`${to}:${tag}`)).toBe(await digestOf(`${origin}:${tag}`));
    const last = await run('copy', '--all-tags', origin, to);
    expect(last.stderr).toMatch(/3 tags: 0 copied \(0 B sent\), 3 there already/);
  });

  it.each(REGISTRIES)('is made by two programs at once, to %s', async (kind) => {
    const to = fresh(kind);
    const both = await Promise.all([
      run('copy', '--all-tags', origin, to),
      run('copy', '--all-tags', origin, to),
    ]);
    for (const { status, stderr } of both) expect(status, stderr).toBe(0);
    expect(await cargoAt(to)).toEqual(await cargoAt(origin));
  });

  it('removes what was not selected where a registry can, and says so where it cannot', async () => {
    const verdicts: Record<string, number> = {};
    for (const kind of REGISTRIES) {
      const to = fresh(kind);
      expect((await run('copy', '--all-tags', origin, to)).status).toBe(0);
      const pruned = await run('copy', '--all-tags', '--tags', 'v1', '--prune', '--yes', origin, to);
      verdicts[kind] = pruned.status;
      const left = await ok(peer('skopeo'), ['list-tags', '--tls-verify=false', `docker://${to}`]);
      const tags = (JSON.parse(left) as { Tags: string[] }).Tags.filter((tag) => TAGS.includes(tag)).sort();
      expect(tags).toEqual(pruned.status === 0 ? ['v1'] : TAGS);
    }
    // distribution 2.8 removes manifests only.
    expect(verdicts).toEqual({ 'docker-registry': 3, olareg: 0, embedded: 0 });
  });

  it('is what a file of bulla sync asks for', async () => {
    const to = registries.get('olareg')?.host;
    const path = join(signers.directory, 'sync.yaml');
    writeFileSync(
      path,
      `sync:\n  - { source: ${origin}, target: ${to}/synced, type: repository, tags: { allow: ["v[12]"] } }\n`,
    );
    const synced = await run('sync', '--config', path, '--once');
    expect(synced.status, synced.stderr).toBe(0);
    expect(synced.stdout).toContain(`${to}/synced: 2 tags: 2 copied`);
  });

  it('stays, reads its file again on SIGHUP, copies what is new in it at once, and ends well on SIGTERM', async () => {
    const to = registries.get('embedded')?.host;
    const path = join(signers.directory, 'stay.yaml');
    const write = (tags: string): void =>
      writeFileSync(
        path,
        `defaults: { interval: 1h }\nsync:\n  - { source: ${origin}, target: ${to}/stay, type: repository, tags: { allow: [${tags}] } }\n`,
      );
    write('v1');
    const child = spawn(process.execPath, [BULLA, 'sync', '--config', path, '--listen', '127.0.0.1:0'], {
      env: { ...cleanEnvironment(), ...signers.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    child.stderr.on('data', (piece: Buffer) => (log += piece.toString()));
    const ended = new Promise((resolve) => child.on('close', resolve));
    try {
      await expect.poll(() => log).toContain('"event":"synced"');
      write('v1, v2');
      child.kill('SIGHUP');
      await expect.poll(() => log).toMatch(/"event":"reload"[\s\S]*"event":"synced"[^\n]*"copied":1/);
    } finally {
      child.kill('SIGTERM');
    }
    expect(await ended, log).toBe(0);
    expect(await digestOf(`${to}/stay:v2`)).toBe(await digestOf(`${origin}:v2`));
  });
});
