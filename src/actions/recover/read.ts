import { BullaError, isBullaError } from '../../errors.ts';
import { resolveIfThere } from '../../oci/if-there.ts';
import { isTag } from '../../oci/reference.ts';
import type { CallOptions, Resolver } from '../../oci/target.ts';
import { lifetimesOf } from '../../trust/format/lifetimes.ts';
import type { ObjectSource } from '../../trust/format/object.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import { anyFirstRoot } from '../../trust/read/collection.ts';
import { HeadSource } from '../../trust/read/head-source.ts';
import { ProcessMemory } from '../../trust/read/memory.ts';
import { type DisplayedCollection, readForDisplay } from '../../trust/read/read-for-display.ts';
import { ScratchMemory } from '../../trust/read/scratch-memory.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { listNames } from '../../trust/report/listing.ts';
import { overviewOf, type RoleOverview } from '../../trust/report/overview.ts';
import { mapConcurrently } from '../copy/concurrency.ts';
import type { KeysAtHand } from '../sign/keys-at-hand.ts';
import type { OpenedCollection } from '../verify/collection.ts';
import {
  compareNames,
  type RecoveryCollection,
  type RecoveryName,
  type RecoveryRole,
  type RecoveryState,
} from './state.ts';

/** Most names that are compared with a copy. */
const MAX_COMPARED = 100_000;
/** Most names whose images are looked for. */
const MAX_LOOKED_FOR = 500;

