import { dirname, join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { readFileBounded } from '../disk/atomic.ts';
import { decodeUtf8 } from '../encoding/bytes.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { isLoopbackHost } from '../http/address.ts';
import type { TlsOptions } from '../http/connector.ts';
import { childEnvironment } from '../programs/environment.ts';
import { ask } from '../programs/run.ts';

/** Where an API server is, and who we are there. */
export interface ClusterAccess {
  readonly url: URL;
  readonly namespace: string;
  readonly tls: TlsOptions;
  /** The token as it is now, for each request: Kubernetes replaces it every hour. Undefined with a client certificate. */
  readonly token: () => Promise<string | undefined>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const MAX_TOKEN_BYTES = 64 * 1024;
const MAX_CONFIG_BYTES = 1024 * 1024;
const EXEC_MS = 60_000;

/**
 * What every pod has that may use the API server.
 * @throws BullaError usage outside of a cluster
 */
export async function podAccess(env: Environment): Promise<ClusterAccess> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (host === undefined || host === '')
    throw new BullaError('usage', 'this is not a pod of Kubernetes', {
      hint: 'run it in a cluster, with a service account',
    });
  const bare = host.includes(':') ? `[${host}]` : host;
  return {
    url: new URL(`https://${bare}:${port ?? '443'}`),
    namespace: (await text(`${ACCOUNT}/namespace`, 1024)).trim(),
    tls: { ca: await text(`${ACCOUNT}/ca.crt`, MAX_CONFIG_BYTES) },
    token: tokenIn(`${ACCOUNT}/token`),
  };
}

/** A token in a file, read again for each request. */
export function tokenIn(path: string): ClusterAccess['token'] {
  return async () => (await text(path, MAX_TOKEN_BYTES)).trim();
}

/**
 * The cluster of the current context of a kubeconfig: the first file that KUBECONFIG names, else `~/.kube/config`.
 * @param home directory of the user
 * @throws BullaError config-invalid, not-found, storage-error
 */
export async function kubeconfigAccess(env: Environment, home: string): Promise<ClusterAccess> {
  const path = env['KUBECONFIG']?.split(':').find((one) => one !== '') ?? join(home, '.kube', 'config');
  const config = configIn(await text(path, MAX_CONFIG_BYTES), path);
  const folder = dirname(resolve(path));
  const context = named(config, 'contexts', 'context', config['current-context'], path);
  const cluster = named(config, 'clusters', 'cluster', context['cluster'], path);
  const user = named(config, 'users', 'user', context['user'], path);
  const server = textOf(cluster['server']);
  if (server === undefined || !/^https?:/.test(server) || !URL.canParse(server))
    throw invalid(path, 'its cluster has no server');
  const url = new URL(server);
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname))
    throw invalid(path, 'it asks its cluster without TLS, and keys are not read so');
  if (cluster['insecure-skip-tls-verify'] === true)
    throw invalid(path, 'it turns the checks of TLS off, and keys are not read so');
  const data = (object: JsonObject, name: string): Promise<string | undefined> =>
    member(object, name, folder);
  return {
    url,
    namespace: textOf(context['namespace']) ?? 'default',
    tls: {
      ca: await data(cluster, 'certificate-authority'),
      cert: await data(user, 'client-certificate'),
      key: await data(user, 'client-key'),
    },
    token: tokenOf(user, folder, env),
  };
}

/** In a pod its service account, anywhere else the kubeconfig. @throws BullaError as these */
export async function clusterAccess(env: Environment, home: string): Promise<ClusterAccess> {
  const isPod = (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '' && (env['KUBECONFIG'] ?? '') === '';
  return isPod ? await podAccess(env) : await kubeconfigAccess(env, home);
}

function configIn(yaml: string, path: string): JsonObject {
  const document = parseDocument(yaml, { prettyErrors: false });
  const value: unknown = document.errors.length === 0 ? document.toJS({ maxAliasCount: 0 }) : undefined;
  if (!isJsonObject(value as JsonValue)) throw invalid(path, 'it is not YAML with an object');
  return value as JsonObject;
}

function named(
  config: JsonObject,
  list: string,
  kind: string,
  name: JsonValue | undefined,
  path: string,
): JsonObject {
  const all = config[list];
  const entry = (Array.isArray(all) ? all : []).filter(isJsonObject).find((one) => one['name'] === name);
  const value = entry?.[kind];
  if (name === undefined || !isJsonObject(value))
    throw invalid(path, `it has no ${kind} ${JSON.stringify(name ?? '')}`);
  return value;
}

/** PEM in the file that `name` names, or in base64 in `name-data`. */
async function member(object: JsonObject, name: string, folder: string): Promise<string | undefined> {
  const data = textOf(object[`${name}-data`]);
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
  const path = textOf(object[name]);
  return path === undefined ? undefined : await text(resolve(folder, path), MAX_CONFIG_BYTES);
}

function tokenOf(user: JsonObject, folder: string, env: Environment): ClusterAccess['token'] {
  const token = textOf(user['token']);
  if (token !== undefined) return async () => token;
  const path = textOf(user['tokenFile']);
  if (path !== undefined) return tokenIn(resolve(folder, path));
  const program = user['exec'];
  return isJsonObject(program) ? () => tokenFrom(program, folder, env) : async () => undefined;
}

/** Asks a credential plug-in (client.authentication.k8s.io ExecCredential). */
async function tokenFrom(program: JsonObject, folder: string, env: Environment): Promise<string> {
  const command = textOf(program['command']) ?? '';
  const apiVersion = textOf(program['apiVersion']) ?? 'client.authentication.k8s.io/v1';
  const variables = (Array.isArray(program['env']) ? program['env'] : []).filter(isJsonObject);
  const args = (Array.isArray(program['args']) ? program['args'] : []).map(String);
  const broken = (how: string, cause?: unknown): BullaError =>
    new BullaError('config-invalid', `the credential plug-in ${command} of the kubeconfig ${how}`, {
      cause,
      hint: 'see whether kubectl works',
    });
  const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  const { status, stdout } = await ask({
    command: command.includes('/') ? resolve(folder, command) : command,
    args,
    input: '',
    env: {
      ...childEnvironment(env),
      ...Object.fromEntries(variables.map(({ name, value }) => [String(name), String(value)])),
      KUBERNETES_EXEC_INFO: JSON.stringify(info),
    },
    timeoutMs: EXEC_MS,
    maxOutput: MAX_CONFIG_BYTES,
  }).catch((cause: unknown) => {
    throw broken('cannot be run', cause);
  });
  if (status !== 0) throw broken(`ended with status ${status ?? 'of a signal'}`);
  try {
    const answer = parseJsonObject(stdout, { what: 'its answer', maxBytes: MAX_CONFIG_BYTES, floats: true })[
      'status'
    ];
    const token = isJsonObject(answer) ? textOf(answer['token']) : undefined;
    if (token !== undefined) return token;
  } catch (error) {
    // Its text may hold a part of the token, so that it was wrong is enough.
    if (!isBullaError(error)) throw error;
  }
  throw broken('gave no token');
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

async function text(path: string, maxBytes: number): Promise<string> {
  return decodeUtf8(await readFileBounded(path, maxBytes), path);
}

function invalid(path: string, why: string): BullaError {
  return new BullaError('config-invalid', `the kubeconfig ${path} cannot be used: ${why}`, {
    hint: 'see whether kubectl works with it: kubectl config view --minify',
  });
}
