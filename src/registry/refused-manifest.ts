import { isBullaError } from '../errors.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import type { ManifestContent } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import type { CallOptions } from '../oci/target.ts';
import type { RegistryFailure } from './failure.ts';
import { digestByGet } from './manifests.ts';
import { type RefusalReason, reasonOf } from './refusal.ts';
import type { RepositoryContext } from './repository-context.ts';
import type { RegistryCall } from './session.ts';
import { cancelUpload, uploadOf } from './uploads.ts';
import { manifestPath, uploadsPath } from './urls.ts';

/** What is known about the refusal of a manifest once the registry was asked more. */
export interface Insight {
  /** What a tag names; null where it names nothing, undefined where a digest was pushed or nothing is known. */
  readonly found: Digest | null | undefined;
  readonly reason: RefusalReason | undefined;
}

/** Statuses by which registries refuse a request, whatever the client. */
const REFUSALS: ReadonlySet<number> = new Set([400, 403, 405, 409, 412, 422, 423, 501]);

/**
 * Finds out why a manifest was refused where the answer does not say it. Each registry refuses to move a tag with a
 * status and with words of its own, so they are not relied on: a registry that takes the same manifest by its digest
 * refuses the tag. One that refuses it by digest and lets an upload begin refuses the manifest; else it takes no pushes.
 */
export async function lookBehind(
  room: RepositoryContext,
  content: ManifestContent,
  reference: Tag | Digest,
  failure: RegistryFailure,
  options: CallOptions,
): Promise<Insight> {
  const reason = reasonOf(failure, 'manifest');
  if (!REFUSALS.has(failure.status) || failure.codes.includes('MANIFEST_BLOB_UNKNOWN'))
    return { found: undefined, reason };
  if (isDigest(reference))
    return { found: undefined, reason: reason ?? (await takesNoPush(room, failure, options)) };
  const found = await digestAt(room, reference, options);
  const isKnown = reason !== undefined && reason !== 'type-refused' && reason !== 'no-repository';
  if (isKnown || found === content.descriptor.digest) return { found, reason };
  const byDigest = await putByDigest(room, content, options);
  if (byDigest === 'stored') return { found, reason: found === null ? 'tag-refused' : 'immutable-tag' };
  if (byDigest === undefined) return { found, reason };
  return {
    found,
    reason: reason ?? reasonOf(byDigest, 'manifest') ?? (await takesNoPush(room, byDigest, options)),
  };
}

async function digestAt(
  room: RepositoryContext,
  tag: Tag,
  options: CallOptions,
): Promise<Digest | null | undefined> {
  try {
    return await digestByGet(room, tag, options);
  } catch (error) {
    if (!isBullaError(error) || isBullaError(error, 'interrupted')) throw error;
    return undefined;
  }
}

/** @returns undefined where that could not be found out */
async function putByDigest(
  room: RepositoryContext,
  { descriptor, bytes }: ManifestContent,
  { signal }: CallOptions,
): Promise<'stored' | RegistryFailure | undefined> {
  const response = await asks(room, {
    method: 'PUT',
    to: manifestPath(room.repository, descriptor.digest),
    access: room.scopes.write(),
    headers: { 'content-type': descriptor.mediaType },
    body: bytes,
    expect: 'any',
    signal,
  });
  if (response === undefined) return undefined;
  if (response.status >= 300) return await room.session.failure(response);
  await response.body.discard();
  return 'stored';
}

/** Why a manifest is refused by its digest: because of what it is, or because nothing is accepted. */
async function takesNoPush(
  room: RepositoryContext,
  { status }: RegistryFailure,
  { signal }: CallOptions,
): Promise<RefusalReason | undefined> {
  // Who may not push this may push nothing, and is told so.
  if (status === 403) return undefined;
  const response = await asks(room, {
    method: 'POST',
    to: uploadsPath(room.repository),
    access: room.scopes.write(),
    headers: { 'content-length': '0' },
    expect: 'any',
    signal,
  });
  if (response === undefined) return undefined;
  if (response.status >= 400) {
    const failure = await room.session.failure(response);
    return [401, 403].includes(failure.status) ? undefined : (reasonOf(failure, 'upload') ?? 'read-only');
  }
  await response.body.discard();
  if (response.status === 202 && response.headers.get('location') !== undefined)
    await cancelUpload(room, uploadOf(room, response));
  return 'type-refused';
}

async function asks(
  room: RepositoryContext,
  call: RegistryCall,
): Promise<Awaited<ReturnType<RepositoryContext['session']['call']>> | undefined> {
  try {
    return await room.session.call(call);
  } catch (error) {
    if (!isBullaError(error) || isBullaError(error, 'interrupted')) throw error;
    return undefined;
  }
}
