import crypto, { createHash, type ScryptOptions } from 'node:crypto';
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

deriveOnce();
