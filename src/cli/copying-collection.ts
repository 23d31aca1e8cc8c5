import type { CopiedCollection } from '../actions/copy/collection.ts';
import type { OnCopyEvent } from '../actions/copy/progress.ts';
import { BullaError, isBullaError } from '../errors.ts';
import {
  formatReference,
  formatRepository,
  type Reference,
  type Tag,
  TRUST_TAG_PREFIX,
} from '../oci/reference.ts';
import type { CallOptions, Source, Target } from '../oci/target.ts';
import { shellWord } from './render/shell-word.ts';
import type { Context, Image } from './shell/context.ts';
import type { Output } from './shell/output.ts';

export interface BringOptions {
  readonly concurrency: number;
  readonly dryRun?: boolean | undefined;
  readonly onEvent?: OnCopyEvent | undefined;
}

/** Whether there is a head to be brought along. @throws BullaError what the source throws */
export async function hasCollection(source: Source, options: CallOptions): Promise<boolean> {
  try {
    await source.resolve(TRUST_TAG_PREFIX as Tag, options);
    return true;
  } catch (error) {
    if (isBullaError(error, 'not-found')) return false;
    throw error;
  }
}

/**
 * Brings the trust collection of the source along (spec/trust-copying.md, "Heads").
 * @throws BullaError what the two sides throw
 */
export async function bringCollection(
  { signal }: Context,
  { source }: Pick<Image, 'source'>,
  destination: Target,
  options: BringOptions,
): Promise<CopiedCollection> {
  const { copyCollection } = await import('../actions/copy/collection.ts');
  return await copyCollection({ ...options, source, destination, signal });
}

/** What became of it, for people. */
export function tellCollection(
  output: Output,
  from: Reference,
  to: Reference,
  { outcome, name, other, why }: CopiedCollection,
  dryRun = false,
): void {
  const [there, here] = [formatRepository(to), formatRepository(from)];
  // A collection at another place than its name is verified only if the place is accepted as a copy.
  const how =
    name === there
      ? ''
      : name?.startsWith('oci')
        ? '; they were made for a layout, and verify only where that lies'
        : `; there they verify with --collection ${shellWord(name ?? 'NAME')}`;
  const brought = dryRun ? 'Would bring' : 'Brought';
  if (outcome === 'copied') output.info(`${brought} the signed names of ${name} along${how}`);
  if (outcome === 'forwarded') output.info(`${brought} the signed names of ${name} up to date${how}`);
  if (outcome === 'ahead') output.info(`${there} has newer signed names than ${here}: they stay`);
  if (outcome !== 'left') return;
  if (other === undefined) output.warn(`the signed names of ${here} were left behind: ${why}`);
  else
    output.warn(
      `${there} has a trust collection of its own (${other}): the image came without the signed names of ${name}`,
    );
}

/** What became of it, for `-o json`; null where the source has none. */
export function collectionJson(
  collection: CopiedCollection | undefined,
): Readonly<Record<string, unknown>> | null {
  if (collection === undefined || collection.outcome === 'none') return null;
  const { outcome, name, head, other, why } = collection;
  return { outcome, name: name ?? null, head: head ?? null, other: other ?? null, why: why ?? null };
}

/**
 * What `bulla copy REPO:_trust OTHER` does: the collection without an image, as a mirror is kept fresh.
 * @throws BullaError not-found where there is none; conflict where the destination keeps what it has
 */
export async function bringAlone(
  context: Context,
  image: Image,
  destination: Reference,
  target: Target,
  { dryRun }: { readonly dryRun?: boolean | undefined },
): Promise<void> {
  const { output, settings } = context;
  const { concurrency } = settings;
  const onEvent: OnCopyEvent = (event) => {
    if (event.kind === 'warning') output.warn(event.message);
  };
  const collection = await bringCollection(context, image, target, { concurrency, dryRun, onEvent });
  const from = formatRepository(image.reference);
  if (collection.outcome === 'none') {
    throw new BullaError('not-found', `${from} has no trust collection`, {
      hint: `bulla init ${from} makes one`,
    });
  }
  const to = formatRepository(destination);
  if (collection.outcome === 'left') {
    throw new BullaError('conflict', `${to} keeps the signed names that it has: ${collection.why}`, {
      hint: 'look at both: bulla status; bulla copy --as signs names of one into the other',
      details: { ...collection },
    });
  }
  await context.close('well');
  if (dryRun !== true) tellCollection(output, image.reference, destination, collection);
  const name = `${to}@${collection.head}`;
  output.result(name, {
    reference: name,
    dryRun: dryRun === true,
    collection: collectionJson(collection),
  });
}

/**
 * A collection is brought along with images, or by its tag `_trust` to the same tag, and then only where
 * nothing is lost; its other tags cannot be copied.
 * @returns whether the collection alone is meant
 * @throws BullaError usage
 */
export function meansCollection(from: Reference, to: Reference): boolean {
  const [source, destination] = [from.tag, to.tag ?? from.tag];
  if (source?.startsWith(TRUST_TAG_PREFIX) !== true && destination?.startsWith(TRUST_TAG_PREFIX) !== true)
    return false;
  if (source === TRUST_TAG_PREFIX && destination === TRUST_TAG_PREFIX && to.digest === undefined) return true;
  throw new BullaError(
    'usage',
    `${formatReference(from)} cannot be copied to ${formatReference(to)}: tags that begin with ${TRUST_TAG_PREFIX} are those of the trust collection`,
    {
      hint: `copy an image, which brings it along, or the collection alone: bulla copy ${formatRepository(from)}:${TRUST_TAG_PREFIX} ${formatRepository(to)}`,
    },
  );
}
