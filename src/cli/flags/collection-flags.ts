import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { isSamePlace, placeNamed, placeOf } from '../../oci/place.ts';
import { formatRepository, parseReference, type Reference } from '../../oci/reference.ts';
import type { Target } from '../../oci/target.ts';
import type { BlobDirectory } from '../../state/blob-directory.ts';
import type { PinFile } from '../../state/pins.ts';
import { canonicalPlace } from '../../state/place.ts';
import type { TrustDirectory } from '../../state/trust-directory.ts';
import type { ReadOptions } from '../../trust/read/collection.ts';
import type { Pin, PinnedTrust } from '../../trust/read/pin.ts';
import type { Side } from '../shell/access.ts';
import type { Context } from '../shell/context.ts';
import { collect } from './signature-flags.ts';

/** Flags that say where a collection lies, and whom to believe about it. */
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
    .option('--at <repository>', 'where the trust collection lies, if not in the repository itself')
    .option('--collection <name>', 'HOST/REPOSITORY that the collection was made for, if this is a copy');
}

/** Adds the flags of {@link CollectionFlags} to a command that reads. */
export function addCollectionOptions(command: Command): Command {
  return addPlaceOptions(command)
    .option('--root <file>', 'root metadata of the collection that is trusted (instead of a pin)')
    .option('--root-key-id <id>', 'root key that is trusted (instead of a pin); repeatable', collect)
    .option('--root-ca <file>', 'authority that certifies root keys (instead of a pin)')
    .option('--tofu', 'trust the root keys that are there now, if none are pinned or known')
    .option('--max-staleness <duration>', 'how long after expiry trust metadata still counts (default: 0s)');
}

export interface OpenCollectionOptions {
  /** Whose flags hold, where a command has two sides. */
  readonly side?: Side | undefined;
  /** Something is to be written. */
  readonly write?: boolean | undefined;
}

/** Where a collection is read, and under which conditions. Nothing was asked of the place yet. */
export interface OpenedCollection {
  /** Key of what is remembered: `HOST/REPOSITORY`, or `oci:/path`. */
  readonly place: string;
  /** `HOST/REPOSITORY` of the image, or its layout. */
  readonly repository: string;
  /** Name that the collection must carry. */
  readonly name: string;
  readonly target: Target;
  readonly read: ReadOptions;
  /** What says whom to believe; undefined where nothing does. */
  readonly pin?: Pin | undefined;
}

/**
 * The one place where commands get at a collection: its target, and with which pin, memory and demands
 * it is to be read by `readCollection`.
 * @throws BullaError usage, config-invalid, not-found, storage-error; those of openTarget
 */
export async function openCollection(
  context: Context,
  reference: Reference,
  flags: CollectionFlags,
  options: OpenCollectionOptions = {},
): Promise<OpenedCollection> {
  const repository = repositoryOf(context, reference);
  const { isPinnedBy } = await import('../../trust/read/pin.ts');
  const { pin, name, isFlag, at } = await trustOf(context, repository, flags);
  const lies = bare(at === undefined ? reference : parseReference(at));
  const place = repositoryOf(context, lies);
  const now = context.io.now();
  const isNamed = (collection: string): boolean => isSamePlace(collection, name);
  const onWarning = (message: string): void => context.output.warn(message);
  const read: ReadOptions = {
    place,
    now,
    memory: await trustMemory(context),
    isNamed,
    isDemanded: pin !== undefined,
    maxStaleness: stalenessOf(flags),
    cache: await blobCache(context),
    signal: context.signal,
    onWarning,
    isPinned: isPinnedBy(pin),
    // Loaded when a head has come, or not at all: where it was seen before, nobody is asked.
    anchor: async (roots) => {
      const { anchorFor } = await import('../../trust/read/bootstrap.ts');
      const isUnattended = isFlag && isCi(context);
      if (isUnattended && pin?.trust.kind === 'tofu')
        onWarning('--tofu does not count in CI, where nobody sees whom it would believe');
      return await anchorFor({ repository, isNamed, now, pin, isUnattended, onWarning }).anchor(roots);
    },
  };
  return { place, repository, name, target: await context.openTarget(lies, options), read, pin };
}

/** What this person remembers of collections. */
export async function trustMemory(context: Context): Promise<TrustDirectory> {
  const { TrustDirectory } = await import('../../state/trust-directory.ts');
  return new TrustDirectory(memoryPath(context));
}

async function blobCache(context: Context): Promise<BlobDirectory> {
  const { BlobDirectory } = await import('../../state/blob-directory.ts');
  return new BlobDirectory(join(context.directories.cache, 'trust'));
}

