import type { CopyResult } from '../actions/copy.ts';
import type { CopyEvent, OnCopyEvent } from '../actions/copy-progress.ts';
import { BullaError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { formatReference, formatRepository, type Reference, type Tag } from '../oci/reference.ts';
import type { Context } from './context.ts';
import { Progress } from './progress.ts';
import { sizeText } from './tree-text.ts';

/** Draws what a copy tells, until `stop`. */
export interface CopyDisplay {
  readonly onEvent: OnCopyEvent;
  stop(): void;
}

/** Progress of a copy, as the settings want it. */
export function copyDisplay(context: Context): CopyDisplay {
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
        progress.end(event.descriptor.digest, line(event.outcome, event.descriptor), event.bytes);
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

function line(outcome: string, descriptor: Descriptor): string {
  return `${outcome.padEnd(7)}  ${shortDigest(descriptor)}  ${sizeText(descriptor.size).padStart(10)}  ${descriptor.mediaType}`;
}

function shortDigest({ digest }: Descriptor): string {
  return digest.slice(0, 19);
}

/**
 * Tag at the destination: the one that was given, else that of the source. Where a digest was given, the
 * copy has to have it.
 */
export function destinationTag(source: Reference, destination: Reference): Tag | undefined {
  return destination.tag ?? (destination.digest === undefined ? source.tag : undefined);
}

/** @throws BullaError digest-mismatch where the destination names a digest that the source does not have */
export function checkDestinationDigest(destination: Reference, found: Descriptor): void {
  if (destination.digest === undefined || destination.digest === found.digest) return;
  throw new BullaError(
    'digest-mismatch',
    `${formatReference(destination)} was to be written, and the source is ${found.digest}`,
    {
      hint: 'leave the digest of the destination out, or name the source by it',
    },
  );
}

/** Prints what a copy did: `repository@digest` on stdout, the rest for people. */
export function printCopy(
  context: Context,
  source: Reference,
  destination: Reference,
  result: CopyResult,
  dryRun: boolean,
): void {
  const name = `${formatRepository(destination)}@${result.root.digest}`;
  const named = { ...destination, tag: result.tag, digest: undefined } as Reference;
  const to = result.tag === undefined ? name : formatReference(named);
  const { pushed, mounted, skipped } = result;
  context.output.info(
    `${dryRun ? 'Would copy' : 'Copied'} ${formatReference(source)} => ${to}: ${pushed.content} pushed (${sizeText(pushed.bytes)}), ` +
      `${mounted.content} mounted, ${skipped.content} there already; ${result.referrers} referring to it`,
  );
  context.output.result(name, {
    reference: name,
    ...(result.tag !== undefined && { tag: result.tag, tagMoved: result.tagMoved }),
    descriptor: result.root,
    dryRun,
    referrers: result.referrers,
    pushed,
    mounted,
    skipped,
    warnings: result.warnings,
  });
}
