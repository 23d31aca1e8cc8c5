import { describe, expect, it } from 'vitest';
import { describeCrowd, NOTHING_BROKEN, runCrowd } from './crowd/crowd.ts';
import { havePeers } from './peers.ts';

describe.runIf(havePeers('docker-registry'))('a crowd of signers', () => {
  // Many runs, larger ones, and other registries: make soak.
  it('loses nothing on a registry without compare-and-swap, killed and held up as it is', async () => {
    const options = { kind: 'docker-registry', size: 9, seed: Date.now() % 1_000_000, readers: 1 } as const;
    const report = await runCrowd(options);
    process.stdout.write(describeCrowd(options, report));
    expect(report.broken).toEqual(NOTHING_BROKEN);
  });
});
