import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_EXAMINED } from '../../src/actions/verify/signature-search.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { openRepository } from '../../src/registry/client.ts';
import { BULLA, ok, peer } from '../interop/peers.ts';
import { startRegistry } from '../interop/registries.ts';
import { Signers } from '../interop/signers.ts';
import { pushImage } from '../support/content.ts';
import { startDelayProxy } from '../support/delay-proxy.ts';
import { attach, forgeBundle, statement } from '../support/forge.ts';
import { type Cost, inTurns, measure } from './measure.ts';
import type { Bench, Section } from './report.ts';

const ROUND_TRIP = 50;
const range = (count: number): readonly number[] => Array.from({ length: count }, (_, at) => at);

/** What several runs of a program took, one after the other. */
function sum(costs: readonly Cost[]): Cost {
  const total = (of: 'wall' | 'cpu'): number => costs.reduce((all, cost) => all + cost[of], 0);
  return { wall: total('wall'), cpu: total('cpu'), rss: Math.max(...costs.map(({ rss }) => rss)) };
}

/**
 * Many images by a policy in one process, against stock tools that are started for each image: once by a key, as
 * cosign does, and once by an authority, as notation does.
 */
async function manyImages(signers: Signers, count: number, runs: number): Promise<Section> {
  const { env, directory, cosignPublicKey, cosignKey, notationKey, notationCertificate } = signers;
  const registry = await startRegistry('olareg');
  const proxy = await startDelayProxy(registry.host, ROUND_TRIP);
  try {
    const target = openRepository({ registry: registry.host, repository: 'team/app' });
    for (const at of range(count)) await pushImage(target, `image ${at}`, `v${at}`);
    await target.close();
    const names = range(count).map((at) => `team/app:v${at}`);
    const near = names.map((name) => `${registry.host}/${name}`);
    const sign = [BULLA, 'sign', '-q', '--no-name'];
    await ok(process.execPath, [...sign, ...near, '--key', cosignKey], { env });
    const certified = ['--key', notationKey, '--cert-chain', notationCertificate];
    await ok(process.execPath, [...sign, ...near, ...certified], { env });
    const policy = (signer: Readonly<Record<string, readonly string[]>>): string => {
      const path = join(directory, `${Object.keys(signer).join('-')}.json`);
      writeFileSync(path, JSON.stringify({ version: 1, rules: [{ scope: '*', signatures: [signer] }] }));
      return path;
    };
    const far = names.map((name) => `${proxy.host}/${name}`);
    const ours = (file: string) =>
      measure({ argv: [process.execPath, BULLA, 'verify', '-q', '--policy', file, ...far], env });
    const each = async (argv: (name: string) => readonly string[]): Promise<Cost> => {
      const costs: Cost[] = [];
      for (const name of far) costs.push(await measure({ argv: argv(name), env }));
      return sum(costs);
    };
    const programs = {
      'bulla, by a key': () => ours(policy({ keys: [cosignPublicKey] })),
      cosign: () =>
        each((name) => [
          ...[peer('cosign'), 'verify', '--key', cosignPublicKey],
          ...['--insecure-ignore-tlog', '--allow-http-registry', name],
        ]),
      'bulla, by an authority': () => ours(policy({ authorities: [notationCertificate] })),
      notation: () => each((name) => [peer('notation'), 'verify', '--insecure-registry', name]),
    } as const;
    const requests = new Map<string, number>();
    const chosen = Object.keys(programs) as (keyof typeof programs)[];
    const costs = await inTurns(chosen, runs, async (program) => {
      proxy.reset();
      const cost = await programs[program]();
      requests.set(program, proxy.requests.length);
      return cost;
    });
    const of = (program: keyof typeof programs, what: 'wall' | 'cpu'): number =>
      costs.get(program)?.[what] ?? Number.NaN;
    return {
      title: `Verify ${count} images by a policy, round trip of ${ROUND_TRIP} ms, olareg`,
      columns: ['', 'ms', 'ms of CPU', 'MiB', 'requests'],
      rows: chosen.map((program) => [
        ...[program, of(program, 'wall'), of(program, 'cpu')],
        ...[costs.get(program)?.rss ?? Number.NaN, requests.get(program) ?? Number.NaN],
      ]),
      // Of few images, starting the program is most of the work.
      goals:
        count < 100
          ? []
          : [
              {
                what: 'ms, 1/20 × cosign',
                measured: of('bulla, by a key', 'wall'),
                atMost: of('cosign', 'wall') / 20,
              },
              {
                what: 'ms, 1/10 × notation',
                measured: of('bulla, by an authority', 'wall'),
                atMost: of('notation', 'wall') / 10,
              },
            ],
      notes: [
        'bulla: one process for all images; cosign and notation: one after the other, a process for each',
      ],
    };
  } finally {
    await proxy.stop();
    await registry.stop();
  }
}

