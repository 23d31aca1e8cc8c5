import type { Command } from 'commander';
import { readTree } from '../../actions/inspect/tree.ts';
import { BullaError } from '../../errors.ts';
import { formatRepository, parseReference, type Reference } from '../../oci/reference.ts';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import { listOption } from '../flags/reference-list.ts';
import { type Shown, showEach } from '../flags/show-each.ts';
import { treeJson, treeLines } from '../render/tree-text.ts';
import type { Cli, Context } from '../shell/context.ts';

interface TreeFlags extends CollectionFlags {
  readonly names?: number;
  /** A list of references. */
  readonly from?: string;
}

/** Most names of a role that are drawn unless more are asked for. */
const NAMES_DRAWN = 10;

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('tree'))
    .summary('draw an image and everything that refers to it, or the trust collection of a repository')
    .description(
      'Draws an image with its platforms, signatures, attestations, and everything else that refers to any of them.\n' +
        'For a repository it draws the trust collection: roles, keys, expiry dates and names.',
    )
    .argument('[reference...]', 'images, by tag or digest; or repositories')
    .addOption(listOption())
    .option('--names <n>', `most names of each role that are drawn (default: ${NAMES_DRAWN})`, wholeNumber)
    .action(async (texts: readonly string[], flags: TreeFlags, command: Command) => {
      const context = await cli.open(command);
      await showEach(context, texts, flags.from, async (text) => {
        const reference = parseReference(text);
        const { isCollection } = await import('../flags/shown-collection.ts');
        return (await isCollection(context, reference))
          ? await collectionOf(context, reference, flags)
          : await imageAt(context, text);
      });
    });
}

async function imageAt(context: Context, text: string): Promise<Shown> {
  const { source, reference, version } = await context.openImage(text);
  const tree = await readTree(source, version, {
    concurrency: context.settings.concurrency,
    signal: context.signal,
  });
  const name = `${formatRepository(reference)}@${tree.descriptor.digest}`;
  return { lines: treeLines(name, tree), json: { reference: name, ...treeJson(tree) } };
}

async function collectionOf(context: Context, reference: Reference, flags: TreeFlags): Promise<Shown> {
  const [{ showCollection, keyNames }, { overviewOf }, { collectionJson, collectionLines }] =
    await Promise.all([
      import('../flags/shown-collection.ts'),
      import('../../trust/report/overview.ts'),
      import('../render/collection-text.ts'),
    ]);
  const shown = await showCollection(context, reference, flags);
  if (shown === undefined) throw noCollection(reference);
  const overview = overviewOf(shown.copy);
  const drawing = {
    now: context.io.now(),
    keyNames: await keyNames(context),
    names: flags.names ?? NAMES_DRAWN,
  };
  return {
    lines: collectionLines(overview, drawing),
    json: { trusted: shown.trusted, ...collectionJson(overview, drawing) },
  };
}

function noCollection(reference: Reference): BullaError {
  const name = formatRepository(reference);
  return new BullaError('usage', `${name} names no image, and has no trust collection`, {
    hint: `add a tag (:v1) or a digest (@sha256:…); if the collection is elsewhere: --at; to create one: bulla init ${name}`,
  });
}

function wholeNumber(text: string): number {
  if (/^[0-9]{1,6}$/.test(text)) return Number(text);
  throw new BullaError('usage', `${JSON.stringify(text)} is not a number of names`, {
    hint: 'give a whole number, such as 100',
  });
}
