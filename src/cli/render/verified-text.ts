import type { Drift } from '../../actions/verify/drift.ts';
import type { NameEvidence, Verified } from '../../actions/verify/verify.ts';
import { relativeTime } from '../../encoding/relative-time.ts';
import { formatTime } from '../../encoding/time.ts';
import { isSamePlace } from '../../oci/place.ts';
import { revocationRemarks } from '../../policy/revocation.ts';
import { describeEvidence, summarizeEvidence, summarizeRefusal } from '../../policy/summary.ts';
import { freshnessOf } from '../../trust/read/freshness.ts';
import { warningTime } from '../../trust/report/expiry.ts';
import { type Line, plainName } from './style.ts';

/** One line about a result, and how loudly it is said. */
export type Remark = readonly ['info' | 'warn' | 'verbose', string];

/** What is said at a terminal when all demands were met: of what, and whether it expires soon. */
export function verdictOn({ name, runnable }: Verified, now: Date): Line {
  const expires =
    name === undefined
      ? undefined
      : name.by === 'notary'
        ? name.repository.expires
        : name.collection.client.trusted.expires;
  const left = expires === undefined ? Infinity : expires.getTime() - now.getTime();
  const isSoon = expires !== undefined && left > 0 && left < warningTime('timestamp');
  return [
    ['good', 'verified'],
    ` ${runnable}`,
    ...(isSoon
      ? ['; the trust metadata ', ['soon', `expires soon, ${relativeTime(expires, now)}`] as const]
      : []),
  ];
}

/** Most names of a digest that are named to people. */
const NAMES_SHOWN = 20;

type ByCollection = NameEvidence & { readonly by: 'collection' | 'proof' };
type ByNotary = NameEvidence & { readonly by: 'notary' };

/**
 * Who signed an image and its name, and how far that can be relied on.
 * @param text the reference as it was written
 * @param stateDirectory where this user's state is kept
 */
export function remarksOn(verified: Verified, text: string, stateDirectory: string): readonly Remark[] {
  const { name, evidence, refusals, reference } = verified;
  const remarks: Remark[] = [];
  if (name?.by === 'proof')
    remarks.push(['info', `there is no head here: ${text} is verified by the proof beside it`]);
  if (name?.by === 'notary') remarks.push(...notaryRemarks(name, stateDirectory));
  else if (name !== undefined) remarks.push(...collectionRemarks(name, stateDirectory));
  if (name?.names !== undefined)
    remarks.push([
      'info',
      `the digest is signed as ${name.names.slice(0, NAMES_SHOWN).map(plainName).join(', ')}`,
    ]);
  if (name !== undefined) remarks.push(...driftRemarks(name));
  for (const found of evidence) remarks.push(['info', `signed by ${describeEvidence(found)}`]);
  for (const { manifest, revocation = [] } of evidence)
    for (const line of revocationRemarks(revocation))
      remarks.push(['warn', `signature ${manifest}: ${line}`]);
  for (const { logged = [] } of evidence)
    for (const line of logged) remarks.push(['warn', `only logged, as the policy says: ${line}`]);
  for (const { message } of refusals) remarks.push(['verbose', `not counted: ${message}`]);
  if (name === undefined && reference.tag !== undefined && reference.digest === undefined)
    remarks.push(['info', `the tag ${reference.tag} itself was not verified: use ${verified.runnable}`]);
  return remarks;
}

function* collectionRemarks({ collection, named }: ByCollection, stateDirectory: string): Generator<Remark> {
  const { place, name, wasKnown } = collection;
  const freshness = freshnessOf(collection);
  const made = isSamePlace(name, place) ? '' : `, made for ${name}`;
  const until = freshness.kind === 'fresh' ? `, fresh until ${formatTime(freshness.until)}` : '';
  const signers = named.signers.map(plainName).join(', ');
  yield ['info', `${named.tag} is signed by ${signers} (collection at ${place}${made}${until})`];
  if (freshness.kind === 'stale') {
    const expired = relativeTime(collection.client.trusted.expires, collection.readAt);
    const asOf = formatTime(freshness.asOf);
    yield ['warn', `the trust metadata of ${place} expired ${expired}: this is as of ${asOf}`];
  }
  if (!wasKnown) yield unknownBefore('collection', stateDirectory);
}

