import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BULLA, ok, peer } from '../interop/peers.ts';
import { HAS_REFERRERS_API, type RegistryKind, startRegistry } from '../interop/registries.ts';
import { type DelayProxy, startDelayProxy } from '../support/delay-proxy.ts';
import { type Command, inTurns, measure } from './measure.ts';
import type { Bench, Goal, Section } from './report.ts';

const IMAGE = new URL('../../testdata/demo-image/layout:v1', import.meta.url).pathname;
const KINDS: readonly RegistryKind[] = ['embedded', 'olareg', 'docker-registry'];
const ROUND_TRIP = 50;

/** Who verifies; `known`: bulla has met the registry before, and remembers its dialect. */
const VERIFIERS = ['bulla', 'bulla, registry known', 'notation', 'cosign'] as const;
type Verifier = (typeof VERIFIERS)[number];

/** Keys, certificates and settings of all three programs, in one directory. */
class Rig {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'bulla-bench-'));
  readonly env: Readonly<Record<string, string>>;
  #homes = 0;

  constructor() {
    this.env = {
      HOME: this.directory,
      XDG_CONFIG_HOME: join(this.directory, 'config'),
      XDG_CACHE_HOME: join(this.directory, 'cache'),
      BULLA_HOME: join(this.directory, 'bulla'),
      COSIGN_PASSWORD: 'of a benchmark',
    };
  }

  get key(): string {
    return join(this.directory, 'config/notation/localkeys/bench.key');
  }

  get certificate(): string {
    return join(this.directory, 'config/notation/localkeys/bench.crt');
  }

  async setUp(): Promise<void> {
    await ok(peer('notation'), ['cert', 'generate-test', '--default', 'bench'], { env: this.env });
    const policy = {
      version: '1.0',
      trustPolicies: [
        {
          name: 'bench',
          registryScopes: ['*'],
          signatureVerification: { level: 'strict' },
          trustStores: ['ca:bench'],
          trustedIdentities: ['*'],
        },
      ],
    };
    mkdirSync(join(this.directory, 'config/notation'), { recursive: true });
    writeFileSync(join(this.directory, 'config/notation/trustpolicy.json'), JSON.stringify(policy));
    await ok(peer('cosign'), ['generate-key-pair'], { cwd: this.directory, env: this.env });
  }

  /** One image for each program, signed by it alone. */
  async sign(host: string, kind: RegistryKind): Promise<void> {
    const { env } = this;
    for (const name of ['bulla', 'notation', 'cosign']) {
      const to = `${host}/${name}:v1`;
      await ok(peer('oras'), ['cp', '--from-oci-layout', '--to-plain-http', IMAGE, to], { env });
    }
    const certificate = ['--key', this.key, '--cert-chain', this.certificate];
    await ok(process.execPath, [BULLA, 'sign', '-q', `${host}/bulla:v1`, ...certificate], { env });
    const api = HAS_REFERRERS_API[kind] ? ['--force-referrers-tag=false'] : [];
    await ok(peer('notation'), ['sign', '--insecure-registry', ...api, `${host}/notation:v1`], { env });
    const offline = ['--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry', '-y'];
    const key = join(this.directory, 'cosign.key');
    await ok(peer('cosign'), ['sign', '--key', key, ...offline, `${host}/cosign:v1`], { env });
  }

  /** The command by which a program verifies, by tag, what it signed. */
  command(verifier: Verifier, host: string): Command {
    const { env } = this;
    switch (verifier) {
      case 'bulla': {
        this.#homes += 1;
        const home = join(this.directory, `home-${this.#homes}`);
        return { argv: this.#bulla(host), env: { ...env, BULLA_HOME: home } };
      }
      case 'bulla, registry known':
        return { argv: this.#bulla(host), env };
      case 'notation':
        return { argv: [peer('notation'), 'verify', '--insecure-registry', `${host}/notation:v1`], env };
      case 'cosign':
        return {
          argv: [
            peer('cosign'),
            ...['verify', '--key', join(this.directory, 'cosign.pub')],
            ...['--insecure-ignore-tlog', '--allow-http-registry', `${host}/cosign:v1`],
          ],
          env,
        };
    }
  }

  #bulla(host: string): readonly string[] {
    return [process.execPath, BULLA, 'verify', '-q', `${host}/bulla:v1`, '--ca', this.certificate];
  }

  tearDown(): void {
    rmSync(this.directory, { recursive: true, force: true });
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
  const rig = new Rig();
  try {
    await rig.setUp();
    const versions: Readonly<Record<Verifier, readonly string[]>> = {
      bulla: [process.execPath, BULLA, '--version'],
      'bulla, registry known': [process.execPath, BULLA, '--version'],
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
    rig.tearDown();
  }
};
