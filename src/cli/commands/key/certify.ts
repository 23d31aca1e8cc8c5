import { resolve } from 'node:path';
import { parseCertificate } from '../../../crypto/certificate.ts';
import { createCertificate, createCertificateRequest } from '../../../crypto/certificate-build.ts';
import { checkSigningChain, checkValidAt } from '../../../crypto/certificate-profile.ts';
import { formatPem } from '../../../crypto/pem.ts';
import { shellWord } from '../../../encoding/shell-word.ts';
import { BullaError } from '../../../errors.ts';
import { readCertificateFile } from '../../../keystore/key-file.ts';
import type { KeySigner } from '../../../keystore/key-of.ts';
import { isKeyName } from '../../../keystore/names.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import { keystoreOf, signerOf } from '../../flags/keys.ts';
import type { Context } from '../../shell/context.ts';
import { describeCertificates, nameOrDefault } from './look.ts';
import { type OutFlags, writePem } from './write.ts';

const DAY_MS = 86_400_000;
const MAX_DAYS = 3650;

/** `bulla key csr` */
export async function request(
  context: Context,
  given: string | undefined,
  flags: KeyFlags & OutFlags & { readonly subject: string; readonly uri?: readonly string[] },
): Promise<void> {
  const signer = await signerFor(context, given, flags);
  const pem = formatPem(
    'CERTIFICATE REQUEST',
    await createCertificateRequest(flags.subject, signer, flags.uri),
  );
  await writePem(context, pem, flags, { key: signer.name, fingerprint: signer.keyId });
  const name = signer.name === undefined ? '' : ` ${shellWord(signer.name)}`;
  context.output.info(
    `send it to your authority; what comes back goes in with: bulla key cert${name} --chain FILE`,
  );
}

export interface CertFlags extends KeyFlags, OutFlags {
  readonly chain?: string;
  readonly selfSigned?: boolean;
  readonly subject?: string;
  readonly days?: string;
}

/** `bulla key cert` */
export async function certify(context: Context, given: string | undefined, flags: CertFlags): Promise<void> {
  if ((flags.chain === undefined) === (flags.selfSigned !== true)) {
    throw new BullaError('usage', 'either --chain or --self-signed is needed', {
      hint: '--chain FILE stores what an authority issued, --self-signed makes a certificate to try things out with',
    });
  }
  return flags.chain === undefined
    ? selfSign(context, given, flags)
    : storeChain(context, given, flags.chain, flags);
}

async function storeChain(
  context: Context,
  given: string | undefined,
  chain: string,
  flags: CertFlags,
): Promise<void> {
  if (flags.out !== undefined) {
    throw new BullaError('usage', '--out goes with --self-signed', { hint: 'leave one of them out' });
  }
  const certificates = await readCertificateFile(resolve(context.io.cwd, chain));
  // Better refused here than by every verifier.
  checkSigningChain(certificates);
  checkValidAt(certificates, context.io.now());
  const pem = certificates.map(({ der }) => formatPem('CERTIFICATE', der)).join('');
  await store(context, given ?? flags.key, pem, chain, flags);
}

async function selfSign(context: Context, given: string | undefined, flags: CertFlags): Promise<void> {
  const { subject } = flags;
  if (subject === undefined) {
    throw new BullaError('usage', '--self-signed needs a --subject', {
      hint: 'such as --subject "C=DE, ST=Berlin, O=Acme, CN=release"',
    });
  }
  const days = /^\d{1,5}$/.test(flags.days ?? '365') ? Number(flags.days ?? '365') : 0;
  if (days < 1 || days > MAX_DAYS) {
    throw new BullaError('usage', `--days is ${JSON.stringify(flags.days)}, not 1 to ${MAX_DAYS}`, {
      hint: 'a certificate to try things out with needs no long life',
    });
  }
  const signer = await signerFor(context, given, flags);
  if (flags.out === undefined) await refuseToReplace(context, signer.name, flags);
  const notBefore = new Date(Math.floor(context.io.now().getTime() / 1000) * 1000);
  const der = await createCertificate(
    {
      subject,
      publicKey: signer.publicKey,
      notBefore,
      notAfter: new Date(notBefore.getTime() + days * DAY_MS),
    },
    { subject, signer },
  );
  // An Ed25519 key, for one, makes a certificate that no verifier accepts.
  checkSigningChain([parseCertificate(der, 'the new certificate')]);
  const pem = formatPem('CERTIFICATE', der);
  if (flags.out !== undefined)
    return writePem(context, pem, flags, { key: signer.name, fingerprint: signer.keyId });
  await store(context, signer.name, pem, 'the new certificate', { ...flags, force: true });
  context.output.info('it is self-signed: verify with --ca and this certificate (bulla key export --cert)');
}

async function store(
  context: Context,
  given: string | undefined,
  pem: string,
  where: string,
  flags: OutFlags,
): Promise<void> {
  const keystore = keystoreOf(context);
  const name = await nameOrDefault(keystore, given);
  await refuseToReplace(context, name, flags);
  const certificates = await keystore.putCertificates(name, pem, where);
  const { text, json } = describeCertificates(certificates);
  context.output.result([name, ...text], { name, ...json });
}

async function refuseToReplace(context: Context, name: string, flags: OutFlags): Promise<void> {
  const keystore = keystoreOf(context);
  if (!isKeyName(name) || !(await keystore.has(name))) {
    throw new BullaError('usage', `${name} is not in the key store, where its certificate would go`, {
      hint: 'write it to a file: --out FILE; or take the key into the store: bulla key import FILE',
    });
  }
  if (flags.force !== true && (await keystore.certificates(name)).length > 0) {
    throw new BullaError('conflict', `the key ${name} has a certificate already`, {
      hint: '--force replaces it; bulla key export --cert keeps a copy',
    });
  }
}

function signerFor(context: Context, given: string | undefined, flags: KeyFlags): Promise<KeySigner> {
  if (given !== undefined && flags.key !== undefined) {
    throw new BullaError('usage', 'the key is named twice', { hint: 'leave --key out' });
  }
  return signerOf(context, given === undefined ? flags : { ...flags, key: given });
}
