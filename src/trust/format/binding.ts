import type { Certificate } from '../../crypto/certificate.ts';
import { base64 } from '../../encoding/bytes.ts';
import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { digestOf, hexOf } from '../../oci/digest.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';

/** Name of the signed member by which every file of a collection says where it belongs. */
export const BINDING = 'bulla';

declare const collectionIdBrand: unique symbol;
/** Hex SHA-256 of a collection's 1.root.json: what a collection is, wherever it lies. */
export type CollectionId = string & { readonly [collectionIdBrand]: true };

/** What a root says about its collection. */
export interface RootBinding {
  /** `HOST/REPOSITORY` under which the collection was made. */
  readonly collection: string;
  readonly id: CollectionId;
}

/** Id of the collection that begins with this file. */
export function collectionIdOf(firstRoot: Uint8Array): CollectionId {
  return hexOf(digestOf(firstRoot)) as CollectionId;
}

/** @throws BullaError content-invalid */
export function parseCollectionId(text: string): CollectionId {
  if (/^[0-9a-f]{64}$/.test(text)) return text as CollectionId;
  throw new BullaError(
    'content-invalid',
    `${JSON.stringify(text.slice(0, 80))} is not the id of a collection`,
    {
      hint: 'it is the SHA-256 of 1.root.json: 64 lower-case hexadecimal digits',
    },
  );
}

/**
 * What a root says it belongs to (spec/trust.md, "Binding"). Only the first is known by its own hash.
 * @throws BullaError trust-invalid (details.reason `binding`) where it does not say it
 */
export function rootBindingOf(file: MetadataFile): RootBinding {
  const binding = bindingOf(file);
  const collection = textOf(file, binding, 'collection');
  if (file.signed['version'] === 1) return { collection, id: collectionIdOf(file.bytes) };
  const id = textOf(file, binding, 'root');
  if (!/^[0-9a-f]{64}$/.test(id)) throw unbound(file, 'its bulla.root is not a SHA-256');
  return { collection, id: id as CollectionId };
}

/** A further demand on every file that TUF has verified. @throws BullaError trust-invalid */
export type BindingCheck = (file: MetadataFile) => void;

/**
 * Demands of every verified file that it was made for this collection and for the role that it is used
 * for, so that no file of another collection or role serves, even where keys are shared.
 * @param names `HOST/REPOSITORY` names that the collection may carry
 */
export function bindingCheck(id: CollectionId, names: (collection: string) => boolean): BindingCheck {
  return (file) => {
    if (file.role === 'root') {
      const root = rootBindingOf(file);
      if (root.id !== id)
        throw unbound(file, `it belongs to the collection ${short(root.id)}, not ${short(id)}`);
      if (!names(root.collection))
        throw unbound(file, `it was made for ${JSON.stringify(root.collection)}`, root.collection);
      return;
    }
    const binding = bindingOf(file);
    const root = textOf(file, binding, 'root');
    if (root !== id) throw unbound(file, `it belongs to the collection ${short(root)}, not ${short(id)}`);
    const role = textOf(file, binding, 'role');
    if (role !== file.role) throw unbound(file, `it was made for the role ${JSON.stringify(role)}`);
  };
}

/** The binding of a new root. @param id left out for the first, which can't hold its own hash */
export function rootBinding(collection: string, id?: CollectionId): JsonObject {
  return { collection, ...(id !== undefined && { root: id }) };
}

/**
 * The binding of a new root with certificates of its root keys, for readers who pin an authority
 * (spec/trust-reading.md, "Authorities"): those that are given, else those that it has.
 * @param root the new root's content, its keys and binding among it
 * @param certificates by key id, the key's own first
 */
export function certifiedBinding(
  root: JsonObject,
  certificates: ReadonlyMap<string, readonly Certificate[]>,
): JsonObject {
  const { certificates: present, ...binding } = root[BINDING] as JsonObject;
  const role = (root['roles'] as JsonObject)['root'] as JsonObject;
  const byKey: JsonObject = Object.create(null);
  for (const keyid of role['keyids'] as string[]) {
    const given = certificates.get(keyid)?.map(({ der }) => base64(der));
    const value = given ?? (isJsonObject(present) ? present[keyid] : undefined);
    if (value !== undefined) byKey[keyid] = value;
  }
  return Object.keys(byKey).length === 0 ? binding : { ...binding, certificates: byKey };
}

/** The binding of a new file of another role. @param more what else the role says: `log`, `created` */
export function roleBinding(id: CollectionId, role: string, more: JsonObject = {}): JsonObject {
  return { ...more, root: id, role };
}

/** The member, as a file has it; for what else it holds. @throws BullaError trust-invalid */
export function bindingOf(file: MetadataFile): JsonObject {
  const binding = file.signed[BINDING];
  if (isJsonObject(binding)) return binding;
  throw unbound(file, 'it does not say which collection it belongs to');
}

/** When a timestamp was made, by its maker's clock. @throws BullaError trust-invalid */
export function createdIn(timestamp: MetadataFile): Date | undefined {
  const created = bindingOf(timestamp)['created'];
  return typeof created === 'string' ? parseTime(created) : undefined;
}

function textOf(file: MetadataFile, binding: JsonObject, name: string): string {
  const value = binding[name];
  if (typeof value === 'string') return value;
  throw unbound(file, `its ${BINDING}.${name} is missing`);
}

function short(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : JSON.stringify(id.slice(0, 80));
}

function unbound(file: MetadataFile, why: string, collection?: string): BullaError {
  const { role } = file;
  return new BullaError('trust-invalid', `metadata of ${JSON.stringify(role)} does not belong here: ${why}`, {
    hint:
      collection === undefined
        ? 'the head was assembled from other collections: tell the operator of the registry'
        : `if this repository is a copy of it on purpose, say so: --collection ${inCommand(collection)}`,
    details: { role, reason: 'binding', ...(collection !== undefined && { collection }) },
  });
}

/** A root may contain any text, and a hint must not suggest pasting that into a shell. */
function inCommand(collection: string): string {
  return /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,300}$/.test(collection) ? collection : 'NAME';
}
