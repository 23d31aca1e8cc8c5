import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import type { Certificate } from '../../src/crypto/certificate.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { bulla, type CliResult } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';
import { hoursFromNow, makeList, makeResponse, NOW, statusAuthority } from '../support/revocation.ts';
import { type StatusAnswer, StatusServer } from '../support/status-server.ts';

let registry: FaultyRegistry;
let server: StatusServer;
let home: string;
type Authority = ReturnType<typeof statusAuthority>;

beforeAll(async () => {
  [registry, server] = [await startRegistry(), await StatusServer.start()];
  home = await mkdtemp(join(tmpdir(), 'bulla-revocation-'));
});
afterAll(async () => {
  await Promise.all([registry.close(), server.stop()]);
  await rm(home, { recursive: true });
});

const pemOf = ({ x509 }: Certificate): string => x509.toString();
let images = 0;

interface Case {
  /** What the signer's own responder and list answer. */
  readonly ocsp?: (authority: Authority) => StatusAnswer;
  readonly crl?: (authority: Authority) => StatusAnswer;
  /** The member of the policy. */
  readonly revocation: string;
  readonly mode?: string;
  readonly flags?: readonly string[];
  readonly command?: readonly string[];
}

/** Signs an image, and verifies it under a policy. */
async function verify(one: Case): Promise<CliResult> {
  const { revocation, mode = 'enforce', flags = [], command = ['verify'] } = one;
  const at = `/${++images}`;
  const authority = statusAuthority({
    ...(one.ocsp !== undefined && { ocsp: [`${server.url}${at}/ocsp`] }),
    ...(one.crl !== undefined && { crls: [[`${server.url}${at}/crl`]] }),
  });
  const { leaf, root, chain } = authority;
  if (one.ocsp !== undefined) server.answers.set(`${at}/ocsp`, one.ocsp(authority));
  if (one.crl !== undefined) server.answers.set(`${at}/crl`, one.crl(authority));
  const name = `${registry.host}/revocation/${images}`;
  const target = openRepository(parseReference(name) as RegistryReference);
  await pushImage(target, 'v1', 'v1');
  await signImage(
    target,
    { tag: tagOf('v1') },
    { name, signer: leaf.signer, chain, now: NOW, agent: 'bulla/test' },
  );
  await target.close();
  const policy = {
    version: 1,
    mode,
    rules: [{ scope: name, signatures: [{ authorities: [pemOf(root.certificate)] }] }],
  };
  const file = join(home, `${images}.yaml`);
  const text = JSON.stringify(policy).replace('"authorities"', `"revocation": ${revocation}, "authorities"`);
  await writeFile(file, text);
  const [verb = '', ...words] = command;
  return await bulla([verb, ...words, `${name}:v1`, '--policy', file, ...flags], {
    now: NOW,
    env: { BULLA_HOME: join(home, `home-${images}`), BULLA_PLAIN_HTTP: '1' },
  });
}

const allowed = (mode: string): string => JSON.stringify({ mode, privateHosts: ['127.0.0.1'] });
const good = ({ leaf, root }: Authority): StatusAnswer =>
  makeResponse({ about: leaf.certificate, issuer: root });
const revoked = ({ leaf, root }: Authority): StatusAnswer =>
  makeResponse({ about: leaf.certificate, issuer: root, status: { revokedAt: hoursFromNow(-5), reason: 1 } });
const listed = ({ leaf, root }: Authority): StatusAnswer =>
  makeList({ by: root, entries: [{ certificate: leaf.certificate }] });
const unknown = ({ leaf, root }: Authority): StatusAnswer =>
  makeResponse({ about: leaf.certificate, issuer: root, status: 'unknown' });
const down = (): StatusAnswer => 'reset';

