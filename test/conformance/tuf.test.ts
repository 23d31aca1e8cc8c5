import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ok, peer, run } from '../interop/peers.ts';

/** What the suite needs, at the versions that its requirements name. */
const PACKAGES = [
  'securesystemslib[crypto]==1.4.0',
  'tuf==7.0.0',
  'pytest==9.2.0',
  'pytest-json-report==1.5.0',
];
const TESTS = 113;

const root = new URL('../..', import.meta.url).pathname;
const directory = mkdtempSync(join(tmpdir(), 'bulla-tuf-conformance-'));
const client = join(directory, 'client');

/** A Python that has the packages; made once and kept. */
async function python(): Promise<string> {
  const venv = join(root, '.cache/tuf-conformance');
  const made = join(venv, 'packages.txt');
  const wanted = PACKAGES.join('\n');
  if (!existsSync(made) || readFileSync(made, 'utf8') !== wanted) {
    await ok(peer('python'), ['-m', 'venv', '--clear', venv]);
    await ok(join(venv, 'bin/pip'), ['install', '--quiet', '--no-input', ...PACKAGES], { timeout: 300_000 });
    writeFileSync(made, wanted);
  }
  return join(venv, 'bin/python');
}

/** The suite starts the client about 450 times, so it is bundled first. */
async function buildClient(): Promise<void> {
  const bundle = join(directory, 'client.mjs');
  await build({
    entryPoints: [new URL('tuf-client.ts', import.meta.url).pathname],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
  });
  writeFileSync(client, `#!/bin/sh\nexec "${process.execPath}" "${bundle}" "$@"\n`);
  chmodSync(client, 0o755);
}

describe('theupdateframework/tuf-conformance', () => {
  let interpreter = '';
  beforeAll(async () => {
    peer('faketime');
    interpreter = await python();
    await buildClient();
  }, 600_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it(`passes all ${TESTS}, and expects none to fail`, async () => {
    const checkout = resolve(process.env['TUF_CONFORMANCE'] ?? '');
    const report = join(directory, 'junit.xml');
    const outcome = await run(
      interpreter,
      [
        '-m',
        'pytest',
        '-q',
        '-p',
        'no:cacheprovider',
        'tuf_conformance',
        '--entrypoint',
        client,
        '--junitxml',
        report,
      ],
      { cwd: checkout, env: { PYTHONDONTWRITEBYTECODE: '1' }, timeout: 880_000 },
    );
    const counts =
      /<testsuite [^>]*>/.exec(existsSync(report) ? readFileSync(report, 'utf8') : '')?.[0] ?? '';
    const attribute = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(counts)?.[1]);
    expect(outcome.status, outcome.stdout.slice(-8000) + outcome.stderr.slice(-2000)).toBe(0);
    process.stdout.write(`tuf-conformance: ${attribute('tests')} passed\n`);
    expect({
      failures: attribute('failures'),
      errors: attribute('errors'),
      skipped: attribute('skipped'),
    }).toEqual({ failures: 0, errors: 0, skipped: 0 });
    expect(attribute('tests')).toBeGreaterThanOrEqual(TESTS);
  });
});
