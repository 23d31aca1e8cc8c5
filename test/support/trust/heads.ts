import { base64 } from '../../../src/encoding/bytes.ts';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { streamOf } from '../../../src/oci/content.ts';
import {
  type Annotations,
  type Descriptor,
  describe,
  EMPTY_BYTES,
  EMPTY_DESCRIPTOR,
} from '../../../src/oci/descriptor.ts';
import { buildArtifact, type ManifestContent } from '../../../src/oci/manifest.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { fetchFile, openTrustObject } from '../../../src/trust/format/object.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { FILE_NAME, HEAD_TAG, TRUST_LAYERS, TRUST_TYPES } from '../../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import type { VersionPolicy } from '../../../src/tuf/edit/policy.ts';
import { NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../tuf/editing.ts';
import { poolKey, signatureOf, type TestKey } from '../tuf/keys.ts';
import { readAny } from './changing.ts';
import { pushAssembly } from './collection.ts';

/** Metadata files by the names under which a head lists them. */
export type Files = Map<string, Uint8Array>;

/** The metadata files of the head that is there. */
export async function headFiles(store: Target): Promise<Files> {
  const object = await openTrustObject(store, await store.fetchManifest(HEAD_TAG));
  const files: Files = new Map();
  for (const [name, descriptor] of object.files) files.set(name, await fetchFile(store, descriptor, 1e7));
  return files;
}

export interface HeadShape {
  readonly artifactType?: string;
  readonly annotations?: Annotations;
  /** Carries no file in the manifest. */
  readonly bare?: boolean;
  /** Changes the layers before they are written. */
  readonly layers?: (layers: Descriptor[]) => Descriptor[];
  readonly tag?: Tag;
}

/** Pushes files as a head, whatever they are. */
export async function pushFiles(
  store: Target,
  files: Files,
  shape: HeadShape = {},
): Promise<ManifestContent> {
  const {
    artifactType = TRUST_TYPES.head,
    annotations,
    bare,
    layers = (same) => same,
    tag = HEAD_TAG,
  } = shape;
  const listed: Descriptor[] = [];
  await store.pushBlob(EMPTY_DESCRIPTOR, async () => streamOf(EMPTY_BYTES));
  for (const [name, bytes] of files) {
    const descriptor = describe(TRUST_LAYERS.metadata, bytes, { annotations: { [FILE_NAME]: name } });
    await store.pushBlob(descriptor, async () => streamOf(bytes));
    listed.push(bare === true ? descriptor : { ...descriptor, data: base64(bytes) });
  }
  const content = buildArtifact({
    artifactType,
    layers: layers(listed),
    ...(annotations !== undefined && { annotations }),
  });
  await store.pushManifest(content, { tag });
  return content;
}

/** The newest file of a role among the files of a head, with its name. */
export function fileOf(files: Files, role: string): { readonly name: string; readonly bytes: Uint8Array } {
  const found = [...files].filter(([name]) => name === `${role}.json` || name.endsWith(`.${role}.json`));
  const [name, bytes] = found.sort(([a], [b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10)).at(-1)!;
  return { name, bytes };
}

/** Changes the head with the usual keys and further ones. */
export async function changeWith(
  store: Target,
  make: (edit: CollectionEdit) => Promise<void> | void,
  options: {
    readonly now?: Date;
    readonly keys?: readonly TestKey[];
    readonly versions?: VersionPolicy;
  } = {},
): Promise<void> {
  const { now = NOW, keys = [] } = options;
  const versions = options.versions ?? trustVersions((range) => Math.floor(Math.random() * range));
  const copy = await WorkingCopy.open(await readAny(store, { now }));
  const edit = new CollectionEdit(copy, { now, policy: { versions } });
  await make(edit);
  const prepared = edit.prepare();
  const signers = signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE), ...keys);
  await pushAssembly(store, await prepared.assemble(await prepared.edit.publish(signers)), HEAD_TAG);
}

/** A file with other content, signed anew by some keys, whoever they are. */
export function resigned(
  bytes: Uint8Array,
  change: (signed: JsonObject) => void,
  ...keys: TestKey[]
): Uint8Array {
  const file = JSON.parse(Buffer.from(bytes).toString('utf8')) as { signed: JsonObject };
  change(file.signed);
  const signatures = keys.map((key) => signatureOf(file.signed, key));
  return new Uint8Array(Buffer.from(JSON.stringify({ signatures, signed: file.signed })));
}
