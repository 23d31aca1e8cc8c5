import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRepository } from '../../src/registry/client.ts';
import { blobOf, pushBytes } from '../support/content.ts';
import { startEmulator } from '../support/emulators/proxy.ts';
import { EMULATED } from '../support/emulators/table.ts';
import { ended, Flow, type Place, type RunBulla, STEPS } from '../support/flow/flow.ts';
import { runHere } from '../support/flow/in-process.ts';
import { type NginxOptions, startNginx } from './nginx.ts';
import { bulla, havePeers, type PeerName } from './peers.ts';
import { NEEDS, type RegistryKind, startDistribution, startRegistry } from './registries.ts';

/** Where a flow goes. */
interface Ground {
  readonly host: string;
  readonly place: Partial<Place> & { readonly prefix?: string };
  stop(): Promise<void>;
}

interface Case {
  readonly needs: readonly PeerName[];
  readonly run: RunBulla;
  start(): Promise<Ground>;
}

/** As users run it. */
const runBuilt: RunBulla = (args, options) => bulla(args, options);

const real = (kind: RegistryKind, place: Ground['place'] = {}): Case => ({
  needs: NEEDS[kind],
  run: runBuilt,
  start: async () => {
    const { host, stop } = await startRegistry(kind);
    return { host, place, stop };
  },
});

const behindNginx = (options: NginxOptions, place: Ground['place'] = {}): Case => ({
  needs: ['docker-registry', 'nginx'],
  run: runBuilt,
  start: async () => {
    const registry = await startRegistry('docker-registry');
    const nginx = await startNginx(registry.host, options);
    const stop = async (): Promise<void> => {
      await nginx.stop();
      await registry.stop();
    };
    return { host: nginx.host, place: { ...place, flags: nginx.flags, behind: registry.host }, stop };
  },
});

/** Commands run in this process: it is the registry that is another, and there are many. */
const emulated = (name: string): Case => ({
  needs: ['docker-registry', 'olareg'],
  run: runHere,
  start: async () => {
    const { dialect, hasReferrers, ...place } = EMULATED[name]!;
    const registry = await startRegistry(hasReferrers ? 'olareg' : 'docker-registry');
    const emulator = await startEmulator(registry.host, dialect());
    const stop = async (): Promise<void> => {
      await emulator.stop();
      await registry.stop();
    };
    return { host: emulator.host, place, stop };
  },
});

const CASES: Readonly<Record<string, Case>> = {
  'docker-registry': real('docker-registry'),
  registry3: real('registry3'),
  'registry3 on a bucket': real('registry3-s3'),
  olareg: real('olareg'),
  "crane's": real('crane'),
  ocimem: real('ocimem'),
  'nginx that asks for certificates': behindNginx({ clients: true }),
  'nginx that ends TLS': behindNginx({ tls: true }),
  'nginx that counts requests': behindNginx({ rate: 40 }),
  'nginx that caches': behindNginx({ cache: 1 }, { settleMs: 2_000 }),
  ...Object.fromEntries(Object.keys(EMULATED).map((name) => [`like ${name}`, emulated(name)])),
};
const ONLY = process.env['FLOW'];

describe.each(Object.entries(CASES).filter(([name]) => ONLY === undefined || name.includes(ONLY)))(
  'the whole flow on %s',
  (_, { needs, run, start }) => {
    describe.runIf(havePeers(...needs))('with the real thing', () => {
      let ground: Ground;
      let flow: Flow;
      let directory: string;
      beforeAll(async () => {
        directory = mkdtempSync(join(tmpdir(), 'bulla-flow-'));
        ground = await start();
        const { prefix = '', ...place } = ground.place;
        const [repository, elsewhere] = [
          `${ground.host}/${prefix}team/app`,
          `${ground.host}/${prefix}mirror/app`,
        ];
        flow = await Flow.make({ repository, elsewhere, ...place }, directory, run);
      });
      afterAll(async () => {
        await ground?.stop();
        rmSync(directory, { recursive: true, force: true });
      });

      it.each(STEPS)('$name', (step) => step.run(flow));
    });
  },
);

describe.runIf(havePeers('docker-registry', 'registry3', 'nginx'))('what is in front of a registry', () => {
  let directory: string;
  const ends: (() => Promise<unknown>)[] = [];
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'bulla-flow-'));
  });
  afterAll(async () => {
    for (const end of ends.reverse()) await end();
    rmSync(directory, { recursive: true, force: true });
  });

  it('a pull-through cache passes on what is signed, and says that it takes nothing', async () => {
    const origin = await startRegistry('docker-registry');
    const cache = await startDistribution('registry3', { upstream: `http://${origin.host}` });
    ends.push(origin.stop, cache.stop);
    const [repository, cached] = [`${origin.host}/team/app`, `${cache.host}/team/app`];
    const flow = await Flow.make(
      { repository, elsewhere: cached },
      mkdtempSync(join(directory, 'cache-')),
      runBuilt,
    );
    ended(await flow.run('founder', 'push', `${flow.images.layout}:v1`, flow.image('v1')), 0);
    ended(await flow.run('founder', 'init', repository), 0);
    ended(await flow.run('founder', 'sign', flow.image('v1'), '--key', 'publisher'), 0, flow.printed('v1'));
    const pin = ['pin', cached, '--root-key-id', flow.rootKeyId, '--collection', repository];
    ended(await flow.run('reader', ...pin), 0);
    const key = ['--key', flow.path('publisher.pub')];
    for (let n = 0; n < 2; n++)
      ended(
        await flow.run('reader', 'verify', flow.image('v1', cached), ...key),
        0,
        flow.printed('v1', cached),
      );
    const pushed = await flow.run('founder', 'push', `${flow.images.layout}:v2`, flow.image('v2', cached));
    ended(pushed, 4, '');
    expect(pushed.stderr).toMatch(/takes no pushes/);
  });

  it('nginx lets layers pass in pieces that its limit of bodies allows', async () => {
    const registry = await startRegistry('docker-registry');
    const nginx = await startNginx(registry.host);
    ends.push(registry.stop, nginx.stop);
    const target = openRepository({ registry: nginx.host, repository: 'team/app' });
    ends.push(() => target.close());
    const layer = blobOf('0123456789abcdef'.repeat(200 * 1024));
    expect(await pushBytes(target, layer)).toBe('pushed');
    expect(await pushBytes(target, layer)).toBe('exists');
  });

  it('nginx is told apart that wants a certificate, or TLS', async () => {
    const registry = await startRegistry('docker-registry');
    const nginx = await startNginx(registry.host, { clients: true });
    ends.push(registry.stop, nginx.stop);
    const place = { repository: `${nginx.host}/team/app`, elsewhere: `${nginx.host}/mirror/app` };
    const flow = await Flow.make(place, mkdtempSync(join(directory, 'tls-')), runBuilt);
    const [plain, authority, path] = nginx.flags;
    const without = await flow.run(
      'reader',
      'ls',
      '--tags',
      place.repository,
      `${plain}`,
      `${authority}`,
      `${path}`,
    );
    expect([3, 4]).toContain(without.status);
    expect(without.stderr).toMatch(/certificate/);
    const unknown = await flow.run('reader', 'ls', '--tags', place.repository, `${plain}`);
    ended(unknown, 3, '');
    expect(unknown.stderr).toMatch(/certificate/);
    const http = await flow.run('reader', 'ls', '--tags', place.repository, '--plain-http');
    expect([3, 4]).toContain(http.status);
    expect(http.stderr).toMatch(/TLS|https/i);
  });
});
