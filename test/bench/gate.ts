import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signImage } from '../../src/actions/sign/signature.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { openRepository } from '../../src/registry/client.ts';
import { podOf, review } from '../actions/gate/reviews.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { startDelayProxy } from '../support/delay-proxy.ts';
import { type Server, startServer } from '../support/process.ts';
import { pem, selfSignedCertificate } from '../support/self-signed.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { type Bench, figure } from './report.ts';

const BULLA = new URL('../../dist/bulla.js', import.meta.url).pathname;
const IMAGES = 50;
const ROUND_TRIP_MS = 5;
const MIB = 1024 * 1024;

/** What the gate of a cluster carries: reviews of three images each, out of fifty, in a registry that is 5 ms away. */
export const bench: Bench = async ({ size }) => {
  const count = size === 'full' ? 1_000 : 300;
  const dir = mkdtempSync(join(tmpdir(), 'bulla-gate-bench-'));
  const env = { ...process.env, BULLA_HOME: dir, BULLA_PLAIN_HTTP: '1' };
  const registry = await startServer({
    file: process.execPath,
    args: () => [
      BULLA,
      'serve',
      'registry',
      '--dir',
      join(dir, 'registry'),
      '--port',
      '0',
      '--no-access-log',
    ],
    env,
    announces: /http:\/\/127\.0\.0\.1:([0-9]+)/,
  });
  const proxy = await startDelayProxy(registry.host, ROUND_TRIP_MS);
  let gate: Server | undefined;
  try {
    await fill(registry.host);
    prepare(dir, proxy.host);
    gate = await startServer({
      file: process.execPath,
      args: () => [
        ...[
          BULLA,
          'serve',
          'gate',
          '--policy',
          join(dir, 'policy.yaml'),
          '--audit-log',
          join(dir, 'decisions.log'),
        ],
        ...['--tls-cert', join(dir, 'tls.crt'), '--tls-key', join(dir, 'tls.key')],
        ...['--listen', '127.0.0.1:0', '--plain-listen', '127.0.0.1:0'],
      ],
      env,
      announces: /the gate on https:\/\/127\.0\.0\.1:([0-9]+)/,
    });
    const load = { host: gate.host, ca: readFileSync(join(dir, 'tls.crt'), 'utf8'), registry: proxy.host };
    const cold = await run(load, count, 8);
    const calm = await run(load, count, 8);
    const hurried = await run(load, size === 'full' ? 5_000 : 1_000, 32);
    const before = residentMemory(gate.pid);
    for (let round = 0; round < (size === 'full' ? 5 : 1); round++) await run(load, count * 2, 32);
    const after = residentMemory(gate.pid);
    return [
      {
        title: `The gate: ${count} reviews of 3 images, ${IMAGES} different ones, a registry ${ROUND_TRIP_MS} ms away`,
        columns: ['', 'p50 ms', 'p99 ms', 'reviews/s'],
        rows: [
          ['after its start, 8 at a time', ...figuresOf(cold)],
          ['from memory, 8 at a time', ...figuresOf(calm)],
          ['from memory, 32 at a time', ...figuresOf(hurried)],
        ],
        goals: [
          { what: 'p99 from memory, ms', measured: quantile(calm.times, 0.99), atMost: 20 },
          { what: 'p99 after the start, ms', measured: quantile(cold.times, 0.99), atMost: 400 },
          {
            what: 'ms for a review from memory at the highest rate (2.5: 400/s)',
            measured: 1_000 / hurried.perSecond,
            atMost: 2.5,
          },
          { what: 'memory, MiB', measured: after / MIB, atMost: 200 },
        ],
        notes: [
          `Memory ${figure(before / MIB)} MiB, and ${figure(after / MIB)} MiB after more reviews from memory.`,
        ],
      },
    ];
  } finally {
    await gate?.stop();
    await proxy.stop();
    await registry.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};

interface Load {
  readonly host: string;
  readonly ca: string;
  readonly registry: string;
}

interface Run {
  readonly times: readonly number[];
  readonly perSecond: number;
}

async function fill(registry: string): Promise<void> {
  const signer = createSigner(poolKey(8).privateKey, algorithm('ES256'));
  for (let at = 0; at < IMAGES; at++) {
    const target = openRepository({ registry, repository: `team/app${at}` });
    await pushImage(target, `app ${at}`, 'v1');
    await signImage(
      target,
      { tag: tagOf('v1') },
      { name: `app${at}`, signer, now: new Date(), agent: 'bulla/bench' },
    );
    await target.close();
  }
}

function prepare(dir: string, registry: string): void {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(
    join(dir, 'tls.crt'),
    pem('CERTIFICATE', selfSignedCertificate('gate', keys, { loopbackServer: true })),
  );
  writeFileSync(join(dir, 'tls.key'), keys.privateKey.export({ format: 'pem', type: 'pkcs8' }), {
    mode: 0o600,
  });
  writeFileSync(join(dir, 'key.pub'), publicKeyPem(publicKeyOf(poolKey(8).privateKey)));
  const rule = `{ scope: "${registry}/team/*", signatures: [{ keys: [key.pub] }] }`;
  writeFileSync(join(dir, 'policy.yaml'), `version: 1\nrules: [${rule}]\n`);
}

/** Sends reviews, some at a time, over connections that stay open as those of an API server do. */
async function run({ host, ca, registry }: Load, count: number, atATime: number): Promise<Run> {
  const agent = new Agent({ keepAlive: true, maxSockets: atATime, ca });
  const times: number[] = [];
  let next = 0;
  const began = performance.now();
  const worker = async (): Promise<void> => {
    while (next < count) {
      const at = next++;
      const images = [at, at * 7 + 1, at * 13 + 2].map((one) => `${registry}/team/app${one % IMAGES}:v1`);
      const started = performance.now();
      await mutate(host, agent, review({ uid: `u${at}`, object: podOf(...images) }));
      times.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  const seconds = (performance.now() - began) / 1_000;
  agent.destroy();
  return { times, perSecond: count / seconds };
}

function mutate(host: string, agent: Agent, body: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.byteLength };
    const sent = request(`https://${host}/mutate`, { method: 'POST', agent, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => (text.includes('"allowed":true') ? resolve() : reject(new Error(text))));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

function figuresOf({ times, perSecond }: Run): readonly [string, string, string] {
  return [figure(quantile(times, 0.5)), figure(quantile(times, 0.99)), figure(perSecond)];
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** In bytes. */
function residentMemory(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}
