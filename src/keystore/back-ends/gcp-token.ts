import { createSign } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { base64url, utf8 } from '../../encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { KeySources } from '../back-end.ts';
import { readSecretFile } from '../read.ts';
import { firstSet, KeyService, objectIn, textIn } from './service.ts';

const SCOPE = 'https://www.googleapis.com/auth/cloudkms';
const HINT = 'log in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS';

/**
 * An access token as the libraries of Google find it: GOOGLE_OAUTH_ACCESS_TOKEN, the file of
 * GOOGLE_APPLICATION_CREDENTIALS or of `gcloud auth application-default login` (a service account, a person, workload
 * identity federation with a token in a file or at a URL), the metadata server.
 * @throws BullaError unauthorized, config-invalid, key-unavailable
 */
export async function gcpToken(sources: KeySources): Promise<string> {
  const given = firstSet(sources, 'GOOGLE_OAUTH_ACCESS_TOKEN', 'CLOUDSDK_AUTH_ACCESS_TOKEN');
  if (given !== undefined) return given;
  const file = await credentialsFile(sources);
  if (file === undefined) return await metadataToken(sources);
  switch (file['type']) {
    case 'service_account':
      return await exchanged(sources, assertionOf(file), tokenUrl(file));
    case 'authorized_user':
      return await exchanged(
        sources,
        {
          grant_type: 'refresh_token',
          client_id: wanted(file, 'client_id'),
          client_secret: wanted(file, 'client_secret'),
          refresh_token: wanted(file, 'refresh_token'),
        },
        tokenUrl(file),
      );
    case 'external_account':
      return await federated(sources, file);
    default:
      throw new BullaError(
        'config-invalid',
        `the credentials of Google have the type ${String(file['type'])}`,
        {
          hint: 'service accounts, people and workload identity federation are known',
        },
      );
  }
}

async function credentialsFile(sources: KeySources): Promise<JsonObject | undefined> {
  const given = firstSet(sources, 'GOOGLE_APPLICATION_CREDENTIALS');
  const folder =
    firstSet(sources, 'CLOUDSDK_CONFIG') ?? join(firstSet(sources, 'HOME') ?? homedir(), '.config', 'gcloud');
  const path = given ?? join(folder, 'application_default_credentials.json');
  try {
    return parseJsonObject(await readSecretFile(path, { anyMode: true }), { what: path });
  } catch (error) {
    if (given === undefined && isBullaError(error, 'not-found')) return undefined;
    throw error;
  }
}

function wanted(file: JsonObject, name: string): string {
  const value = textIn(file, name);
  if (value !== undefined) return value;
  throw new BullaError('config-invalid', `the credentials of Google have no ${name}`, { hint: HINT });
}

/** The secrets in the file go to Google and nowhere else, whatever the file says. */
function tokenUrl(file: JsonObject, name = 'token_uri'): URL {
  const text = textIn(file, name) ?? 'https://oauth2.googleapis.com/token';
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLocal = url?.hostname === '127.0.0.1' || url?.hostname === 'localhost';
  if (url !== undefined && (url.protocol === 'https:' || isLocal)) return url;
  throw new BullaError('config-invalid', `the credentials of Google have a ${name} that is not https`, {
    hint: HINT,
  });
}

/** A signed request for a token (RFC 7523). */
function assertionOf(file: JsonObject): Record<string, string> {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object): string => base64url(utf8(JSON.stringify(value)));
  const head = part({ alg: 'RS256', typ: 'JWT', kid: textIn(file, 'private_key_id') });
  const claims = part({
    iss: wanted(file, 'client_email'),
    scope: SCOPE,
    aud: tokenUrl(file).href,
    iat: now,
    exp: now + 600,
  });
  const signature = createSign('sha256').update(`${head}.${claims}`).sign(wanted(file, 'private_key'));
  return {
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    assertion: `${head}.${claims}.${base64url(signature)}`,
  };
}

