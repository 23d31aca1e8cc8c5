import { type Command, InvalidArgumentError } from 'commander';
import type { ImageToSign, Signed } from '../../actions/sign/sign.ts';
import type { SimplySigned } from '../../actions/sign/simple-signing.ts';
import { BullaError } from '../../errors.ts';
import { formatRepository, type Reference } from '../../oci/reference.ts';
import type { Target } from '../../oci/target.ts';
import { addNamingOptions, type NamingFlags } from '../flags/naming-flags.ts';
import { readReferences } from '../flags/reference-list.ts';
import { addSignOptions, nameWishOf, type SignFlags, signatureWishOf } from '../flags/sign-flags.ts';
import { parsePairs } from '../flags/signature-flags.ts';
import type { Cli, Context } from '../shell/context.ts';
import { yieldToEventLoop } from '../shell/yield.ts';

export function register(program: Command, cli: Cli): void {
  addNamingOptions(addSignOptions(program.command('sign')))
    .summary('sign an image, and its name')
    .description(
      'Attaches a detached signature to an image: with a certificate chain a Notation signature, which notation verifies; with a bare key a Sigstore bundle, which cosign verifies.\n' +
        'A tag is resolved once. The signature covers the digest, which is printed.\n' +
        'If the repository has a trust collection (bulla init), the tag is signed there, too, so that moving it or rolling it back is detected. Several references of one repository are one change.',
    )
    .argument('[reference...]', 'images of one repository, by tag or digest')
    .option('--from <file>', 'read references from a file, one per line; - is standard input')
    .option('--no-name', 'sign only the image, not its name')
    .option('--name-only', 'sign only the name, not the image')
    .option('--no-proof', 'attach no proof of the name to the image')
    .option(
      '--also <format>',
      'simplesigning: also write .sig tags, which podman and CRI-O verify',
      alsoFormat,
    )
    .action(async (texts: readonly string[], flags: Flags, command: Command) => {
      const context = await cli.open(command);
      checkFlags(flags);
      const isNameOnly = flags.nameOnly === true;
      const signature = isNameOnly ? undefined : await signatureWishOf(context, flags);
      const name = flags.name ? nameWishOf(flags, isNameOnly) : false;
      if (signature !== undefined && signature.witness === undefined) {
        const { expectSigner } = await import('../flags/keys.ts');
        expectSigner(context, flags);
      }
      const { images, target } = await openImages(context, texts, flags);
      const [{ sign }, { signPorts }, text] = await Promise.all([
        import('../../actions/sign/sign.ts'),
        import('../flags/sign-ports.ts'),
        import('../render/sign-text.ts'),
      ]);
      const [{ reference }] = images;
      const ports = signPorts(context, reference, target, flags);
      const signed = await sign(images, { signature, name, again: flags.again }, ports);
      const { output } = context;
      const simple =
        flags.also === undefined ? undefined : await signForPodman(context, target, reference, signed, flags);
      for (const missing of signed.named?.missingProofs ?? []) output.warn(text.describeMissing(missing));
      if (signed.lacksCollection) output.info(text.describeUnsigned(reference, signed.images));
      const { lines, json } = text.signedResult(reference, signed, signature?.expiry);
      output.result(lines, { ...json, ...(simple !== undefined && { simpleSignatures: simple }) });
    });
}

interface Flags extends SignFlags, Omit<NamingFlags, 'key' | keyof SignFlags> {
  readonly from?: string;
  readonly name: boolean;
  readonly nameOnly?: true;
  readonly proof: boolean;
  readonly also?: 'simplesigning';
}

function alsoFormat(text: string): 'simplesigning' {
  if (text === 'simplesigning') return text;
  throw new InvalidArgumentError('It must be simplesigning.');
}

/** Tags for podman and CRI-O, after the signatures of bulla's own. @throws BullaError as the action */
async function signForPodman(
  context: Context,
  target: Target,
  reference: Reference,
  { images, signer }: Signed,
  flags: Flags,
): Promise<readonly SimplySigned[]> {
  if (signer === undefined) return [];
  const { signForPodman: sign } = await import('../../actions/sign/simple-signing.ts');
  const tags = await sign(target, images, {
    signer,
    repository: formatRepository(reference),
    annotations: parsePairs(flags.annotation ?? []),
    signal: context.signal,
  });
  for (const { image, tag, already } of tags)
    context.output.info(`${already ? 'already signed' : 'signed'} ${image} for podman: tag ${tag}`);
  return tags;
}

/** @throws BullaError usage */
function checkFlags(flags: Flags): void {
  const { name, nameOnly, signer } = flags;
  checkAlso(flags);
  if (name || (nameOnly !== true && signer === undefined)) return;
  throw new BullaError('usage', `--no-name is given along with ${nameOnly ? '--name-only' : '--signer'}`, {
    hint: 'leave one of them out',
  });
}

/** What podman would not know of is not signed for it. @throws BullaError usage */
function checkAlso({ also, nameOnly, keyless, expires, purpose }: Flags): void {
  if (also === undefined) return;
  const others = {
    '--name-only': nameOnly,
    '--keyless': keyless,
    '--expires': expires,
    '--purpose': purpose,
  };
  const [given] = Object.entries(others).find(([, value]) => value !== undefined) ?? [];
  if (given === undefined) return;
  throw new BullaError('usage', `--also simplesigning cannot be combined with ${given}`, {
    hint: 'a simple signature is by a key, means "released", and does not expire',
  });
}

/** The images, and where they are. Of a layout with a single image, that one. */
async function openImages(context: Context, texts: readonly string[], flags: Flags) {
  const [first, ...others] = await readReferences(context, texts, flags.from, flags);
  const { reference, source, version } = await context.openImage(first.text, { write: true });
  if (others.length > 0) {
    const images: readonly [ImageToSign, ...ImageToSign[]] = [first, ...others];
    return { images, target: source };
  }
  // The code that signs is loaded while the answer is on its way.
  const { prefetch } = await import('../../actions/verify/prefetch.ts');
  const target = prefetch(source, reference.tag ?? version, { signal: context.signal });
  target.expectReferrers?.();
  await yieldToEventLoop();
  const images: readonly [ImageToSign] = [{ text: first.text, reference }];
  return { images, target };
}
