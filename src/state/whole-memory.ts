import { isBullaError } from '../errors.ts';
import { bindingCheck, type CollectionId } from '../trust/format/binding.ts';
import { CHAIN_LIMITS } from '../trust/read/root-chain.ts';
import type { TrustedStateStore } from '../tuf/ports.ts';
import { TrustedMetadata } from '../tuf/trusted-metadata.ts';

/** A time when nothing has expired: what is old is not damaged. */
const BEFORE_ALL_EXPIRY: Date = new Date(0);

/**
 * Whether what is stored of a collection is what a refresh may have stored: a root, and timestamp and snapshot
 * that its keys have signed, or neither.
 */
export async function isWhole(store: TrustedStateStore, id: CollectionId): Promise<boolean> {
  try {
    const [root, timestamp, snapshot] = await Promise.all(
      ['root', 'timestamp', 'snapshot'].map((role) => store.load(role)),
    );
    if (root === undefined || (timestamp === undefined) !== (snapshot === undefined)) return false;
    const demand = bindingCheck(id, () => true);
    const trusted = new TrustedMetadata(root, BEFORE_ALL_EXPIRY, { demand, limits: CHAIN_LIMITS });
    if (timestamp === undefined || snapshot === undefined) return true;
    return trusted.loadTimestamp(timestamp) !== 'none' && trusted.judgeSnapshot(snapshot) !== 'none';
  } catch (error) {
    if (isBullaError(error) && error.code !== 'internal') return false;
    throw error;
  }
}
