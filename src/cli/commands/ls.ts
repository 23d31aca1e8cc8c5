import type { Command } from 'commander';
import { mapConcurrently } from '../../actions/copy/concurrency.ts';
import type { NameEntriesOptions } from '../../actions/inspect/names.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { printable } from '../../http/redact.ts';
import type { Digest } from '../../oci/digest.ts';
import { ifThere } from '../../oci/if-there.ts';
import {
  formatRepository,
  type LayoutReference,
  parseReference,
  type Reference,
  type Tag,
} from '../../oci/reference.ts';
import type { Source } from '../../oci/target.ts';
import { isMachineTag } from '../../trust/format/vocabulary.ts';
import { addCollectionOptions, type CollectionFlags, openCollection } from '../flags/collection-flags.ts';
import type { Shown } from '../flags/shown-collection.ts';
import { sizeText } from '../render/tree-text.ts';
import type { Cli, Context } from '../shell/context.ts';

interface LsFlags extends CollectionFlags {
  readonly all?: true;
  readonly long?: true;
  readonly tags?: true;
  readonly references?: true;
  readonly out?: string;
}

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('ls'))
    .summary('list the signed names or the tags of a repository, a layout or an archive')
    .description(
      'With a trust collection: its names, their digests, and who signed them; then the unsigned tags.\n' +
        'Otherwise, or with --tags, the tags, in byte order. Tags for signatures (sha256-…) and trust metadata (_trust…) are left out.',
    )
    .argument('<repository>', 'repository, oci:DIR or oci-archive:FILE')
    .option('-a, --all', 'also list the tags of signatures and trust metadata')
    .option(
      '-l, --long',
      'show digest, media type and size of each tag, or where it points (one request per tag)',
    )
    .option('--tags', 'list only the tags, without the trust collection')
    .option(
      '--references',
      'list only signed names, as references with their digests, for --from of other commands',
    )
    .option('--out <file>', 'with --references: write them to a new file')
    .action(async (text: string, flags: LsFlags, command: Command) => {
      const context = await cli.open(command);
      const reference = parseReference(text);
      if (flags.references === true) {
        const { listReferences } = await import('./ls/references.ts');
        return await listReferences(context, reference, flags);
      }
      if (flags.tags !== true && (await listCollection(context, reference, flags))) return;
      await printTags(context, reference, flags);
    });
}

async function listCollection(context: Context, reference: Reference, flags: LsFlags): Promise<boolean> {
  const { showCollection } = await import('../flags/shown-collection.ts');
  const shown = await showCollection(context, reference, flags).catch(async (error: unknown) => {
    // Any account with push permission can put anything at the tag; the tags are shown anyway.
    if (!isBullaError(error, 'trust-invalid', 'content-invalid')) throw error;
    const { isExpected } = await import('../../actions/verify/collection.ts');
    if (await isExpected(await openCollection(context, reference, flags))) throw error;
    context.output.warn(`only tags are listed: ${error.message}`);
    return undefined;
  });
  if (shown === undefined) return false;
  const source = await context.openSource(reference);
  // Where the collection lies elsewhere, there may be no image yet.
  const tags = (await ifThere(() => readTags(context, source))) ?? [];
  await printNames(context, shown, reference, {
    tags: flags.all === true ? tags : tags.filter((tag) => !isMachineTag(tag)),
    source: flags.long === true ? source : undefined,
  });
  return true;
}

/** In text, names are printed as bins are read; only JSON is gathered first. */
async function printNames(
  context: Context,
  { copy, looked, trusted }: Shown,
  reference: Reference,
  { tags, source }: Pick<NameEntriesOptions, 'tags' | 'source'>,
): Promise<void> {
  const [{ nameEntries }, { nameEntryJson, nameLines }] = await Promise.all([
    import('../../actions/inspect/names.ts'),
    import('../render/name-list-text.ts'),
  ]);
  const { output, settings, signal } = context;
  const gathered: Record<string, unknown>[] = [];
  for await (const entries of nameEntries(copy, {
    tags,
    source,
    concurrency: settings.concurrency,
    signal,
  })) {
    if (settings.json) gathered.push(...entries.map((entry) => nameEntryJson(entry, source !== undefined)));
    else output.lines(nameLines(entries));
  }
  if (!settings.json) return;
  const repository = formatRepository(reference);
  output.result([], { repository, collection: looked.collection.id, trusted, tags: gathered });
}

async function printTags(context: Context, reference: Reference, flags: LsFlags): Promise<void> {
  const source = await context.openSource(reference);
  const names =
    reference.kind === 'registry'
      ? (await readTags(context, source)).map((tag) => ({ name: tag, version: tag }))
      : await entriesOf(context, reference);
  const repository = formatRepository(reference);
  if (names.length === 0) {
    // Registries answer alike for a repository without tags and for one that was never pushed to.
    throw reference.kind === 'registry'
      ? new BullaError('not-found', `${repository} has no tags, or is not there`, {
          hint: 'check the name; what was pushed by digest only has no tag',
        })
      : new BullaError('not-found', `${repository} holds no image`, { hint: 'check the path' });
  }
  const shown = flags.all === true ? names : names.filter(({ name }) => !isMachineTag(name));
  if (flags.long !== true) {
    context.output.result(
      shown.map(({ name }) => printable(name, 512)),
      { repository, tags: shown.map(({ name }) => ({ tag: name })) },
    );
    return;
  }
  const described = await mapConcurrently(shown, context.settings.concurrency, async ({ name, version }) => ({
    tag: name,
    ...(await source.resolve(version, { signal: context.signal })),
  }));
  const width = Math.max(0, ...shown.map(({ name }) => printable(name, 512).length));
  context.output.result(
    described.map(
      ({ tag, digest, mediaType, size }) =>
        `${printable(tag, 512).padEnd(width)}  ${digest}  ${sizeText(size).padStart(10)}  ${mediaType}`,
    ),
    { repository, tags: described },
  );
}

/** What the entries of a layout are called, which need not be tags: podman and docker write whole names. */
async function entriesOf(
  context: Context,
  reference: LayoutReference,
): Promise<readonly { readonly name: string; readonly version: Digest }[]> {
  const layout = await context.places.openLayout(reference, {});
  return (await layout.entryNames())
    .map(({ name, digest }) => ({ name, version: digest }))
    .sort((a, b) => byBytes(a.name, b.name));
}

async function readTags(context: Context, source: Source): Promise<readonly Tag[]> {
  return [...(await source.listTags({ signal: context.signal }))].sort(byBytes);
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
