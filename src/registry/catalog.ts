import { isRepositoryName } from '../oci/reference.ts';
import type { CallOptions } from '../oci/target.ts';
import { listPages, PAGE_SIZE } from './pages.ts';
import type { RegistrySession } from './session.ts';
import { catalogPath } from './urls.ts';

/** Names of a registry's repositories, where it tells them (`/v2/_catalog`, not part of the specification). */
export async function* listRepositories(
  session: RegistrySession,
  searchMs: number,
  options: CallOptions = {},
): AsyncGenerator<string> {
  const access = { repository: undefined, scopes: ['registry:catalog:*'] };
  const call = {
    path: catalogPath({ n: PAGE_SIZE }),
    access,
    member: 'repositories',
    searchMs,
    signal: options.signal,
  };
  for await (const page of listPages(session, call)) yield* page.filter(isRepositoryName);
}
