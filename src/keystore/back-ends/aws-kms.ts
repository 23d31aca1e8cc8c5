import { createHash } from 'node:crypto';
import type { Algorithm, AlgorithmId } from '../../crypto/algorithm.ts';
import { type PublicKey, publicKeyFromSpki } from '../../crypto/public-key.ts';
import { ecdsaFromDer } from '../../crypto/signature.ts';
import { base64 } from '../../encoding/bytes.ts';
import type { JsonObject } from '../../encoding/json.ts';
import { BullaError, type ErrorCode, isBullaError } from '../../errors.ts';
import { REAL_TIMING } from '../../http/retry.ts';
import type { KeyBackEnd, KeyHandle, KeySources } from '../back-end.ts';
import { awsCredentials, signedHeaders } from './aws-credentials.ts';
import type { AwsCredentials } from './aws-profile.ts';
import { bytesIn, each, firstSet, KeyService, objectIn, preferring, taken, textIn } from './service.ts';

/** KMS's own names of algorithms. */
const ALGORITHMS: ReadonlyMap<string, AlgorithmId> = new Map([
  ['ECDSA_SHA_256', 'ES256'],
  ['ECDSA_SHA_384', 'ES384'],
  ['ECDSA_SHA_512', 'ES512'],
  ['ED25519_SHA_512', 'Ed25519'],
  ['RSASSA_PSS_SHA_256', 'PS256'],
  ['RSASSA_PSS_SHA_384', 'PS384'],
  ['RSASSA_PSS_SHA_512', 'PS512'],
  ['RSASSA_PKCS1_V1_5_SHA_256', 'RS256'],
  ['RSASSA_PKCS1_V1_5_SHA_384', 'RS384'],
  ['RSASSA_PKCS1_V1_5_SHA_512', 'RS512'],
]);

/** `awskms://[ENDPOINT]/ID`, where ID is the ARN or id of a key, or `alias/NAME`, as cosign writes it. */
const WRITTEN = /^awskms:\/\/([^/]*)\/(.+)$/i;
const KEY_ID =
  /^(?:arn:aws[a-z0-9-]*:kms:([a-z0-9-]+):\d{12}:(?:key|alias)\/[A-Za-z0-9:/_-]+|alias\/[A-Za-z0-9:/_-]+|[A-Za-z0-9-]+)$/;
/** The service signs nothing longer; of anything longer it gets the hash. */
const MAX_MESSAGE_BYTES = 4096;

/** Keys of AWS Key Management Service (spec/keys.md), asked by its HTTP API. */
export const AWS_KMS: KeyBackEnd = {
  async find(uri, sources): Promise<KeyHandle> {
    const { ask, service, key } = asking(uri, sources);
    const answer = await ask('GetPublicKey', {});
    const { publicKey, algorithms } = keyIn(answer, key, service);
    return {
      name: `awskms:///${key}`,
      publicKey,
      algorithms,
      open:
        async () =>
        (algorithm, messages, { signal }) =>
          each(messages, async (message) => {
            const asked = await ask('Sign', requestOf(algorithm, message), signal);
            const signature = bytesIn(asked, 'Signature');
            if (signature === undefined) throw service.unexpected(`the key ${key}`);
            return plain(algorithm, signature) ?? signature;
          }),
    };
  },
  async generate(uri, type, sources): Promise<void> {
    const { ask, key } = asking(uri, sources);
    if (!key.startsWith('alias/'))
      throw new BullaError('usage', `AWS KMS chooses the id of a key, so ${uri} cannot be made`, {
        hint: 'name it by an alias: awskms:///alias/NAME',
      });
    const isThere = await ask('DescribeKey', {}).then(
      () => true,
      (error: unknown) => {
        if (!isBullaError(error, 'not-found')) throw error;
        return false;
      },
    );
    if (isThere) throw taken(uri);
    const made = objectIn(
      await ask('CreateKey', { KeySpec: SPECS[type], KeyUsage: 'SIGN_VERIFY' }, undefined),
      'KeyMetadata',
    );
    await ask('CreateAlias', { AliasName: key, TargetKeyId: textIn(made, 'KeyId') ?? '' });
  },
};

const SPECS = {
  'P-256': 'ECC_NIST_P256',
  'P-384': 'ECC_NIST_P384',
  'P-521': 'ECC_NIST_P521',
  Ed25519: 'ECC_NIST_EDWARDS25519',
} as const;

type Ask = (action: string, body: JsonObject, signal?: AbortSignal) => Promise<JsonObject>;

function asking(
  uri: string,
  sources: KeySources,
): { readonly ask: Ask; readonly service: KeyService; readonly key: string } {
  const { key, endpoint, region } = placeOf(uri, sources);
  const service = new KeyService(
    {
      name: 'AWS KMS',
      hint: 'the credentials need kms:GetPublicKey and kms:Sign on that key',
      words: wordsOf,
      codeOf: (words) => CODES.find(([pattern]) => pattern.test(words))?.[1],
    },
    sources,
  );
  let credentials: Promise<AwsCredentials> | undefined;
  const once: Ask = async (action, body, signal) => {
    credentials ??= awsCredentials(sources, region);
    const text = JSON.stringify({ ...(!action.startsWith('Create') && { KeyId: key }), ...body });
    const headers = {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `TrentService.${action}`,
    };
    const own = await credentials;
    const signed = signedHeaders({
      url: endpoint,
      headers,
      body: text,
      service: 'kms',
      region,
      credentials: own,
      now: new Date(),
    });
    const secrets = [own.secretAccessKey, own.sessionToken ?? ''];
    return await service.ask({
      method: 'POST',
      url: endpoint,
      headers: signed,
      body: text,
      what: `the key ${key}`,
      secrets,
      signal,
    });
  };
  const ask: Ask = async (action, body, signal) => {
    for (const pause of PAUSES) {
      try {
        return await once(action, body, signal);
      } catch (error) {
        if (!isBullaError(error, 'key-unavailable') || error.details['status'] !== 400) throw error;
        await REAL_TIMING.sleep(pause * (0.5 + Math.random() / 2), signal);
      }
    }
    return await once(action, body, signal);
  };
  return { ask, service, key };
}

