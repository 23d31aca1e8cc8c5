import type { Command } from 'commander';
import type {
  CollectionDemands,
  CollectionPorts,
  OpenedCollection as Opened,
} from '../../actions/verify/collection.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { BullaError } from '../../errors.ts';
import { REAL_TIMING } from '../../http/retry.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import type { Target } from '../../oci/target.ts';
import type { PinnedTrust } from '../../trust/read/pin.ts';
import type { Context, OpenOptions } from '../shell/context.ts';
import { blobCache, isCi, mayHavePins, pinFile, repositoryOf, trustMemory } from '../shell/trust-stores.ts';
import { collectKeyIds, durationOf } from './values.ts';

/** Flags that say where a collection lies, and whose root keys are trusted. */
export interface CollectionFlags {
  readonly at?: string;
  readonly collection?: string;
  readonly root?: string;
  readonly rootKeyId?: readonly string[];
  readonly rootCa?: string;
  readonly tofu?: true;
  readonly maxStaleness?: string;
}

/** Adds the flags that every command with a collection has: where it lies. */
export function addPlaceOptions(command: Command): Command {
  return command
    .option('--at <repository>', 'place of the trust collection, if not the repository itself')
    .option('--collection <name>', 'HOST/REPOSITORY that the collection was made for, if this is a copy');
}

/** Adds the flags of {@link CollectionFlags} to a command that reads. */
export function addCollectionOptions(command: Command): Command {
  return addPlaceOptions(command)
    .option('--root <file>', 'trusted root metadata of the collection (instead of a pin)')
    .option('--root-key-id <id>', 'trusted root key (instead of a pin); repeatable', collectKeyIds)
    .option('--root-ca <file>', 'CA that certifies root keys (instead of a pin)')
    .option('--tofu', 'trust the root keys that are found now, if none are pinned or known')
    .option(
      '--max-staleness <duration>',
      'accept trust metadata for this time after its expiry (default: 0s)',
    );
}

/** Whose flags hold, where a command has two sides, and whether something is to be written. */
export type OpenCollectionOptions = Pick<OpenOptions, 'side' | 'write'>;

/** A collection, in a place that can be written to. */
export type OpenedCollection = Opened<Target>;

/**
 * How commands get at a collection: its target, and with which pin, memory and demands `readCollection` reads it.
 * @throws BullaError usage, config-invalid, not-found, storage-error; those of openTarget
 */
export async function openCollection(
  context: Context,
  reference: Reference,
  flags: CollectionFlags,
  options: OpenCollectionOptions = {},
): Promise<OpenedCollection> {
  const { openCollection: open } = await import('../../actions/verify/collection.ts');
  const demands = await collectionDemands(context, flags);
  return await open(reference, demands, await collectionPorts(context, options));
}

/** What flags demand of a collection. @throws BullaError usage, not-found, content-invalid, certificate-invalid */
export async function collectionDemands(
  context: Context,
  flags: CollectionFlags,
): Promise<CollectionDemands> {
  const { at, collection, maxStaleness } = flags;
  return {
    at: at === undefined ? undefined : parseReference(at),
    collection,
    trust: await trustFromFlags(context, flags),
    maxStaleness: durationOf('--max-staleness', maxStaleness, '12h, 30d, 0s'),
  };
}

/** The stores of this user, and the places that a command can reach. */
export async function collectionPorts(
  context: Context,
  options: OpenCollectionOptions = {},
): Promise<CollectionPorts<Target>> {
  const [memory, cache] = await Promise.all([trustMemory(context), blobCache(context)]);
  return {
    now: context.io.now(),
    memory,
    cache,
    pins: async () => (mayHavePins(context) ? (await (await pinFile(context)).list()).values() : []),
    placeOf: (reference) => repositoryOf(context, reference),
    openSource: (reference) => context.openTarget(reference, options),
    isUnattended: isCi(context),
    signal: context.signal,
    onWarning: (message) => context.output.warn(message),
    pause: (ms) => REAL_TIMING.sleep(ms, context.signal),
  };
}

/**
 * The root of trust that flags give.
 * @throws BullaError usage where they give several; not-found, content-invalid, certificate-invalid
 */
export async function trustFromFlags(
  context: Context,
  { root, rootKeyId, rootCa, tofu }: Pick<CollectionFlags, 'root' | 'rootKeyId' | 'rootCa' | 'tofu'>,
): Promise<PinnedTrust | undefined> {
  const given = [root, rootKeyId, rootCa, tofu].filter((flag) => flag !== undefined).length;
  if (given > 1)
    throw new BullaError('usage', 'a root file, root key ids, an authority and --tofu exclude each other', {
      hint: 'give one of them',
    });
  if (rootKeyId !== undefined) return { kind: 'key-ids', keyIds: rootKeyId };
  if (tofu === true) return { kind: 'tofu' };
  const path = root ?? rootCa;
  if (path === undefined) return undefined;
  const { readFileBounded } = await import('../../disk/atomic.ts');
  const read = (most: number) => readFileBounded(context.path(path), most, { pipes: true });
  if (root !== undefined) return { kind: 'root', bytes: await read(MAX_ROOT_BYTES) };
  const { parseCertificates } = await import('../../crypto/certificate.ts');
  const pem = decodeUtf8(await read(MAX_PEM_BYTES), path);
  parseCertificates(pem, path);
  return { kind: 'ca', pem };
}

const MAX_ROOT_BYTES = 512_000;
const MAX_PEM_BYTES = 1024 * 1024;
