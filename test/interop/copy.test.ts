import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cargoOf, digestOf, pushLadenImage } from './artifacts.ts';
import { bulla, havePeers, ok, peer } from './peers.ts';
import { type Registry, type RegistryKind, startRegistry } from './registries.ts';
import { Signers } from './signers.ts';

const REGISTRIES: readonly RegistryKind[] = ['docker-registry', 'registry3', 'olareg', 'embedded'];
// registry3 answers as docker-registry does.
const PLACES = ['docker-registry', 'olareg', 'embedded', 'layout', 'archive'] as const;
type Place = (typeof PLACES)[number];

const have = havePeers('docker-registry', 'registry3', 'olareg', 'oras', 'notation', 'cosign', 'skopeo');

describe.runIf(have)('bulla copy', () => {
  let signers: Signers;
  const registries = new Map<RegistryKind, Registry>();
  let digest: string;
  let cargo: readonly string[];
  let copies = 0;

  /** A place where nothing is yet. */
  const fresh = (place: Place | RegistryKind): string => {
    copies += 1;
    if (place === 'layout') return `oci:${join(signers.directory, `layout-${copies}`)}:v1`;
    if (place === 'archive') return `oci-archive:${join(signers.directory, `archive-${copies}.tar`)}:v1`;
    return `${registries.get(place)?.host}/copy-${copies}:v1`;
  };
  const run = async (...args: string[]): Promise<string> => {
    const outcome = await bulla(args, { env: signers.env });
    expect(outcome.status, `bulla ${args.join(' ')}\n${outcome.stderr}`).toBe(0);
    return outcome.stdout;
  };
  const copy = (from: string, to: string): Promise<string> => run('copy', '-q', from, to);
  /** What stock oras finds there; what isn't a registry is brought into one first. */
  const arrived = async (place: Place, reference: string): Promise<readonly string[]> => {
    let where = reference;
    if (place === 'layout' || place === 'archive') {
      where = fresh('embedded');
      await copy(reference, where);
    }
    const [host = '', rest = ''] = where.split('/');
    const [repository = ''] = rest.split(':');
    expect(await digestOf(where)).toBe(digest);
    return cargoOf(host, repository, digest);
  };

  beforeAll(async () => {
    signers = await Signers.create();
    for (const kind of REGISTRIES) registries.set(kind, await startRegistry(kind));
    const origin = registries.get('docker-registry') as Registry;
    digest = await pushLadenImage(origin, 'origin', signers);
    cargo = await cargoOf(origin.host, 'origin', digest);
    expect(cargo).toHaveLength(6);
  });
  afterAll(async () => {
    for (const registry of registries.values()) await registry.stop();
    signers?.remove();
  });

  describe.each(PLACES)('from %s', (from) => {
    let source: string;
    beforeAll(async () => {
      source = fresh(from);
      await copy(`${registries.get('docker-registry')?.host}/origin:v1`, source);
    });

    it.each(PLACES)('to %s loses nothing', async (to) => {
      const destination = fresh(to);
      await copy(source, destination);
      expect(await arrived(to, destination)).toEqual(cargo);
    });
  });

  it.each(REGISTRIES)('leaves signatures on %s that stock notation and cosign accept', async (kind) => {
    const destination = fresh(kind);
    await copy(`${registries.get('docker-registry')?.host}/origin:v1`, destination);
    expect(await signers.notationVerify(destination)).toMatchObject({ status: 0 });
    expect(await signers.cosignVerify(destination)).toMatchObject({ status: 0 });
    expect(await signers.cosignVerify(destination, true)).toMatchObject({ status: 0 });
  });

  it('writes a layout and an archive that skopeo and oras read, referrers included', async () => {
    const layout = fresh('layout');
    const archive = fresh('archive');
    const origin = `${registries.get('docker-registry')?.host}/origin:v1`;
    await copy(origin, layout);
    await copy(origin, archive);
    for (const reference of [layout, archive]) {
      const raw = await ok(peer('skopeo'), ['inspect', '--raw', reference]);
      expect(JSON.parse(raw)).toHaveProperty('manifests');
    }
    const destination = fresh('embedded');
    const path = layout.slice('oci:'.length);
    await ok(peer('oras'), ['cp', '-r', '--from-oci-layout', '--to-plain-http', path, destination]);
    const [host = '', repository = ''] = destination.replace(/:v1$/, '').split('/');
    const byOras = await cargoOf(host, repository, digest);
    // oras follows no `.sig` tag, nor what refers to a platform.
    expect(cargo).toEqual(expect.arrayContaining([...byOras]));
    expect(byOras.filter((line) => line.startsWith(digest))).toHaveLength(3);
  });

  // Not olareg: it forgets referrers that oras pushes at the same time.
  it.each(['docker-registry', 'embedded'] as const)('takes what oras cp -r left on %s', async (kind) => {
    const byOras = fresh(kind);
    const origin = `${registries.get('docker-registry')?.host}/origin:v1`;
    await ok(peer('oras'), ['cp', '-r', '--from-plain-http', '--to-plain-http', origin, byOras]);
    const destination = fresh('olareg');
    await copy(byOras, destination);
    expect(await signers.notationVerify(destination)).toMatchObject({ status: 0 });
    expect(await signers.cosignVerify(destination)).toMatchObject({ status: 0 });
  });

  it('takes what skopeo left: a layout, an archive, and a docker save archive', async () => {
    const origin = `docker://${registries.get('docker-registry')?.host}/origin:v1`;
    const layout = join(signers.directory, 'by-skopeo');
    const archive = join(signers.directory, 'by-skopeo.tar');
    const saved = join(signers.directory, 'saved.tar');
    const skopeo = (...args: string[]): Promise<string> =>
      ok(peer('skopeo'), ['copy', '--quiet', '--src-tls-verify=false', ...args], { env: signers.env });
    await skopeo('--all', '--preserve-digests', origin, `oci:${layout}:v1`);
    await skopeo('--all', '--preserve-digests', origin, `oci-archive:${archive}:v1`);
    await skopeo('--override-arch', 'amd64', origin, `docker-archive:${saved}:example.test/app:v1`);
    for (const source of [`oci:${layout}:v1`, `oci-archive:${archive}:v1`]) {
      const destination = fresh('docker-registry');
      await run('push', '-q', source, destination);
      expect(await digestOf(destination)).toBe(digest);
    }
    const destination = fresh('docker-registry');
    await run('push', '-q', saved, destination);
    const config = JSON.parse(
      await ok(peer('skopeo'), ['inspect', '--config', '--tls-verify=false', `docker://${destination}`]),
    ) as { architecture: string };
    expect(config.architecture).toBe('amd64');
  });

  it('takes one platform where it is asked to', async () => {
    const destination = fresh('registry3');
    const origin = `${registries.get('docker-registry')?.host}/origin:v1`;
    await run('copy', '-q', '--platform', 'linux/arm64', origin, destination);
    const printed = await ok(peer('skopeo'), [
      ...['inspect', '--override-arch', 'arm64', '--tls-verify=false', `docker://${destination}`],
    ]);
    expect(JSON.parse(printed)).toMatchObject({ Architecture: 'arm64', Os: 'linux' });
  });
});
