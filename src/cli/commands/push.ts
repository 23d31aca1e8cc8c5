import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { tagAt } from '../../actions/copy/image.ts';
import type { Subject } from '../../actions/sign/sign.ts';
import type { SignatureWish } from '../../actions/sign/signature.ts';
import { BullaError } from '../../errors.ts';
import { parsePlatform } from '../../oci/platform.ts';
import { formatReference, parseReference, type Reference } from '../../oci/reference.ts';
import { addNamingOptions, type NamingFlags } from '../flags/naming-flags.ts';
import { addSignOptions, nameWishOf, type SignFlags, signatureWishOf } from '../flags/sign-flags.ts';
import type { Cli, Context, Image } from '../shell/context.ts';

interface PushFlags extends SignFlags, Omit<NamingFlags, 'key' | keyof SignFlags> {
  readonly sign?: true;
  readonly name: boolean;
  readonly proof: boolean;
  readonly platform?: string;
  readonly referrers: boolean;
}

export function register(program: Command, cli: Cli): void {
  addNamingOptions(
    addSignOptions(program.command('push'))
      .summary('push an image from a layout or an archive to a registry, and sign it on request')
      .description(
        'Pushes the image of a layout or an archive, also from docker save, with everything that refers to it. With ' +
          '--sign it is signed there before its tag moves, and so is its name if there is a trust collection; the flags are those of sign. If the name has to wait for another publisher, the tag moves anyway, and the exit status is 31.',
      )
      .argument(
        '<source>',
        'oci:DIR[:tag], oci-archive:FILE[:tag], docker-archive:FILE, the path of one, or - for an archive on standard input',
      )
      .argument('<reference>', 'destination; the default tag is that of the source')
      .option('--sign', 'sign the image; implied by --key, --keyless and --tlog')
      .option('--no-name', 'sign only the image, not its name')
      .option('--no-proof', 'attach no proof of the name to the image')
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
    const signs = [flags.sign, flags.key, flags.keyless, flags.tlog].some((flag) => flag !== undefined);
    const signature = signs ? await signatureWishOf(context, flags) : undefined;
    const image =
      from === '-'
        ? await fromStandardInput(context)
        : await context.openImage(await localSource(context, from));
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
    const tag = tagAt(destination, image.reference);
    const signing = signature && (await prepare(context, { ...destination, tag }, signature, flags));
    const beforeTag = signing && ((content: Subject['content']) => signing.sign({ tag, content }));
    const { runCopy } = await import('./copy/run.ts');
    const json = () => signing?.json() ?? { signatures: [], named: null };
    await runCopy(
      context,
      image,
      destination,
      { platform, referrers: flags.referrers, beforeTag, assertDone: signing?.assertNamed },
      undefined,
      json,
    );
  });
}

async function fromStandardInput(context: Context): Promise<Image> {
  const { openStandardInput } = await import('../shell/standard-input.ts');
  return await openStandardInput(context);
}

async function prepare(context: Context, destination: Reference, signature: SignatureWish, flags: PushFlags) {
  const [{ signingOnArrival }, { namedJson, signaturesJson }] = await Promise.all([
    import('../flags/sign-ports.ts'),
    import('../render/sign-text.ts'),
  ]);
  const name = flags.name && nameWishOf(flags);
  const wish = { signature, name, again: flags.again };
  const signing = await signingOnArrival(context, destination, wish, flags);
  return {
    sign: (subject: Subject) => signing.sign(subject),
    assertNamed: () => signing.assertNamed(),
    json: () => {
      const { signatures = [], named } = signing.signed ?? {};
      return { signatures: signaturesJson(signatures), named: namedJson(named) };
    },
  };
}

/** A bare path is what it is on the disk: a directory is a layout, a file an archive. @throws BullaError not-found */
async function localSource(context: Context, text: string): Promise<string> {
  if (/^(?:oci|oci-archive|docker-archive):/.test(text)) return text;
  // The shortest part before a colon last: what follows may be a whole name, with a host and its port.
  const colons = [...text.matchAll(/:/g)].map(({ index }) => index).reverse();
  for (const path of [text, ...colons.map((at) => text.slice(0, at))]) {
    const found = await stat(context.path(path)).catch(() => undefined);
    if (found !== undefined) return `${found.isDirectory() ? 'oci' : 'oci-archive'}:${text}`;
  }
  throw new BullaError('not-found', `neither a layout nor an archive was found at ${text}`, {
    hint: 'give the path of a layout or an archive, or - for standard input; to copy from a registry: bulla copy',
  });
}
