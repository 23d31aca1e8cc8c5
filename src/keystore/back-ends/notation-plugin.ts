import { homedir } from 'node:os';
import { join } from 'node:path';
import type { AlgorithmId } from '../../crypto/algorithm.ts';
import { type Certificate, parseCertificate } from '../../crypto/certificate.ts';
import { base64, fromBase64, utf8 } from '../../encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../../encoding/json.ts';
import { BullaError, type ErrorCode, throwIfAborted } from '../../errors.ts';
import { quoted } from '../../http/redact.ts';
import { childEnvironment } from '../../programs/environment.ts';
import { ask, type Ended } from '../../programs/run.ts';
import type { KeyBackEnd, KeyHandle, KeySources } from '../back-end.ts';
import { bytesIn, each, firstSet, textIn } from './service.ts';

const WRITTEN = /^notation-plugin:([A-Za-z0-9][A-Za-z0-9._-]{0,63})\/([^?]+)(?:\?(.*))?$/;
const CONTRACT = '1.0';
/** Specifications of keys, with the only algorithm and hash that Notation allows for each. */
const SPECS: ReadonlyMap<string, { readonly id: AlgorithmId; readonly hash: string }> = new Map([
  ['EC-256', { id: 'ES256', hash: 'SHA-256' }],
  ['EC-384', { id: 'ES384', hash: 'SHA-384' }],
  ['EC-521', { id: 'ES512', hash: 'SHA-512' }],
  ['RSA-2048', { id: 'PS256', hash: 'SHA-256' }],
  ['RSA-3072', { id: 'PS384', hash: 'SHA-384' }],
  ['RSA-4096', { id: 'PS512', hash: 'SHA-512' }],
]);
const ANSWER_MS = 120_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Signed once to learn the certificates: no format of signatures can be made of this text. */
const PROBE = utf8('bulla asks which certificates this key has. This text states nothing about any image.\n');

/**
 * Keys behind a Notation plug-in that signs what it is given (SIGNATURE_GENERATOR.RAW):
 * `notation-plugin:NAME/KEY-ID[?SETTING=VALUE&…]`. The plug-in tells its certificates with a signature only, so that a
 * text is signed for that first.
 */
export const NOTATION_PLUGIN: KeyBackEnd = {
  async find(uri, sources): Promise<KeyHandle> {
    const [, plugin, written = '', query = ''] = WRITTEN.exec(uri) ?? [];
    if (plugin === undefined)
      throw new BullaError('usage', `${uri} does not name a key of a Notation plug-in`, {
        hint: 'write notation-plugin:NAME/KEY-ID, with settings of the plug-in as ?SETTING=VALUE',
      });
    const keyId = decoded(written);
    const pluginConfig = Object.fromEntries(new URLSearchParams(query));
    const call = (command: string, more: JsonObject, signal?: AbortSignal): Promise<JsonObject> =>
      called({ plugin, command, sources, signal, request: { pluginConfig, ...more } });
    const { capabilities } = await call('get-plugin-metadata', {});
    if (!Array.isArray(capabilities) || !capabilities.includes('SIGNATURE_GENERATOR.RAW'))
      throw new BullaError('key-invalid', `the plug-in notation-${plugin} does not sign what it is given`, {
        hint: 'it makes whole envelopes or verifies only: sign with notation and that plug-in, which bulla verifies',
      });
    const asked = { contractVersion: CONTRACT, keyId };
    const keySpec = textIn(await call('describe-key', asked), 'keySpec') ?? '';
    const spec = SPECS.get(keySpec);
    if (spec === undefined) throw broken(plugin, `describes a key of type ${quoted(keySpec, 40)}`);
    const sign = async (payload: Uint8Array, signal?: AbortSignal): Promise<JsonObject> => {
      const request = { ...asked, keySpec, hashAlgorithm: spec.hash, payload: base64(payload) };
      return await call('generate-signature', request, signal);
    };
    const certificates = chainIn(await sign(PROBE), plugin);
    const [leaf] = certificates;
    if (leaf === undefined) throw broken(plugin, 'gave no certificates');
    return {
      name: uri,
      publicKey: leaf.publicKey,
      certificates,
      algorithms: [spec.id],
      open:
        async () =>
        (_, messages, { signal }) =>
          each(messages, async (message) => {
            const signature = bytesIn(await sign(message, signal), 'signature');
            if (signature === undefined) throw broken(plugin, 'gave no signature');
            return signature;
          }),
    };
  },
};

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @throws BullaError key-unavailable, certificate-invalid */
function chainIn({ certificateChain }: JsonObject, plugin: string): readonly Certificate[] {
  if (!Array.isArray(certificateChain)) throw broken(plugin, 'gave no certificates');
  return certificateChain.map((text) => {
    const der = typeof text === 'string' ? fromBase64(text) : undefined;
    if (der === undefined) throw broken(plugin, 'gave a certificate that is not base64');
    return parseCertificate(der, `a certificate of notation-${plugin}`);
  });
}

