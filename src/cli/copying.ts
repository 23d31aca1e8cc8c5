import type { CopiedCollection } from '../actions/copy/collection.ts';
import { type CopyOptions, type CopyResult, copy } from '../actions/copy/copy.ts';
import type { CopyEvent, OnCopyEvent } from '../actions/copy/progress.ts';
import { BullaError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { formatReference, formatRepository, type Reference, type Tag } from '../oci/reference.ts';
import {
  bringAlone,
  bringCollection,
  collectionJson,
  hasCollection,
  meansCollection,
  tellCollection,
} from './copying-collection.ts';
import { sizeText } from './render/tree-text.ts';
import type { Side } from './shell/access.ts';
import type { Context, Image } from './shell/context.ts';
import { Progress } from './shell/progress.ts';

/** Draws what a copy tells, until `stop`. */
interface CopyDisplay {
  readonly onEvent: OnCopyEvent;
  stop(): void;
}

/** Progress of a copy, as the settings want it. */
function copyDisplay(context: Context, dryRun: boolean): CopyDisplay {
  const { output, settings, io } = context;
  const progress = new Progress(io.stderr, settings.progress && !settings.quiet && !settings.json);
  const onEvent = (event: CopyEvent): void => {
    switch (event.kind) {
      case 'planned':
        output.verbose(`${event.content} manifests and blobs, ${sizeText(event.bytes)}`);
        break;
      case 'start':
        progress.start(event.descriptor.digest, shortDigest(event.descriptor), event.descriptor.size);
        break;
      case 'progress':
        progress.reach(event.descriptor.digest, event.bytes);
        break;
      case 'done':
        progress.end(
          event.descriptor.digest,
          line(doneText(event.outcome, dryRun), event.descriptor),
          event.bytes,
        );
        break;
      case 'skip':
        if (settings.verbose) progress.end(event.descriptor.digest, line('exists', event.descriptor), 0);
        break;
      case 'warning':
        output.warn(event.message);
    }
  };
  return { onEvent, stop: () => progress.stop() };
}

function doneText(outcome: string, dryRun: boolean): string {
  return dryRun && outcome === 'pushed' ? 'to push' : outcome;
}

function line(outcome: string, descriptor: Descriptor): string {
  return `${outcome.padEnd(7)}  ${shortDigest(descriptor)}  ${sizeText(descriptor.size).padStart(10)}  ${descriptor.mediaType}`;
}

function shortDigest({ digest }: Descriptor): string {
  return digest.slice(0, 19);
}

/** What a copy may be told besides from where to where. */
export interface CopyFlags extends Pick<CopyOptions, 'platform' | 'referrers' | 'dryRun' | 'beforeTag'> {
  /** Bring the trust collection along: true if left out, but not with one platform or without referrers. */
  readonly collection?: boolean;
  /** Whose flags hold for the destination, where both sides are registries. */
  readonly side?: Side;
  /** More for `-o json`, asked for when all is done. */
  readonly alsoJson?: () => Readonly<Record<string, unknown>>;
}

/**
 * Copies an image as a command was told to, shows how it goes, and prints what came of it:
 * `repository@digest` on stdout, the rest for people.
 * @throws BullaError digest-mismatch where the destination names a digest that the image does not have;
 *   those of copy and of opening the destination
 */
export async function copyNamed(
  context: Context,
  image: Image,
  destination: Reference,
  flags: CopyFlags,
): Promise<void> {
  const { source, version, reference } = image;
  const { settings, signal } = context;
  const write = flags.dryRun !== true;
  if (meansCollection(reference, destination)) {
    const target = await context.openTarget(destination, { side: flags.side, write, create: write });
    return await bringAlone(context, image, destination, target, flags);
  }
  if (destination.digest !== undefined && flags.platform === undefined) {
    checkDigest(
      destination,
      isDigest(version) ? version : (await source.resolve(version, { signal })).digest,
    );
  }
  const imageName = reference.kind === 'registry' ? formatRepository(reference) : undefined;
  const target = await context.openTarget(destination, { side: flags.side, write, create: write, imageName });
  const display = copyDisplay(context, flags.dryRun === true);
  const tag = tagAt(destination, reference);
  const { concurrency } = settings;
  let endTransfer: (() => void) | undefined;
  const onEvent: typeof display.onEvent = (event) => {
    // What belongs to the image is found; from here on it takes as long as there is content.
    if (event.kind === 'planned') endTransfer ??= context.beginUntimed();
    display.onEvent(event);
  };
  let collection: CopiedCollection | undefined;
  const mayBring = flags.collection !== false && flags.referrers !== false && flags.platform === undefined;
  // Asked while the image is on its way; most repositories have no collection.
  const asked = mayBring ? hasCollection(source, { signal }) : Promise.resolve(false);
  asked.catch(() => undefined);
  const bring = async (): Promise<void> => {
    if (!(await asked)) return;
    const options = { concurrency, onEvent, dryRun: flags.dryRun };
    collection = await bringCollection(context, image, target, options);
  };
  try {
    const result = await copy({
      ...flags,
      // Before the tag moves, like everything else that belongs to the image.
      beforeTag: async (root) => {
        endTransfer?.();
        await flags.beforeTag?.(root);
        await bring();
      },
      source,
      // The tag may have moved since its digest was looked at.
      reference: flags.platform === undefined ? (destination.digest ?? version) : version,
      destination: target,
      tag,
      concurrency,
      signal,
      onEvent,
    });
    if (flags.dryRun === true) await bring();
    display.stop();
    checkDigest(destination, result.root.digest);
    // An archive is there when it is closed; nothing is said to be there before.
    await context.close('well');
    if (collection !== undefined)
      tellCollection(context.output, reference, destination, collection, flags.dryRun);
    const alsoJson = () => ({ collection: collectionJson(collection), ...flags.alsoJson?.() });
    print(context, reference, destination, result, { ...flags, alsoJson });
  } finally {
    endTransfer?.();
    display.stop();
  }
}

/** The tag at the destination: without one it gets that of the source; with a digest alone, none. */
export function tagAt(destination: Reference, source: Reference): Tag | undefined {
  return destination.tag ?? (destination.digest === undefined ? source.tag : undefined);
}

function checkDigest(destination: Reference, found: Digest): void {
  if (destination.digest === undefined || destination.digest === found) return;
  throw new BullaError(
    'digest-mismatch',
    `${formatReference(destination)} was to be written, and the source is ${found}`,
    {
      hint: 'leave the digest of the destination out, or name the source by it',
    },
  );
}

/** A copy that leaves something behind is not one, though the image and its tag are there. */
function incomplete(name: string, { left, warnings }: CopyResult): BullaError {
  return new BullaError(
    'content-invalid',
    `${name} was copied, and not all that belongs to it: ${left.slice(0, 3).join('; ')}${left.length > 3 ? `; and ${left.length - 3} more` : ''}`,
    {
      hint: 'remove what cannot be copied from the source, or copy the image alone with --no-referrers',
      details: { reference: name, left, warnings },
    },
  );
}

function print(
  context: Context,
  source: Reference,
  destination: Reference,
  result: CopyResult,
  flags: CopyFlags,
): void {
  const name = `${formatRepository(destination)}@${result.root.digest}`;
  const named = { ...destination, tag: result.tag, digest: undefined } as Reference;
  const to = result.tag === undefined ? name : formatReference(named);
  const { pushed, mounted, skipped } = result;
  const [what, done] = flags.dryRun === true ? ['Would copy', 'to push'] : ['Copied', 'pushed'];
  context.output.info(
    `${what} ${formatReference(source)} => ${to}: ${pushed.content} ${done} (${sizeText(pushed.bytes)}), ` +
      `${mounted.content} mounted, ${skipped.content} there already; ${result.referrers} referring to it`,
  );
  if (result.left.length > 0 && flags.dryRun !== true) throw incomplete(name, result);
  context.output.result(name, {
    reference: name,
    ...(result.tag !== undefined && { tag: result.tag, tagMoved: result.tagMoved }),
    descriptor: result.root,
    dryRun: flags.dryRun === true,
    referrers: result.referrers,
    pushed,
    mounted,
    skipped,
    warnings: result.warnings,
    ...flags.alsoJson?.(),
  });
}