/** From what a recovery is planned. */
export interface RecoveryPorts extends CallOptions {
  /** As the user wrote it, for commands. */
  readonly repository: string;
  readonly opened: OpenedCollection;
  /** The repository of the images: asked for what is missing there; left out, that is not asked. */
  readonly images?: Resolver | undefined;
  /** A copy of the repository from before the loss. */
  readonly backup?: OpenedCollection | undefined;
  readonly keys: Pick<KeysAtHand, 'nameOf'>;
  /** Names of the key store that are taken. */
  readonly keyNames: ReadonlySet<string>;
  /** As {@link RecoveryState.kept}. */
  readonly kept?: RecoveryState['kept'];
  readonly concurrency: number;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * Reads what a recovery depends on: the newest state that the registry or this machine knows, and who has which key.
 * Nothing is changed.
 * @throws BullaError conflict where the copy is of another collection; what reading throws, but for heads that are old,
 *   expired or gone
 */
export async function readRecovery(ports: RecoveryPorts): Promise<RecoveryState> {
  const { repository, opened, keyNames, kept, images, backup, concurrency, signal } = ports;
  const { now } = opened.read;
  const found = await newestOf(ports);
  if (found === undefined) return { repository, now, keyNames, kept, source: 'unknown', missingImages: [] };
  const { looked, source } = found;
  for (const { message } of [looked.unpinned ?? [], looked.expired ?? []].flat()) ports.onWarning?.(message);
  const { copy } = looked;
  const names = await namesOf(copy, { signal });
  const present = images === undefined ? [] : names.slice(0, MAX_LOOKED_FOR);
  const isThere = await mapConcurrently(
    present,
    concurrency,
    async ({ digest }) =>
      images !== undefined && (await resolveIfThere(images, digest, { signal })) !== undefined,
  );
  return {
    ...{ repository, now, keyNames, kept, source },
    collection: await describe(copy, names, ports),
    missingImages: present.filter((_, at) => isThere[at] === false),
    ...(backup !== undefined && {
      changedNames: compareNames(await namesBefore(backup, looked.collection.id, { signal }), names),
    }),
  };
}

/** What is wrong with a tag that has no head, or one that is useless to every client. */
const NO_HEAD: ReadonlySet<unknown> = new Set([
  ...['missing-head', 'object', 'root-chain', 'missing', 'length', 'signatures'],
]);

async function newestOf({
  opened,
  onWarning,
}: RecoveryPorts): Promise<
  { readonly looked: DisplayedCollection; readonly source: 'served' | 'remembered' } | undefined
> {
  const { target, read } = opened;
  const head = new HeadSource(target);
  try {
    const looked = await readForDisplay(head, read);
    if (looked === undefined) return undefined;
    const isServed = looked.collection.object.content.descriptor.digest === head.served;
    return { looked, source: isServed ? 'served' : 'remembered' };
  } catch (error) {
    const isGone = isBullaError(error, 'trust-invalid') && NO_HEAD.has(error.details['reason']);
    if (!isGone && !isBullaError(error, 'trust-rollback')) throw error;
    onWarning?.((error as BullaError).message);
    return await remembered(opened, target);
  }
}

async function remembered(
  { read, place }: OpenedCollection,
  target: ObjectSource,
): Promise<{ readonly looked: DisplayedCollection; readonly source: 'remembered' } | undefined> {
  const id = await read.memory.seen(place);
  const head = id === undefined ? undefined : await (await read.memory.open(id)).loadHead(place);
  if (head === undefined) return undefined;
  try {
    const memory = new ScratchMemory(read.memory);
    const looked = await readForDisplay(new HeadSource(target, head.content), { ...read, memory });
    return looked && { looked, source: 'remembered' };
  } catch (error) {
    // Parts of it are neither here nor there.
    if (isBullaError(error, 'not-found', 'content-invalid', 'trust-rollback', 'trust-invalid'))
      return undefined;
    throw error;
  }
}

/** Names of `names`, up to a bound. */
async function namesOf(copy: WorkingCopy, options: CallOptions): Promise<readonly RecoveryName[]> {
  const found: RecoveryName[] = [];
  for await (const names of listNames(copy, options)) {
    for (const { name, digest, signers } of names)
      if (isTag(name) && signers.includes(NAMES_ROLE)) found.push({ tag: name, digest });
    if (found.length >= MAX_COMPARED) break;
  }
  return found;
}

/** Names of a copy from before the loss: an old state, perhaps expired, of the same collection. */
async function namesBefore(
  { target, read, place }: OpenedCollection,
  id: string,
  options: CallOptions,
): Promise<readonly RecoveryName[]> {
  const looked = await readForDisplay(target, {
    ...{ ...read, anchor: anyFirstRoot, isPinned: false, isDemanded: false, memory: new ProcessMemory() },
  });
  if (looked === undefined)
    throw new BullaError('not-found', `${place} has no trust collection`, {
      hint: 'give a copy that bulla copy made, with its tag _trust',
    });
  if (looked.collection.id !== id)
    throw new BullaError(
      'conflict',
      `${place} is a copy of another collection, ${looked.collection.id.slice(0, 12)}`,
      {
        hint: `give a copy of ${id.slice(0, 12)}`,
        details: { expected: id, found: looked.collection.id },
      },
    );
  return await namesOf(looked.copy, options);
}

async function describe(
  copy: WorkingCopy,
  names: readonly RecoveryName[],
  { keys }: RecoveryPorts,
): Promise<RecoveryCollection> {
  const overview = overviewOf(copy);
  const lifetime = lifetimesOf(copy.files);
  const roles: RecoveryRole[] = [];
  for (const one of rolesByName(overview.roles)) {
    const listed = await Promise.all(
      one.keys.map(async (key) => ({ keyid: key.keyid, name: await keys.nameOf(key) })),
    );
    const { role, kind, threshold, paths, expires } = one;
    roles.push({ role, kind, keys: listed, threshold, paths, expires, lifetime: lifetime(one.of) });
  }
  const { id, head, created } = overview;
  return { id, head, created, roles, names };
}

type NamedRole = Omit<RoleOverview, 'kind'> & Pick<RecoveryRole, 'kind'> & { readonly of: string };

/** Roles as `bulla rotate` names them: targets goes with root, and timestamp with snapshot, if they have the same keys. */
function rolesByName(all: readonly RoleOverview[]): readonly NamedRole[] {
  const byName = new Map(all.map((role) => [role.role, role]));
  const ids = (name: string): string =>
    (byName.get(name)?.keys ?? [])
      .map(({ keyid }) => keyid)
      .sort()
      .join();
  // What expires first counts, where two roles are signed together.
  const withFirst = (role: RoleOverview, other: string, kind: NamedRole['kind']): NamedRole => {
    const beside = byName.get(other);
    const isFirst = beside !== undefined && ids(other) === ids(role.role) && beside.expires < role.expires;
    const first = isFirst ? beside : role;
    return { ...role, kind, expires: first.expires, of: first.role };
  };
  const named = (role: RoleOverview): readonly NamedRole[] => {
    const { kind } = role;
    switch (kind) {
      case 'root':
        return [withFirst(role, 'targets', kind)];
      case 'names':
      case 'signer':
        return [{ ...role, kind, of: role.role }];
      case 'targets':
        return ids('targets') === ids('root') ? [] : [{ ...role, kind, of: 'targets' }];
      case 'snapshot': {
        const both = withFirst(role, 'timestamp', 'online');
        return [ids('snapshot') === ids('timestamp') ? { ...both, role: 'online' } : both];
      }
      case 'timestamp':
        return ids('snapshot') === ids('timestamp') ? [] : [{ ...role, kind: 'online', of: 'timestamp' }];
    }
  };
  return all.flatMap(named);
}
