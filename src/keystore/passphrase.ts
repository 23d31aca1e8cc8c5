import { resolve } from 'node:path';
import { utf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import type { PassphraseSource } from './back-end.ts';
import { readSecretFile } from './read.ts';

/** Longest passphrase that is read from a file or descriptor, in bytes. */
export const MAX_PASSPHRASE_BYTES = 4096;

/** Where passphrases are looked for without a prompt. */
export interface PassphrasePlaces {
  /** Value of an environment variable. */
  readonly environment: (name: string) => string | undefined;
  /** Directory that relative paths start from. */
  readonly cwd: string;
  /** Read files that others may read, too. */
  readonly anyMode?: boolean | undefined;
}

/**
 * The passphrase in an environment variable, else in the file that `VARIABLE_FILE` names; undefined where neither is
 * set. A variable that is set but empty is the empty passphrase.
 * @throws BullaError key-invalid, not-found, usage, storage-error
 */
export async function passphraseIn(
  variable: string,
  { environment, cwd, anyMode = false }: PassphrasePlaces,
): Promise<Uint8Array | undefined> {
  const value = environment(variable);
  if (value !== undefined) return utf8(value);
  const path = environment(`${variable}_FILE`);
  if (path === undefined || path === '') return undefined;
  const bytes = await readSecretFile(resolve(cwd, path), { anyMode });
  return withoutNewline(boundedPassphrase(bytes, path));
}

/**
 * Passphrases of the environment: BULLA_PASSPHRASE, BULLA_PASSPHRASE_FILE, COSIGN_PASSWORD for a sigstore key
 * (spec/keys.md). It never prompts.
 */
export function environmentPassphrases(places: PassphrasePlaces): PassphraseSource {
  return async ({ key, format }) => {
    const given = await passphraseIn('BULLA_PASSPHRASE', places);
    if (given !== undefined) return given;
    const cosign = places.environment('COSIGN_PASSWORD');
    if (format === 'sigstore' && cosign !== undefined) return utf8(cosign);
    throw new BullaError('usage', `the passphrase for ${key} is not given`, {
      hint: 'set BULLA_PASSPHRASE, or a file in BULLA_PASSPHRASE_FILE',
    });
  };
}

/** @throws BullaError usage where it is longer than a passphrase may be */
export function boundedPassphrase(bytes: Uint8Array, where: string): Uint8Array {
  if (bytes.byteLength <= MAX_PASSPHRASE_BYTES) return bytes;
  throw new BullaError(
    'usage',
    `${where} has more than the ${MAX_PASSPHRASE_BYTES} bytes that a passphrase may have`,
    { hint: 'check that it is the right file' },
  );
}

/** The newline that editors and `echo` put at the end is not part of the passphrase. */
export function withoutNewline(bytes: Uint8Array): Uint8Array {
  let end = bytes.byteLength;
  if (bytes[end - 1] === 0x0a) end--;
  if (bytes[end - 1] === 0x0d) end--;
  return bytes.slice(0, end);
}
