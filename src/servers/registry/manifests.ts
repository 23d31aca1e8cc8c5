import { type Digest, digestOf, isDigest } from '../../oci/digest.ts';
import { isTag } from '../../oci/reference.ts';
import { digestIn, sendFile } from './blobs.ts';
import { answer, answerBytes, refuseMethod, type ServerExchange } from './exchange.ts';
import { Fault } from './faults.ts';
import { manifestTypeOf, missingContent, type Pushed, parsePushed } from './manifest-checks.ts';
import { SMALL_MANIFEST_BYTES } from './manifest-files.ts';
import { type Condition, conditionOf, etagOf, isKnown } from './preconditions.ts';
import { isReference } from './routes.ts';
import type { Services } from './services.ts';
import type { ManifestEntry } from './store/repository.ts';
import type { StoredRepository } from './store/store.ts';

/** Tags that one request may set. */
const MAX_TAGS = 100;

/** `/v2/<name>/manifests/<reference>` */
export async function handleManifest(
  services: Services,
  exchange: ServerExchange,
  name: string,
  reference: string,
): Promise<void> {
  switch (exchange.request.method) {
    case 'GET':
    case 'HEAD':
      return await getManifest(services, exchange, name, reference);
    case 'PUT':
      return await putManifest(services, exchange, name, reference);
    case 'DELETE':
      return await deleteManifest(services, exchange, name, reference);
    default:
      return refuseMethod('GET, HEAD, PUT, DELETE');
  }
}

async function getManifest(
  services: Services,
  exchange: ServerExchange,
  name: string,
  reference: string,
): Promise<void> {
  if (!isReference(reference)) throw badReference(reference, 404);
  await services.store.use(name, async (repository) => {
    const entry = repository === undefined ? undefined : resolve(repository, reference);
    if (repository === undefined || entry === undefined) throw unknownManifest(name, reference);
    const headers = { 'Docker-Content-Digest': entry.digest, ETag: etagOf(entry.digest) };
    if (isKnown(exchange.request.headers, entry.digest)) {
      answer(exchange, 304, headers);
      return;
    }
    if (exchange.isHead) {
      answer(exchange, 200, { ...headers, 'Content-Type': entry.mediaType, 'Content-Length': entry.size });
      return;
    }
    if (!(await sendManifest(services, exchange, repository, entry, headers)))
      throw unknownManifest(name, reference);
    const tag = isDigest(reference) ? undefined : reference;
    services.events.emit({ ...entry, action: 'pull', repository: name, tag }, exchange);
  });
}

/** @returns whether its file is there */
async function sendManifest(
  services: Services,
  exchange: ServerExchange,
  repository: StoredRepository,
  entry: ManifestEntry,
  headers: Readonly<Record<string, string>>,
): Promise<boolean> {
  if (entry.size <= SMALL_MANIFEST_BYTES) {
    const bytes = await services.manifests.read(repository, entry);
    if (bytes === undefined) return false;
    answerBytes(exchange, 200, entry.mediaType, bytes, headers);
    return true;
  }
  const opened = await services.store.blobs.open(repository.layout, entry.digest);
  if (opened === undefined) return false;
  const { file, size } = opened;
  try {
    exchange.response.writeHead(200, {
      ...headers,
      'Content-Type': entry.mediaType,
      'Content-Length': size,
    });
    await sendFile(exchange, file, { start: 0, end: size - 1 });
  } finally {
    await file.close();
  }
  return true;
}

function resolve(repository: StoredRepository, reference: string): ManifestEntry | undefined {
  const digest = isDigest(reference) ? reference : repository.index.tag(reference);
  return digest === undefined ? undefined : repository.index.manifests.get(digest);
}

function unknownManifest(name: string, reference: string): Fault {
  return new Fault(404, 'MANIFEST_UNKNOWN', `${name} has no manifest ${reference}`);
}

/** What a push names the manifest. */
interface Target {
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly condition: Condition | undefined;
}

async function putManifest(
  services: Services,
  exchange: ServerExchange,
  name: string,
  reference: string,
): Promise<void> {
  if (!isReference(reference)) throw badReference(reference, 400);
  const condition = conditionOf(exchange.request.headers);
  const mediaType = manifestTypeOf(exchange.request.headers['content-type']);
  const { pushed, target } = await services.spool.receive(exchange, services.limits, async (bytes) => {
    const target: Target = { ...namesOf(exchange, reference, bytes), condition };
    const pushed = parsePushed(bytes, mediaType, target.digest);
    await putPushed(services, name, pushed, bytes, target);
    return { pushed, target };
  });
  const { entry } = pushed;
  answer(exchange, 201, {
    Location: `/v2/${name}/manifests/${reference}`,
    'Docker-Content-Digest': entry.digest,
    ETag: etagOf(entry.digest),
    ...(entry.subject !== undefined && { 'OCI-Subject': entry.subject }),
    ...(isDigest(reference) && target.tags.length > 0 && { 'OCI-Tag': target.tags.join(', ') }),
  });
  for (const tag of target.tags.length === 0 ? [undefined] : target.tags) {
    services.events.emit({ ...entry, action: 'push', repository: name, tag }, exchange);
  }
}

