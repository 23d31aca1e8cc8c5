import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { generatePrivateKey, privateKeyPem } from '../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { BULLA, ok } from '../interop/peers.ts';
import { type Registry, startRegistry } from '../interop/registries.ts';
import { startDelayProxy } from '../support/delay-proxy.ts';
import { writeImage } from './content.ts';
import { type Command, type Cost, inTurns, measure } from './measure.ts';
import type { Bench, Section } from './report.ts';
import { idleCpu } from './resigner.ts';

const run = promisify(execFile);
const ROUND_TRIP = 50;
const PUBLISHERS = 16;
/** Worse than before by more than this fails. */
const ALLOWED = 1.05;

/** The command of another commit, built in a checkout of its own. */
const BEFORE = process.env['BULLA_BEFORE'];
const BUILDS = ['before', 'now'] as const;
type Build = (typeof BUILDS)[number];
const commandOf = (build: Build): string => (build === 'now' ? BULLA : (BEFORE ?? ''));

/** What both builds find: images in a registry, a key, and a collection that the older build made. */
class Ground {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'bulla-before-'));
  readonly registry: Registry;
  readonly env: Readonly<Record<string, string>>;
  private homes = 0;

  private constructor(registry: Registry) {
    this.registry = registry;
    this.env = {
      HOME: this.directory,
      PATH: process.env['PATH'] ?? '',
      BULLA_HOME: join(this.directory, 'home'),
      BULLA_PASSPHRASE: 'no key has one',
    };
  }

  static async make(layers: number): Promise<Ground> {
    const ground = new Ground(await startRegistry('embedded'));
    const { directory } = ground;
    await mkdir(join(directory, 'home/keys'), { recursive: true, mode: 0o700 });
    for (const name of ['root', 'publisher', 'online', 'maker']) {
      const key = generatePrivateKey('P-256');
      writeFileSync(ground.key(name), privateKeyPem(key), { mode: 0o600 });
      writeFileSync(ground.key(name).replace(/key$/, 'pub'), publicKeyPem(publicKeyOf(key)));
    }
    await writeImage(join(directory, 'small'), 2, 1024);
    await writeImage(join(directory, 'large'), layers, 20 * 1024);
    const host = ground.registry.host;
    const bulla = (...args: string[]): Promise<string> =>
      ok(process.execPath, [commandOf('before'), ...args], { env: ground.env, timeout: 600_000 });
    await bulla('push', '-q', `oci:${directory}/small:v1`, `${host}/signed:v1`);
    const certificate = join(directory, 'maker.crt');
    const subject = ['--self-signed', '--subject', 'C=DE,ST=Berlin,O=Example,CN=maker'];
    await bulla('key', 'cert', ground.key('maker'), ...subject, '--out', certificate);
    const maker = ['--key', ground.key('maker'), '--cert-chain', certificate];
    await bulla('sign', '-q', `${host}/signed:v1`, ...maker);
    await bulla('push', '-q', `oci:${directory}/small:v1`, `${host}/named:v1`);
    await bulla('init', '-q', `${host}/named`);
    await bulla('sign', '-q', '--name-only', `${host}/named:v1`);
    await bulla('push', '-q', `oci:${directory}/large:v1`, `${host}/large:v1`);
    return ground;
  }

  key(name: string): string {
    return join(this.directory, 'home/keys', `${name}.key`);
  }

  /** The environment of a person who remembers nothing. */
  newcomer(): Readonly<Record<string, string>> {
    this.homes += 1;
    return { ...this.env, BULLA_HOME: join(this.directory, `home-${this.homes}`) };
  }

  /** A home with the keys and nothing else. */
  publisher(): string {
    const { BULLA_HOME = '' } = this.newcomer();
    cpSync(join(this.directory, 'home/keys'), join(BULLA_HOME, 'keys'), { recursive: true });
    return BULLA_HOME;
  }

  async remove(): Promise<void> {
    await this.registry.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** One thing that is measured, by the build that does it. */
type Task = (build: Build, turn: number) => Promise<Cost>;

function tasks(
  ground: Ground,
  far: string,
): ReadonlyMap<string, { readonly task: Task; readonly share: number }> {
  const bulla = (build: Build, argv: readonly string[], env = ground.env): Command => ({
    argv: [process.execPath, commandOf(build), ...argv],
    env,
  });
  const { host } = ground.registry;
  let images = 0;
  return new Map([
    ['--version', { share: 2, task: (build) => measure(bulla(build, ['--version'])) }],
    [
      `cold verify of a signature, ${ROUND_TRIP} ms away`,
      {
        share: 1,
        task: (build) => {
          const argv = ['verify', '-q', `${far}/signed:v1`, '--ca', join(ground.directory, 'maker.crt')];
          return measure(bulla(build, argv, ground.newcomer()));
        },
      },
    ],
    [
      `cold verify of a name, ${ROUND_TRIP} ms away`,
      {
        share: 1,
        task: (build) => {
          const argv = ['verify', '-q', `${far}/named:v1`, '--tofu', '--collection', `${host}/named`];
          return measure(bulla(build, argv, ground.newcomer()));
        },
      },
    ],
    [
      'copy of small layers',
      {
        share: 0.5,
        task: (build) => {
          images += 1;
          return measure(bulla(build, ['copy', '-q', `${host}/large:v1`, `${host}/copied-${images}:v1`]));
        },
      },
    ],
    [
      `${PUBLISHERS} publishers at a time`,
      {
        share: 0.2,
        task: async (build) => {
          images += 1;
          const tags = Array.from({ length: PUBLISHERS }, (_, at) => `p${images}-${at}`);
          for (const tag of tags)
            await run(process.execPath, [BULLA, 'copy', '-q', `${host}/named:v1`, `${host}/named:${tag}`], {
              env: ground.env,
            });
          const lines = tags.map((tag) => {
            const words = [process.execPath, commandOf(build), 'sign', '-q', '--name-only', '--tofu'];
            return `BULLA_HOME=${ground.publisher()} ${words.join(' ')} ${host}/named:${tag} & pids="$pids $!"`;
          });
          const script = `${lines.join('\n')}\nfor pid in $pids; do wait $pid || exit 1; done`;
          return measure({ argv: ['/bin/sh', '-c', script], env: ground.env });
        },
      },
    ],
  ] satisfies [string, { share: number; task: Task }][]);
}

/**
 * The command of another commit and this one, in turns on the same data: `make bench BENCH=before
 * BULLA_BEFORE=CHECKOUT/dist/bulla.js`. Processor time is what counts on a machine that does other things, too.
 */
export const bench: Bench = async ({ size, runs }) => {
  if (BEFORE === undefined) return [];
  const ground = await Ground.make(size === 'full' ? 200 : 20);
  const proxy = await startDelayProxy(ground.registry.host, ROUND_TRIP);
  const rows: (string | number)[][] = [];
  const ratios: { what: string; measured: number; atMost: number }[] = [];
  const note = (what: string, before: Pick<Cost, 'wall' | 'cpu'>, now: Pick<Cost, 'wall' | 'cpu'>): void => {
    rows.push([
      what,
      before.cpu,
      now.cpu,
      now.cpu / before.cpu,
      before.wall,
      now.wall,
      now.wall / before.wall,
    ]);
    ratios.push({
      what: `${what}: processor time, now ÷ before`,
      measured: now.cpu / before.cpu,
      atMost: ALLOWED,
    });
    process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
  };
  try {
    const only = process.env['BENCH_ONLY'];
    for (const [what, { task, share }] of tasks(ground, proxy.host)) {
      if (only !== undefined && !what.includes(only)) continue;
      const costs = await inTurns(BUILDS, Math.max(1, Math.round(runs * share)), task);
      note(what, costs.get('before') as Cost, costs.get('now') as Cost);
    }
    if (only === undefined || only === 'resigner') {
      const [before, now] = await idleCpu(
        BUILDS.map(commandOf),
        size === 'full' ? 300 : 60,
        Math.max(2, runs / 5),
      );
      note('re-signer, ms for 1000 idle looks', before as Cost, now as Cost);
    }
  } finally {
    await proxy.stop();
    await ground.remove();
  }
  const columns = ['', 'CPU ms before', 'now', '÷', 'ms before', 'now', '÷'];
  const section: Section = { title: 'Beside another commit', columns, rows, goals: ratios };
  return [section];
};
