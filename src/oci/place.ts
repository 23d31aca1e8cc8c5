import { canonicalHost, splitHost } from './host.ts';
import type { RegistryReference } from './reference.ts';

/** Other names under which the same repositories are. */
const DOCKER_HUB: ReadonlySet<string> = new Set([
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
]);

/**
 * The identity of a repository wherever trust is about it: pins, memory, policy, names of collections
 * (spec/trust-reading.md, "Places"). All spellings of one place have one; the ports 80 and 443
 * are the same as no port, with any protocol. Never to be connected to: that takes the reference unchanged.
 */
export function placeOf({
  registry,
  repository,
}: Pick<RegistryReference, 'registry' | 'repository'>): string {
  const host = placeHost(canonicalHost(registry) ?? registry);
  const isShort = host === 'docker.io' && !repository.includes('/') && repository !== '*';
  return `${host}/${isShort ? 'library/' : ''}${repository}`;
}

/**
 * {@link placeOf} of a text `HOST/REPOSITORY`, or of a scope `HOST/PREFIX/*`; a text that has no host in
 * front stays unchanged, and does not identify a place.
 */
export function placeNamed(text: string): string {
  const slash = text.indexOf('/');
  const host = slash < 0 ? undefined : canonicalHost(text.slice(0, slash));
  return host === undefined ? text : placeOf({ registry: host, repository: text.slice(slash + 1) });
}

/** Whether two texts, `HOST/REPOSITORY` or scopes, are of one place. */
export function isSamePlace(one: string, other: string): boolean {
  return one === other || placeNamed(one) === placeNamed(other);
}

function placeHost(host: string): string {
  const { name, port } = splitHost(host);
  const place = port === undefined || port === 80 || port === 443 ? name : host;
  return DOCKER_HUB.has(place) ? 'docker.io' : place;
}
