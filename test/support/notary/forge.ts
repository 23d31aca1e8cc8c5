import {
  constants,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { formatPem } from '../../../src/crypto/pem.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { base64, utf8 } from '../../../src/encoding/bytes.ts';
import { canonicalOlpc } from '../../../src/encoding/canonical.ts';
import type { JsonObject, JsonValue } from '../../../src/encoding/json.ts';
import type { NotaryFileName, NotarySource } from '../../../src/notary/source.ts';
import { type Certified, certify } from '../certificates.ts';
import { rsaKeys } from '../rsa-keys.ts';

export type ForgedKeyType = 'P-256' | 'P-384' | 'P-521' | 'P-224' | 'RSA' | 'RSA-1024' | 'Ed25519';

/** A key of Notary v1 that signs. */
export interface ForgedKey {
  readonly id: string;
  /** Id of the bare key. */
  readonly keystoreId: string;
  readonly json: JsonObject;
  readonly publicPem: string;
  readonly privateKey: KeyObject;
  readonly method: string;
  sign(message: Uint8Array): Uint8Array;
}

export interface ForgeKeyOptions {
  /** Common name of the certificate that it comes in. */
  readonly cn?: string;
  readonly issuer?: Certified;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Of RSA keys, how they sign. */
  readonly method?: 'rsapss' | 'rsapkcs1v15' | 'pycrypto-pkcs#1 pss';
  /** The same key in another dress. */
  readonly of?: ForgedKey;
}

const CURVES: ReadonlyMap<string, string> = new Map([
  ['P-224', 'secp224r1'],
  ['P-256', 'prime256v1'],
  ['P-384', 'secp384r1'],
  ['P-521', 'secp521r1'],
]);

function generate(type: ForgedKeyType): KeyObject {
  const curve = CURVES.get(type);
  if (curve !== undefined) return generateKeyPairSync('ec', { namedCurve: curve }).privateKey;
  if (type === 'Ed25519') return generateKeyPairSync('ed25519').privateKey;
  return rsaKeys(type === 'RSA' ? 2048 : 1024).privateKey;
}

function publicObject(key: KeyObject): { spki: Buffer; pem: string; raw: Buffer } {
  const object = createPublicKey(key);
  const spki = object.export({ type: 'spki', format: 'der' });
  return { spki, pem: String(object.export({ type: 'spki', format: 'pem' })), raw: spki.subarray(-32) };
}

export function idOf(json: JsonObject): string {
  return createHash('sha256').update(canonicalOlpc(json)).digest('hex');
}

export async function forgeKey(
  type: ForgedKeyType = 'P-256',
  options: ForgeKeyOptions = {},
): Promise<ForgedKey> {
  const privateKey = options.of?.privateKey ?? generate(type);
  const { spki, pem, raw } = publicObject(privateKey);
  const bareType = type.startsWith('RSA') ? 'rsa' : type === 'Ed25519' ? 'ed25519' : 'ecdsa';
  const bare: JsonObject = {
    keytype: bareType,
    keyval: { private: null, public: base64(bareType === 'ed25519' ? raw : spki) },
  };
  const { cn, issuer } = options;
  let json = bare;
  if (cn !== undefined) {
    const signer = createSigner(privateKey);
    const { certificate } = await certify(`CN=${cn}`, {
      key: signer,
      notBefore: options.notBefore ?? new Date('2020-01-01T00:00:00Z'),
      notAfter: options.notAfter ?? new Date('2040-01-01T00:00:00Z'),
      ...(issuer !== undefined && { issuer }),
    });
    const text = formatPem('CERTIFICATE', certificate.der);
    json = { keytype: `${bareType}-x509`, keyval: { private: null, public: base64(utf8(text)) } };
  }
  const method =
    options.method ?? (bareType === 'rsa' ? 'rsapss' : bareType === 'ed25519' ? 'eddsa' : 'ecdsa');
  return {
    id: idOf(json),
    keystoreId: idOf(bare),
    json,
    publicPem: pem,
    privateKey,
    method,
    sign(message) {
      if (method === 'eddsa') return sign(null, message, privateKey);
      if (method === 'ecdsa') return sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' });
      if (method === 'rsapkcs1v15') return sign('sha256', message, privateKey);
      return sign('sha256', message, {
        key: privateKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: 32,
      });
    },
  };
}

/** JSON as Go writes it: keys sorted, `& < >` escaped. */
export function goJson(value: JsonValue): string {
  const sorted = (part: JsonValue): JsonValue => {
    if (Array.isArray(part)) return part.map(sorted);
    if (part === null || typeof part !== 'object') return part;
    return Object.fromEntries(
      Object.keys(part)
        .sort()
        .map((key) => [key, sorted(part[key] as JsonValue)]),
    );
  };
  return JSON.stringify(sorted(value)).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A metadata file: the signed part with the signatures of some keys. */
export function signNotary(signed: JsonObject, keys: readonly ForgedKey[]): Uint8Array {
  const message = canonicalOlpc(signed);
  const signatures = keys.map((key) => ({
    keyid: key.id,
    method: key.method,
    sig: base64(key.sign(message)),
  }));
  return utf8(goJson({ signed, signatures }));
}

export interface ForgedRole {
  keys: ForgedKey[];
  threshold?: number;
  /** `['']` where left out. */
  paths?: string[] | null;
  targets?: Record<string, JsonValue>;
  version?: number;
  expires?: string;
  /** Delegated to, and nothing signed yet. */
  unsigned?: boolean;
}

export interface ForgedRepository {
  gun: string;
  root: ForgedKey[];
  rootThreshold?: number;
  targets: ForgedRole;
  snapshot: ForgedKey;
  timestamp: ForgedKey;
  /** `targets/a`, `targets/a/b`: in order. */
  delegations: Map<string, ForgedRole>;
  rootVersion?: number;
  rootExpires?: string;
  /** Keys that sign root beside its own, after a rotation. */
  oldRoot?: ForgedKey[];
  version?: number;
  expires?: string;
  timestampExpires?: string;
  /** Changes of signed parts before they are signed. */
  tamper?: Map<string, (signed: JsonObject) => void>;
  custom?: JsonObject;
}

export const GUN = 'registry.example.com/team/app';
export const NOW: Date = new Date('2026-11-30T12:00:00Z');
const LATER = '2029-11-19T23:51:18.682207445Z';

/** A target: what a role signs of a manifest. */
export function target(content: string, custom?: JsonValue): JsonObject {
  const hash = createHash('sha256').update(content).digest('base64');
  return {
    length: content.length,
    hashes: { sha256: hash, sha512: createHash('sha512').update(content).digest('base64') },
    ...(custom !== undefined && { custom }),
  };
}

export function digestOf(content: string): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/** A repository with one name, all keys P-256, the root key in a certificate. */
export async function forgeRepository(
  gun: string = GUN,
  keys: Partial<Record<'root' | 'targets' | 'snapshot' | 'timestamp', ForgedKey>> = {},
): Promise<ForgedRepository> {
  return {
    gun,
    root: [keys.root ?? (await forgeKey('P-256', { cn: gun }))],
    targets: { keys: [keys.targets ?? (await forgeKey())], targets: { v1: target('one') } },
    snapshot: keys.snapshot ?? (await forgeKey()),
    timestamp: keys.timestamp ?? (await forgeKey()),
    delegations: new Map(),
  };
}

function listKeys(keys: readonly ForgedKey[]): JsonObject {
  return Object.fromEntries(keys.map(({ id, json }) => [id, json]));
}

/** Root metadata of a repository. */
export function rootFile(repository: ForgedRepository): Uint8Array {
  const { root, targets, snapshot, timestamp, oldRoot = [] } = repository;
  const role = (keys: readonly ForgedKey[], threshold = 1): JsonObject => ({
    keyids: keys.map(({ id }) => id),
    threshold,
  });
  const signed: JsonObject = {
    _type: 'Root',
    consistent_snapshot: false,
    expires: repository.rootExpires ?? '2036-11-17T23:51:06.998521211Z',
    keys: listKeys([...root, ...targets.keys, snapshot, timestamp]),
    roles: {
      root: role(root, repository.rootThreshold),
      targets: role(targets.keys, targets.threshold),
      snapshot: role([snapshot]),
      timestamp: role([timestamp]),
    },
    version: repository.rootVersion ?? 1,
  };
  repository.tamper?.get('root')?.(signed);
  return signNotary(signed, [...root, ...oldRoot]);
}

function targetsFile(repository: ForgedRepository, name: string, role: ForgedRole): Uint8Array {
  const children = [...repository.delegations].filter(
    ([child]) => child.startsWith(`${name}/`) && !child.slice(name.length + 1).includes('/'),
  );
  const signed: JsonObject = {
    _type: 'Targets',
    delegations: {
      keys: listKeys(children.flatMap(([, { keys }]) => keys)),
      roles: children.map(([child, { keys, threshold = 1, paths = [''] }]) => ({
        name: child,
        keyids: keys.map(({ id }) => id),
        threshold,
        paths,
      })),
    },
    expires: role.expires ?? repository.expires ?? LATER,
    targets: role.targets ?? {},
    version: role.version ?? repository.version ?? 1,
  };
  repository.tamper?.get(name)?.(signed);
  return signNotary(signed, role.keys);
}

export function metaOf(bytes: Uint8Array): JsonObject {
  return {
    length: bytes.byteLength,
    hashes: {
      sha256: createHash('sha256').update(bytes).digest('base64'),
      sha512: createHash('sha512').update(bytes).digest('base64'),
    },
  };
}

/** Files by name without `.json`: `root`, `1.root`, `targets`, `targets/a`, `snapshot`, `timestamp`. */
export type ForgedFiles = Map<string, Uint8Array>;

/** Signs everything anew. `before` are files of earlier roots, which stay. */
export function publish(repository: ForgedRepository, before: ForgedFiles = new Map()): ForgedFiles {
  const files: ForgedFiles = new Map([...before].filter(([name]) => /^\d+\.root$/.test(name)));
  const root = rootFile(repository);
  files.set('root', root);
  files.set(`${repository.rootVersion ?? 1}.root`, root);
  files.set('targets', targetsFile(repository, 'targets', repository.targets));
  for (const [name, role] of repository.delegations)
    if (role.unsigned !== true) files.set(name, targetsFile(repository, name, role));
  const meta = Object.fromEntries(
    [...files].filter(([name]) => !/^\d+\.root$/.test(name)).map(([name, bytes]) => [name, metaOf(bytes)]),
  );
  const common = { expires: repository.expires ?? LATER, version: repository.version ?? 1 };
  const snapshot: JsonObject = { _type: 'Snapshot', ...common, meta };
  repository.tamper?.get('snapshot')?.(snapshot);
  files.set('snapshot', signNotary(snapshot, [repository.snapshot]));
  const timestamp: JsonObject = {
    _type: 'Timestamp',
    ...common,
    expires: repository.timestampExpires ?? '2026-12-14T00:00:00.5Z',
    meta: { snapshot: metaOf(files.get('snapshot') as Uint8Array) },
  };
  repository.tamper?.get('timestamp')?.(timestamp);
  files.set('timestamp', signNotary(timestamp, [repository.timestamp]));
  return files;
}

/** Files in memory as a source; counts what is asked. */
export class ForgedSource implements NotarySource {
  readonly place = 'https://notary.example.com/registry.example.com/team/app';
  readonly asked: NotaryFileName[] = [];
  files: ForgedFiles;

  constructor(files: ForgedFiles) {
    this.files = files;
  }

  async fetch(file: NotaryFileName, maxBytes: number): Promise<Uint8Array | undefined> {
    this.asked.push(file);
    const { role, version } = file;
    const bytes = this.files.get(version === undefined ? role : `${version}.${role}`);
    if (bytes !== undefined && bytes.byteLength > maxBytes) {
      const { BullaError } = await import('../../../src/errors.ts');
      throw new BullaError('content-invalid', `${role} is too large`);
    }
    return bytes;
  }
}
