import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isBullaError } from '../../src/errors.ts';
import { HttpPool } from '../../src/http/pool.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pem, selfSignedCertificate } from '../support/self-signed.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const keys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const KEYS = keys();
const CA = keys();
const now = Date.now();
const NOW: readonly [number, number] = [now - HOUR, now + DAY];
const PAST: readonly [number, number] = [now - 9 * DAY, now - DAY];
const FUTURE: readonly [number, number] = [now + DAY, now + 9 * DAY];
const issuer = { name: 'an authority', privateKey: CA.privateKey };
const own = (validity: readonly [number, number]) =>
  pem('CERTIFICATE', selfSignedCertificate('server', KEYS, { loopbackServer: true, validity }));
const issued = (validity: readonly [number, number]) =>
  pem('CERTIFICATE', selfSignedCertificate('server', KEYS, { loopbackServer: true, validity, issuer }));
const authority = (validity: readonly [number, number]) =>
  pem('CERTIFICATE', selfSignedCertificate('an authority', CA, { validity }));

/** A server with this certificate. @returns `HOST:PORT` */
async function serve(cert: string, host = '127.0.0.1'): Promise<string> {
  const server = createServer(
    { cert, key: KEYS.privateKey.export({ format: 'pem', type: 'pkcs8' }) },
    (_, response) => response.end(),
  );
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `${host}:${(server.address() as { port: number }).port}`;
}

/** The hint that a client gets of it, trusting these CAs. */
async function hintOf(server: string, ca: string | undefined): Promise<string> {
  const pool = new HttpPool({ tls: { ca } });
  onTestFinished(() => pool.close());
  const error = await pool
    .send({ method: 'GET', url: new URL(`https://${server}/`) } as never)
    .catch((failure: unknown) => failure);
  if (!isBullaError(error, 'registry-unreachable')) throw new Error(`no failure of TLS: ${String(error)}`);
  return error.hint ?? '';
}

const SELF = own(NOW);
const UNTRUSTED = /not trusted here: give its CA with --ca-file/;
const OTHER_NAMES = /for other names than the one given/;
const OUT_OF_DATE = /or that of its CA, has expired: have it renewed/;

describe('the hint about a certificate', () => {
  it.each([
    ['of an unknown CA', issued(NOW), undefined, UNTRUSTED],
    ['of another CA', issued(NOW), own(NOW), UNTRUSTED],
    ['that is its own CA', own(NOW), undefined, UNTRUSTED],
    ['that has expired, of a known CA', issued(PAST), authority(NOW), OUT_OF_DATE],
    ['that has expired, and is trusted itself', own(PAST), own(PAST), OUT_OF_DATE],
    ['that has expired, of an unknown CA', issued(PAST), undefined, OUT_OF_DATE],
    ['that has expired, and is its own CA', own(PAST), undefined, OUT_OF_DATE],
    ['that is not valid yet', issued(FUTURE), authority(NOW), /not valid yet.*clock/],
    [
      'whose CA may not issue',
      issued(NOW),
      authority(NOW),
      /not made for servers, or that of its CA not for issuing/,
    ],
    ['whose CA has expired', issued(NOW), authority(PAST), OUT_OF_DATE],
  ])('%s', async (_, cert, ca, hint) => {
    expect(await hintOf(await serve(cert), ca)).toMatch(hint);
  });

  it('for another host', async () => {
    expect(await hintOf(await serve(SELF, '127.0.0.2'), SELF)).toMatch(OTHER_NAMES);
  });

  it.each([
    ['expired', issued(PAST), authority(NOW), OUT_OF_DATE, '127.0.0.1'],
    ['of an unknown CA', issued(NOW), own(NOW), UNTRUSTED, '127.0.0.1'],
    ['for another host', SELF, SELF, OTHER_NAMES, '127.0.0.2'],
  ])('is what the command prints: %s', async (_, cert, ca, hint, host) => {
    const server = await serve(cert, host);
    const caFile = join(await temporaryDirectory(), 'ca.pem');
    await writeFile(caFile, ca);
    for (const command of [
      ['ls', `${server}/app`],
      ['verify', `${server}/app:v1`, '--tofu'],
    ]) {
      const { code, stderr } = await bulla([...command, '--plain-http=false', '--ca-file', caFile]);
      expect(code).toBe(3);
      expect(stderr).toMatch(hint);
    }
  });
});