async function putPushed(
  services: Services,
  name: string,
  pushed: Pushed,
  bytes: Uint8Array,
  target: Target,
): Promise<void> {
  await services.store.use(name, async (repository) => {
    // Told early where it can be, also so that no repository is made for what is refused.
    // What counts is the same check in its place in the order of changes.
    checkTarget(repository, target, (tag) => repository?.index.tag(tag));
    if (repository === undefined && !services.sparse)
      await mustBeComplete(services, repository, pushed, target);
  });
  await services.store.useOrCreate(name, async (repository) => {
    await storeManifest(services, repository, pushed, bytes, target);
  });
}

async function storeManifest(
  services: Services,
  repository: StoredRepository,
  pushed: Pushed,
  bytes: Uint8Array,
  target: Target,
): Promise<void> {
  const { store } = services;
  const { entry, children } = pushed;
  const subject = entry.subject === undefined ? [] : [entry.subject];
  const held = [entry.digest, ...subject, ...children.map((child) => child.digest)];
  await repository.pins.hold(held, async () => {
    if (!services.sparse) await mustBeComplete(services, repository, pushed, target);
    await store.blobs.write(repository.layout, entry.digest, bytes);
    services.manifests.remember(entry, bytes);
    await store.commit(repository, { op: 'put', manifest: entry, tags: target.tags }, (tag) =>
      checkTarget(repository, target, tag),
    );
  });
}

/** @throws Fault 400 where something that the manifest refers to is missing */
async function mustBeComplete(
  { store }: Services,
  repository: StoredRepository | undefined,
  pushed: Pushed,
  target: Target,
): Promise<void> {
  const missing = await missingContent(store, repository, pushed, target.tags);
  if (missing !== undefined) throw missing;
}

/** @throws Fault 412 where the condition does not hold for one of the names */
function checkTarget(
  repository: StoredRepository | undefined,
  target: Target,
  tagNow: (tag: string) => Digest | undefined,
): void {
  if (target.condition === undefined) return;
  for (const tag of target.tags) target.condition(tagNow(tag));
  if (target.tags.length === 0)
    target.condition(repository?.index.manifests.has(target.digest) === true ? target.digest : undefined);
}

function namesOf(
  exchange: ServerExchange,
  reference: string,
  bytes: Uint8Array,
): { digest: Digest; tags: readonly string[] } {
  const extra = exchange.query.getAll('tag');
  if (extra.length > MAX_TAGS)
    throw new Fault(400, 'TAG_INVALID', `one request may set ${MAX_TAGS} tags, not ${extra.length}`);
  for (const tag of extra) if (!isTag(tag)) throw badReference(tag, 400);
  if (!isDigest(reference)) return { digest: digestOf(bytes), tags: [...new Set([reference, ...extra])] };
  const algorithm = reference.startsWith('sha512:') ? 'sha512' : 'sha256';
  if (digestOf(bytes, algorithm) !== reference)
    throw new Fault(400, 'DIGEST_INVALID', `the manifest is not ${reference}; nothing was stored`);
  return { digest: reference, tags: [...new Set(extra)] };
}

function badReference(reference: string, status: 400 | 404): Fault {
  if (reference.includes(':'))
    return new Fault(
      400,
      'DIGEST_INVALID',
      'not a digest: sha256: and 64, or sha512: and 128, lower-case hex digits',
    );
  const code = status === 404 ? 'MANIFEST_UNKNOWN' : 'TAG_INVALID';
  return new Fault(
    status,
    code,
    'not a tag: up to 128 letters, digits, "_", "." and "-", not starting with the last two',
  );
}

async function deleteManifest(
  services: Services,
  exchange: ServerExchange,
  name: string,
  reference: string,
): Promise<void> {
  if (!isReference(reference)) throw badReference(reference, 404);
  const condition = conditionOf(exchange.request.headers);
  await services.store.use(name, async (repository) => {
    if (repository === undefined) throw unknownManifest(name, reference);
    const entry = resolve(repository, reference);
    if (entry === undefined) throw unknownManifest(name, reference);
    if (isDigest(reference)) {
      await services.store.commit(repository, { op: 'remove', digest: digestIn(reference) }, () => {
        if (!repository.index.manifests.has(reference)) throw unknownManifest(name, reference);
        condition?.(reference);
      });
    } else {
      await services.store.commit(repository, { op: 'untag', tag: reference }, (tagNow) => {
        const current = tagNow(reference);
        if (current === undefined) throw unknownManifest(name, reference);
        condition?.(current);
      });
    }
    answer(exchange, 202, { 'Docker-Content-Digest': entry.digest });
    const tag = isDigest(reference) ? undefined : reference;
    services.events.emit({ action: 'delete', repository: name, digest: entry.digest, tag }, exchange);
  });
}
