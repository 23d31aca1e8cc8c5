import { BullaError, isBullaError } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { isTransient } from '../http/failure.ts';
import { isRetriableStatus } from '../http/retry.ts';
import { checkContent, type Descriptor } from '../oci/descriptor.ts';
import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, type ManifestContent, mediaTypeOfManifest } from '../oci/manifest.ts';
import { CARRIED_TYPES, isCarriedType } from '../oci/media-types.ts';
import type { Tag } from '../oci/reference.ts';
import type { CallOptions } from '../oci/target.ts';
import { isEncoded, readDecoded } from './decoded.ts';
import { failureError } from './failure.ts';
import type { RepositoryContext } from './repository-context.ts';
import { manifestPath } from './urls.ts';

/** Always explicit: distribution 2.8 answers `Accept: * / *` with 404. */
const ACCEPT = CARRIED_TYPES.join(', ');

/**
 * What a tag or digest names, in one HEAD where the registry says enough in its headers. A HEAD that fails tells
 * nothing: some registries refuse it, and some proxies answer it in their own way. GET is asked then, and where
 * that gives what HEAD did not, HEAD is not asked again. Until a HEAD has told something, that holds for 404 too.
 * @throws BullaError what the registry says to GET
 */
export function resolve(
  room: RepositoryContext,
  reference: Tag | Digest,
  options: CallOptions = {},
): Promise<Descriptor> {
  const ask = (): Promise<Descriptor> => resolveOnce(room, reference, options);
  return afterOwnWrites(room, reference, options, ask, ({ digest }) => digest);
}

async function resolveOnce(
  room: RepositoryContext,
  reference: Tag | Digest,
  options: CallOptions,
): Promise<Descriptor> {
  const { head } = await room.dialect.get();
  if (head === 'get') return (await fetchOnce(room, reference, options)).descriptor;
  const told = await headManifest(room, reference, options);
  if (typeof told === 'object') return told;
  if (told === 'absent' && head === 'works') throw absent(room, reference);
  const { descriptor } = await fetchOnce(room, reference, options);
  if (told !== 'failed') await room.dialect.learn({ head: 'get' });
  return descriptor;
}

/**
 * What HEAD tells: all of it; `absent`; `little` where headers are missing or the method is refused; `failed`
 * where something went wrong that may not do so again.
 */
async function headManifest(
  room: RepositoryContext,
  reference: Tag | Digest,
  { signal }: CallOptions,
): Promise<Descriptor | 'absent' | 'little' | 'failed'> {
  let response: HttpResponse;
  try {
    response = await room.session.call({
      method: 'HEAD',
      to: manifestPath(room.repository, reference),
      access: room.scopes.read(),
      headers: { accept: ACCEPT },
      expect: 'any',
      retry: 'throttled',
      signal,
    });
  } catch (error) {
    // GET is sent again until it works, or says what does not.
    if (signal?.aborted === true || !isTransient(error)) throw error;
    return 'failed';
  }
  await response.body.discard();
  const { status } = response;
  if (status === 404) return 'absent';
  if (status === 401 && (await isRefusedLogin(room, response))) {
    throw failureError(
      { status, codes: [], message: '' },
      room.session.where({ method: 'HEAD', to: manifestPath(room.repository, reference) }),
    );
  }
  if (status !== 200) return isRetriableStatus(status) ? 'failed' : 'little';
  const size = isEncoded(response) ? undefined : response.headers.contentLength;
  const mediaType = servedType(response);
  const digest = isDigest(reference) ? reference : servedDigest(response);
  // No manifest is empty: a server that says 0 counted the bytes of a body that HEAD does not have.
  if (size === undefined || size === 0 || mediaType === undefined || digest === undefined) return 'little';
  if (!isCarriedType(mediaType)) return 'little';
  if (isDigest(reference)) checkServedDigest(room, response, reference);
  await room.dialect.learn({ head: 'works' });
  return { mediaType, digest, size };
}

