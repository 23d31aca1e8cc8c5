import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRepository } from '../../src/registry/client.ts';
import { pushImage } from '../support/content.ts';
import { startDelayProxy } from '../support/delay-proxy.ts';
import { bulla, havePeers } from './peers.ts';
import { type Registry, startRegistry } from './registries.ts';

const SIZE = 16;
/** Each run is another image; more of them find what happens rarely. */
const RUNS = Number(process.env['SIGNING_CROWD_RUNS'] ?? 1);

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'bulla-crowd-'));
  for (let at = 0; at < SIZE; at++) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(join(home, `${at}.pem`), pem, { mode: 0o600 });
  }
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

describe.runIf(havePeers('docker-registry'))('sixteen processes that sign one image at once', () => {
  let registry: Registry;
  beforeAll(async () => {
    registry = await startRegistry('docker-registry');
  });
  afterAll(() => registry?.stop());

  it.each([0, 100])(
    'all find their signatures listed, at a round trip of %i ms',
    async (roundTrip) => {
      const proxy = await startDelayProxy(registry.host, roundTrip);
      try {
        for (let run = 0; run < RUNS; run++) {
          const repository = `crowd/${roundTrip}-${run}`;
          const reader = openRepository({ registry: registry.host, repository });
          const { descriptor } = await pushImage(reader, `popular ${run}`, 'v1');
          const outcomes = await Promise.all(
            Array.from({ length: SIZE }, async (_, at) => {
              const env = { BULLA_HOME: join(home, `home-${at}`), HOME: home };
              return await bulla(
                [
                  'sign',
                  '-o',
                  'json',
                  `${proxy.host}/${repository}:v1`,
                  '--no-name',
                  '--key',
                  join(home, `${at}.pem`),
                ],
                { env },
              );
            }),
          );
          expect(outcomes.filter(({ status }) => status !== 0).map(({ stdout }) => stdout)).toEqual([]);
          const signed = outcomes.map(
            ({ stdout }) =>
              (JSON.parse(stdout) as { signatures: [{ signature: string }] }).signatures[0].signature,
          );
          const listed = (await reader.listReferrers(descriptor.digest)).map(({ digest }) => digest);
          expect([...listed].sort(), `run ${run}`).toEqual([...signed].sort());
          await reader.close();
        }
      } finally {
        await proxy.stop();
      }
    },
    120_000 * RUNS,
  );
});
