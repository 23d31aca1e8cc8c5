import { BullaError } from '../errors.ts';
import type { Descriptor, Platform } from './descriptor.ts';
import type { IndexManifest } from './manifest.ts';
import { isManifestType } from './media-types.ts';

/** A platform as a person writes it: `os/architecture[/variant]`. */
export interface PlatformSelector {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

const PLATFORM = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9.]+))?$/;

/** @throws BullaError usage */
export function parsePlatform(text: string): PlatformSelector {
  const match = PLATFORM.exec(text);
  if (match === null) {
    throw new BullaError('usage', `${JSON.stringify(text.slice(0, 80))} is not a platform`, {
      hint: 'write os/architecture or os/architecture/variant, as in linux/arm64 or linux/arm/v7',
    });
  }
  const [, os = '', architecture = '', variant] = match;
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

/** Text of a platform, for messages. */
export function formatPlatform(platform: PlatformSelector): string {
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/** Whether `platform` is the one that was asked for; a variant counts only where it was asked for. */
export function matchesPlatform(wanted: PlatformSelector, platform: Platform | undefined): boolean {
  if (platform === undefined) return false;
  const variant = (of: string | undefined): string | undefined =>
    // arm64 without a variant is v8 (image-spec, image-index.md, "Platform Variants").
    of ?? (platform.architecture === 'arm64' ? 'v8' : undefined);
  return (
    platform.os === wanted.os &&
    platform.architecture === wanted.architecture &&
    (wanted.variant === undefined || variant(platform.variant) === wanted.variant)
  );
}

/**
 * Entries of an index that a runtime could choose, each content once, whatever type the index gives it:
 * some go by the platform alone. BuildKit's attestations stand there as images of the platform
 * unknown/unknown, which are never selected.
 */
export function runnableEntries(index: IndexManifest): readonly Descriptor[] {
  const runnable = index.manifests.filter((entry) => !isAttestation(entry));
  return [...new Map(runnable.map((entry) => [entry.digest, entry])).values()];
}

/** Entries of an index that are images, by the type that it gives them; each entry, also of the same image. */
export function platformEntries(index: IndexManifest): readonly Descriptor[] {
  return index.manifests.filter((entry) => isManifestType(entry.mediaType) && !isAttestation(entry));
}

function isAttestation({ platform }: Descriptor): boolean {
  return platform?.os === 'unknown' && platform.architecture === 'unknown';
}

/**
 * The one entry of an index for a platform.
 * @throws BullaError not-found where there is none, or several different ones
 */
export function selectPlatform(
  wanted: PlatformSelector,
  entries: readonly Descriptor[],
  where: string,
): Descriptor {
  const matching = entries.filter((entry) => matchesPlatform(wanted, entry.platform));
  const [found] = matching;
  if (found !== undefined && matching.every((entry) => entry.digest === found.digest)) return found;
  const offered = entries
    .map((entry) => entry.platform)
    .filter((platform) => platform !== undefined && platform.os !== 'unknown')
    .map((platform) => formatPlatform(platform as Platform));
  throw new BullaError(
    'not-found',
    `${where} has ${found === undefined ? 'nothing' : `${matching.length} images`} for ${formatPlatform(wanted)}`,
    {
      hint: offered.length > 0 ? `it has: ${offered.slice(0, 20).join(', ')}` : 'it names no platforms',
    },
  );
}