function* notaryRemarks({ repository, named }: ByNotary, stateDirectory: string): Generator<Remark> {
  const { place, gun, expires, wasKnown, warnings, roles } = repository;
  const signers = named.signers.length === 0 ? named.role : named.signers.join(', ');
  const where = `Notary repository ${gun} at ${place}, fresh until ${formatTime(expires)}`;
  yield ['info', `${named.name} is signed by ${signers} (${where})`];
  for (const warning of warnings) yield ['warn', warning];
  for (const { name, problem } of roles.values())
    if (problem !== undefined) yield ['warn', `nothing of ${name} counts: ${problem.message}`];
  if (!wasKnown) yield unknownBefore('repository', stateDirectory);
}

function unknownBefore(what: string, stateDirectory: string): Remark {
  return [
    'info',
    `nothing was known of this ${what} before: only expiry tells whether it is an old state (keep ${stateDirectory} between runs)`,
  ];
}

/** Where the registry's tag points, if not to what was signed. */
function* driftRemarks(name: NameEvidence): Generator<Remark> {
  const { drift, isThere } = name;
  const tag = name.by === 'notary' ? name.named.name : name.named.tag;
  if (drift?.kind === 'moved')
    yield [
      'warn',
      `the registry's tag ${tag} points to ${drift.points}, which is not what was signed: run what is printed, not the tag`,
    ];
  if (drift?.kind === 'missing') yield ['warn', `the registry has no tag ${tag}: run what is printed`];
  if (drift?.kind === 'unknown')
    yield [
      'warn',
      `the registry could not be asked for the tag ${tag}${isThere ? '' : ', nor whether it has the signed image'}: ${drift.error.message}`,
    ];
}

/** A verified image for `-o json` (spec/output.md; spec/signatures.md, "Output"). */
export function verifiedJson(verified: Verified): Record<string, unknown> {
  const { reference, image, signed, name, evidence, refusals } = verified;
  return {
    reference: verified.runnable,
    digest: image.digest,
    mediaType: image.mediaType ?? null,
    size: image.size,
    tag: reference.tag ?? null,
    signed,
    name: name === undefined ? null : nameJson(name),
    signatures: evidence.map(summarizeEvidence),
    notCounted: refusals.map(summarizeRefusal),
  };
}

function nameJson(name: NameEvidence): Record<string, unknown> {
  const { drift, isThere } = name;
  const facts = {
    isThere: isThere ?? null,
    drift: drift === undefined ? null : driftJson(drift),
    ...(name.names !== undefined && { names: name.names }),
  };
  const { signers } = name.named;
  if (name.by !== 'notary') {
    const { place, id, name: made, client, wasKnown } = name.collection;
    return {
      signers,
      collection: { place, id, name: made },
      expires: formatTime(client.trusted.expires),
      stale: freshnessOf(name.collection).kind === 'stale',
      wasKnown,
      ...facts,
    };
  }
  const { place, gun, root, expires, wasKnown } = name.repository;
  const { keys, roles } = root.content;
  const usable = (roles.get('root')?.keyids ?? []).filter((keyid) => keys.get(keyid)?.key !== undefined);
  return {
    signers,
    role: name.named.role,
    notary: { place, gun, rootVersion: root.content.version, rootKeyIds: usable },
    collection: null,
    expires: formatTime(expires),
    stale: false,
    wasKnown,
    ...facts,
  };
}

function driftJson(drift: Drift): Record<string, unknown> {
  if (drift.kind === 'unknown') return { kind: drift.kind, code: drift.error.code };
  return { kind: drift.kind, points: drift.kind === 'moved' ? drift.points : null };
}