/** An image with very many signatures by others, and one that is trusted. */
async function manySignatures(signers: Signers, count: number, runs: number): Promise<Section> {
  const { env, directory } = signers;
  const registry = await startRegistry('olareg');
  const proxy = await startDelayProxy(registry.host, 0);
  try {
    const target = openRepository({ registry: registry.host, repository: 'team/many' });
    const { descriptor } = await pushImage(target, 'many', 'v1');
    const stranger = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
    for (const at of range(count)) {
      const payload = JSON.stringify(statement(descriptor, { predicate: { at } }));
      await attach(target, descriptor, { envelope: await forgeBundle({ payload, signer: stranger }) });
    }
    await target.close();
    const file = (name: string, pem: string | Buffer): string => {
      writeFileSync(join(directory, name), pem);
      return join(directory, name);
    };
    const keys = {
      'the signer of all': file(
        'stranger.pub',
        stranger.publicKey.keyObject.export({ type: 'spki', format: 'pem' }),
      ),
      'a key that signed none': signers.cosignPublicKey,
    } as const;
    const names = Object.keys(keys) as (keyof typeof keys)[];
    const requests = new Map<string, number>();
    const costs = await inTurns(names, runs, async (name) => {
      proxy.reset();
      const verify = [
        process.execPath,
        BULLA,
        'verify',
        '-q',
        `${proxy.host}/team/many:v1`,
        '--key',
        keys[name],
      ];
      // 12: signatures, none of which counts.
      const cost = await measure({ argv: ['sh', '-c', '"$@" || test $? -eq 12', 'sh', ...verify], env });
      requests.set(name, proxy.requests.length);
      return cost;
    });
    const rss = Math.max(...names.map((name) => costs.get(name)?.rss ?? Number.NaN));
    const most = Math.max(...requests.values());
    return {
      title: `An image with ${count} signatures, olareg`,
      columns: ['trusted', 'ms', 'ms of CPU', 'MiB', 'requests'],
      rows: names.map((name) => {
        const { wall = Number.NaN, cpu = Number.NaN, rss: mib = Number.NaN } = costs.get(name) ?? {};
        return [name, wall, cpu, mib, requests.get(name) ?? Number.NaN];
      }),
      goals: [
        { what: 'MiB', measured: rss, atMost: 200 },
        // For each that is examined its manifest and its envelope; the tag, the lists, cosign's tags.
        { what: 'requests', measured: most, atMost: 2 * MAX_EXAMINED + 10 },
      ],
    };
  } finally {
    await proxy.stop();
    await registry.stop();
  }
}

/** Policies for many images, and an image with many signatures. */
export const bench: Bench = async ({ size, runs }) => {
  const isFull = size === 'full';
  const signers = await Signers.create();
  try {
    return [
      await manyImages(signers, isFull ? 100 : 20, isFull ? Math.min(runs, 2) : 1),
      await manySignatures(signers, 1000, Math.max(2, runs)),
    ];
  } finally {
    signers.remove();
  }
};
