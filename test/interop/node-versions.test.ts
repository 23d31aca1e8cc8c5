import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generatePrivateKey, privateKeyPem } from '../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { makeCodeCache } from '../support/code-cache.ts';
import { examples } from '../support/examples.ts';
import { compile, packedProject, runExample } from '../support/packed-project.ts';
import { startServer } from '../support/process.ts';
import { DEMO_LAYOUT } from './artifacts.ts';
import { havePeers, peer } from './peers.ts';

const root = new URL('../..', import.meta.url).pathname;
const run = promisify(execFile);
const VERSIONS = ['node22', 'node24'] as const;

/** The package by each release line of Node that it supports; `make test` runs all tests by one of them. */
describe.runIf(havePeers(...VERSIONS))('the package, by other versions of Node', () => {
  let project: string;
  let dist: string;
  let isCached: string;

  beforeAll(async () => {
    project = await packedProject();
    expect(await compile(project)).toBe('');
    dist = join(project, 'dist');
    await cp(join(root, 'dist'), dist, { recursive: true });
    // As `NODES=… make build` does it.
    await makeCodeCache(
      dist,
      VERSIONS.map((name) => peer(name)),
    );
    isCached = join(project, 'is-cached.cjs');
    buildSync({
      stdin: {
        contents: `import { compileProgram } from './src/cli/start/compiled.ts';
          console.log(compileProgram(process.argv[2]).isCached);`,
        resolveDir: root,
        loader: 'ts',
      },
      outfile: isCached,
      bundle: true,
      platform: 'node',
      format: 'cjs',
    });
  }, 300_000);

  afterAll(() => rm(project, { recursive: true }));

  describe.each(VERSIONS)('%s', (name) => {
    it('is of that version', async () => {
      const { stdout } = await run(peer(name), ['--version']);
      expect(stdout.startsWith(`v${name.slice('node'.length)}.`)).toBe(true);
    });

    it('tells the version', async () => {
      const { stdout, stderr } = await run(peer(name), [join(dist, 'bulla.js'), '--version']);
      const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
        version: string;
      };
      expect({ stdout, stderr }).toEqual({ stdout: `${version}\n`, stderr: '' });
    });

    it('uses the program that was compiled for it, and no other', async () => {
      expect((await run(peer(name), [isCached, dist])).stdout).toBe('true\n');
      const other = VERSIONS.find((version) => version !== name) as (typeof VERSIONS)[number];
      const { stdout } = await run(peer(name), ['-p', 'process.versions.v8']);
      expect(stdout).not.toBe((await run(peer(other), ['-p', 'process.versions.v8'])).stdout);
    });

    it('uses nothing that another has compiled, under its own name', async () => {
      const copied = await temporaryDirectory();
      await cp(dist, copied, { recursive: true });
      const nameOf = async (node: string): Promise<string> =>
        (
          await run(node, [
            '-p',
            `['program', process.versions.v8, process.platform, process.arch].join('-') + '.cache'`,
          ])
        ).stdout.trim();
      await cp(join(copied, await nameOf(process.execPath)), join(copied, await nameOf(peer(name))));
      expect((await run(peer(name), [isCached, copied])).stdout).toBe('false\n');
      const { stdout } = await run(peer(name), [join(copied, 'bulla.js'), 'verify', '--help']);
      expect(stdout).toContain('Usage: bulla verify');
    });

    it.each(['with its compiled program', 'without one'])(
      'serves, pushes, signs and verifies, %s',
      async (how) => {
        const cwd = await temporaryDirectory();
        const command = join(how === 'without one' ? join(root, 'dist') : dist, 'bulla.js');
        const env = {
          PATH: process.env['PATH'],
          HOME: cwd,
          BULLA_HOME: join(cwd, 'home'),
          BULLA_PASSPHRASE: 'none',
        };
        await mkdir(join(cwd, 'home/keys'), { recursive: true, mode: 0o700 });
        for (const key of ['root', 'publisher', 'online', 'default']) {
          const privateKey = generatePrivateKey('P-256');
          await writeFile(join(cwd, `home/keys/${key}.key`), privateKeyPem(privateKey), { mode: 0o600 });
          await writeFile(join(cwd, `home/keys/${key}.pub`), publicKeyPem(publicKeyOf(privateKey)));
        }
        const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
        await writeFile(join(cwd, 'maker.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
          mode: 0o600,
        });
        const server = await startServer({
          file: peer(name),
          args: () => [command, 'serve', 'registry', '--dir', join(cwd, 'registry'), '--addr', '127.0.0.1:0'],
          env,
          announces: /127\.0\.0\.1:(\d+)/,
        });
        const bulla = (line: string): Promise<{ readonly stdout: string; readonly stderr: string }> =>
          run(peer(name), [command, ...line.split(' ')], { cwd, env });
        try {
          const image = `${server.host}/team/app:v1`;
          await bulla(`push ${DEMO_LAYOUT} ${image}`);
          await bulla(
            'key cert ./maker.pem --self-signed --subject C=DE,ST=Berlin,O=Example,CN=maker --out maker.crt',
          );
          await bulla(`sign -q ${image} --key ./maker.pem --cert-chain maker.crt`);
          await bulla(`sign -q ${image} --key default`);
          await bulla(`init -q ${server.host}/team/app`);
          await bulla(`sign -q --name-only ${image}`);
          for (const line of [`--ca maker.crt --no-name`, '--key default --no-name', '']) {
            const { stdout, stderr } = await bulla(`verify ${image} ${line}`.trim());
            expect(stdout, line).toMatch(/@sha256:[0-9a-f]{64}\n$/);
            expect(stderr, line).not.toMatch(/Warning|Deprecat/);
          }
          await expect(bulla(`verify ${server.host}/team/app:v2`)).rejects.toMatchObject({
            code: expect.any(Number),
          });
        } finally {
          await server.stop();
        }
      },
    );

    it.each(examples())('runs the example of $of', async ({ of }) => {
      const { stdout, stderr } = await runExample(project, of, peer(name));
      expect(stderr).toBe('');
      expect(stdout).not.toBe('');
    });
  });
});
