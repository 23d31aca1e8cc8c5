import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { type Algorithm, type AlgorithmId, defaultAlgorithm, type KeyType } from '../../crypto/algorithm.ts';
import {
  type PublicKey,
  publicKeyFromJwk,
  publicKeyFromRawEd25519,
  publicKeyFromRawPoint,
} from '../../crypto/public-key.ts';
import type { SigningOptions } from '../../crypto/signer.ts';
import { base64, base64url, concatBytes, decodeUtf8, utf8 } from '../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { KeyBackEnd, KeyHandle, KeySources } from '../back-end.ts';
import { firstSet } from './service.ts';

/** Messages of the agent's protocol (draft-ietf-sshm-ssh-agent, "Protocol Messages"). */
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;
/** Flags of a sign request, by the hash that RSA signs with. */
const RSA_FLAGS: ReadonlyMap<AlgorithmId, number> = new Map([
  ['RS256', 2],
  ['RS512', 4],
]);

/** Largest message of an agent, in bytes. */
export const MAX_AGENT_BYTES: number = 256 * 1024;
const ANSWER_MS = 10_000;
/** An agent may ask its user before it signs. */
const CONFIRM_MS = 120_000;

/** One key of an agent. */
interface Identity {
  readonly blob: Uint8Array;
  /** As `ssh-keygen -l` shows it: `SHA256:` and base64 without padding. */
  readonly fingerprint: string;
  readonly comment: string;
  /** As OpenSSH calls it: `ssh-ed25519`. */
  readonly type: string;
}

/**
 * Keys of an SSH agent (`ssh-agent:`, spec/keys.md): Ed25519, ECDSA and RSA. The agent signs any message with them, so
 * nothing of a signature says that it is meant for SSH.
 */
export const SSH_AGENT: KeyBackEnd = {
  async find(uri, sources): Promise<KeyHandle> {
    const path = firstSet(sources, 'SSH_AUTH_SOCK');
    if (path === undefined)
      throw new BullaError('not-found', 'no SSH agent: SSH_AUTH_SOCK is not set', {
        hint: 'start one: eval "$(ssh-agent)", then ssh-add',
      });
    const identity = chosen(await identitiesOf(path), wantedOf(uri));
    const publicKey = publicKeyOfBlob(identity);
    return {
      name: `ssh-agent:${identity.fingerprint}`,
      publicKey,
      algorithms: algorithmsOf(publicKey),
      open: async () => (algorithm, messages, options) =>
        signAll(path, { identity, algorithm, messages, options }),
    };
  },
};

/** Keys of the agent of this environment, as {@link SSH_AGENT} names them. @throws BullaError not-found, key-unavailable */
export async function agentKeys(
  sources: KeySources,
): Promise<readonly { readonly uri: string; readonly comment: string; readonly type: string }[]> {
  const path = firstSet(sources, 'SSH_AUTH_SOCK');
  if (path === undefined) return [];
  const identities = await identitiesOf(path);
  return identities.map(({ fingerprint, comment, type }) => ({
    uri: `ssh-agent:${fingerprint}`,
    comment,
    type,
  }));
}

