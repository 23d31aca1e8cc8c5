import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../servers/registry/client.ts';
import { killRepeatedly } from '../servers/registry/kill.ts';

const ROUNDS = Number(process.env['SOAK_ROUNDS'] ?? 100);

describe('the embedded registry', () => {
  it(`loses nothing in ${ROUNDS} kills`, async () => {
    const acknowledged = await killRepeatedly(await temporaryDirectory(), ROUNDS);
    process.stdout.write(`${ROUNDS} kills, ${acknowledged} blobs and manifests acknowledged, none lost\n`);
    expect(acknowledged).toBeGreaterThan(ROUNDS);
  });
});