async function exchanged(
  sources: KeySources,
  form: Readonly<Record<string, string>>,
  url: URL,
): Promise<string> {
  const service = new KeyService(
    {
      name: 'the token service of Google',
      hint: HINT,
      words: (body) => textIn(body, 'error_description') ?? textIn(body, 'error'),
    },
    sources,
  );
  const answer = await service.ask({
    method: 'POST',
    url,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
    what: 'an access token',
    secrets: Object.values(form),
  });
  return tokenIn(answer, service);
}

function tokenIn(answer: JsonObject, service: KeyService, name = 'access_token'): string {
  const token = textIn(answer, name);
  if (token === undefined || /[^\x21-\x7e]/.test(token)) throw service.unexpected('an access token');
  return token;
}

/** A token of another issuer for one of Google, and that for one of a service account where the file names one. */
async function federated(sources: KeySources, file: JsonObject): Promise<string> {
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    audience: wanted(file, 'audience'),
    scope: 'https://www.googleapis.com/auth/cloud-platform',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    subject_token_type: wanted(file, 'subject_token_type'),
    subject_token: await subjectToken(sources, objectIn(file, 'credential_source')),
  };
  const token = await exchanged(sources, form, tokenUrl(file, 'token_url'));
  const account = textIn(file, 'service_account_impersonation_url');
  if (account === undefined) return token;
  const service = new KeyService(
    {
      name: 'the IAM of Google',
      hint: 'the identity needs roles/iam.workloadIdentityUser on the service account',
    },
    sources,
  );
  const answer = await service.ask({
    method: 'POST',
    url: tokenUrl(file, 'service_account_impersonation_url'),
    headers: { authorization: `Bearer ${token}` },
    body: { scope: [SCOPE] },
    what: 'an access token of the service account',
    secrets: [token],
  });
  return tokenIn(answer, service, 'accessToken');
}

/** @throws BullaError config-invalid for sources that run programs or sign requests */
async function subjectToken(sources: KeySources, source: JsonObject): Promise<string> {
  const path = textIn(source, 'file');
  const url = textIn(source, 'url');
  const format = objectIn(source, 'format');
  let text: string;
  if (path !== undefined) text = Buffer.from(await readSecretFile(path, { anyMode: true })).toString('utf8');
  else if (url !== undefined && URL.canParse(url)) {
    const service = new KeyService({ name: 'the source of the identity token', hint: HINT }, sources);
    const given = Object.entries(objectIn(source, 'headers')).map(([name, value]) => [
      name.toLowerCase(),
      String(value),
    ]);
    const headers = Object.fromEntries(given) as Record<string, string>;
    text = await service.askForText({
      method: 'GET',
      url: tokenUrl({ url }, 'url'),
      headers,
      what: 'the identity token',
      secrets: Object.values(headers),
    });
  } else
    throw new BullaError(
      'config-invalid',
      'the credentials of Google take their token from a source that is not a file or URL',
      {
        hint: 'set GOOGLE_OAUTH_ACCESS_TOKEN to the output of `gcloud auth print-access-token`',
      },
    );
  if (format['type'] !== 'json') return text.trim();
  const body = parseJsonObject(utf8(text), { what: 'the identity token', floats: true });
  return wanted(body, textIn(format, 'subject_token_field_name') ?? 'access_token');
}

async function metadataToken(sources: KeySources): Promise<string> {
  const host = firstSet(sources, 'GCE_METADATA_HOST') ?? 'metadata.google.internal';
  const service = new KeyService(
    { name: 'the metadata server of Google', hint: 'give the machine a service account', isNear: true },
    sources,
  );
  try {
    const answer = await service.ask({
      method: 'GET',
      url: new URL(`http://${host}/computeMetadata/v1/instance/service-accounts/default/token`),
      headers: { 'metadata-flavor': 'Google' },
      what: 'an access token',
    });
    return tokenIn(answer, service);
  } catch (cause) {
    if (!isBullaError(cause, 'key-unavailable', 'timeout', 'not-found')) throw cause;
    throw new BullaError('unauthorized', 'there are no credentials for Google Cloud', { cause, hint: HINT });
  }
}
