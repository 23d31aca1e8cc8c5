import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { BullaError } from '../../src/errors.ts';
import type { LogFields } from '../../src/servers/log.ts';
import { Metrics } from '../../src/servers/metrics.ts';
import { type Doors, ServiceFrame, started } from '../../src/servers/service.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { codeOf } from '../support/registry/open.ts';
import { certificateForLoopback } from '../support/registry/tls.ts';

const NOW = new Date('2026-01-01T00:00:00Z');

/** A frame whose watch looks at files whenever the test says so. */
async function framed(
  doors: Partial<Doors> = {},
  readAgain: () => Promise<readonly string[] | undefined> = nothing,
) {
  const log: LogFields[] = [];
  let look: () => void = () => undefined;
  const frame = new ServiceFrame({
    clock: {
      now: () => NOW,
      sleep: (_, signal) =>
        new Promise((resolve, reject) => {
          look = resolve;
          signal?.addEventListener('abort', () => reject(signal.reason as Error));
        }),
    },
    log: (line) => log.push(line),
    readAgain,
  });
  onTestFinished(() => frame.stop());
  const metrics = new Metrics('bulla_test', []);
  const listen = { host: '127.0.0.1', port: 0 };
  await frame.open({ listen, hosts: [], metrics, files: [], ...doors });
  return { frame, log, look: () => look() };
}

async function nothing(): Promise<undefined> {}

async function commonName(frame: ServiceFrame): Promise<unknown> {
  const [host, port] = frame.address.split(':') as [string, string];
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return CN;
}

async function certificate(dir: string, name: string): Promise<{ cert: string; key: string }> {
  const { cert, key } = certificateForLoopback(name);
  const paths = { cert: join(dir, 'tls.crt'), key: join(dir, 'tls.key') };
  await writeFile(paths.cert, cert);
  await writeFile(paths.key, key);
  return paths;
}

it('is ready when the service says so, and no more when it is to end', async () => {
  const { frame } = await framed();
  const status = async (): Promise<number> => (await fetch(`${frame.url}/readyz`)).status;
  expect(await status()).toBe(503);
  frame.ready();
  expect(await status()).toBe(200);
  await frame.stop();
  expect(frame.signal.aborted).toBe(true);
  await expect(status()).rejects.toThrow();
});

it('takes a renewed certificate, and keeps the old one where the new one cannot be used', async () => {
  const dir = await temporaryDirectory();
  const { frame, log, look } = await framed({ tls: await certificate(dir, 'first') });
  expect(frame.url).toMatch(/^https:/);
  expect(await commonName(frame)).toBe('first');
  await certificate(dir, 'second');
  look();
  await expect.poll(() => commonName(frame)).toBe('second');
  await writeFile(join(dir, 'tls.crt'), 'not a certificate');
  await frame.reload();
  expect(await commonName(frame)).toBe('second');
  expect(log).toEqual([expect.objectContaining({ event: 'problem', level: 'warning' })]);
});

it('refuses to start without its certificate', async () => {
  const dir = await temporaryDirectory();
  const tls = { cert: join(dir, 'none.crt'), key: join(dir, 'none.key') };
  expect(await codeOf(framed({ tls }))).toBe('not-found');
  const other = await certificate(dir, 'x');
  expect(await codeOf(framed({ tls: { ...other, key: other.cert } }))).toBe('config-invalid');
});

it('reads a file again that changes while it is read', async () => {
  const file = join(await temporaryDirectory(), 'config');
  await writeFile(file, '1');
  let reads = 0;
  const { frame, look } = await framed({ files: [file] }, async () => {
    reads++;
    if (reads === 1) await writeFile(file, 'written while it was read');
    return [file];
  });
  await frame.reload();
  expect(reads).toBe(1);
  look();
  await expect.poll(() => reads).toBe(2);
  look();
  await frame.reload();
  expect(reads).toBe(3);
});

it('takes what is posted up to its bound, and names its route in the metrics', async () => {
  const echo = {
    route: 'echo',
    maxBytes: 8,
    answer: (body: Uint8Array) => ({ status: 200, text: Buffer.from(body).toString() }),
  };
  const { frame } = await framed({ posts: new Map([['/echo', echo]]) });
  const post = async (body: string): Promise<[number, string]> => {
    const response = await fetch(`${frame.url}/echo`, { method: 'POST', body });
    return [response.status, await response.text()];
  };
  expect(await post('12345678')).toEqual([200, '12345678']);
  expect((await post('123456789'))[0]).toBe(413);
  expect((await fetch(`${frame.url}/echo`)).status).toBe(405);
  const metrics = await (await fetch(`${frame.url}/metrics`)).text();
  expect(metrics).toContain('bulla_test_requests_total{method="POST",route="echo",status="413"} 1');
});

it('ends a service that cannot be opened', async () => {
  let closed = 0;
  const service = {
    open: async () => Promise.reject(new BullaError('usage', 'no', { hint: 'none' })),
    close: async () => void closed++,
  };
  expect(await codeOf(started(service))).toBe('usage');
  expect(closed).toBe(1);
});
