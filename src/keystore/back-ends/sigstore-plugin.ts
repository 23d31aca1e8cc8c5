import type { Algorithm, AlgorithmId, KeyType } from '../../crypto/algorithm.ts';
import { parsePublicKeyPem } from '../../crypto/public-key.ts';
import { ecdsaFromDer } from '../../crypto/signature.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../../encoding/json.ts';
import { BullaError, throwIfAborted } from '../../errors.ts';
import { quoted } from '../../http/redact.ts';
import { childEnvironment } from '../../programs/environment.ts';
import { ask, type Ended } from '../../programs/run.ts';
import type { KeyBackEnd, KeyHandle, KeySources } from '../back-end.ts';
import { bytesIn, each, objectIn, preferring, textIn } from './service.ts';

const WRITTEN = /^([a-z0-9][a-z0-9._-]{0,63}):\/\/(.+)$/;
/** Our own, for messages. */
const SCHEMES = [
  ...[
    'env://',
    'ssh-agent:',
    'pkcs11:',
    'hashivault://',
    'openbao://',
    'awskms://',
    'gcpkms://',
    'azurekms://',
    'k8s://',
    'notation-plugin:',
  ],
];
const PROTOCOL = 'v1';
/** Go's numbers of hashes (package crypto), which the protocol has. */
const HASHES = { sha256: 5, sha384: 6, sha512: 7 } as const;
/** A plug-in may ask a device or a service. */
const ANSWER_MS = 120_000;
const MAX_ANSWER_BYTES = 1024 * 1024;

/** What cosign verifies of a key of each type: plug-ins sign so. */
const ALGORITHMS: Readonly<Record<KeyType, readonly AlgorithmId[]>> = {
  'P-256': ['ES256'],
  'P-384': ['ES384', 'ES384-SHA256'],
  'P-521': ['ES512', 'ES512-SHA256'],
  Ed25519: ['Ed25519'],
  RSA: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  'ML-DSA-44': [],
  'ML-DSA-65': [],
  'ML-DSA-87': [],
};

/** Keys behind a plug-in of sigstore: `NAME://KEY` is asked of the program `sigstore-kms-NAME` (spec/keys.md). */
export const SIGSTORE_PLUGIN: KeyBackEnd = {
  async find(uri, sources): Promise<KeyHandle> {
    const [, plugin, key = ''] = WRITTEN.exec(uri) ?? [];
    if (plugin === undefined) throw unknown(uri, sources);
    const call = (method: Method, signal?: AbortSignal): Promise<JsonObject> =>
      called({ uri, plugin, key, sources, signal, method });
    const asked = await call({
      name: 'publicKey',
      args: { publicKeyOptions: { rpcOptions: {} } },
      hash: 'sha256',
    });
    const pem = bytesIn(objectIn(asked, 'publicKey'), 'publicKeyPEM');
    if (pem === undefined) throw broken(plugin, 'gave no public key');
    const publicKey = parsePublicKeyPem(decodeUtf8(pem, `the answer of ${programOf(plugin)}`), uri);
    const args = { signOptions: { rpcOptions: {} } };
    return {
      name: uri,
      publicKey,
      algorithms: preferring(publicKey, ALGORITHMS[publicKey.type]),
      open:
        async () =>
        (algorithm, messages, { signal }) =>
          each(messages, async (input) => {
            const answer = await call(
              { name: 'signMessage', args, hash: algorithm.hash ?? 'sha512', input },
              signal,
            );
            const signature = bytesIn(objectIn(answer, 'signMessage'), 'signature');
            if (signature === undefined) throw broken(plugin, 'gave no signature');
            return plain(algorithm, signature);
          }),
    };
  },
};

interface Method {
  readonly name: 'publicKey' | 'signMessage';
  readonly args: JsonObject;
  readonly hash: keyof typeof HASHES;
  readonly input?: Uint8Array;
}

interface Call {
  readonly uri: string;
  readonly plugin: string;
  readonly key: string;
  readonly sources: KeySources;
  readonly signal?: AbortSignal | undefined;
  readonly method: Method;
}

/** @throws BullaError usage, key-unavailable, timeout, interrupted */
async function called({ uri, plugin, key, sources, signal, method }: Call): Promise<JsonObject> {
  const args = {
    initOptions: {
      protocolVersion: PROTOCOL,
      keyResourceID: key,
      hashFunc: HASHES[method.hash],
      rpcOptions: {},
    },
    methodName: method.name,
    [method.name]: method.args,
  };
  const ended = await ask({
    command: programOf(plugin),
    args: [PROTOCOL, JSON.stringify(args)],
    input: method.input ?? '',
    env: childEnvironment(sources.variables ?? {}),
    timeoutMs: ANSWER_MS,
    maxOutput: MAX_ANSWER_BYTES,
    signal,
  }).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'ENOENT' ? unknown(uri, sources, plugin) : broken(plugin, 'cannot be run', cause);
  });
  throwIfAborted(signal);
  if (ended.ended === 'late')
    throw new BullaError('timeout', `${programOf(plugin)} did not answer within ${ANSWER_MS / 1000} s`, {
      hint: 'nothing was signed; try again later',
    });
  const answer = answerOf(ended, plugin);
  const error = textIn(answer, 'errorMessage');
  if (error !== undefined) throw broken(plugin, `failed: ${quoted(error)}`);
  return answer;
}

function answerOf({ status, stdout, stderr }: Ended, plugin: string): JsonObject {
  try {
    return parseJsonObject(stdout, { what: 'its answer', maxBytes: MAX_ANSWER_BYTES, floats: true });
  } catch (cause) {
    const words = quoted(Buffer.from(stderr).toString('utf8').trim());
    const how = `ended with status ${status ?? 'of a signal'} and without an answer in JSON`;
    throw broken(plugin, words === '' ? how : `${how}: ${words}`, cause);
  }
}

function plain({ scalarBytes }: Algorithm, signature: Uint8Array): Uint8Array {
  return (scalarBytes === undefined ? undefined : ecdsaFromDer(signature, scalarBytes)) ?? signature;
}

function programOf(plugin: string): string {
  return `sigstore-kms-${plugin}`;
}

function broken(plugin: string, how: string, cause?: unknown): BullaError {
  return new BullaError('key-unavailable', `the plug-in ${programOf(plugin)} ${how}`, {
    cause,
    hint: 'see what its own documentation says',
  });
}

function unknown(uri: string, { backEnds = new Map() }: KeySources, plugin?: string): BullaError {
  const also = plugin === undefined ? '' : `, and there is no program ${programOf(plugin)} in PATH`;
  return new BullaError('usage', `${uri} names a key by a scheme that is not known${also}`, {
    hint: `give NAME of the key store, PATH of a file, or a URI (spec/keys.md): ${[...SCHEMES, ...backEnds.keys()].join(', ')}`,
  });
}