/** Whether a login was refused, which another try would only repeat, to the account's harm. */
async function isRefusedLogin(room: RepositoryContext, response: HttpResponse): Promise<boolean> {
  const challenges = response.headers.all('www-authenticate');
  if (challenges.length === 0) return false;
  return /^\s*bearer/i.test(challenges.join()) || (await room.session.signsIn(room.scopes.read()));
}

function absent(room: RepositoryContext, reference: Tag | Digest): BullaError {
  const where = room.session.where({ method: 'HEAD', to: manifestPath(room.repository, reference) });
  return failureError({ status: 404, codes: [], message: '' }, where);
}

/** How often a stale answer is asked for again: soon at first, then at most every so many milliseconds. */
const FIRST_LOOK_MS = 100;
const LAST_LOOK_MS = 2_000;

/**
 * Asks until the answer is not from before what this process wrote itself: caches and lagging replicas show the state
 * before for seconds. What was stored and is not there even then is an error of the registry, and not "not found".
 * @throws BullaError registry-error, and what `ask` throws
 */
async function afterOwnWrites<T>(
  room: RepositoryContext,
  reference: Tag | Digest,
  { signal }: CallOptions,
  ask: () => Promise<T>,
  digest: (answer: T) => Digest,
): Promise<T> {
  const { recent, repository, session } = room;
  for (let pause = FIRST_LOOK_MS; ; pause = Math.min(2 * pause, LAST_LOOK_MS)) {
    let answer: { readonly value: T } | undefined;
    let failure: unknown;
    try {
      answer = { value: await ask() };
    } catch (error) {
      if (!isBullaError(error, 'not-found')) throw error;
      failure = error;
    }
    const found = answer === undefined ? null : digest(answer.value);
    const staleMs = recent.staleFor(repository, reference, found, session.timing.now());
    if (staleMs === undefined) {
      recent.noteSeen(repository, reference, found);
      if (answer === undefined) throw failure;
      return answer.value;
    }
    if (staleMs === 0) throw unseen(room, reference, failure);
    session.noteRetry(`${reference} was stored, and the registry still shows what was there before`, pause);
    await session.timing.sleep(Math.min(pause, staleMs + 1), signal);
  }
}

function unseen(room: RepositoryContext, reference: Tag | Digest, cause: unknown): BullaError {
  return new BullaError('registry-error', `${room.name} stored ${reference}, and does not show it`, {
    cause,
    hint: 'a cache or a lagging replica may stand before the registry, or something removed it: look again in a while',
  });
}

/** A manifest's bytes, hashed here. */
export function fetchManifest(
  room: RepositoryContext,
  reference: Tag | Digest,
  options: CallOptions = {},
): Promise<ManifestContent> {
  const ask = (): Promise<ManifestContent> => fetchOnce(room, reference, options);
  return afterOwnWrites(room, reference, options, ask, ({ descriptor }) => descriptor.digest);
}

/** As {@link fetchManifest}, as it is served now, stale or not. */
export async function fetchOnce(
  room: RepositoryContext,
  reference: Tag | Digest,
  { signal }: CallOptions = {},
): Promise<ManifestContent> {
  const response = await room.session.call({
    method: 'GET',
    to: manifestPath(room.repository, reference),
    access: room.scopes.read(),
    headers: { accept: ACCEPT },
    expect: [200],
    signal,
  });
  return await readManifest(room, reference, response);
}

/** What a tag or digest names by now, asked in the way that always tells; null where it names nothing. */
export async function digestByGet(
  room: RepositoryContext,
  reference: Tag | Digest,
  options: CallOptions = {},
): Promise<Digest | null> {
  try {
    return (await fetchOnce(room, reference, options)).descriptor.digest;
  } catch (error) {
    if (isBullaError(error, 'not-found')) return null;
    throw error;
  }
}

/**
 * The manifest of a tag, unless it still is `known`. A registry without ETags is asked by HEAD from
 * the second time on.
 */
