import { isBullaError } from '../../errors.ts';
import type { CallOptions } from '../../oci/target.ts';
import { readStagedChanges } from '../../trust/approve/stage-change.ts';
import { SiblingReader } from '../../trust/candidates/siblings.ts';
import type { Random, TrustTarget } from '../../trust/format/ports.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { type Beside, type CollectionStatus, statusOf } from '../../trust/report/status.ts';

/** More bins are read only if that is asked for. */
const BINS_READ = 256;

export interface StatusOptions extends CallOptions {
  readonly now: Date;
  readonly chance: Pick<Random, 'fraction'>;
  /** How long before its expiry a role is reported, in milliseconds; 30 days, 3 for online roles, if left out. */
  readonly warnBefore?: number | undefined;
  /** Read all bins to see which expires first, however many there are. */
  readonly allBins?: boolean | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * What of a collection expires, waits, or is in conflict.
 * @throws BullaError what the target throws, but where it does not let tags be listed
 */
export async function readStatus(
  target: TrustTarget,
  copy: WorkingCopy,
  options: StatusOptions,
): Promise<CollectionStatus> {
  const { now, warnBefore, allBins, signal } = options;
  const bins = copy.bins?.bitLength ?? 0;
  return await statusOf(copy, await besideHead(target, copy, options), {
    now,
    warnBefore,
    bins: allBins === true || 2 ** bins <= BINS_READ,
    signal,
  });
}

/** What lies beside the head; undefined where the registry does not let us list it. */
async function besideHead(
  target: TrustTarget,
  copy: WorkingCopy,
  { now, chance, signal, onWarning }: StatusOptions,
): Promise<Beside | undefined> {
  try {
    const found = await new SiblingReader(target, chance, { signal }).read(copy, now);
    return { found, staged: await readStagedChanges(target, copy, found.roleChanges, now, { signal }) };
  } catch (error) {
    if (!isBullaError(error, 'forbidden', 'unauthorized', 'registry-error', 'not-found')) throw error;
    onWarning?.(`what waits beside the head is not known: ${error.message}`);
    return undefined;
  }
}
