import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Descriptor, describe } from '../../src/oci/descriptor.ts';
import { MEDIA_TYPES } from '../../src/oci/media-types.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { BULLA, havePeers, ok, peer } from '../interop/peers.ts';
import { type Registry, type RegistryKind, startRegistry } from '../interop/registries.ts';
import { blobOf, imageOf, pushBytes, pushReferrer, tagOf } from '../support/content.ts';
import { changeHead } from '../support/trust/changing.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { NOW } from '../support/tuf/editing.ts';
import { noise } from './content.ts';
import { type Command, type Cost, inTurns, measure } from './measure.ts';
import type { Bench, Goal, Section } from './report.ts';

/** What copies the tags of a repository. skopeo and crane copy tags alone. */
const TOOLS = ['bulla', 'skopeo', 'crane', 'regctl'] as const;
type Tool = (typeof TOOLS)[number];

const LAYER_BYTES = 128 * 1024;

/** Pushes images of three layers, of which two are those of all, with a signature each, and signed names. */
async function prepare(host: string, tags: readonly string[]): Promise<void> {
  const target = openRepository({ registry: host, repository: 'team/app' }, { settleMs: 20 });
  const base = [await pushNoise(target, 1), await pushNoise(target, 2)];
  const set = new Map<string, { readonly length: number; readonly sha256: string }>();
  for (const [at, tag] of tags.entries()) {
    const config = blobOf(JSON.stringify({ architecture: 'amd64', os: 'linux', tag }), MEDIA_TYPES.ociConfig);
    await pushBytes(target, config);
    const image = imageOf(config.descriptor, [...base, await pushNoise(target, 10 + at)]);
    await target.pushManifest(image, { tag: tagOf(tag) });
    await pushReferrer(target, image.descriptor, `signature of ${tag}`);
    const { digest, size } = image.descriptor;
    set.set(tag, { length: size, sha256: digest.slice('sha256:'.length) });
  }
  await pushHead(target, await newCollection('registry.example.com/team/app'));
  await changeHead(target, (edit) => edit.apply('names', [{ id: '0'.repeat(32), at: NOW, set }]), NOW);
  await target.close();
}

async function pushNoise(target: Target, seed: number): Promise<Descriptor> {
  const bytes = Buffer.concat([...noise(seed, LAYER_BYTES)]);
  const descriptor = describe(MEDIA_TYPES.ociLayer, bytes);
  await pushBytes(target, { descriptor, bytes });
  return descriptor;
}

function command(tool: Tool, from: string, to: string, work: string): Command {
  switch (tool) {
    case 'bulla':
      return {
        argv: [process.execPath, BULLA, 'copy', '-q', '--all-tags', `${from}/team/app`, `${to}/team/app`],
      };
    case 'skopeo':
      return {
        argv: [
          ...[peer(tool), 'sync', '--all', '--src-tls-verify=false'],
          ...[
            '--dest-tls-verify=false',
            '--src',
            'docker',
            '--dest',
            'docker',
            `${from}/team/app`,
            `${to}/team`,
          ],
        ],
      };
    case 'crane':
      return { argv: [peer(tool), 'copy', '--insecure', '-a', `${from}/team/app`, `${to}/team/app`] };
    case 'regctl': {
      // regctl copies one image at a time: a shell loop over the tags is what its users write.
      const plain = [from, to].map((host) => `--host reg=${host},tls=disabled`).join(' ');
      const call = `${peer('regctl')} ${plain} --verbosity error`;
      const script = join(work, 'loop.sh');
      writeFileSync(
        script,
        `for tag in $(${call} tag ls ${from}/team/app | grep -v -e ^sha256- -e ^_trust); do ${call} image copy --referrers --digest-tags ${from}/team/app:$tag ${to}/team/app:$tag || exit 1; done\n`,
      );
      return { argv: ['/bin/sh', script] };
    }
  }
}

interface Costs {
  readonly first: ReadonlyMap<Tool, Cost>;
  readonly again: ReadonlyMap<Tool, Cost>;
}

async function compare(kind: RegistryKind, tags: readonly string[], runs: number): Promise<Costs> {
  const work = mkdtempSync(join(tmpdir(), 'bulla-bench-'));
  let source: Registry | undefined;
  const again = new Map<Tool, Cost[]>();
  try {
    source = await startRegistry(kind);
    await prepare(source.host, tags);
    const from = source.host;
    const first = await inTurns(TOOLS, runs, async (tool) => {
      const destination = await startRegistry(kind);
      try {
        const run = command(tool, from, destination.host, work);
        const cost = await measure(run);
        const arrived = (await ok(peer('crane'), ['ls', '--insecure', `${destination.host}/team/app`])).split(
          '\n',
        );
        const missing = tags.filter((tag) => !arrived.includes(tag));
        if (missing.length > 0) throw new Error(`${tool} left behind ${missing.join(', ')}`);
        again.set(tool, [...(again.get(tool) ?? []), await measure(run)]);
        return cost;
      } finally {
        await destination.stop();
      }
    });
    const { medianCost } = await import('./measure.ts');
    return { first, again: new Map([...again].map(([tool, costs]) => [tool, medianCost(costs.slice(1))])) };
  } finally {
    await source?.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

function section(kind: RegistryKind, count: number, { first, again }: Costs): Section {
  const seconds = (costs: ReadonlyMap<Tool, Cost>, tool: Tool): number =>
    (costs.get(tool)?.wall ?? Number.NaN) / 1000;
  const reference = seconds(first, 'skopeo');
  const goals: readonly Goal[] = [
    { what: 's, first, skopeo sync', measured: seconds(first, 'bulla'), atMost: reference },
    { what: 's, again', measured: seconds(again, 'bulla'), atMost: 1 },
  ];
  return {
    title: `Copy of a repository of ${count} tags between two ${kind}, signatures and names included`,
    columns: ['', 's first', 'of skopeo sync', 'CPU s first', 's again', 'CPU s again', 'RSS MiB'],
    rows: TOOLS.map((tool) => {
      const [one, two] = [first.get(tool), again.get(tool)];
      return [
        tool,
        seconds(first, tool),
        seconds(first, tool) / reference,
        (one?.cpu ?? Number.NaN) / 1000,
        seconds(again, tool),
        (two?.cpu ?? Number.NaN) / 1000,
        one?.rss ?? Number.NaN,
      ];
    }),
    goals,
    notes: [
      'skopeo sync and crane copy -a take tags for images: they copy fallback indexes and the collection as they are, and no referrers of a registry with the API. regctl runs in a loop over the tags.',
    ],
  };
}

export const bench: Bench = async ({ size, runs }) => {
  const tags = Array.from({ length: size === 'full' ? 30 : 10 }, (_, at) => `v1.${at}.0`);
  const kinds: readonly RegistryKind[] = havePeers('olareg')
    ? ['docker-registry', 'olareg']
    : ['docker-registry'];
  const sections: Section[] = [];
  for (const kind of kinds)
    sections.push(section(kind, tags.length, await compare(kind, tags, Math.max(2, runs))));
  return sections;
};
