import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { type SignResult, signImage } from '../../actions/sign.ts';
import { BullaError } from '../../errors.ts';
import { parsePlatform } from '../../oci/platform.ts';
import { formatReference, parseReference } from '../../oci/reference.ts';
import type { Cli, Context } from '../context.ts';
import { copyNamed } from '../copying.ts';
import { addSignOptions, describeSigned, type SignFlags, signedJson, signOptionsOf } from '../signing.ts';

interface PushFlags extends SignFlags {
  readonly sign?: true;
  readonly platform?: string;
  readonly referrers: boolean;
}

export function register(program: Command, cli: Cli): void {
  addSignOptions(
    program
      .command('push')
      .summary('bring an image from a layout or an archive to a registry, and sign it on request')
      .description(
        'Pushes what is in a layout or an archive, also one that docker save wrote, with all that refers to it. With ' +
          '--sign it is signed there before its tag moves; the flags are those of sign.',
      )
      .argument('<source>', 'oci:DIR[:tag], oci-archive:FILE[:tag], or the path of one')
      .argument('<reference>', 'where it goes; without a tag it gets that of the source')
      .option('--sign', 'sign the image, also given by --key')
      .option('--platform <os/arch>', 'of an index, only the image for this platform')
      .option('--no-referrers', 'only the image, nothing that refers to it'),
  ).action(async (from: string, to: string, flags: PushFlags, invoked: Command) => {
    const context = await cli.open(invoked);
    const destination = parseReference(to);
    if (destination.kind !== 'registry') {
      throw new BullaError('usage', `${formatReference(destination)} is not in a registry`, {
        hint: 'bulla copy brings images anywhere; push brings them to a registry',
      });
    }
    const signs = flags.sign === true || flags.key !== undefined;
    const options = signs ? await signOptionsOf(context, to, flags) : undefined;
    const image = await context.openImage(await localSource(context, from));
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
    let signed: SignResult | undefined;
    await copyNamed(context, image, destination, {
      platform,
      referrers: flags.referrers,
      alsoJson: () => ({ signatures: signedJson(signed?.signatures ?? []) }),
      ...(options !== undefined && {
        beforeTag: async ({ descriptor }): Promise<void> => {
          const target = await context.openTarget(destination, { write: true });
          signed = await signImage(target, { digest: descriptor.digest }, options);
        },
      }),
    });
    for (const one of signed?.signatures ?? [])
      context.output.info(describeSigned(one, options?.signer.keyId ?? ''));
  });
}

/** A bare path is what it is on the disk: a directory is a layout, a file an archive. @throws BullaError usage */
async function localSource(context: Context, text: string): Promise<string> {
  if (/^oci(?:-archive)?:/.test(text)) return text;
  for (const path of [text, text.replace(/:[^:/]*$/, '')]) {
    const found = await stat(context.path(path)).catch(() => undefined);
    if (found !== undefined) return `${found.isDirectory() ? 'oci' : 'oci-archive'}:${text}`;
  }
  throw new BullaError('usage', `there is no layout and no archive at ${text}`, {
    hint: 'give the path of a layout or an archive; bulla copy takes images of registries',
  });
}
