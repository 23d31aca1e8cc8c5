import {
  assertComplete,
  type CopiedImage,
  type CopyImageOptions,
  copyCollectionAlone,
  copyImage,
  isCollectionAlone,
} from '../../../actions/copy/image.ts';
import type { CopyEvent, OnCopyEvent } from '../../../actions/copy/progress.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import { formatRepository, type Reference } from '../../../oci/reference.ts';
import { collectionJson, copiedJson, tellCollection, tellCopied } from '../../render/copy-text.ts';
import { sizeText } from '../../render/tree-text.ts';
import type { Side } from '../../shell/access.ts';
import type { Context, Image } from '../../shell/context.ts';
import { Progress } from '../../shell/progress.ts';

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

/** What a command that copies is told, besides from where to where. */
export interface CopyFlags
  extends Pick<CopyImageOptions, 'platform' | 'referrers' | 'dryRun' | 'beforeTag' | 'collection'> {
  /** Whose flags hold for the destination, where both sides are registries. */
  readonly side?: Side;
  /** Called when all is there, before the result is printed. @throws BullaError if something else is not done */
  readonly assertDone?: (() => void) | undefined;
  /** It is one of several images: what it was given as, and what prints the result when its turn comes. */
  readonly many?: { readonly given: string; print(tell: () => void): void } | undefined;
}

/**
 * Copies an image as a command was told to, shows how it goes, and prints what came of it: `repository@digest` on
 * stdout, the rest for people.
 * @param copyIt how it is copied; {@link copyImage} if left out
 * @param json more for `-o json`
 * @throws BullaError those of copying and of opening the destination
 */
export async function runCopy<R extends CopiedImage = CopiedImage>(
  context: Context,
  image: Image,
  to: Reference,
  flags: CopyFlags,
  copyIt: (options: CopyImageOptions) => Promise<R> = copyImage as (options: CopyImageOptions) => Promise<R>,
  json: (copied: R) => Readonly<Record<string, unknown>> = () => ({}),
): Promise<void> {
  const { output, settings, signal } = context;
  const { side, dryRun = false, assertDone, many, ...rest } = flags;
  const { reference } = image;
  const imageName = reference.kind === 'registry' ? formatRepository(reference) : undefined;
  const openTarget = () => context.openTarget(to, { side, write: !dryRun, create: !dryRun, imageName });
  if (isCollectionAlone(reference, to) && many === undefined)
    return await runAlone(context, { from: image, to, openTarget }, dryRun);
  const display = copyDisplay(context, dryRun);
  let endTransfer: (() => void) | undefined;
  try {
    const copied = await copyIt({
      ...{ ...rest, from: image, to, openTarget, dryRun, signal },
      concurrency: settings.concurrency,
      onEvent: (event) => {
        // What belongs to the image is found; from here on it takes as long as there is content.
        if (event.kind === 'planned') endTransfer ??= context.beginUntimed();
        display.onEvent(event);
      },
      beforeTag: async (root) => {
        endTransfer?.();
        await rest.beforeTag?.(root);
      },
    });
    display.stop();
    // An archive is there when it is closed; nothing is said to be there before.
    if (many === undefined) await context.close('well');
    const result = { ...copiedJson(copied, dryRun), ...json(copied) };
    const tell = (): void => tellCopied(output, reference, to, copied, dryRun);
    if (many === undefined) tell();
    if (!dryRun) assertComplete(copied);
    assertDone?.();
    if (many === undefined) output.result(copied.reference, result);
    else
      many.print(() => {
        tell();
        output.result(copied.reference, { given: many.given, ...result });
      });
  } finally {
    endTransfer?.();
    display.stop();
  }
}

/** `bulla copy REPO:_trust OTHER`: the collection without an image. */
async function runAlone(
  context: Context,
  sides: Pick<CopyImageOptions, 'from' | 'to' | 'openTarget'>,
  dryRun: boolean,
): Promise<void> {
  const { output, settings, signal } = context;
  const { from, to } = sides;
  const collection = await copyCollectionAlone({
    ...{ ...sides, dryRun, signal },
    concurrency: settings.concurrency,
    onEvent: (event) => {
      if (event.kind === 'warning') output.warn(event.message);
    },
  });
  await context.close('well');
  if (!dryRun) tellCollection(output, from.reference, to, collection);
  const name = `${formatRepository(to)}@${collection.head}`;
  output.result(name, { reference: name, dryRun, collection: collectionJson(collection) });
}
