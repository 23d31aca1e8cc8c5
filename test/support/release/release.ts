import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { startServer } from '../process.ts';
import { makeExecutable } from './executable.ts';
import { assembleImage, type Labels } from './image.ts';
import { type Published, publish } from './publish.ts';
import { rootFiles } from './root-files.ts';
import { billOfMaterials, type Lock } from './sbom.ts';

/** How a release is made. */
export interface ReleaseOptions {
  /** Directory of the project, built. */
  readonly root: string;
  /** Executable of Node that goes into the single executable; `dist` was compiled for it, too. */
  readonly node: string;
  /** Directory that is made anew for the release. */
  readonly out: string;
  readonly sourceDate: number;
  readonly revision?: string | undefined;
  /** Where to publish, `HOST/PATH`; if left out, a registry in `OUT/registry`. */
  readonly repository?: string | undefined;
  /** If left out, a key that is thrown away, whose public half is `OUT/release.pub`. */
  readonly signing?: Signing | undefined;
}

/** Flags to sign and to verify with, and variables that signing needs. */
export interface Signing {
  readonly sign: readonly string[];
  readonly verify: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Makes everything that a version consists of, publishes and signs it with itself, and verifies it from the registry.
 * @throws Error where anything fails
 */
export async function release(options: ReleaseOptions): Promise<Published> {
  const { root, out } = options;
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const labels: Labels = { version, sourceDate: options.sourceDate, revision: options.revision };
  const work = mkdtempSync(join(tmpdir(), 'bulla-release-'));
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  try {
    const made = await makeFiles(options, labels, work);
    const bulla = join(out, made.executable);
    const signing = options.signing ?? throwawayKey(out);
    const env = { ...process.env, ...signing.env, BULLA_HOME: join(work, 'home') };
    const to = { bulla, env, ...signing, out, work, labels };
    if (options.repository !== undefined)
      return publish({ ...to, repository: options.repository }, made.names);
    const registry = await startServer({
      file: bulla,
      args: () => ['serve', 'registry', '--dir', join(out, 'registry'), '--addr', '127.0.0.1:0'],
      env,
      announces: /127\.0\.0\.1:(\d+)/,
    });
    try {
      return publish({ ...to, repository: `${registry.host}/bulla` }, made.names);
    } finally {
      await registry.stop();
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The package, the executable from it, the image from that (the layout `image` in `work`), and what is in them. */
async function makeFiles(
  { root, node, out }: ReleaseOptions,
  labels: Labels,
  work: string,
): Promise<{ readonly executable: string; readonly names: readonly string[] }> {
  const printed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', out], {
    ...{ cwd: root, encoding: 'utf8' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ filename }] = JSON.parse(printed) as [{ filename: string }];
  const executable = `bulla-${labels.version}-${process.platform}-${process.arch}`;
  const layers = await layersFrom(join(out, filename), node, join(out, executable), work);
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const bill = `bulla-${labels.version}.spdx.json`;
  writeFileSync(join(out, bill), billOfMaterials(lock, { node, debian: layers.packages }, labels));
  await assembleImage(join(work, 'image'), layers.entries, labels, architecture());
  return { executable, names: [filename, executable, bill] };
}

/**
 * Makes the executable from a package, and what the image is made of. From the same package, Node and Debian packages come
 * the same bytes.
 */
export async function layersFrom(
  tarball: string,
  node: string,
  executable: string,
  work: string,
): Promise<{
  readonly entries: Parameters<typeof assembleImage>[1];
  readonly packages: ReturnType<typeof rootFiles>['packages'];
}> {
  execFileSync('tar', ['-xzf', tarball, '-C', work]);
  const dist = join(work, 'package/dist');
  makeExecutable(node, dist, executable);
  const { entries, packages } = rootFiles(executable);
  const document = (name: string, path: string) => ({
    ...{ path: `usr/share/doc/bulla/${name}`, bytes: readFileSync(path), mode: 0o644 },
  });
  const own = [
    { path: 'usr/bin/bulla', bytes: readFileSync(executable), mode: 0o755 },
    document('LICENSE', join(work, 'package/LICENSE')),
    document('THIRD-PARTY-LICENSES.txt', join(dist, 'THIRD-PARTY-LICENSES.txt')),
    document('LICENSE.node', licenceOf(node)),
  ];
  return { entries: [entries, own], packages };
}

/** Where Node's licence is, which its binary must come with: as its archives have it, and as peers.sh keeps it. */
function licenceOf(node: string): string {
  const prefix = dirname(dirname(node));
  const places = [
    join(prefix, 'licences', basename(node)),
    join(prefix, 'LICENSE'),
    '/usr/share/doc/nodejs/LICENSE',
  ];
  const found = places.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`the licence of ${node} is in none of ${places.join(', ')}`);
  return found;
}

/** A key for this once: its private half is in the environment of the commands that sign, and nowhere else. */
function throwawayKey(out: string): Signing {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const path = join(out, 'release.pub');
  writeFileSync(path, publicKey.export({ type: 'spki', format: 'pem' }));
  return {
    sign: ['--key', 'env://RELEASE_KEY'],
    verify: ['--key', path],
    env: { RELEASE_KEY: String(privateKey.export({ type: 'pkcs8', format: 'pem' })) },
  };
}

function architecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}
