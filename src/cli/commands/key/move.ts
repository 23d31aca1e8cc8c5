import type { KeyObject } from 'node:crypto';
import { basename, resolve } from 'node:path';
import type { Certificate } from '../../../crypto/certificate.ts';
import { checkChainOrder } from '../../../crypto/chain.ts';
import { formatPem } from '../../../crypto/pem.ts';
import { type PrivateKeyFile, privateKeyPem } from '../../../crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../../crypto/public-key.ts';
import { BullaError } from '../../../errors.ts';
import type { KeySources } from '../../../keystore/back-end.ts';
import { isKept, lookAtKept } from '../../../keystore/kept.ts';
import { findKey, readCertificateFile } from '../../../keystore/key-file.ts';
import { checkKeyName, isKeyName } from '../../../keystore/names.ts';
import type { Keystore } from '../../../keystore/store.ts';
import { unlockKey } from '../../../keystore/unlock.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import { keySources, passphraseOptions } from '../../flags/keys.ts';
import type { Context } from '../../shell/context.ts';
import { newPassphrase } from '../../shell/passphrase.ts';
import { describeKey, nameOrDefault } from './look.ts';
import { taken, warnIfEmpty } from './make.ts';
import { type OutFlags, writePem } from './write.ts';

export interface ImportFlags extends KeyFlags {
  readonly certChain?: string;
  readonly force?: boolean;
}

/** `bulla key import` */
export async function importKey(
  context: Context,
  file: string,
  given: string | undefined,
  flags: ImportFlags,
): Promise<void> {
  const sources = keySources(context, flags);
  const name = given === undefined ? nameOfFile(file) : checkKeyName(given);
  const replace = flags.force === true;
  if (!replace && (await sources.keystore.has(name))) throw taken(name);
  const certificates =
    flags.certChain === undefined ? [] : await readCertificateFile(resolve(context.io.cwd, flags.certChain));
  if (isKept(file, sources)) {
    const { publicKey, kept } = await lookAtKept(file, sources);
    if (certificates.length > 0) checkChainOrder(certificates, publicKey, flags.certChain ?? '');
    await sources.keystore.putKept(name, publicKey, kept, { replace });
    await putCertificates(sources.keystore, name, certificates, flags.certChain);
    const { text, json } = describeKey(await sources.keystore.get(name));
    context.output.result(text, json);
    context.output.info(`the private key stays at ${file}; ${name} is its name here`);
    return;
  }
  // An absolute path is never taken for the name of a key in the store.
  const spec = file.includes('://') ? file : resolve(context.io.cwd, file);
  const found = await findKey(spec, sources);
  const { key, passphrase } = await openToStore(context, file, name, found.file, sources, flags);
  if (certificates.length > 0) checkChainOrder(certificates, publicKeyOf(key), flags.certChain ?? '');
  warnIfEmpty(context, passphrase, name);
  await sources.keystore.put(name, key, passphrase, { replace });
  passphrase.fill(0);
  await putCertificates(sources.keystore, name, certificates, flags.certChain);
  const stored = await sources.keystore.get(name);
  const { role, gun } = found.file;
  context.output.result(describeKey(stored).text, {
    ...describeKey(stored).json,
    ...(role !== undefined && { role }),
    ...(gun !== undefined && { gun }),
  });
  context.output.info(`${file} is still there; remove it if the key is to be in one place only`);
}

async function putCertificates(
  keystore: Keystore,
  name: string,
  certificates: readonly Certificate[],
  where = '',
): Promise<void> {
  if (certificates.length === 0) return;
  const pem = certificates.map(({ der }) => formatPem('CERTIFICATE', der)).join('');
  await keystore.putCertificates(name, pem, where);
}

/** The key in the file, and the passphrase that it will be stored with: its own where it has one. */
export async function openToStore(
  context: Context,
  where: string,
  name: string,
  file: PrivateKeyFile,
  sources: KeySources,
  flags: ImportFlags,
): Promise<{ key: KeyObject; passphrase: Uint8Array }> {
  if (!file.encrypted) {
    const key = await file.unlock();
    return { key, passphrase: await newPassphrase(context.io, passphraseOptions(context, flags), name) };
  }
  let passphrase: Uint8Array = new Uint8Array();
  const key = await unlockKey(where, file, async (request) => {
    const secret = await sources.passphrase(request);
    passphrase = Uint8Array.from(secret);
    return secret;
  });
  return { key, passphrase };
}

function nameOfFile(file: string): string {
  const name = basename(file).replace(/\.(?:key|pem)$/i, '');
  if (isKeyName(name) && !file.includes('://')) return name;
  throw new BullaError('usage', `${file} does not make a name for the key`, {
    hint: 'give one: bulla key import FILE NAME',
  });
}

export interface ExportFlags extends KeyFlags, OutFlags {
  readonly public?: boolean;
  readonly cert?: boolean;
  readonly pkcs8?: boolean;
  readonly unencrypted?: boolean;
}

/** `bulla key export` */
export async function exportKey(
  context: Context,
  given: string | undefined,
  flags: ExportFlags,
): Promise<void> {
  if ([flags.public, flags.cert, flags.pkcs8].filter(Boolean).length > 1) {
    throw new BullaError('usage', '--public, --cert and --pkcs8 exclude each other', {
      hint: 'export one after the other',
    });
  }
  if (flags.unencrypted === true && (flags.pkcs8 !== true || flags.out === undefined)) {
    throw new BullaError('usage', '--unencrypted goes with --pkcs8 and --out FILE', {
      hint: 'an unprotected key is written into a file that only you can read, never to a terminal or pipe',
    });
  }
  const sources = keySources(context, flags);
  const { keystore } = sources;
  const stored = await keystore.get(await nameOrDefault(keystore, given));
  const { name, publicKey, certificates } = stored;
  const about = { name, fingerprint: publicKey.fingerprint };
  if (flags.public === true) return writePem(context, publicKeyPem(publicKey), flags, about);
  if (flags.cert === true) {
    if (certificates.length === 0) {
      throw new BullaError('not-found', `the key ${name} has no certificate`, {
        hint: 'bulla key csr writes a request for one, bulla key cert --self-signed makes one to try things out',
      });
    }
    const pem = certificates.map(({ der }) => formatPem('CERTIFICATE', der)).join('');
    return writePem(context, pem, flags, about);
  }
  if (flags.pkcs8 !== true)
    return writePem(context, await keystore.sealedPem(name, sources), flags, about, true);
  const { key, passphrase } = await openToStore(
    context,
    name,
    name,
    await keystore.privateKey(name, sources),
    sources,
    flags,
  );
  const pem = flags.unencrypted === true ? privateKeyPem(key) : privateKeyPem(key, passphrase);
  passphrase.fill(0);
  if (flags.unencrypted === true)
    context.output.warn(`${flags.out} is not encrypted: anyone who can read it can sign`);
  return writePem(context, pem, flags, about, true);
}