/** Directory of what this person remembers of collections. */
export function memoryPath({ directories }: Context): string {
  return join(directories.state, 'trust');
}

/** Whether there may be pins: most people have none, and what reads them takes its time to load. */
export function mayHavePins(context: Context): boolean {
  try {
    return lstatSync(join(context.directories.config, PINS), { throwIfNoEntry: false }) !== undefined;
  } catch {
    // Whoever reads them says what is wrong.
    return true;
  }
}

const PINS = 'pins.json';

/** The pins of this person. */
export async function pinFile(context: Context): Promise<PinFile> {
  const { PinFile } = await import('../../state/pins.ts');
  return new PinFile(join(context.directories.config, PINS));
}

/**
 * The one spelling of the place that a reference names (spec/trust-reading.md, "Places"): `HOST/REPOSITORY`, or
 * `oci:` with the whole path. Never to be connected to.
 */
export function repositoryOf(context: Context, reference: Reference): string {
  return reference.kind === 'registry'
    ? placeOf(reference)
    : canonicalPlace(formatRepository({ ...reference, path: context.path(reference.path) }));
}

/**
 * Whom the flags say to believe, if they say it.
 * @throws BullaError usage where they say two things; not-found, content-invalid, certificate-invalid
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
  const { readFileBounded } = await import('../../disk/atomic.ts');
  if (root !== undefined)
    return {
      kind: 'root',
      bytes: await readFileBounded(context.path(root), MAX_ROOT_BYTES, { pipes: true }),
    };
  if (rootCa !== undefined) {
    const { parseCertificates } = await import('../../crypto/certificate.ts');
    const pem = decodeUtf8(
      await readFileBounded(context.path(rootCa), MAX_PEM_BYTES, { pipes: true }),
      rootCa,
    );
    parseCertificates(pem, rootCa);
    return { kind: 'ca', pem };
  }
  if (rootKeyId !== undefined) return { kind: 'key-ids', keyIds: rootKeyId };
  return tofu === true ? { kind: 'tofu' } : undefined;
}

const MAX_ROOT_BYTES = 512_000;
const MAX_PEM_BYTES = 1024 * 1024;

interface FoundTrust {
  readonly pin: Pin | undefined;
  /** Name that the collection must carry. */
  readonly name: string;
  /** Whether the pin is from flags, and so was not made with care beforehand. */
  readonly isFlag: boolean;
  readonly at?: string | undefined;
}

/** The pin that holds, and the name that the collection must carry. */
async function trustOf(context: Context, repository: string, flags: CollectionFlags): Promise<FoundTrust> {
  const { checkCollectionName, checkKeyIds, collectionUnder, findPin } = await import(
    '../../trust/read/pin.ts'
  );
  const named =
    flags.collection === undefined ? undefined : placeNamed(checkCollectionName(flags.collection));
  const trust = await trustFromFlags(context, flags);
  const pins = mayHavePins(context) ? [...(await (await pinFile(context)).list()).values()] : [];
  const own = findPin(pins, repository);
  // Whoever says that this is a copy of NAME believes about it what is believed of NAME.
  const pin = (named !== undefined && (findPin(pins, named) ?? (await seenUnder(context, named)))) || own;
  const name = named ?? (own === undefined ? repository : collectionUnder(own, repository));
  const at = flags.at ?? own?.at;
  if (trust === undefined) return { pin, name, isFlag: false, at };
  checkKeyIds(trust);
  return { pin: { scope: name, trust }, name, isFlag: true, at };
}

/** The root that was verified at the place of this name, where a copy of it is to be read and nothing is pinned. */
async function seenUnder(context: Context, name: string): Promise<Pin | undefined> {
  const memory = await trustMemory(context);
  const seen = await memory.seen(name);
  const bytes = seen && (await (await memory.open(seen)).load('root'));
  return bytes && { scope: name, trust: { kind: 'root', bytes } };
}

function bare(reference: Reference): Reference {
  const { tag: _, digest: __, ...rest } = reference;
  return rest as Reference;
}

function stalenessOf({ maxStaleness }: CollectionFlags): number {
  if (maxStaleness === undefined) return 0;
  const milliseconds = parseDuration(maxStaleness);
  if (milliseconds !== undefined) return milliseconds;
  throw new BullaError('usage', `--max-staleness ${JSON.stringify(maxStaleness)} is no duration`, {
    hint: 'write 12h, 30d, 0s',
  });
}

/** Whether nobody is there to compare key ids. */
export function isCi(context: Context): boolean {
  const ci = context.io.env['CI'];
  return ci !== undefined && ci !== '' && ci !== 'false' && ci !== '0';
}
