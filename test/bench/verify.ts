import { join } from 'node:path';
import { pushDemoImage } from '../interop/artifacts.ts';
import { BULLA, ok, peer } from '../interop/peers.ts';
import { HAS_REFERRERS_API, type RegistryKind, startRegistry } from '../interop/registries.ts';
import { Signers } from '../interop/signers.ts';
import { type DelayProxy, startDelayProxy } from '../support/delay-proxy.ts';
import { type Command, inTurns, measure } from './measure.ts';
import type { Bench, Goal, Section } from './report.ts';

const KINDS: readonly RegistryKind[] = ['embedded', 'olareg', 'docker-registry'];
const ROUND_TRIP = 50;
/** Milliseconds that looking a tag up took with notary 0.6.1, at the same distance. */
const NOTARY_MS = 943;

/**
 * Who verifies; `known`: bulla has met the registry before, and remembers its dialect; `a name`: it asks what is
 * signed about the tag, and for no detached signature.
 */
const VERIFIERS = ['bulla', 'bulla, registry known', 'bulla, a name', 'notation', 'cosign'] as const;
type Verifier = (typeof VERIFIERS)[number];

/** The programs with their keys, and which images they sign and verify. */
class Rig {
  readonly #signers: Signers;
  #homes = 0;
  /** The name under which the collection was made. */
  #collection = '';

  constructor(signers: Signers) {
    this.#signers = signers;
  }