interface Call {
  readonly plugin: string;
  readonly command: string;
  readonly request: JsonObject;
  readonly sources: KeySources;
  readonly signal?: AbortSignal | undefined;
}

/** Errors of the contract that mean something else than "not now". */
const CODES: ReadonlyMap<string, ErrorCode> = new Map([
  ['VALIDATION_ERROR', 'key-invalid'],
  ['UNSUPPORTED_CONTRACT_VERSION', 'key-invalid'],
  ['ACCESS_DENIED', 'forbidden'],
  ['TIMEOUT', 'timeout'],
]);

/** @throws BullaError not-found, key-unavailable, key-invalid, forbidden, timeout, interrupted */
async function called({ plugin, command, request, sources, signal }: Call): Promise<JsonObject> {
  const config =
    firstSet(sources, 'XDG_CONFIG_HOME') ?? join(firstSet(sources, 'HOME') ?? homedir(), '.config');
  const path = join(config, 'notation', 'plugins', plugin, `notation-${plugin}`);
  const ended = await ask({
    command: path,
    args: [command],
    input: JSON.stringify(request),
    env: childEnvironment(sources.variables ?? {}),
    timeoutMs: ANSWER_MS,
    maxOutput: MAX_ANSWER_BYTES,
    signal,
  }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw broken(plugin, 'cannot be run', cause);
    throw new BullaError('not-found', `there is no Notation plug-in ${plugin}: ${path} is missing`, {
      hint: `notation plugin install, then notation plugin ls`,
    });
  });
  throwIfAborted(signal);
  if (ended.ended === 'late')
    throw new BullaError('timeout', `notation-${plugin} did not answer within ${ANSWER_MS / 1000} s`, {
      hint: 'nothing was signed; try again later',
    });
  if (ended.status !== 0) throw refusal(ended, plugin);
  return objectOf(ended.stdout, plugin);
}

function objectOf(bytes: Uint8Array, plugin: string): JsonObject {
  try {
    return parseJsonObject(bytes, { what: 'its answer', maxBytes: MAX_ANSWER_BYTES, floats: true });
  } catch (cause) {
    throw broken(plugin, 'gave an answer that is not JSON', cause);
  }
}

function refusal({ stderr, status }: Ended, plugin: string): BullaError {
  let said: JsonObject = {};
  try {
    said = parseJsonObject(stderr, { what: 'its error', maxBytes: MAX_ANSWER_BYTES, floats: true });
  } catch {
    return broken(
      plugin,
      `ended with status ${status ?? 'of a signal'}: ${quoted(Buffer.from(stderr).toString('utf8').trim())}`,
    );
  }
  const words = quoted(textIn(said, 'errorMessage') ?? 'it gave no reason');
  const code = CODES.get(textIn(said, 'errorCode') ?? '') ?? 'key-unavailable';
  return new BullaError(code, `the plug-in notation-${plugin} failed: ${words}`, {
    hint: 'nothing was signed; see what its own documentation says',
  });
}

function broken(plugin: string, how: string, cause?: unknown): BullaError {
  return new BullaError('key-unavailable', `the plug-in notation-${plugin} ${how}`, {
    cause,
    hint: 'nothing was signed; see what its own documentation says',
  });
}
