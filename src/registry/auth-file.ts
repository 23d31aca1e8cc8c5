import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno, makeDirectory, readFileBounded, writeFileAtomic } from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { fromBase64, utf8 } from '../encoding/bytes.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { canonicalHost } from '../oci/host.ts';
import type { Credentials } from './credentials.ts';

const MAX_FILE = 4 * 1024 * 1024;
/** Docker Hub's key in docker's configuration, from its first version. */
const HUB_KEY = 'https://index.docker.io/v1/';

/** A docker `config.json` or podman `auth.json`. */
export interface AuthFile {
  readonly path: string;
  readonly json: JsonObject;
}

/**
 * Reads a credential file; undefined where there is none.
 * @throws BullaError config-invalid, storage-error
 */
export async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readFileBounded(path, MAX_FILE, { pipes: true });
  } catch (error) {
    if (isBullaError(error, 'not-found')) return undefined;
    throw error;
  }
  // Editors of Windows put a mark of byte order first.
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3);
  if (bytes.byteLength === 0) return { path, json: emptyObject() };
  try {
    return { path, json: parseJsonObject(bytes, { what: path, maxBytes: MAX_FILE, floats: true }) };
  } catch (cause) {
    throw new BullaError('config-invalid', `${path} is not a valid credential file`, {
      cause,
      hint: 'repair its JSON, or remove it and log in again',
    });
  }
}

/** Where credentials may stand in a file for a repository: the longest path first, then the host. */
export function keysFor(registry: string, repository: string | undefined): readonly string[] {
  const parts = repository === undefined ? [] : repository.split('/');
  const paths = parts.map((_, at) => `${registry}/${parts.slice(0, parts.length - at).join('/')}`);
  const hosts = [
    registry,
    `https://${registry}`,
    `https://${registry}/`,
    `http://${registry}`,
    `http://${registry}/`,
  ];
  const old = [`https://${registry}/v1/`, `https://${registry}/v2/`];
  if (registry !== 'docker.io') return [...paths, ...hosts, ...old];
  return [...paths, HUB_KEY, 'docker.io', 'https://docker.io', 'index.docker.io', 'registry-1.docker.io'];
}

/** Entries of a file by key, in whatever spelling the file has it. */
function entriesOf(json: JsonObject): (key: string) => JsonValue | undefined {
  let others: ReadonlyMap<string, JsonValue> | undefined;
  return (key) => {
    if (json[key] !== undefined) return json[key];
    if (others === undefined) {
      const found = new Map<string, JsonValue>();
      for (const [key, value] of Object.entries(json)) {
        for (const spelling of spellingsOf(key)) if (!found.has(spelling)) found.set(spelling, value);
      }
      others = found;
    }
    return others.get(canonicalKey(key));
  };
}

/**
 * The host that a key of a file means: with a scheme, an old path of the API or a slash at its end, the host; with a
 * scheme and any other path, the host as well, as docker reads it. Without a scheme, a path is podman's: the
 * repositories below it.
 */
export function spellingsOf(key: string): readonly string[] {
  const canonical = canonicalKey(key);
  const [, scheme, host = '', path = ''] = /^(https?:\/\/)?([^/]*)(.*)$/is.exec(canonical) ?? [];
  const bare = path.replace(/^\/v[12]\/?$/, '').replace(/\/+$/, '');
  return [canonical, `${host}${bare}`, ...(scheme === undefined ? [] : [host])];
}

