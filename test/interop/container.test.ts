import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readCollection } from '../../src/trust/read/collection.ts';
import { startServer } from '../support/process.ts';
import { collectionIn } from '../support/resign/service.ts';
import { reading } from '../support/trust/publishing.ts';
import { ONLINE, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { havePeers, ok, peer, run } from './peers.ts';
import { startRegistry } from './registries.ts';

const SOURCE = new URL('../../', import.meta.url).pathname;
const DAY = 86_400_000;
const USER = 65532;

/**
 * In the place of the images that the recipe begins with, which have to be fetched: Node and npm of this
 * machine with the libraries they need, and a shell where the real image has one.
 */
const STAND_INS = `
set -eu
cd "$1"
put() {
  for file in "$2" $(ldd "$2" | grep -o '/[^ ]*' | sort -u); do
    mkdir -p "$1$(dirname "$file")"
    cp -L "$file" "$1$file"
  done
}
node=$(readlink -f "$2") npm=$(readlink -f "$(command -v npm)")
put build /bin/sh
put build /usr/bin/env
put build "$node"
mkdir -p build/usr/bin build/npm build/tmp
[ -e build/usr/bin/node ] || ln -s "$node" build/usr/bin/node
cp -a "$(dirname "$npm")/.." build/npm/npm
ln -s ../../npm/npm/bin/npm-cli.js build/usr/bin/npm
put run "$node"
mkdir -p run/nodejs/bin run/tmp
ln -s "$node" run/nodejs/bin/node
tar -C build -cf build.tar .
tar -C run -cf run.tar .
rm -rf build run
`;

// As root: rootfs, mounts and another user are what a container is made of.
describe.runIf(havePeers('podman') && process.getuid?.() === 0)('the image of deploy/Containerfile', () => {
  let dir: string;
  let root: string;
  const at = (name: string): string => join(dir, name);
  const podman = (...args: string[]): Promise<string> =>
    ok(
      peer('podman'),
      ['--storage-driver', 'vfs', '--root', at('storage'), '--runroot', at('run'), ...args],
      {
        timeout: 600_000,
      },
    );

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'bulla-image-'));
    chmodSync(dir, 0o755);
    await ok('sh', ['-c', STAND_INS, 'sh', dir, process.execPath]);
    const path = ['--change', 'ENV PATH=/usr/bin:/bin'];
    await podman('import', ...path, at('build.tar'), 'docker.io/library/node:22-bookworm-slim');
    await podman('import', at('run.tar'), 'gcr.io/distroless/nodejs22-debian12:nonroot');
    // What npm has in its cache since it made node_modules here.
    const cache = (await ok('npm', ['config', 'get', 'cache'])).trim();
    writeFileSync(at('npmrc'), 'offline=true\ncache=/npm-cache\naudit=false\nfund=false\n');
    const mounts = ['-v', `${at('npmrc')}:/.npmrc:ro`, '-v', `${cache}:/npm-cache`];
    const alone = ['--layers=false', '--isolation', 'chroot', '--network', 'host', '--pull=never'];
    await podman(
      'build',
      ...alone,
      ...mounts,
      '-f',
      join(SOURCE, 'deploy/Containerfile'),
      '-t',
      'bulla',
      SOURCE,
    );
    root = (await podman('image', 'mount', 'bulla')).trim();
  }, 900_000);
  afterAll(async () => {
    if (root !== undefined) await podman('image', 'umount', 'bulla');
    rmSync(dir, { recursive: true, force: true });
  });

  it('has no shell, and is of a user who is not root', async () => {
    const format = '{{.Config.User}} {{json .Config.Entrypoint}} {{json .Config.Cmd}}';
    expect((await podman('image', 'inspect', 'bulla', '--format', format)).trim()).toBe(
      `${USER}:${USER} ["/nodejs/bin/node","/opt/bulla/dist/bulla.js"] ["serve","resigner","--config","/etc/bulla/resigner.yaml"]`,
    );
    await expect(run('chroot', [root, '/bin/sh', '-c', 'true'])).resolves.toMatchObject({ status: 127 });
  });

  it('serves with a root file system that nobody can write, its key in a mounted secret', async () => {
    const registry = await startRegistry('embedded');
    onTestFinished(() => registry.stop());
    const place = `${registry.host}/team/app`;
    const target = await collectionIn(registry, 'team/app', 10 * DAY);
    // As Kubernetes mounts them: files of root that the group may read.
    const config = {
      collections: [{ repositories: `${registry.host}/team/*`, rootKeyIds: [poolKey(ROOT).key.keyid] }],
      key: '/run/secrets/bulla/online.key',
      state: { directory: '/var/lib/bulla' },
      listen: '127.0.0.1:0',
    };
    const mounted = (name: string, text: string | Buffer): string => {
      mkdirSync(at(name), { recursive: true });
      const path = join(at(name), name === 'etc' ? 'resigner.yaml' : 'online.key');
      writeFileSync(path, text);
      chownSync(path, 0, USER);
      chmodSync(path, 0o440);
      return at(name);
    };
    const etc = mounted('etc', JSON.stringify(config));
    const key = mounted('key', poolKey(ONLINE).privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const points = ['etc/bulla', 'run/secrets/bulla', 'var/lib/bulla'];
    for (const point of points) mkdirSync(join(root, point), { recursive: true });
    const script = `
      set -e
      mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
      mount --bind "$2" "$1/etc/bulla" && mount --bind "$3" "$1/run/secrets/bulla"
      mount -t tmpfs -o uid=${USER},mode=700 none "$1/var/lib/bulla" && mount -t tmpfs -o mode=1777 none "$1/tmp"
      exec env -i PATH="$PATH" BULLA_HOME=/tmp/bulla chroot --userspec=${USER}:${USER} "$1" \\
        /nodejs/bin/node /opt/bulla/dist/bulla.js serve resigner --config /etc/bulla/resigner.yaml --any-key-mode`;
    const server = await startServer({
      file: 'unshare',
      args: () => ['--mount', 'sh', '-c', script, 'sh', root, etc, key],
      announces: /http:\/\/127\.0\.0\.1:([0-9]+)/,
    });
    onTestFinished(() => server.stop());
    const expires = async (): Promise<number> => {
      const options = reading({ place, now: new Date(), isNamed: (name) => name === place });
      const collection = await readCollection(target, options);
      return collection?.client.trusted.timestamp.content.expires.getTime() ?? 0;
    };
    await expect.poll(expires, { timeout: 30_000 }).toBeGreaterThan(Date.now() + 13 * DAY);
    expect((await fetch(`http://${server.host}/healthz`)).status).toBe(200);
    expect(server.log()).not.toContain('"event":"alarm"');
  });
});
