import { tufKey } from '../../actions/sign/keys-at-hand.ts';
import { parseCertificates } from '../../crypto/certificate.ts';
import { checkValidAt } from '../../crypto/certificate-profile.ts';
import { parsePublicKeyPem } from '../../crypto/public-key.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import { readPublicFile } from '../../keystore/read.ts';
import type { TufKey } from '../../tuf/keys.ts';
import type { Context } from '../shell/context.ts';

/**
 * Public keys of a signer, as docker takes them: PEM of a public key or of a certificate that is valid now.
 * @throws BullaError usage where there is none; not-found, key-invalid, certificate-invalid, certificate-expired
 */
export async function readSignerKeys(context: Context, files: readonly string[]): Promise<readonly TufKey[]> {
  if (files.length === 0)
    throw new BullaError('usage', 'path to a public key must be provided using the `--key` flag', {
      hint: 'bulla docker-trust key generate NAME writes NAME.pub; bulla key export NAME --public prints an existing one',
    });
  const keys = new Map<string, TufKey>();
  for (const file of files) {
    const key = await readSignerKey(context, file);
    keys.set(key.keyid, key);
  }
  return [...keys.values()];
}

async function readSignerKey(context: Context, file: string): Promise<TufKey> {
  const bytes = await readPublicFile(context.path(file)).catch((cause: unknown) => {
    throw wrapped('unable to read public key from file', cause);
  });
  try {
    const text = decodeUtf8(bytes, file);
    if (!text.includes('-----BEGIN CERTIFICATE-----')) return tufKey(parsePublicKeyPem(text, file));
    const [leaf, ...chain] = parseCertificates(text, file);
    if (leaf === undefined) throw new BullaError('certificate-invalid', `${file} holds no certificate`);
    checkValidAt([leaf, ...chain], context.io.now());
    return tufKey(leaf.publicKey);
  } catch (cause) {
    throw wrapped(`could not parse public key from file: ${file}`, cause);
  } finally {
    bytes.fill(0);
  }
}

/** An error under docker's words for it, with the code and hint that it has. */
export function wrapped(words: string, cause: unknown): unknown {
  if (!isBullaError(cause)) return cause;
  const { code, hint, details } = cause;
  return new BullaError(code, `${words}: ${messageOf(cause)}`, {
    cause,
    details,
    ...(hint !== undefined && { hint }),
  });
}
