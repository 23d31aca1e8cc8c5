import { homedir } from 'node:os';
import { join } from 'node:path';
import type { AlgorithmId } from '../../crypto/algorithm.ts';
import { type Certificate, parseCertificate } from '../../crypto/certificate.ts';
import { base64, fromBase64, utf8 } from '../../encoding/bytes.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../encoding/json.ts';
import { BullaError, type ErrorCode, throwIfAborted } from '../../errors.ts';
import { quoted } from '../../http/redact.ts';
import { childEnvironment } from '../../programs/environment.ts';
import { ask, type Ended } from '../../programs/run.ts';
import type { KeyBackEnd, KeyHandle, KeySources, SignMessages } from '../back-end.ts';
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

const JWS = 'application/jose+json';
const PAYLOAD = 'application/vnd.cncf.notary.payload.v1+json';
/** As {@link PROBE}, for plug-ins that read what they sign: it names no artifact, so that no reader takes it. */
const ENVELOPE_PROBE = utf8(
  '{"bulla":"asks which certificates this key has; this states nothing about any image"}',
);

/**
 * Keys behind a Notation plug-in that signs what it is given (SIGNATURE_GENERATOR.RAW) or makes whole envelopes
 * (SIGNATURE_GENERATOR.ENVELOPE): `notation-plugin:NAME/KEY-ID[?SETTING=VALUE&…]`. The plug-in tells its certificates with a signature only, so that a
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
    const asked = { contractVersion: CONTRACT, keyId };
    const { capabilities = [] } = await call('get-plugin-metadata', {});
    const can = (what: string): boolean => Array.isArray(capabilities) && capabilities.includes(what);
    if (can('SIGNATURE_GENERATOR.RAW')) return await rawKey(uri, plugin, asked, call);
    if (can('SIGNATURE_GENERATOR.ENVELOPE')) return await envelopeKey(uri, plugin, asked, call);
    throw new BullaError('key-invalid', `the plug-in notation-${plugin} does not sign`, {
      hint: 'notation plugin ls shows what plug-ins can do: SIGNATURE_GENERATOR.RAW or SIGNATURE_GENERATOR.ENVELOPE is needed',
    });
  },
};

type Ask = (command: string, more: JsonObject, signal?: AbortSignal) => Promise<JsonObject>;

/** A key that signs what it is given. */
async function rawKey(uri: string, plugin: string, asked: JsonObject, call: Ask): Promise<KeyHandle> {
  const keySpec = textIn(await call('describe-key', asked), 'keySpec') ?? '';
  const spec = SPECS.get(keySpec);
  if (spec === undefined) throw broken(plugin, `describes a key of type ${quoted(keySpec, 40)}`);
  const sign = async (payload: Uint8Array, signal?: AbortSignal): Promise<JsonObject> => {
    const request = { ...asked, keySpec, hashAlgorithm: spec.hash, payload: base64(payload) };
    return await call('generate-signature', request, signal);
  };
  const certificates = chainIn(await sign(PROBE), plugin);
  return {
    ...{ name: uri, publicKey: leafOf(certificates, plugin).publicKey, certificates },
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
}

/** A key that makes whole envelopes. What comes back is verified by those who asked for it (signatures/notation-envelope.ts). */
async function envelopeKey(uri: string, plugin: string, asked: JsonObject, call: Ask): Promise<KeyHandle> {
  const envelope: SignMessages['envelope'] = async (request, { signal }) => {
    const { type, payloadType, payload, lifetime } = request;
    const answer = await call(
      'generate-envelope',
      {
        ...asked,
        ...{ payload: base64(payload), payloadType, signatureEnvelopeType: type },
        ...(lifetime !== undefined && { expiryDurationInSeconds: lifetime }),
      },
      signal,
    );
    const made = textIn(answer, 'signatureEnvelopeType');
    if (made !== type)
      throw broken(
        plugin,
        `made an envelope of type ${quoted(made ?? 'none', 80)}, and ${type} was asked for`,
      );
    const bytes = bytesIn(answer, 'signatureEnvelope');
    if (bytes === undefined) throw broken(plugin, 'gave no envelope');
    return bytes;
  };
  const probe = await envelope({ type: JWS, payloadType: PAYLOAD, payload: ENVELOPE_PROBE }, {});
  const { header } = objectOf(probe, plugin);
  const certificates = chainIn(
    { certificateChain: isJsonObject(header) ? (header['x5c'] ?? null) : null },
    plugin,
  );
  const { publicKey } = leafOf(certificates, plugin);
  const refuse = async (): Promise<never> => {
    throw new BullaError('key-invalid', `the plug-in notation-${plugin} makes whole envelopes only`, {
      hint: 'it signs images in the format of Notation; for names and roles use another key',
    });
  };
  return { name: uri, publicKey, certificates, open: async () => Object.assign(refuse, { envelope }) };
}

function leafOf([leaf]: readonly Certificate[], plugin: string): Certificate {
  if (leaf !== undefined) return leaf;
  throw broken(plugin, 'gave no certificates');
}

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
