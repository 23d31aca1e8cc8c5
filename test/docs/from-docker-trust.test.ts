import { spawn } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { generatePrivateKey, privateKeyPem } from '../../src/crypto/private-key.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { forgeKey, forgeRepository, publish } from '../support/notary/forge.ts';
import { writeDockerKeys } from '../support/notary/importing.ts';
import { startNotary } from '../support/notary/server.ts';

const root = new URL('../../', import.meta.url).pathname;
const PAGE = join(root, 'docs/from-docker-trust.md');
const DCT_KEY = '771bad27e511d76c4559b6750cb13cbd8fb728a63c009a5e428f08136a0739d0.key';

/** Every command of the page, in order: lines of code blocks, and what the right columns of tables say. */
function commandsOf(page: string): readonly string[] {
  return page.split('\n').flatMap((line) => {
    const typed = /^ *\$ (.+)$/.exec(line)?.[1];
    if (typed !== undefined) return [typed];
    if (!line.startsWith('| ')) return [];
    const right = line.slice(line.indexOf(' | ') + 3);
    return [...right.matchAll(/`(bulla [^`]+)`/g)].map(([, command = '']) => command);
  });
}

/** What a docker without a daemon can do: hand its plug-in what is the plug-in's, and repeat the rest. */
const DOCKER = `#!/bin/sh
if [ "$1" = trust ]; then exec "$HOME/.docker/cli-plugins/docker-trust" "$@"; fi
case "$2" in "") exit 1 ;; esac
echo "$@"
`;

/** A notary server that has trust data of repositories, whose v1 is this image, and the keys in docker's directory. */
async function notaryFor(
  guns: readonly string[],
  digest: string,
  length: number,
  directory: string,
): Promise<{ url: string; rootKey: string }> {
  const notary = await startNotary();
  const root = await forgeKey();
  const sha256 = Buffer.from(digest.slice('sha256:'.length), 'hex').toString('base64');
  for (const gun of guns) {
    const repository = await forgeRepository(gun, { root: await forgeKey('P-256', { cn: gun, of: root }) });
    repository.targets.targets = { v1: { length, hashes: { sha256 } } };
    // The commands go by the real clock.
    Object.assign(repository, { rootExpires: NEVER, expires: NEVER, timestampExpires: NEVER });
    notary.repositories.set(gun, publish(repository));
    const keys = [
      [root, 'root'] as const,
      ...repository.targets.keys.map((key) => [key, 'targets'] as const),
    ];
    await writeDockerKeys(directory, gun, keys, PASSPHRASE);
  }
  return { url: notary.url, rootKey: root.keystoreId };
}

const NEVER = '2099-01-01T00:00:00Z';
const PASSPHRASE = 'correct horse';

describe('docs/from-docker-trust.md', () => {
  it('has commands that all work, in its order', async () => {
    const commands = commandsOf(await readFile(PAGE, 'utf8'));
    expect(commands.length).toBeGreaterThan(50);
    const home = await temporaryDirectory();
    const server = await serveRegistry({ dir: join(home, 'registry') });
    onTestFinished(() => server.close());
    const bin = join(home, 'bin');
    await mkdir(bin);
    await writeFile(join(bin, 'docker'), DOCKER, { mode: 0o755 });
    await writeFile(
      join(bin, 'bulla'),
      `#!/bin/sh\nexec "${process.execPath}" --require "${root}test/support/derive-once.cjs" "${root}dist/bulla.js" "$@"\n`,
      {
        mode: 0o755,
      },
    );
    const trust = join(home, '.docker/trust/private');
    await mkdir(trust, { recursive: true, mode: 0o700 });
    await copyFile(join(root, 'testdata/keys/dct-root.key'), join(trust, DCT_KEY));
    for (const name of ['bob', 'ci'])
      await writeFile(join(home, `${name}.key`), privateKeyPem(generatePrivateKey('P-256')), { mode: 0o600 });
    const env: NodeJS.ProcessEnv = {
      HOME: home,
      PATH: `${bin}${delimiter}${process.env['PATH']}`,
      DERIVED: join(home, 'derived'),
      BULLA_PASSPHRASE: PASSPHRASE,
      BULLA_NEW_PASSPHRASE: PASSPHRASE,
    };
    const sh = (line: string): Promise<{ status: number | null; stdout: string; output: string }> =>
      new Promise((resolve) => {
        const text = line.replaceAll('registry.example.com', server.address);
        const child = spawn('sh', ['-c', text], { cwd: home, env, stdio: ['ignore', 'pipe', 'pipe'] });
        let [stdout, output] = ['', ''];
        child.stdout.on('data', (piece: Buffer) => {
          stdout += piece.toString();
          output += piece.toString();
        });
        child.stderr.on('data', (piece: Buffer) => {
          output += piece.toString();
        });
        child.on('close', (status) => resolve({ status, stdout, output }));
      });
    const value = async (line: string, member: string): Promise<string> =>
      String((JSON.parse((await sh(line)).stdout) as Record<string, unknown>)[member]);

    // What is there before: an image under two tags, keys that the page names, an unencrypted and read-only key file.
    await sh(`chmod 600 "${trust}/${DCT_KEY}"`);
    for (const image of ['app:v1', 'app:v2', 'web:v1'])
      await sh(`bulla push ${root}testdata/demo-image/layout registry.example.com/team/${image}`);
    env['DIGEST'] = await value('bulla inspect registry.example.com/team/app:v2 -o json', 'digest');
    const length = Number(await value('bulla inspect registry.example.com/team/app:v1 -o json', 'size'));
    const guns = ['app', 'web'].map((name) => `${server.address}/team/${name}`);
    const { url, rootKey } = await notaryFor(guns, env['DIGEST'], length, trust);
    Object.assign(env, { DOCKER_CONTENT_TRUST_SERVER: url, NOTARY_ROOT_KEY_ID: rootKey });
    for (const name of ['carol', 'new']) await sh(`bulla docker-trust key generate ${name}`);
    for (const name of ['new-publisher', 'new-online', 'new-root']) await sh(`bulla key generate ${name}`);

    for (const command of commands) {
      const { status, output } = await sh(command);
      expect(status, `${command}\n${output}`).toBe(0);
      for (const name of ['root', 'alice', 'publisher'])
        env[`${name.toUpperCase()}_KEY_ID`] ??= await idOf(name);
    }

    async function idOf(name: string): Promise<string | undefined> {
      const { status, stdout } = await sh(`bulla key show ${name} -o json`);
      return status === 0 ? (JSON.parse(stdout) as { keyid: string }).keyid : undefined;
    }
  }, 600_000);

  it('is linked from the README, and links to what is there', async () => {
    expect(await readFile(join(root, 'README.md'), 'utf8')).toContain('](docs/from-docker-trust.md)');
    const page = await readFile(PAGE, 'utf8');
    for (const [, link = ''] of page.matchAll(/\]\((?!https?:)([^)#]+)/g))
      await expect(readFile(join(root, 'docs', link)), link).resolves.toBeDefined();
  });
});
