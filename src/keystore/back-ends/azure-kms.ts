import { createHash } from 'node:crypto';
import type { Algorithm, AlgorithmId } from '../../crypto/algorithm.ts';
import { publicKeyFromJwk } from '../../crypto/public-key.ts';
import { base64url, decodeUtf8, fromBase64url } from '../../encoding/bytes.ts';
import type { JsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { KeyBackEnd, KeyHandle, KeySources } from '../back-end.ts';
import { readPublicFile } from '../read.ts';
import { bytesIn, each, firstSet, KeyService, objectIn, preferring, taken, textIn } from './service.ts';

const VERSION = '7.4';
const WRITTEN = /^azurekms:\/\/([A-Za-z0-9.-]+(?::\d+)?)\/([A-Za-z0-9-]{1,127})(?:\/([A-Za-z0-9]{1,64}))?$/i;
/** Domains of Key Vault and Managed HSM, in all clouds: a token goes nowhere else. */
const DOMAINS = [
  'vault.azure.net',
  'vault.azure.cn',
  'vault.usgovcloudapi.net',
  'managedhsm.azure.net',
  'managedhsm.azure.cn',
  'managedhsm.usgovcloudapi.net',
];
const CURVES: ReadonlyMap<string, AlgorithmId> = new Map([
  ['P-256', 'ES256'],
  ['P-384', 'ES384'],
  ['P-521', 'ES512'],
]);
const RSA: readonly AlgorithmId[] = ['PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'];
const HINT = 'the identity needs the role Key Vault Crypto User on that key';

/** Keys of Azure Key Vault and Managed HSM: `azurekms://VAULT.vault.azure.net/KEY[/VERSION]`, asked by the HTTP API. */
export const AZURE_KMS: KeyBackEnd = {
  async find(uri, sources): Promise<KeyHandle> {
    const [, host = '', key = '', version = ''] = WRITTEN.exec(uri) ?? [];
    const base = vaultOf(uri, host);
    const { ask, service } = asking(base, key, sources);
    const jwk = objectIn(await ask(`keys/${key}/${version}`), 'key');
    const kid = /\/keys\/[^/]+\/([A-Za-z0-9]{1,64})$/.exec(textIn(jwk, 'kid') ?? '')?.[1];
    if (kid === undefined) throw service.unexpected(`the key ${key}`);
    const operations = jwk['key_ops'];
    if (Array.isArray(operations) && !operations.includes('sign'))
      throw new BullaError(
        'key-invalid',
        `the key ${key} is for ${operations.join(', ')}, not for signatures`,
        {
          hint: 'allow the operation "sign", or make another key',
        },
      );
    const { kty, crv, x, y, n, e } = jwk;
    const plain = { kty: String(kty).replace(/-HSM$/, ''), crv, x, y, n, e };
    const publicKey = publicKeyFromJwk(defined(plain), `the key ${key}`);
    const curve = CURVES.get(String(crv));
    return {
      name: `azurekms://${base.host}/${key}`,
      publicKey,
      algorithms: preferring(publicKey, curve === undefined ? RSA : [curve]),
      open:
        async () =>
        (algorithm, messages, { signal }) =>
          each(messages, async (message) => {
            const asked = await ask(
              `keys/${key}/${kid}/sign`,
              { alg: algorithm.id, value: base64url(digestOf(algorithm, message)) },
              signal,
            );
            const signature = bytesIn(asked, 'value', fromBase64url);
            if (signature === undefined) throw service.unexpected(`the key ${key}`);
            return signature;
          }),
    };
  },
  async generate(uri, type, sources): Promise<void> {
    const [, host = '', key = '', version] = WRITTEN.exec(uri) ?? [];
    const base = vaultOf(uri, host);
    if (version !== undefined || type === 'Ed25519')
      throw new BullaError('usage', `Azure Key Vault does not make a ${type} key at ${uri}`, {
        hint: 'write azurekms://VAULT.vault.azure.net/KEY; P-256, P-384 and P-521 are made',
      });
    const { ask } = asking(base, key, sources);
    const isThere = await ask(`keys/${key}/`).then(
      () => true,
      (error: unknown) => {
        if (!isBullaError(error, 'not-found')) throw error;
        return false;
      },
    );
    if (isThere) throw taken(uri);
    await ask(`keys/${key}/create`, { kty: 'EC', crv: type, key_ops: ['sign', 'verify'] });
  },
};

type Ask = (path: string, body?: JsonObject, signal?: AbortSignal) => Promise<JsonObject>;

function asking(
  base: URL,
  key: string,
  sources: KeySources,
): { readonly ask: Ask; readonly service: KeyService } {
  const words = (body: JsonObject): string | undefined => textIn(objectIn(body, 'error'), 'message');
  const service = new KeyService({ name: 'Azure Key Vault', hint: HINT, words }, sources);
  let token: Promise<string> | undefined;
  const ask: Ask = async (path, body, signal) => {
    token ??= azureToken(sources, base.hostname);
    const bearer = await token;
    return await service.ask({
      method: body === undefined ? 'GET' : 'POST',
      url: new URL(`${path}?api-version=${VERSION}`, base),
      headers: { authorization: `Bearer ${bearer}` },
      body,
      what: `the key ${key}`,
      secrets: [bearer],
      signal,
    });
  };
  return { ask, service };
}

function defined(jwk: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(jwk).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

/** @throws BullaError usage */
function vaultOf(uri: string, host: string): URL {
  const isLocal = /^127\.0\.0\.1:\d+$/.test(host);
  const isVault = DOMAINS.some((domain) => host.toLowerCase().endsWith(`.${domain}`));
  if (isLocal || isVault) return new URL(`${isLocal ? 'http' : 'https'}://${host}/`);
  throw new BullaError('usage', `${uri} does not name a key of Azure Key Vault`, {
    hint: 'write azurekms://VAULT.vault.azure.net/KEY or azurekms://VAULT.vault.azure.net/KEY/VERSION',
  });
}

function digestOf({ hash }: Algorithm, message: Uint8Array): Uint8Array {
  return createHash(hash as string)
    .update(message)
    .digest();
}

/**
 * An access token: AZURE_ACCESS_TOKEN, a service principal (AZURE_TENANT_ID, AZURE_CLIENT_ID and
 * AZURE_CLIENT_SECRET), workload identity (AZURE_FEDERATED_TOKEN_FILE), the managed identity of the machine.
 * @throws BullaError unauthorized, key-unavailable
 */
async function azureToken(sources: KeySources, vault: string): Promise<string> {
  const given = firstSet(sources, 'AZURE_ACCESS_TOKEN');
  if (given !== undefined) return given;
  const resource = `https://${vault.split('.').slice(1).join('.') || 'vault.azure.net'}`;
  const [tenant, client, secret, file] = [
    'AZURE_TENANT_ID',
    'AZURE_CLIENT_ID',
    'AZURE_CLIENT_SECRET',
    'AZURE_FEDERATED_TOKEN_FILE',
  ].map((name) => firstSet(sources, name));
  if (tenant === undefined || client === undefined || (secret ?? file) === undefined)
    return await managedToken(sources, resource, client);
  const proof =
    secret === undefined
      ? {
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: decodeUtf8(await readPublicFile(file as string), file as string).trim(),
        }
      : { client_secret: secret };
  const words = (body: JsonObject): string | undefined => textIn(body, 'error_description');
  const service = new KeyService(
    {
      name: 'the token service of Azure',
      hint: 'check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret',
      words,
    },
    sources,
  );
  const authority = firstSet(sources, 'AZURE_AUTHORITY_HOST') ?? 'https://login.microsoftonline.com/';
  const form = {
    grant_type: 'client_credentials',
    client_id: client,
    scope: `${resource}/.default`,
    ...proof,
  };
  const answer = await service.ask({
    method: 'POST',
    url: new URL(
      `${encodeURIComponent(tenant)}/oauth2/v2.0/token`,
      authority.endsWith('/') ? authority : `${authority}/`,
    ),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
    what: 'an access token',
    secrets: Object.values(proof),
  });
  return tokenIn(answer, service);
}

/** Of App Service and Functions by IDENTITY_ENDPOINT, of a virtual machine by its metadata service. */
async function managedToken(
  sources: KeySources,
  resource: string,
  client: string | undefined,
): Promise<string> {
  const endpoint = firstSet(sources, 'IDENTITY_ENDPOINT');
  const header = firstSet(sources, 'IDENTITY_HEADER');
  const isApp = endpoint !== undefined && header !== undefined;
  const url = new URL(isApp ? endpoint : 'http://169.254.169.254/metadata/identity/oauth2/token');
  url.searchParams.set('api-version', isApp ? '2019-08-01' : '2018-02-01');
  url.searchParams.set('resource', resource);
  if (client !== undefined) url.searchParams.set('client_id', client);
  const service = new KeyService(
    { name: 'the metadata service of Azure', hint: 'give the machine a managed identity', isNear: true },
    sources,
  );
  try {
    const headers: Record<string, string> = isApp ? { 'x-identity-header': header } : { metadata: 'true' };
    return tokenIn(
      await service.ask({ method: 'GET', url, headers, what: 'an access token', secrets: [header ?? ''] }),
      service,
    );
  } catch (cause) {
    if (!isBullaError(cause, 'key-unavailable', 'timeout', 'not-found')) throw cause;
    throw new BullaError('unauthorized', 'there are no credentials for Azure', {
      cause,
      hint: 'set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or AZURE_ACCESS_TOKEN',
    });
  }
}

function tokenIn(answer: JsonObject, service: KeyService): string {
  const token = textIn(answer, 'access_token');
  if (token === undefined || /[^\x21-\x7e]/.test(token)) throw service.unexpected('an access token');
  return token;
}