interface Place {
  readonly key: string;
  readonly endpoint: URL;
  readonly region: string;
}

/** @throws BullaError usage */
function placeOf(uri: string, sources: KeySources): Place {
  const [, host = '', key = ''] = WRITTEN.exec(uri) ?? [];
  const [isId, inArn] = KEY_ID.exec(key) ?? [];
  if (isId === undefined)
    throw new BullaError('usage', `${uri} does not name a key of AWS KMS`, {
      hint: 'write awskms:///ARN, awskms:///ID or awskms:///alias/NAME',
    });
  const region = inArn ?? firstSet(sources, 'AWS_REGION', 'AWS_DEFAULT_REGION');
  if (region === undefined || !/^[a-z0-9-]{1,32}$/.test(region))
    throw new BullaError('usage', 'the region of AWS is not known', {
      hint: 'set AWS_REGION, or give the ARN of the key',
    });
  const text = host === '' ? firstSet(sources, 'AWS_ENDPOINT_URL_KMS', 'AWS_ENDPOINT_URL') : undefined;
  const suffix = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  const written =
    text ?? `${isLoopback(host) ? 'http' : 'https'}://${host === '' ? `kms.${region}.${suffix}` : host}/`;
  if (!URL.canParse(written))
    throw new BullaError('usage', `${uri} names no host`, { hint: 'write awskms://HOST:PORT/ID' });
  return { key, region, endpoint: new URL(written) };
}

/** An emulator on this machine speaks plain HTTP. */
function isLoopback(host: string): boolean {
  return /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i.test(host);
}

/** It answers 400 to nearly everything, and says in words what it is. */
const CODES: readonly (readonly [RegExp, ErrorCode])[] = [
  [/^NotFoundException/, 'not-found'],
  [/^AccessDenied/, 'forbidden'],
  [
    /^(?:ExpiredToken|UnrecognizedClient|InvalidClientTokenId|InvalidSignature|IncompleteSignature)/,
    'unauthorized',
  ],
  [/^(?:Throttling|LimitExceeded|DependencyTimeout|KMSInternal|KeyUnavailable)/, 'key-unavailable'],
];
/** Pauses before further tries after it said "throttled", in milliseconds. */
const PAUSES = [300, 1_000, 3_000];

function wordsOf(body: JsonObject): string | undefined {
  const type = textIn(body, '__type')?.replace(/^.*#/, '');
  const message = textIn(body, 'message') ?? textIn(body, 'Message');
  return [type, message].filter((part) => part !== undefined).join(': ') || undefined;
}

/** @throws BullaError key-invalid, key-unavailable */
function keyIn(
  answer: JsonObject,
  key: string,
  service: KeyService,
): { readonly publicKey: PublicKey; readonly algorithms: readonly AlgorithmId[] } {
  const spki = bytesIn(answer, 'PublicKey');
  if (spki === undefined) throw service.unexpected(`the key ${key}`);
  const usage = textIn(answer, 'KeyUsage');
  const names = answer['SigningAlgorithms'];
  const algorithms = (Array.isArray(names) ? names : []).flatMap(
    (name) => ALGORITHMS.get(String(name)) ?? [],
  );
  if (usage !== 'SIGN_VERIFY' || algorithms.length === 0)
    throw new BullaError(
      'key-invalid',
      `the key ${key} is for ${usage ?? 'another purpose'}, not for signatures`,
      {
        hint: 'make one with the usage SIGN_VERIFY and a key spec such as ECC_NIST_P256',
      },
    );
  const publicKey = publicKeyFromSpki(spki, `the key ${key}`);
  return { publicKey, algorithms: preferring(publicKey, algorithms) };
}

function requestOf(algorithm: Algorithm, message: Uint8Array): JsonObject {
  const name = [...ALGORITHMS].find(([, id]) => id === algorithm.id)?.[0] ?? algorithm.id;
  if (algorithm.hash === undefined) {
    if (message.byteLength > MAX_MESSAGE_BYTES)
      throw new BullaError(
        'key-invalid',
        `AWS KMS signs at most ${MAX_MESSAGE_BYTES} bytes with an Ed25519 key, and this has ${message.byteLength}`,
        {
          hint: 'use an ECDSA key for what is longer: it signs a hash',
        },
      );
    return { Message: base64(message), MessageType: 'RAW', SigningAlgorithm: name };
  }
  const digest = createHash(algorithm.hash).update(message).digest();
  return { Message: base64(digest), MessageType: 'DIGEST', SigningAlgorithm: name };
}

function plain({ scalarBytes }: Algorithm, signature: Uint8Array): Uint8Array | undefined {
  return scalarBytes === undefined ? signature : ecdsaFromDer(signature, scalarBytes);
}
