import type { Command } from 'commander';
import { BullaError } from '../../errors.ts';
import { parsePlatform } from '../../oci/platform.ts';
import { parseReference } from '../../oci/reference.ts';
import { addKeyOptions } from '../flags/key-flags.ts';
import { addNamingOptions } from '../flags/naming-flags.ts';
import { listOption } from '../flags/reference-list.ts';
import { collect, positiveInteger } from '../flags/values.ts';
import { addSideOptions } from '../shell/access.ts';
import type { Cli, Context } from '../shell/context.ts';
import type { AllTagsFlags } from './copy/all.ts';
import type { NamingCopyFlags } from './copy/as.ts';

interface CopyCommandFlags extends NamingCopyFlags, AllTagsFlags {
  /** A list of sources. */
  readonly from?: string;
  readonly as?: true;
  readonly platform?: string;
  readonly referrers: boolean;
  readonly dryRun?: true;
}

const MANY = ['allTags', 'tags', 'exclude', 'semver', 'newest', 'prune', 'yes', 'fast'] as const;

export function register(program: Command, cli: Cli): void {
  const command = addNamingOptions(addKeyOptions(program.command('copy').alias('cp')))
    .summary('copy an image with its signatures, between registries, layouts and archives')
    .description(
      'Copies an image or an index with every platform and everything that refers to it: signatures, attestations, SBOMs, ' +
        "cosign's tags. Bytes are never changed, existing content is not sent again, and the tag moves last. The trust " +
        'collection of the source is copied too, if the destination has none or an older state of it; with --as the ' +
        'name is signed in the collection of the destination, with the available keys. With --all-tags, source and ' +
        'destination are repositories: images first, then the signed names; it can be interrupted and run again. Several ' +
        'images go to one repository or layout, where they keep their tags, or, with a slash at its end (registry.example.com/mirror/), ' +
        'below it, where they keep the last part of their names as well.',
    )
    .usage('[options] <source...> <destination>')
    .argument('<source>', 'images, oci:DIR[:tag] or oci-archive:FILE[:tag]; with --all-tags, a repository')
    .argument('[destination...]', 'the same; the default tag is that of the source')
    .addOption(listOption())
    .option('--platform <os/arch>', 'of an index, only the image for this platform')
    .option('--no-referrers', 'only the image, nothing that refers to it')
    .option('--as', "sign the name in the destination's own collection, instead of copying the source's")
    .option('--no-proof', 'with --as: attach no proof of the name to the image')
    .option('--dry-run', 'read everything, write nothing')
    .option('--all-tags', 'copy the tags of a repository, then its signed names')
    .option(
      '--tags <pattern>',
      'with --all-tags: only these, such as v1.2 or v1.*, where * is the rest of the tag; repeatable',
      collect,
    )
    .option('--exclude <pattern>', 'with --all-tags: not these; repeatable', collect)
    .option('--semver <range>', 'with --all-tags: only versions in this range, such as ">=1.2 <2"')
    .option(
      '--newest <n>',
      'with --all-tags: only so many, by version if all are versions, else by creation time',
      positiveInteger,
    )
    .option('--prune', 'with --all-tags: remove tags of the destination that were not selected; asks first')
    .option('--yes', 'with --prune: remove them without asking')
    .option('--fast', 'with --all-tags: look for no new signatures of images that are there already')
    .action(async (from: string, more: readonly string[], flags: CopyCommandFlags, invoked: Command) => {
      const context = await cli.open(invoked);
      const [to] = more;
      if (flags.from !== undefined || more.length > 1)
        return await copySeveral(context, [from, ...more], flags);
      if (to === undefined)
        throw new BullaError('usage', "missing required argument 'destination'", {
          hint: 'say where it is copied to: bulla copy SOURCE DESTINATION; bulla help copy shows examples',
        });
      const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
      if (MANY.some((name) => flags[name] !== undefined)) {
        refuseNaming(flags, flags.as);
        const { runAllTags } = await import('./copy/all.ts');
        const { referrers, dryRun = false } = flags;
        return await runAllTags(context, from, to, flags, { platform, referrers, dryRun });
      }
      const destination = parseReference(to);
      const image = await context.openImage(from, { side: 'from' });
      const { referrers, dryRun } = flags;
      const copying = { side: 'to', platform, referrers, dryRun } as const;
      if (flags.as === true) {
        const { runCopyAs } = await import('./copy/as.ts');
        return await runCopyAs(context, image, destination, copying, flags);
      }
      refuseNaming(flags);
      const { runCopy } = await import('./copy/run.ts');
      await runCopy(context, image, destination, copying);
    });
  addSideOptions(command);
}

/** The last of the words is where all go. */
async function copySeveral(
  context: Context,
  words: readonly string[],
  flags: CopyCommandFlags,
): Promise<void> {
  const given = MANY.find((name) => flags[name] !== undefined);
  if (given !== undefined)
    throw new BullaError(
      'usage',
      'several images are given along with flags that select tags of a repository',
      {
        hint: 'copy one repository with --all-tags, or name the images',
      },
    );
  const [{ givenReferences }, { destinationsIn, runCopies }, as, { runCopy }] = await Promise.all([
    import('../flags/reference-list.ts'),
    import('./copy/many.ts'),
    flags.as === true ? import('./copy/as.ts') : undefined,
    import('./copy/run.ts'),
  ]);
  const destinations = destinationsIn(words.at(-1) ?? '');
  const sources = await givenReferences(context, words.slice(0, -1), flags.from);
  if (as === undefined) refuseNaming(flags);
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const { referrers, dryRun } = flags;
  await runCopies(
    context,
    sources,
    destinations,
    dryRun === true ? 'looked at' : 'copied',
    async (_, image, to, one) => {
      const copying = { ...one, side: 'to', platform, referrers, dryRun } as const;
      await (as === undefined
        ? runCopy(context, image, to, copying)
        : as.runCopyAs(context, image, to, copying, flags));
    },
    'from',
  );
}

/** Nothing but `--as` signs anything, and that one image. @throws BullaError usage */
function refuseNaming(flags: NamingCopyFlags, as?: true): void {
  if (as === true)
    throw new BullaError('usage', '--as signs the name of one image, and --all-tags copies many', {
      hint: 'copy the images, then sign them where they are: bulla sign',
    });
  const { key, signer, at, collection, root, rootKeyId, rootCa, tofu, wait, trustServedHead } = flags;
  const given = [key, signer, at, collection, root, rootKeyId, rootCa, tofu, wait, trustServedHead];
  if (given.every((flag) => flag === undefined) && flags.proof) return;
  throw new BullaError('usage', 'flags for signing a name are given, and none is signed', {
    hint: 'bulla copy signs a name only with --as',
  });
}
