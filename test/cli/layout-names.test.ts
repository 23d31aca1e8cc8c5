import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf, hexOf } from '../../src/oci/digest.ts';
import { bulla, type CliResult, temporaryDirectory } from '../support/cli.ts';

const REF = 'org.opencontainers.image.ref.name';
const FULL = 'io.containerd.image.name';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

type Entry = readonly [content: string, annotations?: Readonly<Record<string, string>>];

/** A directory with the layout `lay` and the archive `lay.tar` of it, and the digests of its images by content. */
class Shelf {
  readonly cwd: string;
  readonly digests: Map<string, string> = new Map();

  constructor(cwd: string) {
    this.cwd = cwd;
  }

  static async of(...entries: readonly Entry[]): Promise<Shelf> {
    const shelf = new Shelf(await temporaryDirectory());
    const lay = join(shelf.cwd, 'lay');
    await mkdir(join(lay, 'blobs/sha256'), { recursive: true });
    const put = async (value: unknown) => {
      const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
      const digest = digestOf(bytes);
      await writeFile(join(lay, 'blobs/sha256', hexOf(digest)), bytes);
      return { digest, size: bytes.byteLength };
    };
    const manifests = [];
    for (const [content, annotations] of entries) {
      const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar', ...(await put(content)) };
      const config = await put({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: [layer.digest] },
      });
      const manifest = await put({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
        layers: [layer],
      });
      shelf.digests.set(content, manifest.digest);
      manifests.push({ mediaType: MANIFEST, ...manifest, ...(annotations !== undefined && { annotations }) });
    }
    await writeFile(join(lay, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
    await writeFile(join(lay, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    execFileSync('tar', ['-C', lay, '-cf', join(shelf.cwd, 'lay.tar'), '.']);
    return shelf;
  }

  run(...argv: string[]): Promise<CliResult> {
    return bulla(argv, { cwd: this.cwd, env: { BULLA_HOME: join(this.cwd, 'home') } });
  }

  async listed(place: string): Promise<readonly string[]> {
    const { stdout, code } = await this.run('ls', place);
    return code === 0 ? stdout.trimEnd().split('\n') : [`exit ${code}`];
  }

  async found(reference: string): Promise<unknown> {
    const { stdout, code } = await this.run('inspect', reference, '-o', 'json');
    if (code !== 0) return code;
    const found = JSON.parse(stdout).digest;
    return [...this.digests].find(([, digest]) => digest === found)?.[0];
  }
}

const PINNED = `docker.io/library/a@sha256:${'1'.repeat(64)}`;
const A = 'gcr.io/team/a:v1';
const B = 'localhost:5000/team/b:v2';

describe('names of a layout and of an archive that are no tags', () => {
  it.each<[string, readonly Entry[], readonly string[], Readonly<Record<string, string>>]>([
    [
      'whole names, as podman and skopeo write them',
      [
        ['a', { [REF]: A }],
        ['b', { [REF]: B }],
      ],
      [A, B],
      { [A]: 'a', [B]: 'b' },
    ],
    [
      'a name without a tag',
      [['a', { [REF]: 'gcr.io/team/a' }]],
      ['gcr.io/team/a'],
      { 'gcr.io/team/a': 'a' },
    ],
    [
      'a tag that docker leaves out',
      [['a', { [REF]: 'team/app:latest' }]],
      ['team/app:latest'],
      { 'team/app': 'a', 'team/app:latest': 'a' },
    ],
    [
      'a name with a digest in it',
      [
        ['a', { [REF]: PINNED }],
        ['b', { [REF]: 'v1' }],
      ],
      [PINNED, 'v1'],
      { [PINNED]: 'a', v1: 'b' },
    ],
    [
      'names with slashes and a plus',
      [
        ['a', { [REF]: 'a/b+c' }],
        ['b', { [REF]: 'v2' }],
      ],
      ['a/b+c', 'v2'],
      { 'a/b+c': 'a', v2: 'b' },
    ],
    [
      'one tag of two images, as containerd writes it',
      [
        ['a', { [FULL]: 'docker.io/library/a:v1', [REF]: 'v1' }],
        ['b', { [FULL]: 'docker.io/library/b:v1', [REF]: 'v1' }],
      ],
      ['docker.io/library/a:v1', 'docker.io/library/b:v1'],
      { 'docker.io/library/a:v1': 'a', 'docker.io/library/b:v1': 'b' },
    ],
    [
      'one image under two names',
      [
        ['a', { [REF]: 'x/a:1' }],
        ['a', { [REF]: 'x/a:2' }],
      ],
      ['x/a:1', 'x/a:2'],
      { 'x/a:1': 'a', 'x/a:2': 'a' },
    ],
    ['a whole name beside a tag', [['a', { [REF]: '1.0', [FULL]: A }]], ['1.0'], { '1.0': 'a', [A]: 'a' }],
  ])('are listed and can be typed: %s', async (_, entries, names, found) => {
    const shelf = await Shelf.of(...entries);
    for (const place of ['oci:lay', 'oci-archive:lay.tar']) {
      expect(await shelf.listed(place)).toEqual(names);
      for (const [name, content] of Object.entries(found)) {
        expect([name, await shelf.found(`${place}:${name}`)]).toEqual([name, content]);
      }
    }
  });

  it('are digests where no image has a name', async () => {
    const shelf = await Shelf.of(['a'], ['b']);
    expect(await shelf.listed('oci:lay')).toEqual([...shelf.digests.values()].sort());
    const refused = await shelf.run('inspect', 'oci:lay');
    expect(refused).toMatchObject({ code: 2 });
    for (const digest of shelf.digests.values()) expect(refused.stderr).toContain(digest);
  });

  it('are named where one has to be said, each so that it is found', async () => {
    const shelf = await Shelf.of(
      ['a', { [REF]: 'v1', [FULL]: 'x.io/a:v1' }],
      ['b', { [REF]: 'v1' }],
      ['c', { [REF]: 'v2' }],
    );
    const { stderr } = await shelf.run('inspect', 'oci:lay');
    const names = /say which one: (.*)$/m.exec(stderr)?.[1]?.split(', ') ?? [];
    expect(names).toEqual(['x.io/a:v1', shelf.digests.get('b'), 'v2']);
    const contents = await Promise.all(
      names.map((name) => shelf.found(name.startsWith('sha256:') ? `oci:lay@${name}` : `oci:lay:${name}`)),
    );
    expect(contents).toEqual(['a', 'b', 'c']);
  });

  it.each<[string, number]>([
    ['oci:lay:gcr.io/team/x:v1', 11],
    ['oci:lay:team/a:v1', 11],
    [`oci:lay:gcr.io/team/a:v1@sha256:${'2'.repeat(64)}`, 24],
    ['oci:none:gcr.io/team/a:v1', 11],
    ['oci:lay:two/a:1', 40],
    ['oci-archive:lay.tar:gcr.io/team/x:v1', 11],
  ])('are not guessed: %s', async (reference, code) => {
    const shelf = await Shelf.of(
      ['a', { [REF]: A }],
      ['b', { [REF]: 'two/a:1' }],
      ['c', { [REF]: 'two/a:1' }],
    );
    expect(await shelf.found(reference)).toBe(code);
  });

  it('do not come before a path that is there', async () => {
    const shelf = await Shelf.of(['a', { [REF]: 'x/y:v1' }]);
    const other = await Shelf.of(['b', { [REF]: 'v1' }]);
    await mkdir(join(shelf.cwd, 'lay:x'), { recursive: true });
    execFileSync('cp', ['-r', join(other.cwd, 'lay'), join(shelf.cwd, 'lay:x', 'y')]);
    const { stdout } = await shelf.run('inspect', 'oci:lay:x/y:v1', '-o', 'json');
    expect(JSON.parse(stdout).digest).toBe(other.digests.get('b'));
  });

  it('show nothing that a terminal obeys', async () => {
    const shelf = await Shelf.of(['a', { [REF]: 'x/\u001b[2J\ny' }]);
    expect((await shelf.run('ls', 'oci:lay')).stdout).toBe('x/ [2J y\n');
  });

  it('can be pushed by a bare path', async () => {
    const shelf = await Shelf.of(['a', { [REF]: A }], ['b', { [REF]: B }]);
    const { code, stderr } = await shelf.run(
      'push',
      `lay.tar:${B}`,
      '127.0.0.1:1/app:v1',
      '--timeout',
      '20s',
    );
    expect([code, stderr.includes('does not exist')]).toEqual([3, false]);
  });
});
