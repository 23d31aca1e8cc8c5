import { BullaError } from '../errors.ts';
import { type AddressClass, isLoopbackHost, reachableFrom } from '../http/address.ts';
import { quoted, redactUrl } from '../http/redact.ts';

const MAX_REALM = 2048;

/**
 * The token server that a registry's challenge names, where we may go there. A hostile registry must
 * not make us send a password in the clear or talk to machines that it can't reach itself
 * (CVE-2020-15157 and its kind), so: https. A registry that is plain http itself may also name itself, this
 * machine, or a server of which the settings say so; that it may be reached in the clear says nothing about others.
 * @param isPlain whether the settings say of a server that plain http is spoken to it
 * @throws BullaError unauthorized; forbidden where plain http is not allowed there
 */
export function checkRealm(realm: string | undefined, registry: URL, isPlain: (url: URL) => boolean): URL {
  if (realm === undefined || realm === '' || realm.length > MAX_REALM) {
    throw refusal(registry, 'it names no token server');
  }
  let url: URL;
  try {
    url = new URL(realm);
  } catch {
    throw refusal(registry, `its token server ${JSON.stringify(quoted(realm, 100))} is not a URL`);
  }
  if (url.protocol === 'http:' && registry.protocol === 'http:') {
    if (url.origin !== registry.origin && !isLoopbackHost(url.hostname) && !isPlain(url))
      throw clearElsewhere(registry, url);
  } else if (url.protocol !== 'https:') {
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

function clearElsewhere(registry: URL, url: URL): BullaError {
  return new BullaError(
    'forbidden',
    `${registry.host} asks for a login at ${redactUrl(url)}, and plain HTTP is not allowed there`,
    {
      hint: `no credentials were sent; if it is meant to be so, say it of that server in config.yaml: registries: ${url.host}: plainHttp: true`,
    },
  );
}
