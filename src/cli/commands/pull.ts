import type { Command } from 'commander';
import type { Shared } from '../../actions/verify/shared.ts';
import type { Demands, Verified } from '../../actions/verify/verify.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { formatReference, parseReference, type Reference } from '../../oci/reference.ts';
import { givenReferences, listOption } from '../flags/reference-list.ts';
import { addVerifyOptions, demandsOf, type VerifyFlags, verifyPorts } from '../flags/verify-flags.ts';
import type { Cli, Context, Image } from '../shell/context.ts';
import { isMany } from '../shell/many.ts';
import type { CopyFlags } from './copy/run.ts';

interface PullFlags extends VerifyFlags {
  /** A list of references. */
  readonly from?: string;
  readonly verify: boolean;
  readonly referrers: boolean;
}

export function register(program: Command, cli: Cli): void {
  addVerifyOptions(program.command('pull'))
    .summary('verify an image, then write it to a layout or an archive')
    .description(
      'Verifies the name or the signatures of an image, as verify does, and writes exactly what was verified, with its ' +
        "signatures and the repository's trust collection, to a layout (oci:DIR) or an archive (oci-archive:FILE) that " +
        'podman, docker and skopeo read. For a signed name it fetches the signed digest, whatever the tag points to. ' +
        'Takes the flags of verify; without a trusted key, CA or pin, it refuses. Several images go to one layout or archive, where they keep their tags.',
    )
    .usage('[options] <reference...> [destination]')
    .argument('[reference]', 'images in a registry')
    .argument(
      '[destination...]',
      'oci:DIR[:tag], FILE.tar (an archive, oci-archive:FILE[:tag]), or docker-archive:FILE with the image alone; default: oci:NAME with the last part of the repository',
    )
    .addOption(listOption())
    .option('--no-verify', 'do not verify signatures')
    .option('--no-referrers', 'only the image, nothing that refers to it')
    .action(
      async (first: string | undefined, more: readonly string[], flags: PullFlags, invoked: Command) => {
        const context = await cli.open(invoked);
        const demands = await demandsOf(context, flags);
        if (!flags.verify) await refuseDemands(demands);
        const words = first === undefined ? [] : [first, ...more];
        const last = words.at(-1);
        const to = last !== undefined && (words.length > 1 || flags.from !== undefined) && isPlace(last);
        const given = to ? destinationOf(last) : undefined;
        const texts = await givenReferences(context, to ? words.slice(0, -1) : words, flags.from);
        const shared: Sharing = { demands, flags };
        if (!isMany(texts, flags.from)) return await pullOne(context, texts[0], given, shared);
        const [{ destinationsIn, runCopies }, { Shared }] = await Promise.all([
          import('./copy/many.ts'),
          import('../../actions/verify/shared.ts'),
        ]);
        const destinations =
          given === undefined
            ? { of: (source: Reference) => parseReference(defaultDestination(source)), isArchive: false }
            : destinationsIn(formatReference(given));
        const all = { ...shared, shared: new Shared() };
        await runCopies(context, texts, destinations, 'pulled', async (text, _, where, one) => {
          await pullOne(context, text, where, all, one);
        });
      },
    );
}

/** What images of one run have in common. */
interface Sharing {
  readonly demands: Demands;
  readonly flags: PullFlags;
  readonly shared?: Shared;
}

async function pullOne(
  context: Context,
  text: string,
  given: Reference | undefined,
  sharing: Sharing,
  one: CopyFlags = {},
): Promise<void> {
  const { flags, demands } = sharing;
  const image = await context.openImage(text);
  const destination = given ?? parseReference(defaultDestination(image.reference));
  const { referrers } = flags;
  const { platform } = demands;
  const { runCopy } = await import('./copy/run.ts');
  if (!flags.verify) {
    context.output.warn(`${text} was not verified (--no-verify)`);
    return await runCopy(context, image, destination, { ...one, referrers, platform });
  }
  const verified = await verifyToPull(context, text, image, sharing);
  await runCopy(context, { ...image, version: verified.image.digest }, destination, {
    ...one,
    referrers,
    // A name means the index, which is not copied with one platform's image.
    collection: platform === undefined,
  });
}

/** Whether a word is where images go: it names no image in a registry. If it is not a place either, it is refused as one. */
function isPlace(text: string): boolean {
  if (/\.tar(?::[\w.-]+)?$/.test(text)) return true;
  try {
    const { kind, tag, digest } = parseReference(text);
    return kind !== 'registry' || (tag === undefined && digest === undefined);
  } catch (error) {
    if (isBullaError(error)) return true;
    throw error;
  }
}

/** Demands would be ignored without a word. @throws BullaError usage */
async function refuseDemands(demands: Demands): Promise<void> {
  const { isNameDemanded } = await import('../../actions/verify/verify.ts');
  if (demands.signatures !== true && !isNameDemanded(demands)) return;
  throw new BullaError('usage', '--no-verify is given along with what names or signatures must be like', {
    hint: 'leave one of them out: nothing is verified with --no-verify',
  });
}

/** @throws BullaError as verify; trust-unpinned says how to go on without verification */
async function verifyToPull(
  context: Context,
  text: string,
  { reference, source }: Image,
  { demands, flags, shared }: Sharing,
): Promise<Verified> {
  const [{ verify }, { remarksOn, verdictOn }] = await Promise.all([
    import('../../actions/verify/verify.ts'),
    import('../render/verified-text.ts'),
  ]);
  try {
    const own = await verifyPorts(context, flags, async () => source);
    const requirements = shared && (() => shared.once('requirements', own.requirements));
    const ports = { ...own, shared, ...(requirements !== undefined && { requirements }) };
    const verified = await verify({ text, reference }, demands, ports);
    for (const [level, line] of remarksOn(verified, text, context.directories.state))
      if (shared === undefined) context.output[level](line);
      else context.output[level === 'warn' ? 'warn' : 'verbose'](`${text}: ${line}`);
    if (shared === undefined) context.output.verdict(verdictOn(verified, context.io.now()));
    return verified;
  } catch (cause) {
    if (!isBullaError(cause, 'trust-unpinned')) throw cause;
    throw new BullaError('trust-unpinned', `nothing was pulled: ${cause.message}`, {
      cause,
      hint: `${cause.hint ?? ''}; --no-verify pulls without looking at names and signatures`,
    });
  }
}

/** Where to bring it, which is not a registry. @throws BullaError usage */
function destinationOf(text: string): Reference {
  // Nothing is pulled to a registry, so that such a name can only mean a file.
  const isFile = /\.tar(?::[\w.-]+)?$/.test(text) && !/^(?:oci|oci-archive|docker-archive):/.test(text);
  const destination = parseReference(isFile ? `oci-archive:${text}` : text);
  if (destination.kind !== 'registry') return destination;
  throw new BullaError('usage', `${formatReference(destination)} is in a registry`, {
    hint: 'write oci:DIR, FILE.tar or docker-archive:FILE; from one registry to another it is bulla copy',
  });
}

/** `oci:app` of `registry.example.com/team/app:v1`. @throws BullaError usage */
function defaultDestination(reference: Reference): string {
  if (reference.kind === 'registry') return `oci:${reference.repository.split('/').at(-1)}`;
  throw new BullaError('usage', `${formatReference(reference)} is here already`, {
    hint: 'give a destination: bulla pull REFERENCE oci:DIR',
  });
}