describe('revocation in a policy', () => {
  it.each<[string, Case, number, string?]>([
    ['enforce, good', { revocation: allowed('enforce'), ocsp: good }, 0],
    [
      'enforce, good by CRL',
      { revocation: allowed('enforce'), crl: ({ root }) => makeList({ by: root }) },
      0,
    ],
    ['enforce, cannot be revoked', { revocation: '"enforce"' }, 0],
    ['enforce, revoked', { revocation: allowed('enforce'), ocsp: revoked }, 13, 'revoked'],
    ['enforce, revoked by CRL', { revocation: allowed('enforce'), crl: listed }, 13, 'revoked'],
    [
      'enforce, unknown to the responder',
      { revocation: allowed('enforce'), ocsp: unknown },
      13,
      'certificate-invalid',
    ],
    [
      'enforce, no answer',
      { revocation: allowed('enforce'), ocsp: down, crl: down },
      3,
      'registry-unreachable',
    ],
    [
      'enforce, a page',
      { revocation: allowed('enforce'), ocsp: () => Buffer.from('<html>') },
      3,
      'registry-error',
    ],
    [
      'enforce, throttled',
      { revocation: allowed('enforce'), ocsp: () => ({ status: 429 }) },
      3,
      'registry-throttled',
    ],
    ['enforce, a private address', { revocation: '"enforce"', ocsp: good }, 4, 'forbidden'],
    [
      'enforce in a policy that audits, revoked',
      { mode: 'audit', revocation: allowed('enforce'), ocsp: revoked },
      0,
    ],
    [
      'enforce in a policy that audits, down',
      { mode: 'audit', revocation: allowed('enforce'), ocsp: down },
      3,
      'registry-unreachable',
    ],
    ['soft, revoked', { revocation: allowed('soft'), ocsp: revoked }, 13, 'revoked'],
    ['soft, down', { revocation: allowed('soft'), ocsp: down }, 0],
    ['soft, unknown', { revocation: allowed('soft'), ocsp: unknown }, 0],
    ['log, revoked', { revocation: allowed('log'), ocsp: revoked }, 0],
    ['log, down', { revocation: allowed('log'), ocsp: down }, 0],
    ['a mode that does not exist', { revocation: '"hard"' }, 2, 'policy-invalid'],
    ['a member that does not exist', { revocation: '{"mode": "log", "hosts": []}' }, 2, 'policy-invalid'],
  ])('%s', async (_, one, exit, code) => {
    const { code: status, stdout, stderr } = await verify({ ...one, flags: ['-o', 'json'] });
    expect([status, JSON.parse(stdout).code], stderr).toEqual([exit, code]);
  });

  it('says what the authorities say', async () => {
    const { stdout, stderr } = await verify({
      revocation: allowed('log'),
      ocsp: revoked,
      flags: ['-o', 'json'],
    });
    const [{ revocation }] = JSON.parse(stdout).signatures;
    expect(revocation).toEqual([{ subject: 'C=DE, ST=Berlin, O=Acme, CN=release', status: 'revoked' }]);
    expect(stderr).toContain('was revoked at 2026-07-01T07:00:00Z (key compromise)');
  });

  it('is explained', async () => {
    const { code, stderr } = await verify({
      revocation: allowed('enforce'),
      ocsp: good,
      command: ['policy', 'explain'],
    });
    expect(code).toBe(0);
    expect(stderr).toContain('revocation: the status of each certificate must be known, and good');
  });

  it('is for certificates', async () => {
    const file = join(home, 'keys.yaml');
    await writeFile(
      file,
      `{version: 1, rules: [{scope: '*', signatures: [{keys: [k.pub], revocation: soft}]}]}`,
    );
    await writeFile(
      join(home, 'k.pub'),
      statusAuthority().leaf.certificate.publicKey.keyObject.export({ type: 'spki', format: 'pem' }),
    );
    const result = await bulla(['policy', 'check', file], { now: NOW, env: { BULLA_HOME: home } });
    expect(result.code).toBe(2);
  });
});
