import { type Drift, type VerifiedName, verifyName } from '../actions/verify/name.ts';
import { formatTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';
import { isSamePlace } from '../oci/place.ts';
import { parsePlatform } from '../oci/platform.ts';
import type { Tag } from '../oci/reference.ts';
import type { Source } from '../oci/target.ts';
import type { Requirements } from '../policy/requirements.ts';
import { freshnessOf } from '../trust/read/collection.ts';
import type { BegunName } from './begun-name.ts';
import type { NameFlags } from './flags/name-flags.ts';
import type { PlatformFlags } from './flags/platform-flags.ts';
import { plainName } from './render/collection-text.ts';
import { relativeTime } from './render/relative-time.ts';
import type { Context } from './shell/context.ts';

/** A name that a command line names. */
export interface NamedTag {
  /** The reference as it was written. */
  readonly text: string;
  readonly source: Source;
  readonly tag: Tag;
  readonly digest: Digest | undefined;
}

/**
 * Verifies a name in the collection that was begun to be read, and tells people who says so.
 * @throws BullaError as verifyName
 */
export async function verifyTag(
  context: Context,
  { text, source, tag, digest }: NamedTag,
  flags: PlatformFlags & NameFlags,
  begun: BegunName,
  required: Requirements | undefined,
): Promise<VerifiedName> {
  const { signer: signers, anySigner, eachPlatform, drift } = flags;
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const verified = await verifyName(source, await begun.open(), {
    name: text,
    tag,
    digest,
    question: { signers, anySigner },
    drift: drift === false ? 'ignore' : (drift ?? 'warn'),
    required,
    platform,
    eachPlatform,
    signal: context.signal,
  });
  if (verified === undefined)
    throw new BullaError('internal', `${text}: a collection was demanded, and its absence went unnoticed`, {
      hint: 'please report this with the command that was run',
    });
  tellName(context, verified);
  return verified;
}

/** Tells people who says what a name stands for, and how far that can be relied on. */
export function tellName(
  { output, directories }: Context,
  { collection, named, drift, isThere }: VerifiedName,
): void {
  const { place, name, wasKnown } = collection;
  const freshness = freshnessOf(collection);
  const made = isSamePlace(name, place) ? '' : `, made for ${name}`;
  const until = freshness.kind === 'fresh' ? `, fresh until ${formatTime(freshness.until)}` : '';
  output.info(
    `${named.tag} is signed by ${named.signers.map(plainName).join(', ')} (collection at ${place}${made}${until})`,
  );
  if (freshness.kind === 'stale')
    output.warn(
      `the trust metadata of ${place} expired ${relativeTime(collection.client.trusted.expires, collection.readAt)}: this is as of ${formatTime(freshness.asOf)}`,
    );
  if (!wasKnown)
    output.info(
      `nothing was known of this collection before: only expiry tells whether it is an old state (keep ${directories.state} between runs)`,
    );
  tellDrift(output, named.tag, drift, isThere);
}

/** Tells people where the registry's tag points, if not to what was signed. */
export function tellDrift(
  output: Context['output'],
  tag: string,
  drift: Drift | undefined,
  isThere: true | undefined,
): void {
  if (drift?.kind === 'moved')
    output.warn(
      `the registry's tag ${tag} points to ${drift.points}, which is not what was signed: run what is printed, not the tag`,
    );
  if (drift?.kind === 'missing') output.warn(`the registry has no tag ${tag}: run what is printed`);
  if (drift?.kind === 'unknown')
    output.warn(
      `where the registry's tag ${tag} points is not known${isThere ? '' : ', nor whether the registry has what is signed'}: ${drift.error.message}`,
    );
}

/** What a name stands for and who says so, for `-o json` (spec/output.md). */
export function nameJson({ collection, named, drift, isThere }: VerifiedName): Record<string, unknown> {
  const { place, id, name, wasKnown } = collection;
  const freshness = freshnessOf(collection);
  return {
    signers: named.signers,
    collection: { place, id, name },
    expires: formatTime(collection.client.trusted.expires),
    stale: freshness.kind === 'stale',
    wasKnown,
    isThere: isThere ?? null,
    drift: drift === undefined ? null : driftJson(drift),
  };
}

/** For `-o json`. */
export function driftJson(drift: Drift): Record<string, unknown> {
  if (drift.kind === 'unknown') return { kind: drift.kind, code: drift.error.code };
  return { kind: drift.kind, points: drift.kind === 'moved' ? drift.points : null };
}