  /** One image for each program, signed by it alone. */
  async sign(host: string, kind: RegistryKind): Promise<void> {
    const { env, notationKey, notationCertificate } = this.#signers;
    for (const name of ['bulla', 'named', 'notation', 'cosign']) {
      await pushDemoImage(`${host}/${name}:v1`, this.#signers);
    }
    const certificate = ['--key', notationKey, '--cert-chain', notationCertificate];
    await ok(process.execPath, [BULLA, 'sign', '-q', `${host}/bulla:v1`, ...certificate], { env });
    this.#collection = `${host}/named`;
    await ok(process.execPath, [BULLA, 'init', '-q', this.#collection], { env });
    await ok(process.execPath, [BULLA, 'sign', '-q', '--name-only', `${this.#collection}:v1`], { env });
    await this.#signers.notationSign(`${host}/notation:v1`, HAS_REFERRERS_API[kind]);
    await this.#signers.cosignSign(`${host}/cosign:v1`);
  }

  /** The command by which a program verifies, by tag, what it signed. */
  command(verifier: Verifier, host: string): Command {
    const { env, directory, cosignPublicKey } = this.#signers;
    switch (verifier) {
      case 'bulla':
        return { argv: this.#bulla(host), env: this.#newcomer(directory) };
      case 'bulla, a name':
        return {
          argv: [
            ...[process.execPath, BULLA, 'verify', '-q', `${host}/named:v1`],
            ...['--tofu', '--collection', this.#collection],
          ],
          env: { ...this.#newcomer(directory), CI: '' },
        };
      case 'bulla, registry known':
        return { argv: this.#bulla(host), env };
      case 'notation':
        return { argv: [peer('notation'), 'verify', '--insecure-registry', `${host}/notation:v1`], env };
      case 'cosign':
        return {
          argv: [
            peer('cosign'),
            ...['verify', '--key', cosignPublicKey],
            ...['--insecure-ignore-tlog', '--allow-http-registry', `${host}/cosign:v1`],
          ],
          env,
        };
    }
  }

  /** Somebody who remembers nothing. */
  #newcomer(directory: string): Readonly<Record<string, string>> {
    this.#homes += 1;
    return { ...this.#signers.env, BULLA_HOME: join(directory, `home-${this.#homes}`) };
  }

  #bulla(host: string): readonly string[] {
    return [
      process.execPath,
      BULLA,
      'verify',
      '-q',
      `${host}/bulla:v1`,
      '--ca',
      this.#signers.notationCertificate,
    ];
  }
}

interface Figures {
  readonly requests: number;
  readonly connections: number;
  readonly near: number;
  readonly far: number;
}

async function measureRegistry(
  rig: Rig,
  kind: RegistryKind,
  runs: number,
): Promise<ReadonlyMap<Verifier, Figures>> {
  const registry = await startRegistry(kind);
  try {
    await rig.sign(registry.host, kind);
    const requests = new Map<Verifier, Pick<Figures, 'requests' | 'connections'>>();
    const time = async (roundTrip: number) => {
      const proxy: DelayProxy = await startDelayProxy(registry.host, roundTrip);
      try {
        return await inTurns(VERIFIERS, runs, async (verifier) => {
          proxy.reset();
          const cost = await measure(rig.command(verifier, proxy.host));
          const connections = new Set(proxy.requests.map(({ connection }) => connection)).size;
          requests.set(verifier, { requests: proxy.requests.length, connections });
          return cost;
        });
      } finally {
        await proxy.stop();
      }
    };
    const near = await time(0);
    const far = await time(ROUND_TRIP);
    return new Map(
      VERIFIERS.map((verifier) => [
        verifier,
        {
          ...(requests.get(verifier) ?? { requests: Number.NaN, connections: Number.NaN }),
          near: near.get(verifier)?.wall ?? Number.NaN,
          far: far.get(verifier)?.wall ?? Number.NaN,
        },
      ]),
    );
  } finally {
    await registry.stop();
  }
}

function section(
  kind: RegistryKind,
  figures: ReadonlyMap<Verifier, Figures>,
  startUp: ReadonlyMap<Verifier, number>,
): Section {
  const none: Figures = { requests: Number.NaN, connections: Number.NaN, near: Number.NaN, far: Number.NaN };
  const of = (verifier: Verifier): Figures => figures.get(verifier) ?? none;
  const net = (verifier: Verifier): number => of(verifier).far - (startUp.get(verifier) ?? Number.NaN);
  const least = HAS_REFERRERS_API[kind] ? 3 : 4;
  const goals: Goal[] = [
    { what: 'requests, registry known', measured: of('bulla, registry known').requests, atMost: least },
    { what: 'requests, registry unknown', measured: of('bulla').requests, atMost: least + 1 },
    { what: `ms at ${ROUND_TRIP} ms, notation`, measured: of('bulla').far, atMost: of('notation').far },
    {
      what: `ms at ${ROUND_TRIP} ms without start-up, 0.75 × notation`,
      measured: net('bulla'),
      atMost: 0.75 * net('notation'),
    },
    { what: 'requests for a name', measured: of('bulla, a name').requests, atMost: 2 },
    {
      what: `ms at ${ROUND_TRIP} ms for a name, 0.75 × notation`,
      measured: of('bulla, a name').far,
      atMost: 0.75 * of('notation').far,
    },
    {
      what: `ms at ${ROUND_TRIP} ms for a name, 0.35 × notary`,
      measured: of('bulla, a name').far,
      atMost: 0.35 * NOTARY_MS,
    },
  ];
  return {
    title: `Cold verify by tag, ${kind} (${HAS_REFERRERS_API[kind] ? 'referrers API' : 'fallback index'})`,
    columns: ['', 'requests', 'connections', 'ms near', `ms at ${ROUND_TRIP} ms`, 'of it after start-up'],
    rows: VERIFIERS.map((verifier) => {
      const { requests, connections, near, far } = of(verifier);
      return [verifier, requests, connections, near, far, net(verifier)];
    }),
    goals,
    notes: ['near: through the same proxy without a delay; start-up: what `--version` takes'],
  };
}

/** Requests and time of a cold verify, near and far. */
export const bench: Bench = async ({ runs }) => {
  const signers = await Signers.create();
  const rig = new Rig(signers);
  try {
    const versions: Readonly<Record<Verifier, readonly string[]>> = {
      bulla: [process.execPath, BULLA, '--version'],
      'bulla, registry known': [process.execPath, BULLA, '--version'],
      'bulla, a name': [process.execPath, BULLA, '--version'],
      notation: [peer('notation'), 'version'],
      cosign: [peer('cosign'), 'version'],
    };
    const starts = await inTurns(VERIFIERS, runs, (verifier) => measure({ argv: versions[verifier] }));
    const startUp = new Map(
      VERIFIERS.map((verifier) => [verifier, starts.get(verifier)?.wall ?? Number.NaN]),
    );
    const sections: Section[] = [];
    for (const kind of KINDS) {
      sections.push(section(kind, await measureRegistry(rig, kind, Math.max(2, runs)), startUp));
    }
    return sections;
  } finally {
    signers.remove();
  }
};
