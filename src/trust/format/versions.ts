import { collisionFreeVersions, VERSION_BITS, type VersionPolicy } from '../../tuf/edit/policy.ts';
import { isBinName } from './bins.ts';

/**
 * Random bits in the version of a bin. Two publishers who race seldom change one bin, and the snapshot
 * tells every reader the version of each: more digits would cost all of them more than they are worth.
 */
const BIN_VERSION_BITS = 20;

/**
 * Above this no honest version is, nor will be: so many epochs do not pass. Candidates that claim more are
 * the work of a thief of the online key, and following them would use up the versions that there are.
 */
export const HIGHEST_FOLLOWED: number = 2 ** 49;

/** Publishing never reaches such a version: a thief raised it. */
export const FAST_FORWARDED: number = 2 ** 50;

/** No honest file is so far above the one that it replaces, however many race: 256 epochs. */
const FARTHEST = 2 ** (VERSION_BITS + 8);

/** Whether a file can take another's place as it is, and leave versions for those that come after it. */
export function leavesVersions(version: number, published: number): boolean {
  return version <= Math.max(HIGHEST_FOLLOWED, published + FARTHEST);
}

/**
 * Versions of the files of one head (spec/trust-publishing.md, "Versions"). One number is drawn for all of
 * them: so of two heads that were made beside each other, one is above the other in every file that both
 * signed, and who has seen the lower one follows to the higher.
 * @param below see {@link collisionFreeVersions}
 */
export function trustVersions(below: (range: number) => number): VersionPolicy {
  let drawn: number | undefined;
  const draw = () => {
    drawn ??= below(2 ** VERSION_BITS);
    return drawn;
  };
  const ofRoles = collisionFreeVersions(draw);
  const ofBins = collisionFreeVersions(
    () => Math.floor(draw() / 2 ** (VERSION_BITS - BIN_VERSION_BITS)),
    BIN_VERSION_BITS,
  );
  return (top, role) => (isBinName(role) ? ofBins : ofRoles)(top, role);
}

/** Which epoch a version is of; the version itself for root, whose versions follow by one. */
export function epochOf(role: string, version: number): number {
  if (role === 'root') return version;
  return Math.floor(version / 2 ** (isBinName(role) ? BIN_VERSION_BITS : VERSION_BITS));
}