export function fetchManifestUnless(
  room: RepositoryContext,
  tag: Tag,
  known: Digest,
  options: CallOptions = {},
): Promise<ManifestContent | undefined> {
  const ask = (): Promise<ManifestContent | undefined> => fetchUnlessOnce(room, tag, known, options);
  return afterOwnWrites(room, tag, options, ask, (content) => content?.descriptor.digest ?? known);
}

async function fetchUnlessOnce(
  room: RepositoryContext,
  tag: Tag,
  known: Digest,
  options: CallOptions,
): Promise<ManifestContent | undefined> {
  const { conditional, head } = await room.dialect.get();
  if (conditional === 'head') {
    const told = head === 'get' ? 'little' : await headManifest(room, tag, options);
    if (typeof told === 'object' && told.digest === known) return undefined;
    if (told === 'absent' && head === 'works') throw absent(room, tag);
    const content = await fetchOnce(room, tag, options);
    if (told === 'absent' || told === 'little') await room.dialect.learn({ head: 'get' });
    return content.descriptor.digest === known ? undefined : content;
  }
  const response = await room.session.call({
    method: 'GET',
    to: manifestPath(room.repository, tag),
    access: room.scopes.read(),
    headers: { accept: ACCEPT, 'if-none-match': `"${known}"` },
    expect: [200, 304],
    signal: options.signal,
  });
  if (response.status === 304) {
    await response.body.discard();
    await room.dialect.learn({ conditional: 'etag' });
    return undefined;
  }
  const content = await readManifest(room, tag, response);
  if (content.descriptor.digest !== known) return content;
  await room.dialect.learn({ conditional: 'head' });
  return undefined;
}

async function readManifest(
  room: RepositoryContext,
  reference: Tag | Digest,
  response: HttpResponse,
): Promise<ManifestContent> {
  const what = `the manifest ${reference} of ${room.name}`;
  const announced = response.headers.contentLength;
  if (announced !== undefined && announced > MAX_MANIFEST_BYTES) {
    response.body.abort(new Error('too large'));
    throw tooLarge(what, announced);
  }
  const bytes = await readDecoded(response, MAX_MANIFEST_BYTES, what);
  const wanted = isDigest(reference) ? reference : servedDigest(response);
  const digest = digestOf(bytes, wanted === undefined ? 'sha256' : algorithmOf(wanted));
  if (isDigest(reference)) checkContent({ digest: reference, size: bytes.byteLength }, bytes, room.name);
  checkServedDigest(room, response, digest);
  const served = servedType(response);
  // Where a registry serves the bytes without their type, they say it themselves.
  const mediaType = served !== undefined && isCarriedType(served) ? served : mediaTypeOfManifest(bytes, what);
  return { descriptor: { mediaType, digest, size: bytes.byteLength }, bytes };
}

/** Docker-Content-Digest; undefined where there is none that could be checked. */
export function servedDigest(response: HttpResponse): Digest | undefined {
  const text = response.headers.get('docker-content-digest');
  return text !== undefined && isDigest(text) ? text : undefined;
}

/**
 * Refuses an answer whose Docker-Content-Digest contradicts what was asked for or received. A digest
 * of another algorithm says nothing (distribution 2.8 reports sha512 content by its sha256).
 * @throws BullaError content-invalid
 */
export function checkServedDigest(room: RepositoryContext, response: HttpResponse, expected: Digest): void {
  const served = servedDigest(response);
  if (served === undefined || served === expected || algorithmOf(served) !== algorithmOf(expected)) return;
  throw new BullaError(
    'content-invalid',
    `${room.name}: expected ${expected}, and the registry says ${served}`,
    {
      hint: 'the registry, or something between, confuses or replaces content; nothing of it was used',
    },
  );
}

function servedType(response: HttpResponse): string | undefined {
  const type = response.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  return type === '' ? undefined : type;
}

export function tooLarge(what: string, size: number): BullaError {
  return new BullaError(
    'content-invalid',
    `${what} has ${size} bytes, more than the ${MAX_MANIFEST_BYTES} allowed`,
    { hint: 'registries need not take, and bulla does not read, a larger manifest' },
  );
}
