import { BullaError } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { nextDelay } from '../http/retry.ts';
import { checkContent, type Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { ifThere } from '../oci/if-there.ts';
import { childrenOf, MAX_MANIFEST_BYTES, type ManifestContent, parseCarried } from '../oci/manifest.ts';
import { isCarriedType, isForeignLayerType } from '../oci/media-types.ts';
import type { Tag } from '../oci/reference.ts';
import { referrerDescriptor } from '../oci/referrers.ts';
import type { CallOptions, PushManifestOptions } from '../oci/target.ts';
import { hasBlob } from './blobs.ts';
import type { FallbackWriter } from './fallback.ts';
import type { KeyedMutex } from './keyed-mutex.ts';
import { checkServedDigest, digestByGet, resolve, tooLarge } from './manifests.ts';
import { askReferrersApi } from './referrers.ts';
import { reasonOf, refusalError } from './refusal.ts';
import { lookBehind } from './refused-manifest.ts';
import type { RepositoryContext } from './repository-context.ts';
import { manifestPath } from './urls.ts';

/** What writers of one process to one registry share. */
export interface Writers {
  readonly fallback: FallbackWriter;
  readonly turns: KeyedMutex;
}

/** Times that a manifest which its registry stored and does not list is looked for and pushed again. */
const MAX_LISTINGS = 12;
/** Times that a manifest is pushed again that was refused for want of parts which are there. */
const UNKNOWN_PART_TRIES = 3;
/**
 * A registry that keeps the list itself is quicker at it than its clients: part of their time to settle, and how many
 * times as long as it took to list.
 */
const LISTED_SETTLE = 0.0625;
const LISTED_PATIENCE = 2;

/** Does beforehand what {@link pushManifest} of a manifest with this subject would do first where the clients keep the list. */
export async function prepareReferrer(
  room: RepositoryContext,
  { fallback }: Writers,
  subject: Digest,
): Promise<void> {
  if ((await room.dialect.get()).referrers === 'fallback') fallback.prepare(room, subject);
}

/** Stores a manifest, and sees to it that it is listed among the referrers of its subject. */
export async function pushManifest(
  room: RepositoryContext,
  writers: Writers,
  content: ManifestContent,
  options: PushManifestOptions = {},
): Promise<void> {
  const { descriptor, bytes } = content;
  if (bytes.byteLength > MAX_MANIFEST_BYTES)
    throw tooLarge(`the manifest ${descriptor.digest}`, bytes.byteLength);
  checkContent(descriptor, bytes, `the manifest to be pushed to ${room.name}`);
  const manifest = isCarriedType(descriptor.mediaType) ? parseCarried(content) : undefined;
  const { tag, expected } = options;
  const response =
    tag === undefined || expected === undefined
      ? await put(room, content, tag ?? descriptor.digest, options)
      : await writers.turns.take(`${room.repository}:${tag}`, () =>
          putIf(room, content, tag, expected, options),
        );
  const subject = manifest?.subject?.digest;
  if (manifest === undefined || subject === undefined) return;
  const entry = referrerDescriptor(content, manifest);
  // Some registries send OCI-Subject and have no list to show for it; relying on it loses the signature.
  const listed =
    response.headers.get('oci-subject') === subject && (await isListed(room, content, subject, options));
  if (!listed) await writers.fallback.change(room, subject, { add: entry }, options);
}

async function putIf(
  room: RepositoryContext,
  content: ManifestContent,
  tag: Tag,
  expected: Digest | null,
  options: PushManifestOptions,
): Promise<HttpResponse> {
  if (options.isChecked !== true) {
    const found = await digestAt(room, tag, options);
    if (found !== expected) throw notAsExpected(room, tag, expected, found);
  }
  const condition: Record<string, string> =
    expected === null ? { 'if-none-match': '*' } : { 'if-match': `"${expected}"` };
  // Others may have moved the tag while this one was made to wait.
  const again = async (): Promise<void> => {
    const present = await digestAt(room, tag, options);
    if (present !== expected && present !== content.descriptor.digest)
      throw notAsExpected(room, tag, expected, present);
  };
  return await put(room, content, tag, options, { headers: condition, again });
}

/** What a PUT of a manifest depends on. */
interface Condition {
  readonly headers: Readonly<Record<string, string>>;
  /** Runs before it is sent again. @throws BullaError conflict where the condition no longer holds */
  readonly again: () => Promise<void>;
}

async function digestAt(
  room: RepositoryContext,
  reference: Tag | Digest,
  options: CallOptions,
): Promise<Digest | null> {
  return (await ifThere(() => resolve(room, reference, options)))?.digest ?? null;
}

/** Stores a manifest, and remembers that. */
async function put(
  room: RepositoryContext,
  content: ManifestContent,
  reference: Tag | Digest,
  options: PushManifestOptions,
  condition?: Condition,
): Promise<HttpResponse> {
  const response = await tryPut(room, content, reference, options, condition);
  const { digest } = content.descriptor;
  for (const written of new Set([reference, digest]))
    room.recent.noteWritten(room.repository, written, digest, room.session.timing.now());
  return response;
}

async function tryPut(
  room: RepositoryContext,
  content: ManifestContent,
  reference: Tag | Digest,
  options: PushManifestOptions,
  condition?: Condition,
  tries: number = options.once === true ? 0 : UNKNOWN_PART_TRIES,
): Promise<HttpResponse> {
  const { descriptor, bytes } = content;
  const call = {
    method: 'PUT',
    to: manifestPath(room.repository, reference),
    access: room.scopes.write(),
    headers: { 'content-type': descriptor.mediaType, ...condition?.headers },
    body: bytes,
    expect: 'any',
    writes: 'manifest',
    // 429 says that nothing was done.
    retry: options.once === true ? 'throttled' : true,
    again: condition?.again,
    signal: options.signal,
  } as const;
  const response = await room.session.call(call);
  if (response.status === 201) {
    await response.body.discard();
    checkServedDigest(room, response, descriptor.digest);
    return response;
  }
  if (response.status < 300) {
    await response.body.discard();
    await readBack(room, content, reference, options);
    return response;
  }
  const failure = await room.session.failure(response);
  if (failure.codes.includes('MANIFEST_BLOB_UNKNOWN')) {
    const missing = await missingPart(room, content, tries > 0, options);
    if (missing !== undefined)
      throw lacking(
        room,
        content,
        missing,
        refusalError(failure, room.session.where(call), 'manifest', { reason: 'missing-part' }),
      );
    if (tries > 0) return await tryPut(room, content, reference, options, condition, tries - 1);
  }
  if (failure.status === 412 && reasonOf(failure, 'manifest') === undefined) {
    throw new BullaError('conflict', `another client changed ${room.name}:${reference} in the meantime`, {
      hint: 'look at what it is now, and run the command again',
    });
  }
  const { found, reason } = await lookBehind(room, content, reference, failure, options);
  // An earlier try did it, and its answer was lost.
  if (found === descriptor.digest) return response;
  const { expected } = options;
  if (expected !== undefined && found !== undefined && found !== expected)
    throw notAsExpected(room, reference as Tag, expected, found);
  throw refusalError(failure, room.session.where(call), 'manifest', { reference, reason });
}

/**
 * Looks whether a manifest was stored whose PUT was answered with another success than 201: "accepted", say.
 * @throws BullaError conflict where the tag is another's, registry-error where it is not there
 */
async function readBack(
  room: RepositoryContext,
  { descriptor }: ManifestContent,
  reference: Tag | Digest,
  options: PushManifestOptions,
): Promise<void> {
  const { retry, timing } = room.session;
  for (let attempt = 1; ; attempt++) {
    const found = await digestByGet(room, reference, options);
    if (found === descriptor.digest) return;
    const delay = nextDelay(retry, { attempt, elapsedMs: 0 }, timing.random);
    if (delay === undefined) {
      if (found !== null && options.expected !== undefined)
        throw notAsExpected(room, reference as Tag, descriptor.digest, found);
      throw new BullaError(
        'registry-error',
        `${room.name} took ${descriptor.digest}, and has ${found ?? 'nothing'} at ${reference}`,
        {
          hint: 'the registry said neither that it stored the manifest nor that it did not; try again later',
        },
      );
    }
    await timing.sleep(delay, options.signal);
  }
}

/**
 * A part that a manifest names and the registry does not have, after a while if that may change: distribution, while
 * another client pushes the same blob (the empty config, say), does not see it for a moment, and then refuses a manifest
 * without reason; and a cache or a replica that was asked before the push may say for seconds that a part is not there.
 */
async function missingPart(
  room: RepositoryContext,
  content: ManifestContent,
  waits: boolean,
  options: CallOptions,
): Promise<Descriptor | undefined> {
  const { retry, timing } = room.session;
  for (let attempt = 1; ; attempt++) {
    const missing = await missingNow(room, content, options);
    if (!waits) return missing;
    const delay = nextDelay(retry, { attempt, elapsedMs: 0 }, timing.random);
    if (missing === undefined) {
      await timing.sleep(retry.baseMs, options.signal);
      return undefined;
    }
    // Such a layer is never pushed.
    if (delay === undefined || isForeignLayerType(missing.mediaType)) return missing;
    await timing.sleep(delay, options.signal);
  }
}

async function missingNow(
  room: RepositoryContext,
  content: ManifestContent,
  options: CallOptions,
): Promise<Descriptor | undefined> {
  const manifest = parseCarried(content);
  for (const part of childrenOf(manifest)) {
    const there =
      manifest.kind === 'index'
        ? (await digestAt(room, part.digest, options)) !== null
        : await hasBlob(room, part, options);
    if (!there) return part;
  }
  return undefined;
}

/** Names the part: registries often do not, or say it in a place of their own. */
function lacking(
  room: RepositoryContext,
  content: ManifestContent,
  part: Descriptor,
  refusal: BullaError,
): BullaError {
  const isForeign = isForeignLayerType(part.mediaType);
  const what = isForeign ? 'the foreign layer' : 'the part';
  return new BullaError(
    isForeign ? 'registry-policy' : 'registry-error',
    `${room.name} does not have ${what} ${part.digest} (${part.mediaType}) that ${content.descriptor.digest} names: ${refusal.message}`,
    {
      hint: isForeign
        ? 'bulla does not copy foreign layers, which come from the URLs in their descriptors: let the registry accept those URLs (docker-registry and distribution: validation.manifests.urls.allow), or use a registry that accepts such manifests'
        : (refusal.hint ?? ''),
      details: { ...refusal.details, missing: part.digest },
    },
  );
}

/**
 * Whether a registry that claims to have listed a manifest did. One that stores it and forgets to list
 * it, or lists it and loses it a moment later, as some do under concurrent pushes, gets it again.
 * @returns false where it turns out to have no list
 * @throws BullaError registry-error where it has one, and the manifest does not stay there
 */
async function isListed(
  room: RepositoryContext,
  content: ManifestContent,
  subject: Digest,
  options: CallOptions,
): Promise<boolean> {
  const { timing, retry } = room.session;
  const policy = { ...retry, tries: MAX_LISTINGS, maxMs: 2000 };
  let seen = 0;
  for (let attempt = 1; ; ) {
    const began = timing.now();
    const answer = await askReferrersApi(room, subject, { signal: options.signal });
    const took = timing.now() - began;
    if (!answer.supported) return false;
    if (isIn(answer.entries, content.descriptor.digest)) {
      if (++seen >= 2) {
        await room.dialect.learn({ referrers: 'api' });
        return true;
      }
      const settle = Math.max(room.settleMs * LISTED_SETTLE, LISTED_PATIENCE * took);
      await timing.sleep(settle * (0.75 + timing.random() / 2), options.signal);
      continue;
    }
    seen = 0;
    const delay = nextDelay(policy, { attempt, elapsedMs: 0 }, timing.random);
    if (delay === undefined) throw notListed(room, content.descriptor.digest, subject);
    attempt++;
    room.session.noteRetry('the manifest is stored and not listed', delay);
    // Soon at first, for registries that lose entries; then long enough for lists that lag behind.
    await timing.sleep(attempt <= 3 ? delay * timing.random() : delay, options.signal);
    if (attempt % 2 === 0) await put(room, content, content.descriptor.digest, options);
  }
}

function isIn(entries: readonly Descriptor[], digest: Digest): boolean {
  return entries.some((entry) => entry.digest === digest);
}

function notListed(room: RepositoryContext, digest: Digest, subject: Digest): BullaError {
  return new BullaError(
    'registry-error',
    `${room.name} stored ${digest} and does not list it under ${subject}`,
    {
      hint: 'the registry loses referrers; run the command again when fewer write at once',
    },
  );
}

function notAsExpected(
  room: RepositoryContext,
  tag: Tag,
  expected: Digest | null,
  found: Digest | null,
): BullaError {
  const describe = (digest: Digest | null): string => digest ?? 'nothing';
  return new BullaError(
    'conflict',
    `${room.name}:${tag} was expected to be ${describe(expected)} and is ${describe(found)}`,
    { hint: 'another client moved the tag: look at what it is now, and run the command again' },
  );
}
