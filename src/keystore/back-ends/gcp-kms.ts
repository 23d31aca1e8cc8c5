import { createHash } from 'node:crypto';
import type { Algorithm, AlgorithmId } from '../../crypto/algorithm.ts';
import { parsePublicKeyPem } from '../../crypto/public-key.ts';
import { ecdsaFromDer } from '../../crypto/signature.ts';
import { base64 } from '../../encoding/bytes.ts';
import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { KeyBackEnd, KeyHandle, KeySources } from '../back-end.ts';
import { gcpToken } from './gcp-token.ts';
import { bytesIn, each, firstSet, KeyService, objectIn, taken, textIn } from './service.ts';

/** Cloud KMS's own names of algorithms. A key of it has exactly one. */
const ALGORITHMS: ReadonlyMap<string, AlgorithmId> = new Map([
  ['EC_SIGN_P256_SHA256', 'ES256'],
  ['EC_SIGN_P384_SHA384', 'ES384'],
  ['EC_SIGN_ED25519', 'Ed25519'],
  ['RSA_SIGN_PSS_2048_SHA256', 'PS256'],
  ['RSA_SIGN_PSS_3072_SHA256', 'PS256'],
  ['RSA_SIGN_PSS_4096_SHA256', 'PS256'],
  ['RSA_SIGN_PSS_4096_SHA512', 'PS512'],
  ['RSA_SIGN_PKCS1_2048_SHA256', 'RS256'],
  ['RSA_SIGN_PKCS1_3072_SHA256', 'RS256'],
  ['RSA_SIGN_PKCS1_4096_SHA256', 'RS256'],
  ['RSA_SIGN_PKCS1_4096_SHA512', 'RS512'],
]);

const PART = '[A-Za-z0-9._:-]+';
const WRITTEN = new RegExp(
  `^gcpkms://(projects/${PART}/locations/${PART}/keyRings/${PART}/cryptoKeys/${PART})(?:/(?:cryptoKeyVersions|versions)/([1-9]\\d{0,8}))?$`,
  'i',
);

/** Keys of Google Cloud KMS: `gcpkms://projects/…/cryptoKeys/NAME[/cryptoKeyVersions/N]`, asked by its HTTP API. */
export const GCP_KMS: KeyBackEnd = {
  async find(uri, sources): Promise<KeyHandle> {
    const [, key, written] = WRITTEN.exec(uri) ?? [];
    if (key === undefined)
      throw new BullaError('usage', `${uri} does not name a key of Cloud KMS`, {
        hint: 'write gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K',
      });
    const { ask, service } = asking(sources, key);
    const version = written ?? (await newestVersion(ask, key));
    const path = `${key}/cryptoKeyVersions/${version}`;
    const answer = await ask('GET', `${path}/publicKey`);
    const pem = textIn(answer, 'pem');
    const name = textIn(answer, 'algorithm') ?? '';
    if (pem === undefined) throw service.unexpected(`the key ${key}`);
    const id = ALGORITHMS.get(name);
    if (id === undefined)
      throw new BullaError('key-invalid', `the key ${key} is for ${name}, which no format here signs with`, {
        hint: `make one for ${[...ALGORITHMS.keys()].slice(0, 4).join(', ')}`,
      });
    return {
      name: `gcpkms://${path}`,
      publicKey: parsePublicKeyPem(pem, `the key ${key}`),
      algorithms: [id],
      open:
        async () =>
        (algorithm, messages, { signal }) =>
          each(messages, async (message) => {
            const signed = await ask('POST', `${path}:asymmetricSign`, inputOf(algorithm, message), signal);
            const signature = bytesIn(signed, 'signature');
            if (signature === undefined) throw service.unexpected(`the key ${key}`);
            const { scalarBytes } = algorithm;
            return (
              (scalarBytes === undefined ? undefined : ecdsaFromDer(signature, scalarBytes)) ?? signature
            );
          }),
    };
  },
  async generate(uri, type, sources): Promise<void> {
    const [, ring, name] = /^gcpkms:\/\/(.+\/keyRings\/[^/]+)\/cryptoKeys\/([^/]+)$/i.exec(uri) ?? [];
    const algorithm = MADE[type];
    if (!WRITTEN.test(uri) || ring === undefined || name === undefined || algorithm === undefined)
      throw new BullaError('usage', `Cloud KMS does not make a ${type} key at ${uri}`, {
        hint: 'write gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K; P-256, P-384 and Ed25519 are made',
      });
    const { ask } = asking(sources, name);
    const body = { purpose: 'ASYMMETRIC_SIGN', versionTemplate: { algorithm } };
    await ask('POST', `${ring}/cryptoKeys?cryptoKeyId=${encodeURIComponent(name)}`, body).catch(
      (error: unknown) => {
        throw isBullaError(error) && error.details['status'] === 409 ? taken(uri) : error;
      },
    );
  },
};

const MADE: Readonly<Record<string, string>> = {
  'P-256': 'EC_SIGN_P256_SHA256',
  'P-384': 'EC_SIGN_P384_SHA384',
  Ed25519: 'EC_SIGN_ED25519',
};

type Ask = (
  method: 'GET' | 'POST',
  path: string,
  body?: JsonObject,
  signal?: AbortSignal,
) => Promise<JsonObject>;

function asking(sources: KeySources, key: string): { readonly ask: Ask; readonly service: KeyService } {
  const base = new URL(
    firstSet(sources, 'CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS') ?? 'https://cloudkms.googleapis.com/',
  );
  const hint = 'the account needs the role Cloud KMS CryptoKey Signer/Verifier on that key';
  const words = (body: JsonObject): string | undefined => textIn(objectIn(body, 'error'), 'message');
  const service = new KeyService({ name: 'Cloud KMS', hint, words }, sources);
  let token: Promise<string> | undefined;
  const ask: Ask = async (method, path, body, signal) => {
    token ??= gcpToken(sources);
    const bearer = await token;
    return await service.ask({
      method,
      url: new URL(`v1/${path}`, base),
      headers: { authorization: `Bearer ${bearer}` },
      body,
      what: `the key ${key}`,
      secrets: [bearer],
      signal,
    });
  };
  return { ask, service };
}

/** @throws BullaError not-found */
async function newestVersion(ask: Ask, key: string): Promise<string> {
  const listed = (await ask('GET', `${key}/cryptoKeyVersions?filter=state%3DENABLED&pageSize=1000`))[
    'cryptoKeyVersions'
  ];
  const numbers = (Array.isArray(listed) ? listed : []).flatMap((one) => {
    const number = /\/(\d{1,9})$/.exec((isJsonObject(one) && textIn(one, 'name')) || '')?.[1];
    return number === undefined ? [] : [Number(number)];
  });
  if (numbers.length === 0)
    throw new BullaError('not-found', `the key ${key} has no version that is enabled`, {
      hint: 'enable or create one: gcloud kms keys versions list',
    });
  return `${Math.max(...numbers)}`;
}

function inputOf({ hash }: Algorithm, message: Uint8Array): JsonObject {
  if (hash === undefined) return { data: base64(message) };
  return { digest: { [hash]: base64(createHash(hash).update(message).digest()) } };
}
