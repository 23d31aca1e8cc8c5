import { createHash, timingSafeEqual } from 'node:crypto';
import { isJsonObject, type JsonValue, parseJsonObject } from '../../encoding/json.ts';
import { isBullaError } from '../../errors.ts';
import { isRepositoryName, isTag } from '../../oci/reference.ts';
import { kindOfTag } from '../../trust/format/vocabulary.ts';
import type { PostEndpoint } from '../endpoints.ts';

/** Largest batch of notifications that is read, in bytes; distribution sends one event at a time. */
export const MAX_NOTIFICATION_BYTES: number = 1024 * 1024;
const MAX_EVENTS = 1_000;

/**
 * Takes notifications.
 * @param secret undefined: they are refused
 * @param notified called with repositories that have changed; it must not wait for anything
 */
export function notifyEndpoint(
  secret: () => string | undefined,
  notified: (repositories: ReadonlySet<string>) => void,
): PostEndpoint {
  const isTrusted: PostEndpoint['isTrusted'] = ({ headers }) => {
    const expected = secret();
    return expected !== undefined && isAuthorized(headers.authorization, expected);
  };
  return {
    route: 'notify',
    maxBytes: MAX_NOTIFICATION_BYTES,
    isTrusted,
    refuse(request) {
      if (secret() === undefined) return { status: 404, text: 'notifications are not configured\n' };
      if (request.method !== 'POST' || isTrusted(request)) return undefined;
      const headers = { 'WWW-Authenticate': 'Bearer' };
      return { status: 401, text: 'the secret is missing or wrong\n', headers };
    },
    answer(body) {
      try {
        notified(repositoriesIn(body));
        return { status: 202, text: 'taken\n' };
      } catch (error) {
        if (!isBullaError(error, 'content-invalid')) throw error;
        return { status: 400, text: `${error.message}\n` };
      }
    },
  };
}

/** Whether a request carries the secret; how long it takes tells nothing about it. */
export function isAuthorized(header: string | undefined, secret: string): boolean {
  const given = /^bearer +(\S+)$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(hash(given), hash(secret));
}

function hash(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}

/**
 * Repositories in which something about a collection happened, out of distribution's notifications. Hosts
 * and URLs in them are what clients sent, so they are not even read: only the name of the repository counts,
 * and only as a hint to look there.
 * @throws BullaError content-invalid
 */
export function repositoriesIn(body: Uint8Array): ReadonlySet<string> {
  const { events } = parseJsonObject(body, {
    what: 'the notification',
    maxBytes: MAX_NOTIFICATION_BYTES,
    floats: true,
  });
  const repositories = new Set<string>();
  for (const event of Array.isArray(events) ? events.slice(0, MAX_EVENTS) : []) {
    const repository = isJsonObject(event) ? repositoryOf(event['action'], event['target']) : undefined;
    if (repository !== undefined) repositories.add(repository);
  }
  return repositories;
}

function repositoryOf(action: JsonValue | undefined, target: JsonValue | undefined): string | undefined {
  if (action !== 'push' && action !== 'delete') return undefined;
  if (!isJsonObject(target)) return undefined;
  const { repository, tag } = target;
  if (typeof repository !== 'string' || !isRepositoryName(repository)) return undefined;
  // A deletion by digest has no tag, and the deleted manifest may have been the head.
  if (tag === undefined && action === 'delete') return repository;
  if (typeof tag !== 'string' || !isTag(tag)) return undefined;
  return kindOfTag(tag) === undefined ? undefined : repository;
}
