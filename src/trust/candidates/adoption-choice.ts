import { isBullaError } from '../../errors.ts';
import { publishedVersion, versionOf } from '../../tuf/edit/repository.ts';
import { holdsAll, isBuiltUpon, planFold } from '../change/fold.ts';
import type { ChangeLog } from '../format/log.ts';
import { HIGHEST_FOLLOWED } from '../format/versions.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { Adoption, AdoptionReader, OfferedRole } from './adoption.ts';
import type { Sibling } from './siblings.ts';

/**
 * Of the files that can replace the head's as they are, the one that brings most, and of those the highest:
 * whoever has read it in a head that was buried since would take a lower one for a rollback. Where there is
 * none, one that only lasts longer.
 * @returns at most one
 * @throws BullaError what the target throws
 */
export async function chooseAdoption(
  reader: AdoptionReader,
  log: ChangeLog,
  offers: readonly OfferedRole[],
  copy: WorkingCopy,
): Promise<readonly Adoption[]> {
  const eligible = offers
    .filter(
      (offer) =>
        (isAhead(offer, log, copy) && hasSameEntries(offer.log, log)) ||
        (isBuiltUpon(offer.log, log) && versionOf(offer.file) > publishedVersion(copy.files, offer.role)),
    )
    .sort((a, b) => b.log.entries.length - a.log.entries.length || versionOf(b.file) - versionOf(a.file));
  const adoption = await firstWhole(eligible, (offer) => reader.read(offer, planFold(log, offer.log).apply));
  return adoption === undefined ? await chooseRenewal(reader, log, offers, copy) : [adoption];
}

/**
 * Of the files that say what the head's says and last longer, the one that lasts longest.
 * @returns at most one
 * @throws BullaError what the target throws
 */
export async function chooseRenewal(
  reader: AdoptionReader,
  log: ChangeLog,
  offers: readonly OfferedRole[],
  copy: WorkingCopy,
): Promise<readonly Adoption[]> {
  const lasting = offers
    .filter(
      (offer) =>
        hasSameEntries(offer.log, log) &&
        versionOf(offer.file) > publishedVersion(copy.files, offer.role) &&
        offer.content.expires > copy.contentOf(offer.role).expires,
    )
    .sort((a, b) => b.content.expires.getTime() - a.content.expires.getTime());
  const adoption = await firstWhole(lasting, (offer) => reader.readRenewal(offer));
  return adoption === undefined ? [] : [adoption];
}

async function firstWhole(
  offers: readonly OfferedRole[],
  read: (offer: OfferedRole) => Promise<Adoption>,
): Promise<Adoption | undefined> {
  for (const offer of offers) {
    try {
      return await read(offer);
    } catch (error) {
      // Something of it is missing or does not say what its log says: the next may be whole.
      if (!isBullaError(error, 'trust-invalid', 'trust-expired', 'content-invalid', 'not-found')) throw error;
    }
  }
  return undefined;
}

/**
 * Whether a candidate is newer than the head: a head that was made of it may have been read already, and a
 * late PUT of an older one have taken its place.
 */
export function isNewer({ timestamp }: Sibling, { collection }: WorkingCopy): boolean {
  const { version } = collection.client.trusted.timestamp.content;
  return timestamp !== undefined && timestamp.version > version && timestamp.version <= HIGHEST_FOLLOWED;
}

/**
 * Whether a candidate has none but changes that the head has, under a higher version of the role: who has seen
 * it as the head, be it an older one, takes the present one for a rollback, though nothing is missing in it.
 */
export function isAhead(offer: OfferedRole, log: ChangeLog, copy: WorkingCopy): boolean {
  const version = versionOf(offer.file);
  const ids = new Set(log.entries.map(({ id }) => id));
  return (
    offer.from.some(({ kind }) => kind === 'candidate') &&
    version > publishedVersion(copy.files, offer.role) &&
    version <= HIGHEST_FOLLOWED &&
    offer.log.entries.every(({ id }) => ids.has(id))
  );
}

function hasSameEntries(a: ChangeLog, b: ChangeLog): boolean {
  return (
    a.since.getTime() === b.since.getTime() && a.entries.length === b.entries.length && holdsAll(a, b.entries)
  );
}
