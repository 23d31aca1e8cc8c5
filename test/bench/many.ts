import { join } from 'node:path';
import { openRepository } from '../../src/registry/client.ts';
import { BULLA, ok, peer } from '../interop/peers.ts';
import { type Registry, type RegistryKind, startRegistry } from '../interop/registries.ts';
import { Signers } from '../interop/signers.ts';
import { pushImage } from '../support/content.ts';
import { startDelayProxy } from '../support/delay-proxy.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { type Cost, inTurns, measure } from './measure.ts';
import type { Bench, Goal, Section } from './report.ts';

const KINDS: readonly RegistryKind[] = ['docker-registry', 'olareg'];
const ROUND_TRIP = 50;
const COSIGN_SIGN = [
  ...['sign', '--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry', '-y'],
];

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, at) => at);
const wall = (costs: ReadonlyMap<string, Cost>, name: string): number => costs.get(name)?.wall ?? Number.NaN;

/** The programs, with a sealed key, and an open one that has a certificate. */
class Rig {
  readonly #signers: Signers;
  readonly #env: Signers['env'];

  constructor(signers: Signers, env: Signers['env'] = signers.env) {
    this.#signers = signers;
    this.#env = env;
  }

  /** The same, with a key store whose keys are not sealed. */
  async withPlainKeys(): Promise<Rig> {
    const { directory, env } = this.#signers;
    const home = join(directory, 'plain');
    await storePlainKeys(home, 'publisher', 'root', 'online');
    return new Rig(this.#signers, { ...env, BULLA_HOME: home });
  }

  /** Images of their own, `v0` and so on. @returns their references */
  async push(host: string, repository: string, count: number): Promise<readonly string[]> {
    const target = openRepository({ registry: host, repository });
    for (const at of range(count)) await pushImage(target, `${repository} ${at}`, `v${at}`);
    await target.close();
    return range(count).map((at) => `${host}/${repository}:v${at}`);
  }

  async bulla(...args: readonly string[]): Promise<void> {
    await ok(process.execPath, [BULLA, ...args], { env: this.#env });
  }

  /** `open`: by the key and certificate that notation uses; else by the sealed key of the key store. */
  async time(args: readonly string[], open = false): Promise<Cost> {
    const { notationKey, notationCertificate } = this.#signers;
    const key = open ? ['--key', notationKey, '--cert-chain', notationCertificate] : [];
    return await measure({ argv: [process.execPath, BULLA, ...args, ...key], env: this.#env });
  }

  async cosignSign(references: readonly string[]): Promise<Cost> {
    const { env, cosignKey } = this.#signers;
    return await measure({ argv: [peer('cosign'), ...COSIGN_SIGN, '--key', cosignKey, ...references], env });
  }

  async cosignVerify(references: readonly string[]): Promise<Cost> {
    const { env, cosignPublicKey } = this.#signers;
    const flags = ['--key', cosignPublicKey, '--insecure-ignore-tlog', '--allow-http-registry'];
    return await measure({ argv: [peer('cosign'), 'verify', ...flags, ...references], env });
  }
}

async function verifyTwenty(rig: Rig, { host, kind }: Registry, runs: number): Promise<Section> {
  const images = await rig.push(host, 'verify/many', 20);
  await rig.bulla('sign', '-q', '--no-name', ...images);
  await rig.cosignSign(images);
  const names = ['bulla, one command', 'bulla, a loop', 'cosign'] as const;
  const costs = await inTurns(names, runs, async (name) => {
    if (name === 'cosign') return await rig.cosignVerify(images);
    if (name === 'bulla, one command') return await rig.time(['verify', '-q', ...images]);
    const each: Cost[] = [];
    for (const image of images) each.push(await rig.time(['verify', '-q', image]));
    const sum = (of: 'wall' | 'cpu'): number => each.reduce((total, cost) => total + cost[of], 0);
    return { wall: sum('wall'), cpu: sum('cpu'), rss: Math.max(...each.map(({ rss }) => rss)) };
  });
  const one = wall(costs, 'bulla, one command');
  return {
    title: `Verify 20 images by key, ${kind}`,
    columns: ['', 'ms', 'ms of CPU'],
    rows: names.map((name) => [name, wall(costs, name), costs.get(name)?.cpu ?? Number.NaN]),
    goals: [
      { what: 'ms, 1.3 × cosign', measured: one, atMost: 1.3 * wall(costs, 'cosign') },
      { what: 'ms, 0.1 × a loop', measured: one, atMost: 0.1 * wall(costs, 'bulla, a loop') },
    ],
  };
}

async function verifyNames(rig: Rig, { host, kind }: Registry, runs: number): Promise<Section> {
  const proxy = await startDelayProxy(host, ROUND_TRIP);
  try {
    const names: string[] = [];
    for (const collection of range(10)) {
      const repository = `names/${collection}`;
      const images = await rig.push(host, repository, 10);
      await rig.bulla('init', '-q', `${host}/${repository}`);
      await rig.bulla('sign', '-q', '--name-only', '--no-proof', ...images);
      // What verifies it through the proxy has seen it there before.
      const mirror = ['--tofu', '--collection', `${host}/${repository}`];
      await rig.bulla('verify', '-q', `${proxy.host}/${repository}:v0`, ...mirror);
      names.push(...range(10).map((at) => `${proxy.host}/${repository}:v${at}`));
    }
    for (const collection of range(10))
      await rig.bulla(
        ...[
          'pin',
          `${proxy.host}/names/${collection}`,
          '--collection',
          `${host}/names/${collection}`,
          '--tofu',
        ],
      );
    const costs = await inTurns(['bulla'], runs, async () => await rig.time(['verify', '-q', ...names]));
    return {
      title: `Verify 100 names of 10 collections, round trip of ${ROUND_TRIP} ms, ${kind}`,
      columns: ['', 'ms', 'ms of CPU'],
      rows: [['bulla', wall(costs, 'bulla'), costs.get('bulla')?.cpu ?? Number.NaN]],
      goals: [{ what: 'ms', measured: wall(costs, 'bulla'), atMost: 1_500 }],
    };
  } finally {
    await proxy.stop();
  }
}

async function signOne(rig: Rig, { host, kind }: Registry, runs: number): Promise<Section> {
  const names = ['bulla, sealed key', 'bulla, open key', 'cosign'] as const;
  const costs = await inTurns(names, runs, async (name, run) => {
    const images = await rig.push(host, `one/${names.indexOf(name)}-${run}`, 1);
    if (name === 'cosign') return await rig.cosignSign(images);
    return await rig.time(['sign', '-q', '--no-name', ...images], name === 'bulla, open key');
  });
  const cosign = wall(costs, 'cosign');
  const goals: Goal[] = [
    { what: 'ms, sealed key, cosign', measured: wall(costs, 'bulla, sealed key'), atMost: cosign },
    { what: 'ms, open key, cosign', measured: wall(costs, 'bulla, open key'), atMost: cosign },
  ];
  if (kind === 'olareg')
    goals.push({ what: 'ms, open key', measured: wall(costs, 'bulla, open key'), atMost: 150 });
  return {
    title: `Sign one image, ${kind}`,
    columns: ['', 'ms', 'ms of CPU'],
    rows: names.map((name) => [name, wall(costs, name), costs.get(name)?.cpu ?? Number.NaN]),
    goals,
  };
}

async function signNames(rig: Rig, { host, kind }: Registry, runs: number): Promise<Section> {
  const [one, open, many, cosign] = [
    'bulla, one name',
    'bulla, one name, open keys',
    'bulla, 30 tags with names',
    'cosign, 30 tags',
  ] as const;
  const names = [one, open, many, cosign] as const;
  const plain = await rig.withPlainKeys();
  const costs = await inTurns(names, runs, async (name, run) => {
    const repository = `tags/${names.indexOf(name)}-${run}`;
    const isOne = name === one || name === open;
    const images = await rig.push(host, repository, isOne ? 1 : 30);
    if (name === cosign) return await rig.cosignSign(images);
    const signer = name === open ? plain : rig;
    await signer.bulla('init', '-q', `${host}/${repository}`);
    return await signer.time(['sign', '-q', ...(isOne ? ['--name-only'] : []), ...images]);
  });
  return {
    title: `Sign names, ${kind}`,
    columns: ['', 'ms', 'ms of CPU'],
    rows: names.map((name) => [name, wall(costs, name), costs.get(name)?.cpu ?? Number.NaN]),
    goals: [
      { what: 'ms for one name, sealed keys', measured: wall(costs, one), atMost: 700 },
      { what: 'ms for one name, open keys', measured: wall(costs, open), atMost: 500 },
      { what: 'ms for 30 tags', measured: wall(costs, many), atMost: 3_000 },
    ],
  };
}

/** Many images at once, and signing. `BENCH_MANY` names some of verify, names, sign, tags. */
export const bench: Bench = async ({ runs }) => {
  const signers = await Signers.create();
  const rig = new Rig(signers);
  const parts = { verify: verifyTwenty, names: verifyNames, sign: signOne, tags: signNames } as const;
  const chosen = (process.env['BENCH_MANY']?.split(',') ?? Object.keys(parts)) as (keyof typeof parts)[];
  const sections: Section[] = [];
  try {
    await rig.bulla('key', 'generate', 'publisher');
    await rig.bulla('key', 'generate', 'root');
    await rig.bulla('key', 'generate', 'online');
    for (const kind of KINDS) {
      const registry = await startRegistry(kind);
      try {
        for (const part of chosen) sections.push(await parts[part](rig, registry, Math.max(2, runs)));
      } finally {
        await registry.stop();
      }
    }
    return sections;
  } finally {
    signers.remove();
  }
};
