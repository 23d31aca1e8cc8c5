import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Algorithm } from '../../crypto/algorithm.ts';
import { type PublicKey, parsePublicKeyPem, publicKeyFromRawEd25519 } from '../../crypto/public-key.ts';
import { base64, decodeUtf8, fromBase64, fromBase64url } from '../../encoding/bytes.ts';
import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { KeyBackEnd, KeyHandle, KeySources, SignMessages } from '../back-end.ts';
import { readPublicFile, readSecretFile } from '../read.ts';
import { firstSet, KeyService, objectIn, taken, textIn } from './service.ts';

/** A program that has a transit engine, and the variables it is found by. */
interface Kind {
  readonly name: string;
  readonly scheme: string;
  readonly variables: readonly string[];
}

/** Types of transit keys that sign. */
const TYPES: ReadonlySet<string> = new Set([
  ...['ed25519', 'ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'rsa-2048', 'rsa-3072', 'rsa-4096'],
]);
const HASHES = { sha256: 'sha2-256', sha384: 'sha2-384', sha512: 'sha2-512' } as const;
const MAX_TOKEN_BYTES = 64 * 1024;
const KEY_NAME = /^[A-Za-z0-9_.-]{1,128}$/;

/** Keys of HashiCorp Vault's transit engine: `hashivault://[MOUNT/]KEY` (spec/keys.md). */
export const HASHIVAULT: KeyBackEnd = backEndOf({
  name: 'Vault',
  scheme: 'hashivault://',
  variables: ['VAULT', 'BAO'],
});
/** Keys of OpenBao's transit engine: `openbao://[MOUNT/]KEY`. */
export const OPENBAO: KeyBackEnd = backEndOf({
  name: 'OpenBao',
  scheme: 'openbao://',
  variables: ['BAO', 'VAULT'],
});

function backEndOf(kind: Kind): KeyBackEnd {
  return {
    async find(uri, sources): Promise<KeyHandle> {
      const place = placeOf(uri, kind, sources);
      const { ask, service } = await asking(kind, place, sources);
      const { publicKey, version } = keyIn(await ask(`keys/${place.key}`), place, service);
      return {
        name: `${kind.scheme}${place.mount === 'transit' ? '' : `${place.mount}/`}${place.key}`,
        publicKey,
        open: async () => signing({ ask, service, place, version }),
      };
    },
    async generate(uri, type, sources): Promise<void> {
      const place = placeOf(uri, kind, sources);
      const { ask } = await asking(kind, place, sources);
      // To make a key that is there is no error for it, and leaves the old one.
      const present = await ask(`keys/${place.key}`).catch((error: unknown) => {
        if (!isBullaError(error, 'not-found')) throw error;
        return undefined;
      });
      if (present !== undefined) throw taken(uri);
      const name = type === 'Ed25519' ? 'ed25519' : `ecdsa-${type.toLowerCase().replace('-', '')}`;
      await ask(`keys/${place.key}`, { type: name });
    },
  };
}

type Ask = (path: string, body?: JsonObject, signal?: AbortSignal) => Promise<JsonObject>;

async function asking(
  kind: Kind,
  { mount, key }: Place,
  sources: KeySources,
): Promise<{ readonly ask: Ask; readonly service: KeyService }> {
  const service = await serviceOf(kind, sources);
  const url = addressOf(kind, sources);
  const ask: Ask = async (path, body, signal) => {
    const token = await tokenOf(kind, sources);
    const namespace = read(sources, kind, 'NAMESPACE');
    const answer = await service.ask({
      method: body === undefined ? 'GET' : 'POST',
      url: new URL(`v1/${mount}/${path}`, url),
      headers: {
        'x-vault-token': token,
        'x-vault-request': 'true',
        ...(namespace !== undefined && { 'x-vault-namespace': namespace }),
      },
      body,
      what: `the key ${key}`,
      secrets: [token],
      signal,
    });
    return objectIn(answer, 'data');
  };
  return { ask, service };
}

interface Place {
  readonly mount: string;
  readonly key: string;
  /** As the person asks for; the latest if left out. */
  readonly version: number | undefined;
}

/** @throws BullaError usage */
function placeOf(uri: string, { scheme, name }: Kind, sources: KeySources): Place {
  const [path = '', query] = uri.slice(scheme.length).split('?', 2);
  const version = new URLSearchParams(query).get('version');
  const parts = path.split('/');
  const key = parts.pop() ?? '';
  const mount = parts.join('/') || (firstSet(sources, 'TRANSIT_SECRET_ENGINE_PATH') ?? 'transit');
  const isFine =
    KEY_NAME.test(key) && mount.split('/').every((part) => KEY_NAME.test(part) && !/^\.+$/.test(part));
  if (isFine && (version === null || /^[1-9]\d{0,8}$/.test(version)))
    return { mount, key, version: version === null ? undefined : Number(version) };
  throw new BullaError('usage', `${uri} does not name a key of ${name}`, {
    hint: `write ${scheme}KEY, ${scheme}MOUNT/KEY or ${scheme}KEY?version=N`,
  });
}

function read(sources: KeySources, { variables }: Kind, name: string): string | undefined {
  return firstSet(sources, ...variables.map((prefix) => `${prefix}_${name}`));
}

/** @throws BullaError usage, config-invalid */
function addressOf(kind: Kind, sources: KeySources): URL {
  const text = read(sources, kind, 'ADDR');
  if (text === undefined)
    throw new BullaError('usage', `${kind.variables[0]}_ADDR is not set`, {
      hint: `set it to the address of ${kind.name}: https://vault.example.com:8200`,
    });
  if (URL.canParse(text)) {
    const url = new URL(text);
    if (url.protocol === 'https:' || url.protocol === 'http:')
      return new URL(url.pathname.replace(/\/*$/, '/'), url.origin);
  }
  throw new BullaError('config-invalid', `${kind.variables[0]}_ADDR is not an http or https URL`, {
    hint: 'write it as https://vault.example.com:8200',
  });
}

async function serviceOf(kind: Kind, sources: KeySources): Promise<KeyService> {
  const caFile = read(sources, kind, 'CACERT');
  const ca = caFile === undefined ? undefined : decodeUtf8(await readPublicFile(caFile), caFile);
  const own = {
    name: kind.name,
    hint: `the token is expired, revoked or lacks a right: it needs read on MOUNT/keys/KEY and update on MOUNT/sign/KEY; log in again`,
  };
  return new KeyService(
    {
      ...own,
      tls: { ca },
      words: ({ errors }) => (Array.isArray(errors) ? errors.map(String).join('; ') : undefined),
    },
    sources,
  );
}

/** The token of the environment, else the one that `login` left. Read for each request: agents renew it. */
async function tokenOf(kind: Kind, sources: KeySources): Promise<string> {
  const given = read(sources, kind, 'TOKEN');
  if (given !== undefined) return given;
  const file =
    read(sources, kind, 'TOKEN_FILE') ?? join(firstSet(sources, 'HOME') ?? homedir(), '.vault-token');
  try {
    const token = decodeUtf8(await readSecretFile(file, { anyMode: true }), file).trim();
    if (token !== '' && token.length <= MAX_TOKEN_BYTES && !/\s/.test(token)) return token;
  } catch (error) {
    if (!isBullaError(error, 'not-found')) throw error;
  }
  throw new BullaError('unauthorized', `there is no token for ${kind.name}`, {
    hint: `log in, or set ${kind.variables[0]}_TOKEN`,
  });
}

interface FoundKey {
  readonly publicKey: PublicKey;
  readonly version: number;
}

/** @throws BullaError key-invalid, not-found, key-unavailable */
function keyIn(data: JsonObject, { key, version: wanted }: Place, service: KeyService): FoundKey {
  const type = textIn(data, 'type');
  if (type === undefined) throw service.unexpected(`the key ${key}`);
  if (!TYPES.has(type))
    throw new BullaError('key-invalid', `the key ${key} has the type ${type}, which does not sign`, {
      hint: `use one of ${[...TYPES].join(', ')}`,
    });
  const version = wanted ?? data['latest_version'];
  const versions = objectIn(data, 'keys');
  const one = typeof version === 'number' ? versions[`${version}`] : undefined;
  if (typeof version !== 'number' || !isJsonObject(one))
    throw new BullaError('not-found', `the key ${key} has no version ${wanted ?? 'that is current'}`, {
      hint: `its versions are ${Object.keys(versions).join(', ')}`,
    });
  const text = textIn(one, 'public_key');
  if (text === undefined) throw service.unexpected(`the key ${key}`);
  const where = `the key ${key}`;
  const raw = type === 'ed25519' ? fromBase64(text) : undefined;
  return {
    version,
    publicKey: raw === undefined ? parsePublicKeyPem(text, where) : publicKeyFromRawEd25519(raw, where),
  };
}

interface Signing {
  readonly ask: Ask;
  readonly service: KeyService;
  readonly place: Place;
  readonly version: number;
}

/** All messages in one request. */
function signing({ ask, service, place, version }: Signing): SignMessages {
  return async (algorithm, messages, { signal }) => {
    const { hash } = algorithm;
    const data = await ask(
      `sign/${place.key}${hash === undefined ? '' : `/${HASHES[hash]}`}`,
      {
        key_version: version,
        batch_input: messages.map((message) => ({ input: base64(inputOf(algorithm, message)) })),
        ...(hash !== undefined && { prehashed: true }),
        ...(algorithm.scalarBytes !== undefined && { marshaling_algorithm: 'jws' }),
        ...(algorithm.padding !== undefined && {
          signature_algorithm: algorithm.padding === 'pss' ? 'pss' : 'pkcs1v15',
          ...(algorithm.padding === 'pss' && { salt_length: 'hash' }),
        }),
      },
      signal,
    );
    const results = data['batch_results'];
    if (!Array.isArray(results)) throw service.unexpected(`the key ${place.key}`);
    return results.map((result) => {
      const [, text] =
        /^vault:v\d+:(.+)$/.exec((isJsonObject(result) && textIn(result, 'signature')) || '') ?? [];
      const read = algorithm.scalarBytes === undefined ? fromBase64 : fromBase64url;
      const signature = text === undefined ? undefined : read(text);
      if (signature === undefined) throw service.unexpected(`a signature with the key ${place.key}`);
      return signature;
    });
  };
}

function inputOf({ hash }: Algorithm, message: Uint8Array): Uint8Array {
  return hash === undefined ? message : createHash(hash).update(message).digest();
}
