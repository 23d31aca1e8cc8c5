import type { Command } from 'commander';
import type { SignedImage, SignOptions } from '../../actions/sign/signature.ts';
import type { Certificate } from '../../crypto/certificate.ts';
import { parseDuration, parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { KIND_NAMES } from '../../policy/summary.ts';
import type { Context } from '../shell/context.ts';
import { VERSION } from '../shell/version.ts';
import { addKeyOptions, type KeyFlags } from './key-flags.ts';
import { signerOf } from './keys.ts';
import { parsePairs } from './signature-flags.ts';
import { collect } from './values.ts';

const FORMATS = ['jws', 'cose', 'bundle'] as const;
type Format = (typeof FORMATS)[number];

/** Flags of every command that signs images. */
export interface SignFlags extends KeyFlags {
  readonly certChain?: string;
  readonly annotation?: readonly string[];
  readonly expires?: string;
  readonly purpose?: string;
  readonly recursive?: true;
  readonly signatureFormat?: string;
}

/** Adds the flags of {@link SignFlags} to a command. */
export function addSignOptions(command: Command): Command {
  return addKeyOptions(command)
    .option('--cert-chain <file>', 'certificates of the key, from its own to the root (PEM)')
    .option(
      '--signature-format <format>',
      `${FORMATS.join(', ')} (default: jws with certificates, else bundle)`,
    )
    .option('-a, --annotation <key=value>', 'annotation to sign along; repeatable', collect)
    .option('--expires <when>', 'when the signature ends: a duration such as 90d, or a time in RFC 3339')
    .option('--purpose <uri>', 'predicate type, where the signature means something else than "released"')
    .option('-r, --recursive', "of an index: sign each platform's image as well");
}

/**
 * What a command signs with, and how; every flag is looked at and the key opened before anything is asked
 * of a registry.
 * @param name the reference as it was written
 * @throws BullaError usage, key-invalid, not-found, certificate-invalid, storage-error
 */
export async function signOptionsOf(context: Context, name: string, flags: SignFlags): Promise<SignOptions> {
  const now = context.io.now();
  const format = formatOf(flags.signatureFormat);
  const expiry = flags.expires === undefined ? undefined : expiryOf(flags.expires, now);
  const annotations = parsePairs(flags.annotation ?? []);
  const signer = await signerOf(context, flags);
  return {
    ...{ name, signer, annotations, expiry, now },
    chain: await chainOf(context, flags.certChain, format, signer.certificates),
    envelope: format === 'bundle' ? undefined : format,
    purpose: flags.purpose,
    recursive: flags.recursive,
    agent: `bulla/${VERSION}`,
    signal: context.signal,
  };
}

/** Tells people what was signed. */
export function describeSigned({ image, platform, kind, signature }: SignedImage, keyId: string): string {
  const what = platform === undefined ? image.digest : `${image.digest} (${platform})`;
  return `signed ${what} with key ${keyId.slice(0, 12)}: ${KIND_NAMES[kind]} ${signature}`;
}

/** Signatures for `-o json`. */
export function signedJson(signatures: readonly SignedImage[]): readonly Record<string, unknown>[] {
  return signatures.map(({ image, platform, kind, signature }) => {
    return { signature, kind, image: image.digest, platform: platform ?? null };
  });
}

/** @throws BullaError usage */
export function expiryOf(text: string, now: Date): Date {
  const duration = parseDuration(text);
  const time = duration === undefined ? parseTime(text) : new Date(now.getTime() + duration);
  // What is written has whole seconds: rounded down here, so that it is what was decided upon.
  if (time !== undefined && !Number.isNaN(time.getTime()))
    return new Date(Math.floor(time.getTime() / 1000) * 1000);
  throw new BullaError('usage', `--expires is ${JSON.stringify(text)}, neither a duration nor a time`, {
    hint: 'write 90d, 12h, or 2027-01-31T00:00:00Z',
  });
}

function formatOf(text: string | undefined): Format | undefined {
  const format = FORMATS.find((known) => known === text);
  if (format !== undefined || text === undefined) return format;
  throw new BullaError('usage', `--signature-format is ${JSON.stringify(text)}`, {
    hint: `choose one of ${FORMATS.join(', ')}`,
  });
}

/** The chain to sign with: the file's, else the one stored with the key; none for a bundle. */
async function chainOf(
  context: Context,
  path: string | undefined,
  format: Format | undefined,
  stored: readonly Certificate[],
): Promise<readonly Certificate[]> {
  if (path !== undefined && format === 'bundle') {
    throw new BullaError('usage', 'a Sigstore bundle by a key carries no certificates', {
      hint: 'leave out --cert-chain, or --signature-format bundle',
    });
  }
  if (format === 'bundle') return [];
  if (path === undefined) return stored;
  const { readCertificateFile } = await import('../../keystore/key-file.ts');
  return await readCertificateFile(context.path(path));
}
