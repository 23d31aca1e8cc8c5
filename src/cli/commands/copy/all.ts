import {
  type CopiedRepository,
  copyRepository,
  type RepositoryTag,
} from '../../../actions/copy/repository.ts';
import { countsOf, failuresOf, worstOf } from '../../../actions/copy/repository-outcome.ts';
import type { TagSelection } from '../../../actions/copy/selection.ts';
import { BullaError } from '../../../errors.ts';
import type { PlatformSelector } from '../../../oci/platform.ts';
import {
  formatReference,
  formatRepository,
  parseReference,
  type Reference,
  type Tag,
} from '../../../oci/reference.ts';
import { repositoryJson, summaryText, tagJson, tagText } from '../../render/copy-all-text.ts';
import { tellCollection } from '../../render/copy-text.ts';
import { askYes } from '../../shell/confirm.ts';
import type { Context } from '../../shell/context.ts';
import { ImageProgress } from '../../shell/image-progress.ts';
import { openTerminal } from '../../shell/prompt.ts';

/** Flags of `copy` that are about whole repositories. */
export interface AllTagsFlags {
  readonly allTags?: true;
  readonly tags?: readonly string[];
  readonly exclude?: readonly string[];
  readonly semver?: string;
  readonly newest?: number;
  readonly prune?: true;
  readonly yes?: true;
  readonly fast?: true;
}

/** What is copied of each image. */
export interface AllTagsOptions {
  readonly platform: PlatformSelector | undefined;
  readonly referrers: boolean;
  readonly dryRun: boolean;
}

/**
 * `bulla copy --all-tags`: the tags of a repository that were selected, then its signed names; a line for each tag,
 * and one about all.
 * @throws BullaError the worst of what failed, when all is done; those of copying
 */
export async function runAllTags(
  context: Context,
  fromText: string,
  toText: string,
  flags: AllTagsFlags,
  { platform, referrers, dryRun }: AllTagsOptions,
): Promise<void> {
  const { output, settings, signal, io } = context;
  if (flags.allTags !== true)
    throw new BullaError('usage', 'flags for many tags are given, and one image is copied', {
      hint: 'bulla copy --all-tags SOURCE-REPOSITORY DESTINATION-REPOSITORY copies many',
    });
  const [from, to] = [repositoryOf(fromText), repositoryOf(toText)];
  if (formatRepository(from) === formatRepository(to))
    throw new BullaError('usage', 'source and destination are the same repository', {
      hint: 'name another destination',
    });
  if (flags.prune === true && flags.yes !== true && !dryRun) assertTerminal(context);
  const source = await context.openSource(await context.places.namedInLayout(from), { side: 'from' });
  const imageName = from.kind === 'registry' ? formatRepository(from) : undefined;
  const destination = await context.openTarget(to, {
    side: 'to',
    write: !dryRun,
    create: !dryRun,
    imageName,
  });
  output.inLines();
  const progress = new ImageProgress(io.stderr, settings.progress && !settings.quiet && !settings.json);
  const tell = (tag: RepositoryTag): void => {
    progress.end(tag.tag);
    const reference = formatReference({ ...to, tag: tag.tag });
    if (tag.outcome === 'failed') output.referenceFailed(reference, tag.error);
    else {
      if (tag.outcome === 'copied' || settings.verbose) output.info(tagText(reference, tag, dryRun));
      output.result(`${reference}@${tag.digest}`, tagJson(reference, tag, dryRun));
    }
  };
  let copied: CopiedRepository;
  try {
    copied = await context.untimed(() =>
      copyRepository({
        ...{ source, destination, platform, referrers, dryRun, signal, fast: flags.fast },
        concurrency: settings.concurrency,
        selection: selectionOf(flags),
        ...(flags.prune === true && {
          prune: (tags) => {
            progress.stop();
            return agreeToPrune(context, to, tags, flags.yes === true, dryRun);
          },
        }),
        onSelected: (tags) => progress.expect(tags),
        onTag: tell,
        onEvent: (tag, event) => progress.on(tag, event),
      }),
    );
  } finally {
    progress.stop();
  }
  // An archive is there when it is closed; nothing is said to be there before.
  await context.close('well');
  for (const warning of copied.warnings) output.warn(warning);
  if (copied.collection !== undefined) tellCollection(output, from, to, copied.collection, dryRun);
  finish(context, to, copied, dryRun);
}

function finish({ output }: Context, to: Reference, copied: CopiedRepository, dryRun: boolean): void {
  const failures = failuresOf(copied);
  // Tags were told one by one.
  for (const { tag, error } of failures.slice(countsOf(copied).failed))
    output.referenceFailed(
      tag === undefined ? formatRepository(to) : formatReference({ ...to, tag: tag as Tag }),
      error,
    );
  const summary = summaryText(copied, dryRun);
  const worst = worstOf(failures.map(({ error }) => error));
  if (worst !== undefined)
    throw new BullaError(worst.code, `${formatRepository(to)}: ${summary}`, {
      cause: worst,
      ...(worst.hint !== undefined && { hint: worst.hint }),
      details: repositoryJson(copied, dryRun),
    });
  output.info(summary);
  output.result([], { repository: formatRepository(to), details: repositoryJson(copied, dryRun) });
}

function repositoryOf(text: string): Reference {
  const reference = parseReference(text);
  if (reference.tag === undefined && reference.digest === undefined) return reference;
  throw new BullaError('usage', `${text} names an image, and --all-tags copies repositories`, {
    hint: 'leave tag and digest out; --tags PATTERN selects tags',
  });
}

function selectionOf({ tags, exclude, semver, newest }: AllTagsFlags): TagSelection {
  return { tags, exclude, semver, newest };
}

/** Asked before anything is copied, so that the question at the end can be answered. */
function assertTerminal({ io }: Context): void {
  const terminal = openTerminal(io);
  terminal?.close();
  if (terminal !== undefined) return;
  throw new BullaError('usage', 'no terminal to confirm on what --prune removes', {
    hint: 'look at it with --dry-run, then add --yes',
  });
}

async function agreeToPrune(
  { output, io }: Context,
  to: Reference,
  tags: readonly Tag[],
  isAgreed: boolean,
  dryRun: boolean,
): Promise<boolean> {
  output.told([
    `${dryRun ? 'Would remove' : 'To remove'} from ${formatRepository(to)}, ${tags.length} in all:`,
    ...tags.map((tag) => `  ${tag}`),
  ]);
  if (dryRun || isAgreed) return true;
  return (
    (await askYes(io, `Remove ${tags.length === 1 ? 'this tag' : `these ${tags.length} tags`}?`)) === true
  );
}
