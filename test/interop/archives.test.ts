import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { havePeers, peer } from './peers.ts';

const LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const CLI = new URL('../../dist/bulla.js', import.meta.url).pathname;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a line of a shell, in a directory. */
async function shell(line: string, cwd: string, env: Readonly<Record<string, string>>): Promise<Ended> {
  const child = spawn('bash', ['-o', 'pipefail', '-c', line], {
    cwd,
    env: { PATH: process.env['PATH'], HOME: cwd, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, stdout, stderr };
}

describe.runIf(havePeers('skopeo', 'crane', 'podman'))('archives for tools that take one image', () => {
  let directory: string;
  let host: string;
  let close: () => Promise<void>;
  const run = (line: string, env: Readonly<Record<string, string>> = {}) =>
    shell(
      line
        .replaceAll(/\bbulla (?=push|pull|verify)/g, `${process.execPath} ${CLI} `)
        .replaceAll('HOST', host),
      directory,
      {
        BULLA_HOME: join(directory, 'home'),
        ...env,
      },
    );

  beforeAll(async () => {
    const { mkdtemp } = await import('node:fs/promises');
    directory = await mkdtemp('/tmp/bulla-archives-');
    const server = await serveRegistry({ dir: join(directory, 'registry') });
    host = server.address;
    close = () => server.close();
    await storePlainKeys(join(directory, 'home'), 'release');
    await mkdir(join(directory, 'tmp'));
    const pushed = await run(`bulla push oci:${LAYOUT} HOST/app:v1 --key release`);
    expect(pushed.code, pushed.stderr).toBe(0);
    for (const to of ['whole.tar', 'docker-archive:alone.tar']) {
      const pulled = await run(`bulla pull HOST/app:v1 ${to} --key release`);
      expect(pulled.code, pulled.stderr).toBe(0);
    }
  });
  afterAll(async () => {
    await close();
    await rm(directory, { recursive: true, force: true });
  });

  it.each([
    'skopeo inspect oci-archive:alone.tar',
    'skopeo inspect docker-archive:alone.tar',
    'skopeo copy -q --insecure-policy oci-archive:alone.tar dir:by-oci',
    'skopeo copy -q --insecure-policy docker-archive:alone.tar dir:by-docker',
    'skopeo inspect oci-archive:whole.tar:v1',
    'skopeo inspect docker-archive:whole.tar',
    'crane validate --tarball alone.tar',
    'crane validate --tarball whole.tar',
    'crane push --insecure alone.tar HOST/by-crane:v1',
    'podman --root podman/root --runroot podman/run --storage-driver vfs load -i alone.tar',
  ])('are read by: %s', async (line) => {
    const [tool = ''] = line.split(' ');
    const { code, stderr } = await run(line.replace(tool, peer(tool as 'skopeo')));
    expect(code, stderr).toBe(0);
  });

  it.each([
    [
      'docker save, as skopeo writes it',
      'skopeo copy -q --insecure-policy oci-archive:alone.tar docker-archive:/dev/stdout:example.test/app:v1',
    ],
    [
      'the same, compressed',
      'skopeo copy -q --insecure-policy oci-archive:alone.tar docker-archive:/dev/stdout:example.test/app:v1 | gzip',
    ],
    ['crane', 'crane pull --insecure HOST/app:v1 /dev/stdout'],
    [
      'podman',
      'podman --root podman/root --runroot podman/run --storage-driver vfs load -q -i alone.tar >&2 && podman --root podman/root --runroot podman/run --storage-driver vfs save localhost/v1',
    ],
    ['cat', 'cat alone.tar'],
  ])('are pushed and signed from standard input as they come from %s', async (_, source) => {
    const line = source.replace(/\b(skopeo|crane|podman) /g, (tool) => `${peer(tool.trim() as 'crane')} `);
    const { code, stdout, stderr } = await run(
      `${line} | bulla push - HOST/piped:v1 --key release && bulla verify HOST/piped:v1 --key release`,
      {
        TMPDIR: join(directory, 'tmp'),
      },
    );
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/@sha256:/);
    expect((await readdir(join(directory, 'tmp'))).filter((name) => name.startsWith('.bulla'))).toEqual([]);
  });

  it('take no more memory where they are large', async () => {
    const size = 300 * 1024 * 1024;
    await mkdir(join(directory, 'large/blobs/sha256'), { recursive: true });
    await pipeline(
      async function* () {
        const piece = Buffer.alloc(1024 * 1024);
        for (let at = 0; at < size; at += piece.byteLength) yield piece;
      },
      createWriteStream(join(directory, 'zeros')),
    );
    const { createHash } = await import('node:crypto');
    const { readFile } = await import('node:fs/promises');
    const hex = createHash('sha256')
      .update(await readFile(join(directory, 'zeros')))
      .digest('hex');
    const blob = async (content: unknown): Promise<{ digest: string; size: number }> => {
      const bytes = Buffer.from(JSON.stringify(content));
      const name = createHash('sha256').update(bytes).digest('hex');
      await writeFile(join(directory, 'large/blobs/sha256', name), bytes);
      return { digest: `sha256:${name}`, size: bytes.byteLength };
    };
    const config = await blob({
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [`sha256:${hex}`] },
    });
    const oci = 'application/vnd.oci.image';
    const layers = [{ mediaType: `${oci}.layer.v1.tar`, digest: `sha256:${hex}`, size }];
    const manifest = await blob({
      schemaVersion: 2,
      mediaType: `${oci}.manifest.v1+json`,
      config: { mediaType: `${oci}.config.v1+json`, ...config },
      layers,
    });
    await writeFile(join(directory, 'large/oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(
      join(directory, 'large/index.json'),
      JSON.stringify({
        schemaVersion: 2,
        manifests: [{ mediaType: `${oci}.manifest.v1+json`, ...manifest }],
      }),
    );
    const { code, stderr } = await run(
      `mv zeros large/blobs/sha256/${hex} && tar cf - -C large . | /usr/bin/env python3 -c '${MEASURE}' ${process.execPath} ${CLI} push - HOST/large:v1`,
    );
    expect(code, stderr).toBe(0);
    const kilobytes = Number(/most memory: (\d+)/.exec(stderr)?.[1]);
    expect(kilobytes).toBeGreaterThan(10_000);
    expect(kilobytes).toBeLessThan(200_000);
  });
});

/** Runs a program with our standard input, and says how much memory it took, in KiB. */
const MEASURE =
  'import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; print("most memory:", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)';
