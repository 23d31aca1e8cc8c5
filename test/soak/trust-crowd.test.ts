import { afterAll, describe, expect, it } from 'vitest';
import { describeCrowd, NOTHING_BROKEN, runCrowd } from '../interop/crowd/crowd.ts';
import { havePeers } from '../interop/peers.ts';
import type { RegistryKind } from '../interop/registries.ts';

const RUNS = Number(process.env['CROWD_RUNS'] ?? 20);
const SIZES = (process.env['CROWD_SIZE'] ?? '16,64').split(',').map(Number);
const SEED = Number(process.env['CROWD_SEED'] ?? Date.now() % 1_000_000);
const KINDS = (process.env['CROWD_REGISTRIES'] ?? 'docker-registry,registry3,olareg,embedded').split(
  ',',
) as RegistryKind[];

const have = havePeers('docker-registry', 'registry3', 'olareg');

describe.runIf(have).each(KINDS)('signers that crowd on %s', (kind) => {
  let withFold = 0;
  let done = 0;
  afterAll(() => {
    process.stdout.write(`${kind}: ${withFold} of ${done} runs needed one more fold\n`);
  });

  const runs = SIZES.flatMap((size, at) =>
    Array.from({ length: RUNS }, (_, run) => ({ size, seed: SEED + at * RUNS + run })),
  );
  it.each(runs)('$size processes, seed $seed', async ({ size, seed }) => {
    const options = { kind, size, seed, readers: 2 };
    const report = await runCrowd(options);
    process.stdout.write(describeCrowd(options, report));
    done += 1;
    if (report.buried.length > 0) withFold += 1;
    expect(report.broken).toEqual(NOTHING_BROKEN);
  });
});
