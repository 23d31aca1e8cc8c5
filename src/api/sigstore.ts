import { resolve } from 'node:path';
import { utf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import { PUBLIC_GOOD_ROOT } from '../sigstore/public-good-root.ts';
import { PUBLIC_GOOD_SIGNING_CONFIG } from '../sigstore/public-good-signing-config.ts';
import { parseSigningConfig, type SigningServices } from '../sigstore/signing-config.ts';
import { parseTrustedRoot, type TrustedRoot } from '../sigstore/trusted-root.ts';
import type { Witness } from '../sigstore/witness.ts';
import { identityToken } from '../sigstore-client/identity-token.ts';
import { sigstoreInstance } from '../sigstore-client/instance.ts';
import { SERVICE_TIMEOUT_MS } from '../sigstore-client/service.ts';
import { shippedTufRoot, sigstoreTarget } from '../sigstore-client/tuf-targets.ts';
import { tufUrlOf } from '../sigstore-client/tuf-url.ts';
import type { Call } from './config.ts';

/** A Sigstore instance other than the public-good one. */
export interface SigstoreInstance {
  /** Its trusted root: JSON, or the place of its TUF repository, `tuf+https://…`. */
  readonly trustedRoot: Uint8Array | string;
  /** Its services: JSON of a signing config. To sign, it may be left out only if `trustedRoot` is a TUF repository. */
  readonly signingConfig?: Uint8Array | string | undefined;
}

/** Signing with a Sigstore instance. */
export interface SigstoreSigning {
  /**
   * Sign with a short-lived certificate for an identity instead of a key. The token is that of GitHub Actions, GitLab or
   * the Kubernetes pod if none is given.
   */
  readonly keyless?: true | { readonly token: string | (() => string | Promise<string>) } | undefined;
  /** With a key: also enter the signature into a transparency log. */
  readonly tlog?: true | undefined;
  /** The instance; the public-good one if left out. */
  readonly sigstore?: SigstoreInstance | undefined;
}

/**
 * The instance that signatures are sent to; undefined if nothing is.
 * @throws BullaError usage, content-invalid, config-invalid; as {@link trustedRootFor}
 */
export async function witnessFor(
  one: Call,
  { keyless, tlog, sigstore, key }: SigstoreSigning & { readonly key?: unknown },
): Promise<Witness | undefined> {
  if (keyless === undefined && tlog === undefined) {
    if (sigstore === undefined) return undefined;
    throw new BullaError('usage', 'a Sigstore instance is given, and nothing is sent to it', {
      hint: 'set keyless or tlog, or leave sigstore out',
    });
  }
  if (keyless !== undefined && (tlog !== undefined || key !== undefined))
    throw new BullaError('usage', 'keyless excludes a key, and tlog', {
      hint: 'leave one of them out: keyless signatures are always in a log',
    });
  const [root, services] = await Promise.all([
    trustedRootFor(one, sigstore?.trustedRoot),
    servicesFor(one, sigstore),
  ]);
  const pool = one.pool();
  return sigstoreInstance({
    ...{ services, root, pool, now: one.now, timeoutMs: SERVICE_TIMEOUT_MS },
    ...(keyless !== undefined && {
      token: async (signal: AbortSignal | undefined) =>
        keyless === true
          ? await identityToken(
              { env: (name) => process.env[name], path: (path) => resolve(path) },
              { pool },
              signal,
            )
          : typeof keyless.token === 'string'
            ? keyless.token
            : await keyless.token(),
    }),
  });
}

/**
 * A trusted root: JSON, or `tuf+https://…`; that of the public-good instance if undefined.
 * @throws BullaError content-invalid, certificate-invalid, key-invalid; usage; trust-…, registry-… for a TUF repository
 */
export async function trustedRootFor(
  one: Call,
  place: Uint8Array | string | undefined,
): Promise<TrustedRoot> {
  if (place === undefined)
    return parseTrustedRoot(utf8(PUBLIC_GOOD_ROOT), "Sigstore's public-good trusted root");
  const url = typeof place === 'string' ? tufUrlOf(place) : undefined;
  if (url !== undefined) return parseTrustedRoot(await target(one, url, 'trusted_root.json'), url.href);
  return parseTrustedRoot(bytesOf(place), 'the given trusted root');
}

async function servicesFor(one: Call, sigstore: SigstoreInstance | undefined): Promise<SigningServices> {
  const { now } = one;
  if (sigstore === undefined)
    return parseSigningConfig(utf8(PUBLIC_GOOD_SIGNING_CONFIG), now, "Sigstore's public-good signing config");
  const { signingConfig, trustedRoot } = sigstore;
  if (signingConfig !== undefined)
    return parseSigningConfig(bytesOf(signingConfig), now, 'the given signing config');
  const url = typeof trustedRoot === 'string' ? tufUrlOf(trustedRoot) : undefined;
  if (url !== undefined) {
    const name = 'signing_config.v0.2.json';
    return parseSigningConfig(await target(one, url, name), now, `${name} of ${url.host}`);
  }
  throw new BullaError('usage', 'a Sigstore instance to sign with needs a signing config', {
    hint: 'give signingConfig as well, or its TUF repository as trustedRoot: tuf+https://…',
  });
}

async function target(one: Call, url: URL, name: string): Promise<Uint8Array> {
  const { now, signal, directories } = one;
  const initialRoot = await shippedTufRoot(url);
  return await sigstoreTarget(
    {
      ...{ url, now, signal, initialRoot, stateDirectory: directories.state },
      pool: async () => one.pool(),
      onWarning: (line) => one.warn(line),
    },
    name,
  );
}

function bytesOf(given: Uint8Array | string): Uint8Array {
  return typeof given === 'string' ? utf8(given) : given;
}
