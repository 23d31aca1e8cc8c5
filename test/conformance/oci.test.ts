import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { havePeers, peer, run } from '../interop/peers.ts';
import { type Registry, startRegistry } from '../interop/registries.ts';

/** What the suite of the OCI distribution specification counted. */
interface Counts {
  readonly checks: number;
  readonly failures: number;
  readonly errors: number;
  readonly skipped: number;
}

describe.runIf(havePeers('oci-conformance'))('the OCI conformance suite on the embedded registry', () => {
  let registry: Registry;
  const results = mkdtempSync(join(tmpdir(), 'bulla-conformance-'));
  beforeAll(async () => {
    registry = await startRegistry('embedded');
  });
  afterAll(async () => {
    await registry?.stop();
    rmSync(results, { recursive: true, force: true });
  });

  it.each([
    { version: '1.1', env: {}, atLeast: 862 },
    { version: 'dev', env: { OCI_VERSION: 'dev' }, atLeast: 982 },
  ])('passes and skips nothing: $version', async ({ version, env, atLeast }) => {
    const directory = join(results, version);
    const outcome = await run(peer('oci-conformance'), [], {
      env: { OCI_REGISTRY: registry.host, OCI_TLS: 'disabled', OCI_RESULTS_DIR: directory, ...env },
      timeout: 600_000,
    });
    const counts = read(join(directory, 'junit.xml'));
    process.stdout.write(`OCI ${version}: ${JSON.stringify(counts)}\n`);
    const unfit = outcome.stdout.split('\n').filter((line) => /: (FAIL|Fail|Error|Skip)$/.test(line));
    expect(unfit, outcome.stdout.slice(-4000)).toEqual([]);
    expect(counts).toMatchObject({ failures: 0, errors: 0, skipped: 0 });
    expect(counts.checks).toBeGreaterThanOrEqual(atLeast);
    expect(outcome.status).toBe(0);
  });
});

function read(file: string): Counts {
  const suite = /<testsuite [^>]*>/.exec(readFileSync(file, 'utf8'))?.[0] ?? '';
  // The suite leaves out attributes that are zero.
  const attribute = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  return {
    checks: attribute('tests'),
    failures: attribute('failures'),
    errors: attribute('errors'),
    skipped: attribute('skipped'),
  };
}
