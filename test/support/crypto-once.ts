import crypto, { createHash, type KeyObject, type ScryptOptions } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

type Derived = (error: Error | null, key: Buffer) => void;
type Scrypt = (
  password: Uint8Array,
  salt: Uint8Array,
  length: number,
  options: ScryptOptions,
  done: Derived,
) => void;

/** Derived keys by a hash of all that they follow from. */
const derived = new Map<string, Buffer>();

/**
 * Has scrypt derive each key once per process, by node:crypto as ever: a test that opens a key which it sealed
 * a moment before asks for the same again, and scrypt takes a quarter of a second on purpose.
 */
function deriveOnce(): void {
  const scrypt = crypto.scrypt as unknown as Scrypt;
  if ('isRemembering' in scrypt) return;
  const remembering: Scrypt = (password, salt, length, options, done) => {
    const hash = createHash('sha256');
    for (const part of [password, salt]) hash.update(`${part.byteLength} `).update(part);
    const name = hash.update(`${length} ${JSON.stringify(options)}`).digest('hex');
    const known = derived.get(name);
    if (known !== undefined) {
      setImmediate(done, null, Buffer.from(known));
      return;
    }
    scrypt(password, salt, length, options, (error, key) => {
      if (error === null) derived.set(name, Buffer.from(key));
      done(error, key);
    });
  };
  crypto.scrypt = Object.assign(remembering, { isRemembering: true }) as unknown as typeof crypto.scrypt;
  syncBuiltinESMExports();
}

type Verify = (
  algorithm: string | null | undefined,
  message: NodeJS.ArrayBufferView,
  key: unknown,
  signature: NodeJS.ArrayBufferView,
) => boolean;

/** Messages that a signature was found to be over, by key, parameters and signature. */
const verified = new Map<string, Buffer>();
const MAX_VERIFIED = 20_000;

/**
 * Has each valid signature verified once per process, by node:crypto as ever: tests read the same signed files over
 * and over. Only the same bytes under the same key count as the same, and what does not verify is asked again.
 */
function verifyOnce(): void {
  const verify = crypto.verify as unknown as Verify;
  if ('isRemembering' in verify) return;
  const remembering: Verify = (algorithm, message, key, signature) => {
    const { key: object, ...parameters } =
      key instanceof crypto.KeyObject ? { key } : (key as { key: unknown });
    if (!(object instanceof crypto.KeyObject)) return verify(algorithm, message, key, signature);
    const name = `${algorithm} ${JSON.stringify(parameters)} ${idOf(object)}${latin1(signature)}`;
    const bytes = bufferOf(message);
    if (verified.get(name)?.equals(bytes) === true) return true;
    if (!verify(algorithm, message, key, signature)) return false;
    if (verified.size >= MAX_VERIFIED) verified.clear();
    verified.set(name, Buffer.from(bytes));
    return true;
  };
  crypto.verify = Object.assign(remembering, { isRemembering: true }) as unknown as typeof crypto.verify;
  syncBuiltinESMExports();
}

function bufferOf({ buffer, byteOffset, byteLength }: NodeJS.ArrayBufferView): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function latin1(bytes: NodeJS.ArrayBufferView): string {
  return bufferOf(bytes).toString('latin1');
}

const ids = new WeakMap<KeyObject, string>();

function idOf(key: KeyObject): string {
  let id = ids.get(key);
  if (id === undefined) {
    id = latin1(key.export({ type: 'spki', format: 'der' }));
    ids.set(key, id);
  }
  return id;
}

deriveOnce();
verifyOnce();
