import type { Command } from 'commander';
import type { ImageToSign } from '../../actions/sign/sign.ts';
import { BullaError } from '../../errors.ts';
import { addNamingOptions, type NamingFlags } from '../flags/naming-flags.ts';
import { readReferences } from '../flags/reference-list.ts';
import { addSignOptions, nameWishOf, type SignFlags, signatureWishOf } from '../flags/sign-flags.ts';
import type { Cli, Context } from '../shell/context.ts';

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
    .action(async (texts: readonly string[], flags: Flags, command: Command) => {
      const context = await cli.open(command);
      checkFlags(flags);
      const isNameOnly = flags.nameOnly === true;
      const signature = isNameOnly ? undefined : await signatureWishOf(context, flags);
      const name = flags.name ? nameWishOf(flags, isNameOnly) : false;
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
      for (const missing of signed.named?.missingProofs ?? []) output.warn(text.describeMissing(missing));
      if (signed.lacksCollection) output.info(text.describeUnsigned(reference, signed.images));
      const { lines, json } = text.signedResult(reference, signed, signature?.expiry);
      output.result(lines, json);
    });
}

interface Flags extends SignFlags, Omit<NamingFlags, 'key' | keyof SignFlags> {
  readonly from?: string;
  readonly name: boolean;
  readonly nameOnly?: true;
  readonly proof: boolean;
}

/** @throws BullaError usage */
function checkFlags({ name, nameOnly, signer }: Flags): void {
  if (name || (nameOnly !== true && signer === undefined)) return;
  throw new BullaError('usage', `--no-name is given along with ${nameOnly ? '--name-only' : '--signer'}`, {
    hint: 'leave one of them out',
  });
}

/** The images, and where they are. Of a layout with a single image, that one. */
async function openImages(context: Context, texts: readonly string[], flags: Flags) {
  const [first, ...others] = await readReferences(context, texts, flags.from, flags);
  const { reference, source } = await context.openImage(first.text, { write: true });
  const images: readonly [ImageToSign, ...ImageToSign[]] =
    others.length === 0 ? [{ text: first.text, reference }] : [first, ...others];
  return { images, target: source };
}
