import type { KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import { onTestFinished } from 'vitest';
import { signDigest } from '../../../src/crypto/ecdsa.ts';
import { publicKeyOf, publicKeyPem } from '../../../src/crypto/public-key.ts';
import { ecdsaToDer } from '../../../src/crypto/signature.ts';
import { listen } from '../listen.ts';

/** What a service answers instead of what it was asked for. */
interface Failure {
  readonly status: number;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A key service in this process, after the documented answers of the real one. */
export interface KeyServer {
  readonly host: string;
  /** Method, path and body of each request, in order. */
  readonly log: { readonly what: string; readonly body: string; readonly authorization: string }[];
  /** For the next requests, once each. */
  readonly failures: Failure[];
}

type Answer = (path: string, body: Record<string, never>) => unknown;

/** Serves until the test is over. An answer that is undefined is 404. */
export async function serveKeys(answer: Answer): Promise<KeyServer> {
  const log: KeyServer['log'] = [];
  const failures: Failure[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces).toString('utf8');
    const path = request.url ?? '';
    const target = request.headers['x-amz-target'];
    const { authorization = String(request.headers['x-vault-token']) } = request.headers;
    log.push({ what: `${request.method} ${target ?? path}`, body, authorization });
    const failure = failures.shift();
    const isJson = body.startsWith('{');
    const given = failure?.body ?? answer(String(target ?? path), isJson ? JSON.parse(body) : {});
    response.writeHead(failure?.status ?? (given === undefined ? 404 : 200), {
      'content-type': 'application/json',
      ...failure?.headers,
    });
    response.end(JSON.stringify(given ?? {}));
  });
  const { host, stop } = await listen(server);
  onTestFinished(stop);
  return { host, log, failures };
}

/** What signs the hash of a message, as services do that are sent no more than that. */
export function ecdsa(key: KeyObject, digest: string): Uint8Array {
  const { d = '' } = key.export({ format: 'jwk' });
  return signDigest('P-384', Buffer.from(d, 'base64url'), Buffer.from(digest, 'base64'));
}

const pem = (key: KeyObject): string => publicKeyPem(publicKeyOf(key));
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** The transit engine of Vault and OpenBao with one key of P-384, `release`. */
export const transit =
  (key: KeyObject): Answer =>
  (path, body) => {
    if (path === '/v1/transit/keys/release')
      return {
        data: { type: 'ecdsa-p384', latest_version: 2, keys: { '1': {}, '2': { public_key: pem(key) } } },
      };
    if (!/^\/v1\/transit\/sign\/release\/sha2-(256|384)$/.test(path)) return undefined;
    const batch = body['batch_input'] as unknown as readonly { readonly input: string }[];
    const results = batch.map(({ input }) => ({
      signature: `vault:v2:${Buffer.from(ecdsa(key, input)).toString('base64url')}`,
    }));
    return { data: { batch_results: results } };
  };

/** AWS KMS. */
export const kms =
  (key: KeyObject): Answer =>
  (path, body) => {
    if (path === 'TrentService.GetPublicKey')
      return {
        KeyUsage: 'SIGN_VERIFY',
        PublicKey: base64(publicKeyOf(key).spki),
        SigningAlgorithms: ['ECDSA_SHA_384'],
      };
    if (path !== 'TrentService.Sign') return undefined;
    return { Signature: base64(ecdsaToDer(ecdsa(key, body['Message'] as unknown as string))) };
  };

const RING = '/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k';

/** Cloud KMS of Google. */
export const cloudKms =
  (key: KeyObject): Answer =>
  (path, body) => {
    if (path.startsWith(`${RING}/cryptoKeyVersions?`))
      return {
        cryptoKeyVersions: [1, 3, 2].map((version) => ({
          name: `${RING.slice(4)}/cryptoKeyVersions/${version}`,
        })),
      };
    if (path === `${RING}/cryptoKeyVersions/3/publicKey`)
      return { pem: pem(key), algorithm: 'EC_SIGN_P384_SHA384' };
    if (path !== `${RING}/cryptoKeyVersions/3:asymmetricSign`) return undefined;
    const { sha384 } = body['digest'] as unknown as { readonly sha384: string };
    return { signature: base64(ecdsaToDer(ecdsa(key, sha384))) };
  };

/** Azure Key Vault. */
export const keyVault =
  (key: KeyObject): Answer =>
  (path, body) => {
    const { crv, x, y } = key.export({ format: 'jwk' });
    if (path === '/keys/release/?api-version=7.4')
      return {
        key: {
          kid: 'https://vault.example/keys/release/abc123',
          kty: 'EC-HSM',
          crv,
          x,
          y,
          key_ops: ['sign'],
        },
      };
    if (path !== '/keys/release/abc123/sign?api-version=7.4') return undefined;
    const digest = Buffer.from(body['value'] as unknown as string, 'base64url').toString('base64');
    return { value: Buffer.from(ecdsa(key, digest)).toString('base64url') };
  };