function wantedOf(uri: string): string {
  const text = uri.slice(uri.indexOf(':') + 1).replace(/^\/\//, '');
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The key with a fingerprint or comment; without one of these the only key. @throws BullaError not-found, usage, key-unavailable */
function chosen(identities: readonly Identity[], wanted: string): Identity {
  if (identities.length === 0)
    throw new BullaError('key-unavailable', 'the SSH agent has no keys, or it is locked', {
      hint: 'add a key: ssh-add FILE; unlock the agent: ssh-add -X',
    });
  const plain = identities.filter(({ type }) => !type.includes('-cert-v'));
  const fitting =
    wanted === ''
      ? plain
      : plain.filter(({ fingerprint, comment }) => fingerprint === wanted || comment === wanted);
  const [first, second] = fitting;
  const list = plain.map(({ fingerprint, comment }) => `${fingerprint} (${comment})`).join(', ');
  if (first === undefined)
    throw new BullaError('not-found', `the SSH agent has no key ${wanted}; it has ${list}`, {
      hint: 'name a key by its fingerprint, as ssh-add -l shows it, or by its comment',
    });
  if (second !== undefined)
    throw new BullaError('usage', `the SSH agent has several such keys: ${list}`, {
      hint: `name one by its fingerprint: ssh-agent:${first.fingerprint}`,
    });
  return first;
}

async function identitiesOf(path: string): Promise<readonly Identity[]> {
  const [answer] = await exchange(path, [Uint8Array.of(REQUEST_IDENTITIES)], { ms: ANSWER_MS });
  const reader = new Reader(answer as Uint8Array);
  if (reader.byte() !== IDENTITIES_ANSWER) throw refusal('did not list its keys');
  return Array.from({ length: reader.count() }, () => {
    const blob = reader.bytes();
    const comment = Buffer.from(reader.bytes()).toString('utf8');
    const hash = base64(createHash('sha256').update(blob).digest()).replace(/=+$/, '');
    return { blob, comment, fingerprint: `SHA256:${hash}`, type: new Reader(blob).text() };
  });
}

interface Signing {
  readonly identity: Identity;
  readonly algorithm: Algorithm;
  readonly messages: readonly Uint8Array[];
  readonly options: SigningOptions;
}

/** All signatures over one connection, one after another: an agent answers in order. */
async function signAll(
  path: string,
  { identity, algorithm, messages, options }: Signing,
): Promise<readonly Uint8Array[]> {
  const flags = RSA_FLAGS.get(algorithm.id) ?? 0;
  const requests = messages.map((message) =>
    concatBytes([Uint8Array.of(SIGN_REQUEST), text(identity.blob), text(message), number32(flags)]),
  );
  const answers = await exchange(path, requests, { ms: CONFIRM_MS, signal: options.signal });
  return answers.map((answer) => {
    const reader = new Reader(answer);
    if (reader.byte() !== SIGN_RESPONSE)
      throw refusal('did not sign: it is locked, the key was removed, or its user said no');
    return plainSignature(new Reader(reader.bytes()), algorithm);
  });
}

/** What the agent calls a signature, in the plain form of the algorithm. */
function plainSignature(reader: Reader, { scalarBytes }: Algorithm): Uint8Array {
  reader.text();
  const signature = reader.bytes();
  if (scalarBytes === undefined) return signature;
  const numbers = new Reader(signature);
  return concatBytes([scalar(numbers.bytes(), scalarBytes), scalar(numbers.bytes(), scalarBytes)]);
}

/** A positive mpint (RFC 4251 §5) at full length. */
function scalar(mpint: Uint8Array, size: number): Uint8Array {
  const magnitude = mpint[0] === 0 ? mpint.subarray(1) : mpint;
  if (magnitude.byteLength > size) throw refusal('gave a signature that is too long');
  const full = new Uint8Array(size);
  full.set(magnitude, size - magnitude.byteLength);
  return full;
}

const CURVES: ReadonlyMap<string, KeyType> = new Map([
  ['ecdsa-sha2-nistp256', 'P-256'],
  ['ecdsa-sha2-nistp384', 'P-384'],
  ['ecdsa-sha2-nistp521', 'P-521'],
]);

/** @throws BullaError key-invalid for FIDO keys and other types */
function publicKeyOfBlob({ blob, type, fingerprint }: Identity): PublicKey {
  const where = `the key ${fingerprint} of the SSH agent`;
  if (type.startsWith('sk-'))
    throw new BullaError('key-invalid', `${where} is a FIDO key (${type})`, {
      hint: 'a FIDO key signs a counter and flags with each message, which no format of image signatures has; use another key, or the PIV part of the device with pkcs11:',
    });
  const reader = new Reader(blob);
  reader.text();
  const curve = CURVES.get(type);
  if (curve !== undefined) {
    reader.text();
    return publicKeyFromRawPoint(reader.bytes(), curve, where);
  }
  if (type === 'ssh-ed25519') return publicKeyFromRawEd25519(reader.bytes(), where);
  if (type === 'ssh-rsa') {
    const [e, n] = [reader.bytes(), reader.bytes()].map((mpint) =>
      base64url(mpint[0] === 0 ? mpint.subarray(1) : mpint),
    );
    return publicKeyFromJwk({ kty: 'RSA', e: e as string, n: n as string }, where);
  }
  throw new BullaError('key-invalid', `${where} has the type ${type}`, {
    hint: 'use an Ed25519, ECDSA or RSA key',
  });
}

/** An agent chooses the hash by the curve, and signs PKCS #1 v1.5 with RSA. */
function algorithmsOf({ type, modulusBits }: PublicKey): readonly AlgorithmId[] {
  return type === 'RSA' ? ['RS256', 'RS512'] : [defaultAlgorithm(type, modulusBits).id];
}

interface Waiting {
  /** For one answer, in milliseconds. */
  readonly ms: number;
  readonly signal?: AbortSignal | undefined;
}

/** Asks each question after the answer to the one before. @throws BullaError key-unavailable, timeout, interrupted */
async function exchange(
  path: string,
  questions: readonly Uint8Array[],
  { ms, signal }: Waiting,
): Promise<readonly Uint8Array[]> {
  const socket = connect({ path });
  const interrupt = (): void => void socket.destroy();
  signal?.addEventListener('abort', interrupt, { once: true });
  socket.setTimeout(ms, () => socket.destroy(late(ms)));
  try {
    const frames = framesOf(socket);
    const answers: Uint8Array[] = [];
    for (const question of questions) {
      socket.write(text(question));
      const { value, done } = await frames.next();
      if (done === true || value === undefined) throw refusal('closed the connection');
      answers.push(value);
    }
    return answers;
  } catch (error) {
    if (isBullaError(error)) throw error;
    throw new BullaError(
      'key-unavailable',
      `the SSH agent at ${path} cannot be asked: ${(error as Error).message}`,
      {
        cause: error,
        hint: 'check SSH_AUTH_SOCK, and that the agent runs: ssh-add -l',
      },
    );
  } finally {
    signal?.removeEventListener('abort', interrupt);
    socket.destroy();
  }
}

/** Answers as they arrive, without their length. */
async function* framesOf(socket: Socket): AsyncGenerator<Uint8Array, undefined> {
  let held: Buffer = Buffer.alloc(0);
  for await (const piece of socket as AsyncIterable<Buffer>) {
    held = Buffer.concat([held, piece]);
    while (held.byteLength >= 4) {
      const size = held.readUInt32BE(0);
      if (size > MAX_AGENT_BYTES) throw refusal(`gave an answer of ${size} bytes`);
      if (held.byteLength < 4 + size) break;
      yield Uint8Array.from(held.subarray(4, 4 + size));
      held = held.subarray(4 + size);
    }
  }
  return undefined;
}

/** Fields of a message (RFC 4251 §5), each checked against what is there. */
class Reader {
  private readonly data: Buffer;
  private at = 0;

  constructor(data: Uint8Array) {
    this.data = Buffer.from(data);
  }

  byte(): number {
    return this.take(1)[0] as number;
  }

  /** A number of things that follow, of which each takes several bytes. */
  count(): number {
    const count = this.take(4).readUInt32BE(0);
    if (count > this.data.byteLength / 8) throw refusal('gave an answer that is cut off');
    return count;
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.take(this.take(4).readUInt32BE(0)));
  }

  text(): string {
    return decodeUtf8(this.bytes(), 'an answer of the SSH agent');
  }

  private take(size: number): Buffer {
    if (this.at + size > this.data.byteLength) throw refusal('gave an answer that is cut off');
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }
}

function number32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function text(bytes: Uint8Array | string): Uint8Array {
  const data = typeof bytes === 'string' ? utf8(bytes) : bytes;
  return concatBytes([number32(data.byteLength), data]);
}

function refusal(how: string): BullaError {
  return new BullaError('key-unavailable', `the SSH agent ${how}`, {
    hint: 'look at it: ssh-add -l; unlock it with ssh-add -X',
  });
}

function late(ms: number): BullaError {
  return new BullaError('timeout', `the SSH agent did not answer within ${ms / 1000} s`, {
    hint: 'it may be waiting for its user to confirm, or for a touch',
  });
}
