import type { Command } from 'commander';
import type { NameWish } from '../../actions/sign/sign.ts';
import type { SignatureWish } from '../../actions/sign/signature.ts';
import { parseDuration, parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import type { Context } from '../shell/context.ts';
import { addKeyOptions, type KeyFlags } from './key-flags.ts';
import type { NamingFlags } from './naming-flags.ts';
import { parsePairs } from './signature-flags.ts';
import {
  addSigstoreOptions,
  addStampOptions,
  type SigstoreFlags,
  type StampFlags,
  stampOf,
  witnessOf,
} from './sigstore-flags.ts';
import { collect } from './values.ts';

const FORMATS = ['jws', 'cose', 'bundle'] as const;

/** Flags of every command that signs images. */
export interface SignFlags extends KeyFlags, SigstoreFlags, StampFlags {
  readonly certChain?: string;
  readonly annotation?: readonly string[];
  readonly expires?: string;
  readonly purpose?: string;
  readonly recursive?: true;
  readonly signatureFormat?: string;
  readonly again?: true;
}

/** Adds the flags of {@link SignFlags} to a command. */
export function addSignOptions(command: Command): Command {
  return addStampOptions(addSigstoreOptions(addKeyOptions(command)))
    .option('--cert-chain <file>', 'certificates of the key, from its own to the root (PEM)')
    .option(
      '--signature-format <format>',
      `${FORMATS.join(', ')} (default: jws with certificates, else bundle)`,
    )
    .option('-a, --annotation <key=value>', 'annotation to sign; repeatable', collect)
    .option('--expires <when>', 'when the signature expires: a duration such as 90d, or a time in RFC 3339')
    .option('--purpose <uri>', 'predicate type, if the signature means something other than "released"')
    .option('-r, --recursive', "of an index: also sign each platform's image")
    .option('--again', 'sign also what is already signed in this way');
}

/**
 * What the detached signatures of a command are to be like. Every flag is looked at before a key is opened or a
 * registry is asked.
 * @throws BullaError usage, not-found, certificate-invalid, storage-error
 */
export async function signatureWishOf(context: Context, flags: SignFlags): Promise<SignatureWish> {
  const { certChain, annotation = [], expires, purpose, recursive, signatureFormat } = flags;
  const envelope = FORMATS.find((known) => known === signatureFormat);
  if (signatureFormat !== undefined && envelope === undefined) {
    throw new BullaError('usage', `--signature-format is ${JSON.stringify(signatureFormat)}`, {
      hint: `choose one of ${FORMATS.join(', ')}`,
    });
  }
  return {
    chain: certChain === undefined ? undefined : await readChain(context, certChain),
    envelope,
    annotations: parsePairs(annotation),
    expiry: expires === undefined ? undefined : expiryOf(expires, context.io.now()),
    purpose,
    recursive,
    witness: await witnessOf(context, flags),
    stamp: await stampOf(context, flags),
  };
}

/** How the flags of a command have names signed. */
export function nameWishOf(
  { signer, at, proof }: NamingFlags & { readonly proof: boolean },
  isRequired = false,
): NameWish {
  return { role: signer, isRequired: isRequired || signer !== undefined || at !== undefined, proof };
}

/** @throws BullaError usage */
function expiryOf(text: string, now: Date): Date {
  const duration = parseDuration(text);
  const time = duration === undefined ? parseTime(text) : new Date(now.getTime() + duration);
  // What is written has whole seconds: rounded down here, so that it is what was decided upon.
  if (time !== undefined && !Number.isNaN(time.getTime()))
    return new Date(Math.floor(time.getTime() / 1000) * 1000);
  throw new BullaError('usage', `--expires is ${JSON.stringify(text)}, neither a duration nor a time`, {
    hint: 'write 90d, 12h, or 2027-01-31T00:00:00Z',
  });
}

async function readChain(context: Context, path: string): Promise<SignatureWish['chain']> {
  const { readCertificateFile } = await import('../../keystore/key-file.ts');
  return await readCertificateFile(context.path(path));
}
