import type { Command } from 'commander';
import { type SignedImage, signImage } from '../../actions/sign.ts';
import type { Certificate } from '../../crypto/certificate.ts';
import { parseDuration, parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { isDigest } from '../../oci/digest.ts';
import { formatRepository } from '../../oci/reference.ts';
import { KIND_NAMES } from '../../policy/summary.ts';
import type { Cli, Context } from '../context.ts';
import { addKeyOptions, type KeyFlags } from '../key-flags.ts';
import { signerOf } from '../keys.ts';
import { collect, parsePairs } from '../trust.ts';
import { VERSION } from '../version.ts';

const FORMATS = ['jws', 'cose', 'bundle'] as const;

interface SignFlags extends KeyFlags {
  readonly certChain?: string;
  readonly annotation?: readonly string[];
  readonly expires?: string;
  readonly purpose?: string;
  readonly recursive?: true;
  readonly signatureFormat?: string;
}

export function register(program: Command, cli: Cli): void {
  addKeyOptions(program.command('sign'))
    .summary('sign an image')
    .description(
      'Attaches a detached signature to an image. With a certificate chain it is a Notation signature, which notation verifies; with a bare key it is a Sigstore bundle, which cosign verifies.\n' +
        'A tag is resolved once; what is signed is the digest, which is printed.',
    )
    .argument('<reference>', 'image, by tag or digest')
    .option('--cert-chain <file>', 'certificates of the key, from its own to the root (PEM)')
    .option(
      '--signature-format <format>',
      `${FORMATS.join(', ')} (default: jws with certificates, else bundle)`,
    )
    .option('-a, --annotation <key=value>', 'annotation to sign along; repeatable', collect)
    .option('--expires <when>', 'when the signature ends: a duration such as 90d, or a time in RFC 3339')
    .option('--purpose <uri>', 'predicate type, where the signature means something else than "released"')
    .option('-r, --recursive', "of an index: sign each platform's image as well")
    .action(async (text: string, flags: SignFlags, command: Command) => {
      const context = await cli.open(command);
      const now = context.io.now();
      const annotations = parsePairs(flags.annotation ?? []);
      const expiry = flags.expires === undefined ? undefined : expiryOf(flags.expires, now);
      const format = formatOf(flags.signatureFormat);
      const signer = await signerOf(context, flags);
      const chain = await chainOf(context, flags.certChain, format, signer.certificates);
      const { source, reference, version } = await context.openImage(text, { write: true });
      const digest = isDigest(version) ? version : undefined;
      const result = await signImage(
        source,
        { tag: reference.tag, digest },
        {
          ...{ name: text, signer, chain, annotations, expiry, now },
          envelope: format === 'bundle' ? undefined : format,
          purpose: flags.purpose,
          recursive: flags.recursive,
          agent: `bulla/${VERSION}`,
          signal: context.signal,
        },
      );
      const name = `${formatRepository(reference)}@${result.image.digest}`;
      for (const signed of result.signatures) context.output.info(line(signed, signer.keyId));
      context.output.result(name, {
        reference: name,
        digest: result.image.digest,
        tag: reference.tag ?? null,
        key: signer.keyId,
        expires: expiry?.toISOString() ?? null,
        signatures: result.signatures.map(({ image, platform, kind, signature }) => ({
          signature,
          kind,
          image: image.digest,
          platform: platform ?? null,
        })),
      });
    });
}

function line({ image, platform, kind, signature }: SignedImage, keyId: string): string {
  const what = platform === undefined ? image.digest : `${image.digest} (${platform})`;
  return `signed ${what} with key ${keyId.slice(0, 12)}: ${KIND_NAMES[kind]} ${signature}`;
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

function formatOf(text: string | undefined): (typeof FORMATS)[number] | undefined {
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
  format: (typeof FORMATS)[number] | undefined,
  stored: readonly Certificate[],
): Promise<readonly Certificate[]> {
  if (path !== undefined && format === 'bundle') {
    throw new BullaError('usage', 'a Sigstore bundle by a key carries no certificates', {
      hint: 'leave out --cert-chain, or --signature-format bundle',
    });
  }
  if (format === 'bundle') return [];
  if (path === undefined) return stored;
  const { readCertificateFile } = await import('../../keystore/resolve.ts');
  return await readCertificateFile(context.path(path));
}