/** A member of a file; docker does not tell capital letters from small ones. */
function memberOf(json: JsonObject, name: string): JsonValue | undefined {
  if (json[name] !== undefined) return json[name];
  const key = Object.keys(json).find((one) => one.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : json[key];
}

/** A key of a file with its host in canonical spelling, as in references; other text unchanged. */
export function canonicalKey(key: string): string {
  const [, scheme = '', host = '', rest = ''] = /^(https?:\/\/)?([^/]*)(.*)$/is.exec(key) ?? [];
  return `${scheme}${canonicalHost(host) ?? host}${rest}`;
}

/** Name by which helpers and files know a registry. */
export function serverKey(registry: string): string {
  return registry === 'docker.io' ? HUB_KEY : registry;
}

/** The helper that a file names for this registry (`credHelpers`); empty where it says that there is none for it. */
export function ownHelperOf(file: AuthFile, registry: string): string | undefined {
  const helpers = memberOf(file.json, 'credHelpers');
  if (!isJsonObject(helpers)) return undefined;
  const find = entriesOf(helpers);
  for (const key of keysFor(registry, undefined)) {
    const helper = find(key);
    if (typeof helper === 'string') return helper;
  }
  return undefined;
}

/** The helper that a file names for a registry: `credHelpers` before `credsStore`. */
export function helperOf(file: AuthFile, registry: string): string | undefined {
  const own = ownHelperOf(file, registry);
  if (own !== undefined) return own === '' ? undefined : own;
  // Docker Desktop wrote the second of them for a while.
  const store = memberOf(file.json, 'credsStore') ?? memberOf(file.json, 'credSstore');
  return typeof store === 'string' && store !== '' ? store : undefined;
}

/**
 * Credentials that stand in the file itself.
 * @param note called with entries for the registry that are ignored, and why
 * @throws BullaError config-invalid where the entry is broken; its content is not shown
 */
export function credentialsIn(
  file: AuthFile,
  registry: string,
  repository: string | undefined,
  note: (line: string) => void = () => undefined,
): Credentials | undefined {
  const auths = memberOf(file.json, 'auths');
  if (!isJsonObject(auths)) return undefined;
  const find = entriesOf(auths);
  const seen = new Set<JsonValue>();
  for (const key of keysFor(registry, repository)) {
    const entry = find(key);
    if (entry === undefined) continue;
    const where = `${file.path}: the entry ${key}`;
    const found = isJsonObject(entry) ? readEntry(entry, where) : undefined;
    if (found !== undefined) return found;
    // One entry can be found by several keys.
    if (seen.has(entry)) continue;
    seen.add(entry);
    note(`${where} is ignored: it has no auth, identitytoken, registrytoken or username`);
  }
  return undefined;
}

function readEntry(entry: JsonObject, where: string): Credentials | undefined {
  const text = (name: string): string => {
    const value = memberOf(entry, name);
    return typeof value === 'string' ? value : '';
  };
  // As docker does: who has a token for the registry needs no token server.
  const registryToken = text('registrytoken').trim();
  if (registryToken !== '') {
    if (/^[\x21-\x7e]+$/.test(registryToken)) return { kind: 'registry', token: registryToken };
    throw new BullaError('config-invalid', `${where} has a registrytoken that cannot stand in a header`, {
      hint: 'take it out, or log in again with `bulla login`',
    });
  }
  if (text('identitytoken') !== '') return { kind: 'identity', token: text('identitytoken') };
  if (text('auth') !== '') return decodeAuth(text('auth'), where);
  if (text('username') !== '')
    return { kind: 'basic', username: text('username'), password: text('password') };
  // Empty entries only say that a helper has it.
  return undefined;
}

function decodeAuth(auth: string, where: string): Credentials {
  const text = auth.replace(/\s+/g, '');
  const bytes = fromBase64(text) ?? fromBase64(text.padEnd(Math.ceil(text.length / 4) * 4, '='));
  const pair = bytes === undefined ? '' : Buffer.from(bytes).toString('utf8').replace(/\0+$/, '');
  const colon = pair.indexOf(':');
  if (colon > 0) return { kind: 'basic', username: pair.slice(0, colon), password: pair.slice(colon + 1) };
  throw new BullaError('config-invalid', `${where} is not the base64 of user:password`, {
    hint: 'log in again with `bulla login`',
  });
}

/**
 * Changes the `auths` of a file, and nothing else in it: under a lock, atomically, readable by the
 * owner only. A file that is not there is made.
 * @throws BullaError config-invalid, storage-error
 */
export async function changeAuths(
  path: string,
  change: (auths: Map<string, JsonValue>) => boolean,
): Promise<boolean> {
  const target = await followLinks(path);
  await makeDirectory(dirname(target), 0o700);
  return await withLock(`${target}.lock`, async () => {
    const file = (await readAuthFile(target)) ?? { path: target, json: emptyObject() };
    // Where the file spells it otherwise, it is that member that is read, and changed.
    const member = Object.keys(file.json).find((name) => name.toLowerCase() === 'auths') ?? 'auths';
    const name = file.json['auths'] === undefined ? member : 'auths';
    const before = file.json[name];
    const auths = new Map(isJsonObject(before) ? Object.entries(before) : []);
    if (!change(auths)) return false;
    const json = { ...file.json, [name]: Object.fromEntries(auths) };
    await writeFileAtomic(target, utf8(`${JSON.stringify(json, null, '\t')}\n`), { mode: 0o600 });
    return true;
  });
}

/** A configuration that is a link into a collection of dot files stays one. */
async function followLinks(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return path;
    throw error;
  }
}

function emptyObject(): JsonObject {
  return Object.create(null) as JsonObject;
}
