import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { bulla, type CliResult, temporaryDirectory } from './cli.ts';
import { pushImage, tagOf } from './content.ts';
import { pem, selfSignedCertificate } from './self-signed.ts';
import { poolKey } from './tuf/keys.ts';

/** A gate that runs in this process, with a policy that trusts one key for everything in one registry. */
export interface TestGate {
  readonly cwd: string;
  readonly url: string;
  readonly plainUrl: string;
  /** Lines of its log so far. */
  readonly log: () => readonly Record<string, unknown>[];
  readonly end: () => Promise<CliResult>;
}

export interface HookAnswer {
  readonly status: number;
  readonly text: string;
  readonly response: Record<string, unknown>;
}

/** Pushes images, and signs those of `signed`. @returns their digests by tag */
export async function pushImages(
  repository: string,
  tags: readonly string[],
  signed: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const target = openRepository(parseReference(repository) as RegistryReference);
  const digests = new Map<string, string>();
  for (const tag of tags) {
    const { descriptor } = await pushImage(target, `${repository} ${tag}`, tag);
    digests.set(tag, descriptor.digest);
    if (!signed.includes(tag)) continue;
    const signer = createSigner(poolKey(8).privateKey, algorithm('ES256'));
    await signImage(target, { tag: tagOf(tag) }, { name: tag, signer, now: new Date(), agent: 'bulla/test' });
  }
  return digests;
}

/** A directory with a certificate, the trusted key and a policy. */
export async function gatePlace(policy: string): Promise<string> {
  const cwd = await temporaryDirectory();
  await writeCertificate(cwd);
  await writeFile(join(cwd, 'key.pub'), publicKeyPem(publicKeyOf(poolKey(8).privateKey)));
  await writeFile(join(cwd, 'policy.yaml'), policy);
  return cwd;
}

/** @returns PEM of the certificate */
export async function writeCertificate(cwd: string): Promise<string> {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const cert = pem('CERTIFICATE', selfSignedCertificate('gate', keys, { loopbackServer: true }));
  await writeFile(join(cwd, 'tls.key'), keys.privateKey.export({ format: 'pem', type: 'pkcs8' }), {
    mode: 0o600,
  });
  await writeFile(join(cwd, 'tls.crt'), cert);
  return cert;
}

/** Starts `bulla serve gate` in a place. */
export async function startGate(
  cwd: string,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<TestGate> {
  const ending = new AbortController();
  let out = '';
  let err = '';
  let started: (line: string) => void = () => undefined;
  const announced = new Promise<string>((resolve) => {
    started = resolve;
  });
  const own = ['--policy', 'policy.yaml', '--tls-cert', 'tls.crt', '--tls-key', 'tls.key'];
  const listen = ['--listen', '127.0.0.1:0', '--plain-listen', '127.0.0.1:0', '-o', 'json'];
  const running = bulla(['serve', 'gate', ...own, ...listen, ...flags], {
    ...{ cwd, env: { BULLA_HOME: cwd, HOSTNAME: 'gate-0', ...env }, signal: ending.signal },
    onStdout: (text) => {
      out += text;
      if (out.includes('\n')) started(out);
    },
    onStderr: (text) => {
      err += text;
    },
  });
  const end = async (): Promise<CliResult> => {
    ending.abort();
    return await running;
  };
  onTestFinished(async () => void (await end()));
  const failed = running.then(({ stderr }) => {
    throw new Error(`the gate ended: ${stderr}`);
  });
  const { url, plainUrl } = JSON.parse(await Promise.race([announced, failed])) as Record<
    'url' | 'plainUrl',
    string
  >;
  failed.catch(() => undefined);
  return {
    ...{ cwd, url, plainUrl, end },
    log: () =>
      err
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

/** Posts bytes to a hook of a gate, and trusts its certificate. */
export async function post(
  gate: Pick<TestGate, 'cwd' | 'url'>,
  path: string,
  body: Uint8Array | string,
  {
    type = 'application/json',
    method = 'POST',
    agent,
  }: { type?: string; method?: string; agent?: Agent } = {},
): Promise<HookAnswer> {
  const ca = agent === undefined ? await readFile(join(gate.cwd, 'tls.crt'), 'utf8') : undefined;
  return await new Promise((resolve, reject) => {
    const sent = request(
      `${gate.url}${path}`,
      {
        method,
        agent: agent ?? new Agent({ ca: ca as string }),
        headers: { 'content-type': type, 'content-length': Buffer.byteLength(body) },
      },
      (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () => {
          const text = Buffer.concat(pieces).toString('utf8');
          const json = text.startsWith('{')
            ? (JSON.parse(text) as { response?: Record<string, unknown> })
            : {};
          resolve({ status: response.statusCode ?? 0, text, response: json.response ?? {} });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** The JSON patch of an answer. */
export function patchOf({ response }: HookAnswer): unknown {
  const { patch } = response;
  return typeof patch === 'string' ? JSON.parse(Buffer.from(patch, 'base64').toString('utf8')) : undefined;
}

/** Waits until something is so, by looking again. */
export async function until(is: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 800; tries++) {
    if (await is()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('it did not come');
}
