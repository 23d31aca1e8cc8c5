import { afterAll, describe, expect, it } from 'vitest';
import { describeCrowd, NOTHING_BROKEN, runCrowd } from '../interop/crowd/crowd.ts';
import { havePeers } from '../interop/peers.ts';
import type { RegistryKind } from '../interop/registries.ts';

/** Of each size on docker-registry; a quarter of that on the others. */
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

  const crowd = async (size: number, seed: number, isStaged = false): Promise<void> => {
    const options = { kind, size, seed, readers: 2, isStaged };
    const report = await runCrowd(options);
    process.stdout.write(describeCrowd(options, report));
    done += 1;
    if (report.buried.length > 0) withFold += 1;
    expect(report.broken).toEqual(NOTHING_BROKEN);
  };
  const count = kind === 'docker-registry' ? RUNS : Math.ceil(RUNS / 4);
  const runs = SIZES.flatMap((size, at) =>
    Array.from({ length: count }, (_, run) => ({ size, seed: SEED + at * count + run })),
  );
  it.each(runs)('$size processes, seed $seed', ({ size, seed }) => crowd(size, seed));

  // Each waits until the re-signer has taken up its change, and most of them change theirs for it.
  const staged = Array.from({ length: Math.ceil(count / 5) }, (_, run) => SEED + run);
  it.each(staged)('12 processes without the online key, seed %i', (seed) => crowd(12, seed, true));
});
