import type { KeyObject } from 'node:crypto';
import type { PrivateKeyFile } from '../crypto/private-key.ts';
import { equalBytes } from '../encoding/bytes.ts';
import { isBullaError } from '../errors.ts';
import type { PassphraseSource } from './back-end.ts';

/** The private key in `file`, with the passphrase asked for where one is needed. @throws BullaError key-invalid */
export async function unlockKey(
  name: string,
  file: PrivateKeyFile,
  passphrase: PassphraseSource,
  unattended = false,
): Promise<KeyObject> {
  if (!file.encrypted) return file.unlock();
  let tried: { readonly secret: Uint8Array; readonly key: KeyObject } | undefined;
  const opens = async (secret: Uint8Array): Promise<boolean> => {
    try {
      tried = { secret: Uint8Array.from(secret), key: await file.unlock(secret) };
      return true;
    } catch (error) {
      if (isBullaError(error, 'key-invalid')) return false;
      throw error;
    }
  };
  const request = { key: name, format: file.format, ...(unattended && { unattended }) };
  const secret = await passphrase(request, opens);
  try {
    return tried !== undefined && equalBytes(tried.secret, secret) ? tried.key : await file.unlock(secret);
  } finally {
    secret.fill(0);
    tried?.secret.fill(0);
  }
}
