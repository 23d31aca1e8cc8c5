import { BullaError } from '../errors.ts';
import { type AddressClass, reachableFrom } from '../http/address.ts';
import { printable, redactUrl } from '../http/redact.ts';

const MAX_REALM = 2048;

/**
 * The token server that a registry's challenge names, where we may go there. A hostile registry must
 * not make us send a password in the clear or talk to machines that it can't reach itself
 * (CVE-2020-15157 and its kind), so: https, unless the registry itself is plain http.
 * @throws BullaError unauthorized
 */
export function checkRealm(realm: string | undefined, registry: URL): URL {
  if (realm === undefined || realm === '' || realm.length > MAX_REALM) {
    throw refusal(registry, 'it names no token server');
  }
  let url: URL;
  try {
    url = new URL(realm);
  } catch {
    throw refusal(registry, `its token server ${JSON.stringify(printable(realm, 100))} is not a URL`);
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && registry.protocol === 'http:')) {
    throw refusal(registry, `its token server ${redactUrl(url)} is not reached by https`);
  }
  if (url.username !== '' || url.password !== '') {
    throw refusal(registry, `its token server's URL holds user information`);
  }
  url.hash = '';
  return url;
}

/** Where a registry may send us: see {@link reachableFrom}; undefined lifts the restriction. */
export function allowedAddresses(
  target: URL,
  registry: URL,
  registryClass: AddressClass | undefined,
  allowPrivate: boolean,
): ReadonlySet<AddressClass> | undefined {
  if (target.origin === registry.origin) return undefined;
  if (allowPrivate) return new Set(['public', 'private', 'loopback', 'reserved']);
  return reachableFrom(registryClass);
}

function refusal(registry: URL, why: string): BullaError {
  return new BullaError('unauthorized', `${registry.host} asks for a login that is refused: ${why}`, {
    hint: 'the registry is misconfigured or hostile; no credentials were sent',
  });
}
