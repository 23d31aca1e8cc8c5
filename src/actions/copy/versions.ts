import Range from 'semver/classes/range.js';
import type SemVer from 'semver/classes/semver.js';
import compare from 'semver/functions/compare.js';
import parse from 'semver/functions/parse.js';
import type { Tag } from '../../oci/reference.ts';

/** Loaded only where versions are asked for. */

/** A range of versions. */
export interface VersionRange {
  /** Pre-releases only where the range names one of the same version, as npm has it. */
  includes(version: SemVer | undefined): boolean;
}

/** Reads a range as npm writes it; undefined if it is invalid. */
export function parseRange(text: string): VersionRange | undefined {
  try {
    const range = new Range(text);
    return { includes: (version) => version !== undefined && range.test(version) };
  } catch {
    return undefined;
  }
}

/** The version that a tag is, with or without a `v` in front; undefined for other tags, such as `1.2` and `latest`. */
export function versionOf(tag: Tag): SemVer | undefined {
  return parse(tag.replace(/^v/, '')) ?? undefined;
}

/** Tags in the order of their versions, the highest first; undefined unless all of them are versions. */
export function byVersion(tags: readonly Tag[]): readonly Tag[] | undefined {
  const versions = new Map<Tag, SemVer>();
  for (const tag of tags) {
    const version = versionOf(tag);
    if (version === undefined) return undefined;
    versions.set(tag, version);
  }
  return [...versions]
    .sort(([a, one], [b, other]) => compare(other, one) || (a < b ? 1 : -1))
    .map(([tag]) => tag);
}
