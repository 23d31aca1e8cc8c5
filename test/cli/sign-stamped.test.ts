import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { formatPem } from '../../src/crypto/pem.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { bulla, type CliResult } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';
import { SigstoreServer } from '../support/sigstore/server.ts';

const NOW = new Date('2026-11-30T12:00:00Z');
const LATER = new Date('2027-11-30T12:00:00Z');

let registry: FaultyRegistry;
let services: SigstoreServer;
let home: string;

beforeAll(async () => {
  registry = await startRegistry();
  services = await SigstoreServer.start(NOW);
  home = await mkdtemp(join(tmpdir(), 'bulla-stamped-'));
  const { tsaCertificate, rootCertificate } = services.instance;
  const pem = [tsaCertificate, rootCertificate].map((der) => formatPem('CERTIFICATE', der)).join('');
  await writeFile(join(home, 'tsa.pem'), pem);
  await writeFile(
    join(home, 'other.pem'),
    formatPem('CERTIFICATE', services.instance.intermediateCertificate),
  );
});
afterAll(() => services.stop());

const run = async (args: readonly string[], now = NOW): Promise<CliResult> =>
  await bulla(args, {
    now,
    cwd: home,
    env: { BULLA_HOME: home, BULLA_PASSPHRASE: 'x', BULLA_PLAIN_HTTP: '1' },
  });
let isReady = false;
/** The key and its certificate: a command cannot run before the first test. */
async function makeKey(): Promise<void> {
  if (isReady) return;
  isReady = true;
  for (const args of [
    ['key', 'generate', 'release'],
    [
      'key',
      'cert',
      'release',
      '--self-signed',
      '--subject',
      'C=DE, ST=Berlin, O=Acme, CN=release',
      '--days',
      '30',
    ],
    ['key', 'export', 'release', '--cert', '--out', 'release.crt'],
  ])
    expect((await run(args)).code).toBe(0);
}
const image = async (name: string): Promise<string> => {
  await makeKey();
  const reference = `${registry.host}/${name}`;
  await pushImage(openRepository(parseReference(reference) as RegistryReference), name, 'v1');
  return `${reference}:v1`;
};
const stamped = (): readonly string[] => [
  '--timestamp-url',
  `${services.url}/tsa`,
  '--timestamp-authority',
  'tsa.pem',
];
const by = ['--ca', 'release.crt', '--certificate-identity', '*', '--no-name'];

it.each(['jws', 'cose'])('has a %s countersigned, so that it outlives its certificate', async (format) => {
  const name = await image(`stamped-${format}`);
  const sign = ['sign', name, '--no-name', '--key', 'release', '--signature-format', format];
  expect(await run([...sign, ...stamped()])).toMatchObject({ code: 0 });
  expect(await run(['verify', name, ...by])).toMatchObject({ code: 0 });
  expect(await run(['verify', name, ...by], LATER)).toMatchObject({ code: 13 });
  const authority = ['--timestamp-authority', 'tsa.pem'];
  expect(await run(['verify', name, ...by, ...authority], LATER)).toMatchObject({ code: 0 });
  expect(await run(['verify', name, ...by, '--timestamp-authority', 'other.pem'], LATER)).toMatchObject({
    code: 13,
  });
  // Signed in this way already; a signature without a stamp is another one.
  expect((await run([...sign, ...stamped()])).stderr).toContain('already');
});

it('signs again where the signature that is there has no stamp', async () => {
  const name = await image('unstamped');
  const sign = ['sign', name, '--no-name', '--key', 'release'];
  await run(sign);
  expect((await run([...sign, ...stamped()])).stderr).not.toContain('already');
});

it.each<[string, (server: SigstoreServer) => void, number]>([
  ['refuses', ({ faults }) => faults.set('/tsa', { status: 500 }), 3],
  ['answers with something else', (server) => (server.alter = () => new Uint8Array([1, 2, 3])), 40],
  [
    'stamps something else',
    (server) =>
      (server.alter = (_, body) => body.map((byte, at) => (at === body.byteLength - 3 ? byte ^ 1 : byte))),
    12,
  ],
])(
  'stores nothing where the authority %s',
  async (what, fault, code) => {
    const name = await image(`refused-${what.replace(/\W/g, '')}`);
    const alter = services.alter;
    fault(services);
    const { code: found } = await run(['sign', name, '--no-name', '--key', 'release', ...stamped()]);
    services.faults.clear();
    services.alter = alter;
    expect(found).toBe(code);
    expect(await run(['verify', name, ...by])).toMatchObject({ code: 10 });
  },
  120_000,
);

it.each([
  [['--timestamp-url', 'http://127.0.0.1:1/']],
  [['--timestamp-authority', 'tsa.pem']],
  [['--timestamp-url', 'ftp://x', '--timestamp-authority', 'tsa.pem']],
  [
    [
      ...['--timestamp-url', 'http://127.0.0.1:1/', '--timestamp-authority', 'tsa.pem'],
      '--signature-format',
      'bundle',
    ],
  ],
])('refuses %j', async (flags) => {
  expect(await run(['sign', `${registry.host}/none:v1`, '--key', 'release', ...flags])).toMatchObject({
    code: 2,
  });
});
