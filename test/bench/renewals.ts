import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HttpPool } from '../../src/http/pool.ts';
import { RegistryClient } from '../../src/registry/client.ts';
import { HEAD_TAG } from '../../src/trust/format/vocabulary.ts';
import { BULLA, ok } from '../interop/peers.ts';
import { pushImage } from '../support/content.ts';
import { type DelayProxy, startDelayProxy } from '../support/delay-proxy.ts';
import { freePort } from '../support/process.ts';
import { ONLINE } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { measure } from './measure.ts';
import { arrivals, publishedPerDay, ratesOf, renewalsPerDay, USUAL_LIVES } from './renewal-arrivals.ts';
import type { Bench, Section } from './report.ts';
import {
  configure,
  cpuOf,
  fill,
  type Rig as ResignerRig,
  sample,
  serving,
  stage,
  startRegistry,
  until,
} from './resigner.ts';

/** What one piece of work takes. Bytes are those of bodies. */
interface Unit {
  readonly cpuMs: number;
  readonly requests: number;
  /** Those that may write. */
  readonly writes: number;
  readonly sent: number;
  readonly received: number;
}

interface Rig extends ResignerRig {
  readonly proxy: DelayProxy;
  /** Past the proxy, so that what it carries is not counted. */
  readonly direct: string;
  readonly env: Readonly<Record<string, string>>;
}

