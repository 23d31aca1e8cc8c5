import { collisionFreeVersions, VERSION_BITS, type VersionPolicy } from '../tuf/edit/policy.ts';
import { isBinName } from './bin-name.ts';

/**
 * Random bits in the version of a bin. Two publishers who race seldom change one bin, and the snapshot
 * tells every reader the version of each: more digits would cost all of them more than they are worth.
 */
const BIN_VERSION_BITS = 20;

/** Versions of a collection's files (spec/trust-publishing.md, "Versions"). @param below see {@link collisionFreeVersions} */
export function trustVersions(below: (range: number) => number): VersionPolicy {
  const ofRoles = collisionFreeVersions(below);
  const ofBins = collisionFreeVersions(below, BIN_VERSION_BITS);
  return (top, role) => (isBinName(role) ? ofBins : ofRoles)(top, role);
}

/** Which epoch a version is of; the version itself for root, whose versions follow by one. */
export function epochOf(role: string, version: number): number {
  if (role === 'root') return version;
  return Math.floor(version / 2 ** (isBinName(role) ? BIN_VERSION_BITS : VERSION_BITS));
}
