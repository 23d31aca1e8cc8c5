import type { KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { listen } from '../support/listen.ts';
import { ok } from './peers.ts';

/** A time-stamp authority that listens. */
export interface TimeStampServer {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * openssl behind HTTP: Sigstore's own server for it always listens on port 2112 of all addresses, for metrics.
 * @param chain certificates in PEM, that of the key first
 */
export async function startTimeStamps(
  directory: string,
  key: KeyObject,
  [certificate = '', ...issuers]: readonly string[],
): Promise<TimeStampServer> {
  const write = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const keyFile = write('tsa.key', key.export({ type: 'pkcs8', format: 'pem' }) as string);
  const settings = [
    ...['[tsa]', 'default_tsa = one', '[one]', `serial = ${write('tsa.serial', '01')}`],
    ...[`signer_cert = ${write('tsa.crt', certificate)}`, `signer_key = ${keyFile}`],
    ...[`certs = ${write('issuers.crt', issuers.join(''))}`, 'signer_digest = sha256'],
    ...['digests = sha256, sha384, sha512', 'default_policy = 1.2.3.4', 'ess_cert_id_alg = sha256'],
  ];
  const config = write('tsa.conf', `${settings.join('\n')}\n`);
  let count = 0;
  // One at a time: the number of the last stamp is in a file.
  let last: Promise<unknown> = Promise.resolve();
  const server = createServer(async (request, response) => {
    const query = join(directory, `${++count}.tsq`);
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    writeFileSync(query, Buffer.concat(pieces));
    const answer = `${query}.tsr`;
    last = last.then(() =>
      ok('openssl', ['ts', '-reply', '-config', config, '-queryfile', query, '-out', answer]),
    );
    await last;
    // Sigstore's says 201, and RFC 3161 nothing; notation wants 200.
    response.writeHead(200, { 'content-type': 'application/timestamp-reply' });
    response.end(readFileSync(answer));
  });
  const { host, stop } = await listen(server);
  return { url: `http://${host}/api/v1/timestamp`, stop };
}