/** What a re-signer and a verification cost, and when renewals of many collections arrive (docs/scale.md). */
export const bench: Bench = async ({ size }) => {
  const count = size === 'full' ? 250 : 60;
  const dir = mkdtempSync(join(tmpdir(), 'bulla-renewals-'));
  const port = await freePort();
  const registry = await startRegistry(dir, port);
  const proxy = await startDelayProxy(registry.host, 0);
  const pool = new HttpPool();
  try {
    const client = new RegistryClient({ pool });
    const { host } = proxy;
    const places = await fill(client, host, count);
    const env = { ...(process.env as Record<string, string>), BULLA_HOME: join(dir, 'home') };
    const rig: Rig = { dir, host, port, client, places, proxy, direct: registry.host, env };
    await writeFile(join(dir, 'secret'), 'a-secret-for-measuring');
    const key = join(dir, 'online.pem');
    await writeFile(key, poolKey(ONLINE).privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await chmod(key, 0o600);
    const renewal = await unitOfResigning(rig, '--renew');
    const first = await unitOfResigning(rig);
    const folded = await unitOfFold(rig, size === 'full' ? 60 : 12);
    const look = await unitOfLook(rig, size === 'full' ? 20_000 : 3_000);
    const images = size === 'full' ? 40 : 20;
    const signed = await unitsOfVerification(rig, images);
    return [
      unitSection([
        ['renewing a head', renewal],
        ['the first pass over a head after a start', first],
        ['adopting a staged change', folded],
        ['a look at a head that needs nothing', look],
        ['verifying the signature of an image', signed.signature],
        ['verifying the name of an image in a collection that is known', signed.name],
      ]),
      arrivalSection(size === 'full' ? 1_000_000 : 100_000),
    ];
  } finally {
    await pool.close();
    await proxy.stop();
    await registry.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};

function unitSection(units: readonly (readonly [string, Unit])[]): Section {
  return {
    title: 'What one piece of work takes, of the registry on loopback',
    columns: ['', 'CPU ms', 'requests', 'of which write', 'bytes sent', 'bytes received'],
    rows: units.map(([name, { cpuMs, requests, writes, sent, received }]) => [
      ...[name, cpuMs, requests, writes],
      ...[sent, received],
    ]),
    notes: ['the mean of many in one process, without what the process takes to start'],
  };
}

/** Ten million collections, of which so many are played. */
function arrivalSection(played: number): Section {
  const scale = 10_000_000 / played;
  const rows = (['at once', 'spread'] as const).flatMap((begin) => {
    const { renewals } = arrivals(USUAL_LIVES, { collections: played, days: 70, begin, seed: 1 });
    return [0, 1, 3, 6, 9].map((week) => {
      const { mean, p99, most } = ratesOf(renewals, 7 * week, 7 * week + 7, scale);
      return [begin, week + 1, mean, p99, most];
    });
  });
  return {
    title: `Renewals per second of 10,000,000 collections, in ten weeks (${played} played, seed 1)`,
    columns: ['created', 'week', 'mean', '99 % of hours below', 'busiest hour'],
    rows,
    notes: [
      `in the long run ${((1e7 * renewalsPerDay(USUAL_LIVES)) / 86_400).toFixed(1)} per second by arithmetic`,
      `published changes: ${((1e7 * publishedPerDay(USUAL_LIVES)) / 86_400).toFixed(1)} per second`,
    ],
  };
}

/** Of a command over many things, and over one: what each of the others took. */
async function unitOf(
  proxy: DelayProxy,
  count: number,
  run: (count: number) => Promise<{ readonly cpu: number }>,
): Promise<Unit> {
  const [one, many] = [await counted(proxy, () => run(1)), await counted(proxy, () => run(count))];
  const each = (member: keyof Unit): number => (many[member] - one[member]) / (count - 1);
  return {
    ...{ cpuMs: each('cpuMs'), requests: each('requests'), writes: each('writes') },
    ...{ sent: each('sent'), received: each('received') },
  };
}

async function counted(proxy: DelayProxy, run: () => Promise<{ readonly cpu: number }>): Promise<Unit> {
  proxy.reset();
  const { cpu } = await run();
  return { cpuMs: cpu, ...carried(proxy) };
}

function carried({ requests }: DelayProxy): Omit<Unit, 'cpuMs'> {
  const sum = (of: 'sent' | 'received'): number => requests.reduce((total, each) => total + each[of], 0);
  const writes = requests.filter(({ method }) => method !== 'GET' && method !== 'HEAD').length;
  return { requests: requests.length, writes, sent: sum('sent'), received: sum('received') };
}

async function unitOfResigning(rig: Rig, ...flags: readonly string[]): Promise<Unit> {
  const config = await configure(rig, '');
  const argv = [process.execPath, BULLA, 'resign', '--config', config, '-q', ...flags];
  return await unitOf(rig.proxy, rig.places.length, (count) =>
    measure({ argv: [...argv, ...(count === 1 ? [rig.places[0] as string] : ['--all'])], env: rig.env }),
  );
}

async function unitOfLook({ proxy, ...rig }: Rig, forMs: number): Promise<Unit> {
  return await serving(rig, 'schedule: {poll: 1ms, concurrency: 16}', async (url, pid) => {
    const looks = (): Promise<number> =>
      sample(url, 'bulla_resigner_step_duration_seconds_count{outcome="idle"}');
    const from = { looks: await looks(), cpu: cpuOf(pid) };
    proxy.reset();
    await new Promise((resolve) => setTimeout(resolve, forMs));
    const done = (await looks()) - from.looks;
    return perPiece(cpuOf(pid) - from.cpu, carried(proxy), done);
  });
}

/** The publisher goes past the proxy, and what the re-signer does meanwhile is next to nothing. */
async function unitOfFold({ proxy, direct, ...rig }: Rig, rounds: number): Promise<Unit> {
  const more = 'notify: {secretFile: secret, poll: 1h, listEvery: 1h}';
  return await serving(rig, more, async (_, pid) => {
    const from = cpuOf(pid);
    proxy.reset();
    for (let round = 0; round < rounds; round++) {
      const place = rig.places[round % rig.places.length] as string;
      const repository = place.slice(rig.host.length + 1);
      const target = rig.client.repository({ registry: direct, repository });
      const before = (await target.resolve(HEAD_TAG)).digest;
      await stage(target, place, `v${round}`);
      await until(async () => (await target.resolve(HEAD_TAG)).digest !== before, 10);
    }
    return perPiece(cpuOf(pid) - from, carried(proxy), rounds);
  });
}

function perPiece(cpuMs: number, carried: Omit<Unit, 'cpuMs'>, pieces: number): Unit {
  const { requests, writes, sent, received } = carried;
  return {
    ...{ cpuMs: cpuMs / pieces, requests: requests / pieces, writes: writes / pieces },
    ...{ sent: sent / pieces, received: received / pieces },
  };
}

async function unitsOfVerification(
  { dir, host, client, proxy, env }: Rig,
  count: number,
): Promise<{ readonly signature: Unit; readonly name: Unit }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = join(dir, 'release.pem');
  await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await writeFile(join(dir, 'release.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  const repositories = Array.from({ length: count }, (_, at) => `${host}/run/app${at}`);
  for (const [at, name] of repositories.entries()) {
    const repository = name.slice(host.length + 1);
    await pushImage(client.repository({ registry: host, repository }), `image ${at}`, 'v1');
  }
  const images = repositories.map((name) => `${name}:v1`);
  const list = join(dir, 'repositories.txt');
  await writeFile(list, repositories.join('\n'));
  const command = (...args: readonly string[]): string[] => [process.execPath, BULLA, ...args];
  const passphrase = { ...env, BULLA_PASSPHRASE: 'of a measurement' };
  const run = async (...args: readonly string[]): Promise<unknown> =>
    await ok(process.execPath, command(...args).slice(1), { env: passphrase });
  await run('init', '-q', '--from', list);
  for (const image of images) {
    await run('sign', '-q', '--key', key, '--no-name', image);
    await run('sign', '-q', '--name-only', image);
  }
  const rules = {
    signature: '{ scope: "*", signatures: [{ keys: [release.pub] }] }',
    name: `{ scope: "${host}/run/*", trust: { root: { tofu: true } } }`,
  };
  const unit = async (rule: string): Promise<Unit> => {
    const policy = join(dir, 'policy.yaml');
    await writeFile(policy, `version: 1\nrules: [${rule}]\n`);
    // The verifier has seen the collections before.
    await run('verify', '-q', '--policy', policy, ...images);
    return await unitOf(proxy, count, (some) =>
      measure({ argv: command('verify', '-q', '--policy', policy, ...images.slice(0, some)), env }),
    );
  };
  return { signature: await unit(rules.signature), name: await unit(rules.name) };
}
