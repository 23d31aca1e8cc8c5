import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/errors.ts';
import { type HostileOptions, type HostileRegistry, startHostile } from '../support/registry/hostile.ts';

/** Most memory that a command may need, whatever a registry answers. */
const MAX_RSS = 300 * 1024 * 1024;
/** What a command may search here, and the time to end after that. */
const SEARCH_S = 60;
const GRACE_S = 30;

const command = new URL('../../dist/bulla.js', import.meta.url).pathname;
const known = new Set<number>(Object.values(EXIT_CODES));

interface Ended {
  readonly code: number | null;
  readonly rss: number;
  readonly seconds: number;
  readonly stderr: string;
}

/** Runs a command, and asks it at its end how large it became. */
async function run(home: string, argv: readonly string[]): Promise<Ended> {
  const hook = join(home, 'rss.cjs');
  writeFileSync(
    hook,
    "process.on('exit', () => require('node:fs').writeSync(3, String(process.resourceUsage().maxRSS)));",
  );
  const began = performance.now();
  const child = spawn(process.execPath, ['--require', hook, command, ...argv], {
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      BULLA_HOME: join(home, 'bulla'),
      BULLA_PASSPHRASE: '',
      BULLA_SEARCH_TIMEOUT: `${SEARCH_S}s`,
    },
    cwd: home,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  let rss = '';
  child.stderr?.on('data', (piece) => (stderr = (stderr + String(piece)).slice(-4000)));
  child.stdio[3]?.on('data', (piece) => (rss += String(piece)));
  const timer = setTimeout(() => child.kill('SIGKILL'), (SEARCH_S + GRACE_S) * 1000);
  return await new Promise((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, rss: Number(rss) * 1024, seconds: (performance.now() - began) / 1000, stderr });
    });
  });
}

const REGISTRIES: readonly [string, HostileOptions][] = [
  ['pages of one large signature', {}],
  ['pages of eight signatures of 4 MiB', { entries: 8 }],
  ['pages of 2,000 signatures', { entries: 2_000 }],
  ['pages of a great many annotations', { annotations: 'many' }],
  ['pages of what is not asked for', { entries: 2_000, artifactType: 'application/spdx+json' }],
  ['pages of what has no type', { entries: 500, artifactType: 'application/vnd.oci.empty.v1+json' }],
];

/** Commands that ask a registry something, with IMAGE and REPOSITORY to be filled in. */
const COMMANDS: readonly string[] = [
  'verify IMAGE --key k.pub',
  'verify REPOSITORY:v1 --key k.pub',
  'tree IMAGE',
  'inspect IMAGE',
  'ls REPOSITORY',
  'copy IMAGE oci:copied',
  'pull IMAGE oci:pulled --key k.pub',
  'sign IMAGE --key k.pem',
  'signature ls IMAGE',
  'signature rm IMAGE --all',
  'status REPOSITORY',
  'log REPOSITORY',
  'pending REPOSITORY',
  'resign REPOSITORY',
  'init REPOSITORY',
  'revoke REPOSITORY:v1',
];

const chosen =
  process.env['SOAK_COMMANDS'] === undefined
    ? COMMANDS
    : COMMANDS.slice(0, Number(process.env['SOAK_COMMANDS']));

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'bulla-soak-'));
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(join(home, 'k.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(join(home, 'k.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
});

let registry: HostileRegistry | undefined;
afterAll(async () => {
  await registry?.close();
  rmSync(home, { recursive: true, force: true });
});

it.each(REGISTRIES)(
  'every command ends in time, with a code and in bounded memory, at a registry that gives %s',
  async (name, options) => {
    registry = await startHostile(options);
    const { host, image } = registry;
    const wrong: string[] = [];
    for (const text of chosen) {
      const argv = text
        .replace('IMAGE', `${host}/app@${image}`)
        .replace('REPOSITORY', `${host}/app`)
        .split(' ');
      const { code, rss, seconds, stderr } = await run(home, argv);
      const said = /\[([a-z-]+)\]/.exec(stderr)?.[1] ?? '';
      const line = `${text}: ${code} ${said}, ${Math.round(rss / 1024 / 1024)} MiB, ${seconds.toFixed(1)} s`;
      process.stdout.write(`${name}: ${line}\n`);
      const isCode = code !== null && (code === 0 || (known.has(code) && code !== EXIT_CODES.internal));
      if (!isCode || rss > MAX_RSS || seconds > SEARCH_S + GRACE_S) wrong.push(`${line}\n${stderr}`);
    }
    await registry.close();
    expect(wrong).toEqual([]);
  },
  COMMANDS.length * (SEARCH_S + GRACE_S) * 1000,
);
