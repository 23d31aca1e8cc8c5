import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { createSigner, type SigningOptions } from '../crypto/signer.ts';
import type { JsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError } from '../errors.ts';
import {
  certificateRequest,
  issuedCertificate,
  logEntry1,
  logEntry2,
  logRequest1,
  logRequest2,
} from '../sigstore/service-messages.ts';
import type { SigningServices, SigstoreService } from '../sigstore/signing-config.ts';
import type { TrustedRoot } from '../sigstore/trusted-root.ts';
import type { CertifiedSigner, SignatureToWitness, Testimony, Witness } from '../sigstore/witness.ts';
import { oddTokenText } from './identity-token.ts';
import { ask, type ServiceOptions } from './service.ts';
import { askForStamp } from './time-stamp.ts';

/** How long a certificate is used, in milliseconds. Fulcio's are valid for ten minutes; stamping takes some of them. */
const USED_FOR_MS = 4 * 60_000;

/** What a Sigstore instance is reached with. */
export interface InstanceOptions extends ServiceOptions {
  readonly services: SigningServices;
  readonly root: TrustedRoot;
  /** For keyless signatures: the token that says who signs. Asked for once for each certificate. */
  readonly token?: ((signal: AbortSignal | undefined) => Promise<string>) | undefined;
  readonly now: Date;
  /** Milliseconds of a clock that only goes forward. */
  readonly monotonic?: (() => number) | undefined;
}

/**
 * A Sigstore instance that signatures are sent to (spec/sigstore.md, "Signing").
 * @throws BullaError config-invalid where the signing config lacks a service that is needed
 */
export function sigstoreInstance(options: InstanceOptions): Witness {
  const { services, root, token } = options;
  const { ca, logs, timestampAuthorities } = services;
  if (logs.length === 0) throw lacks('a transparency log (rekorTlogUrls)');
  const testify = async (signature: SignatureToWitness, { signal }: SigningOptions): Promise<Testimony> => {
    const [logEntries, timestamps] = await Promise.all([
      Promise.all(logs.map((log) => logged(log, signature, options, signal))),
      Promise.all(
        timestampAuthorities.map(({ url }) =>
          askForStamp(url, signature.envelope.signature, options, signal),
        ),
      ),
    ]);
    return { logEntries, timestamps };
  };
  if (token === undefined) return { root, testify };
  if (ca === undefined) throw lacks('a certificate authority (caUrls)');
  if (timestampAuthorities.length === 0 && logs.every(({ version }) => version === 2))
    throw lacks('a time-stamp authority (tsaUrls), and Rekor v2 gives no time');
  return { root, testify, identity: certified(ca, token, options) };
}

/** One certificate for the signatures of some minutes, also if several are asked for at the same time. */
function certified(
  ca: SigstoreService,
  token: NonNullable<InstanceOptions['token']>,
  options: InstanceOptions,
): NonNullable<Witness['identity']> {
  const clock = options.monotonic ?? (() => performance.now());
  let current: { readonly at: number; readonly signer: Promise<CertifiedSigner> } | undefined;
  return async ({ signal }) => {
    if (current === undefined || clock() - current.at > USED_FOR_MS) {
      const signer = newIdentity(ca, token, options, signal);
      current = { at: clock(), signer };
      signer.catch(() => {
        if (current?.signer === signer) current = undefined;
      });
    }
    return await current.signer;
  };
}

async function newIdentity(
  { url }: SigstoreService,
  token: NonNullable<InstanceOptions['token']>,
  options: InstanceOptions,
  signal: AbortSignal | undefined,
): Promise<CertifiedSigner> {
  const [identity, { privateKey }] = await Promise.all([
    token(signal),
    promisify(generateKeyPair)('ec', { namedCurve: 'P-256' }),
  ]);
  const signer = createSigner(privateKey);
  const body = await certificateRequest(identity, signer);
  const request = {
    service: 'Fulcio',
    method: 'POST',
    url: below(url, 'api/v2/signingCert'),
    headers: JSON_HEADERS,
    body,
    secrets: [identity],
  } as const;
  const answer = await ask(request, options, signal).catch((error: unknown) => {
    const odd = isBullaError(error, 'unauthorized', 'forbidden')
      ? oddTokenText(identity, options.now)
      : undefined;
    if (odd === undefined) throw error;
    const { code, message, details } = error as BullaError;
    throw new BullaError(code, `${message}; the identity token is refused because ${odd}`, {
      hint: 'get a new token for the audience "sigstore", and run the command again',
      details,
    });
  });
  const certificate = issuedCertificate(answer.body, 'the answer of Fulcio');
  if (certificate.publicKey.fingerprint === signer.publicKey.fingerprint) return { signer, certificate };
  throw new BullaError('content-invalid', 'Fulcio certified another key than the one that was sent', {
    hint: 'nothing was published; check the URL in the signing config',
    details: { service: 'Fulcio' },
  });
}

const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json' } as const;

async function logged(
  { url, version }: SigstoreService,
  signature: SignatureToWitness,
  options: InstanceOptions,
  signal: AbortSignal | undefined,
): Promise<JsonObject> {
  const where = `the answer of Rekor at ${url.host}`;
  const request = { service: 'Rekor', method: 'POST', headers: JSON_HEADERS } as const;
  if (version === 2) {
    const body = logRequest2(signature);
    const answer = await ask({ ...request, url: below(url, 'api/v2/log/entries'), body }, options, signal);
    return logEntry2(answer.body, where);
  }
  const entries = below(url, 'api/v1/log/entries');
  const body = logRequest1(signature);
  const answer = await ask({ ...request, url: entries, body, also: [409] }, options, signal);
  if (answer.status !== 409) return logEntry1(answer.body, where);
  // The same key has signed the same statement before: its entry is as good.
  const known = URL.canParse(answer.location ?? '', entries.href)
    ? new URL(answer.location ?? '', entries)
    : entries;
  if (known.origin !== entries.origin || !known.pathname.startsWith(`${entries.pathname}/`)) {
    throw new BullaError('registry-error', `${where} refers to ${known.host} for an entry that it has`, {
      hint: 'nothing was published; run the command again',
      details: { service: 'Rekor' },
    });
  }
  const existing = await ask(
    { service: 'Rekor', method: 'GET', url: known, headers: { accept: 'application/json' } },
    options,
    signal,
  );
  return logEntry1(existing.body, where);
}

function below(base: URL, path: string): URL {
  const url = new URL(base);
  url.pathname = `${base.pathname.replace(/\/*$/, '/')}${path}`;
  return url;
}

function lacks(what: string): BullaError {
  return new BullaError('config-invalid', `the signing config lists no service for ${what}`, {
    hint: 'give a complete one with --signing-config; cosign signing-config create makes one',
  });
}
