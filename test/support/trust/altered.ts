import type { JsonObject } from '../../../src/encoding/json.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { assembleStage } from '../../../src/trust/format/assemble.ts';
import { emptyLog, encodeLog, MAX_LOG_BYTES } from '../../../src/trust/format/log.ts';
import { fetchFile, openTrustObject } from '../../../src/trust/format/object.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { HEAD_TAG, stageTag } from '../../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import type { TufSigner } from '../../../src/tuf/edit/signing.ts';
import { readAny } from './changing.ts';
import { pushAssembly } from './collection.ts';

/** Files and logs of a stage. */
export interface StageContent {
  readonly files: Map<string, Uint8Array>;
  readonly logs: Map<string, Uint8Array>;
}

/** What a stage holds. */
export async function readStage(target: Target, tag: Tag): Promise<StageContent> {
  const object = await openTrustObject(target, await target.fetchManifest(tag));
  const files = new Map<string, Uint8Array>();
  const logs = new Map<string, Uint8Array>();
  for (const [name, descriptor] of object.files) files.set(name, await fetchFile(target, descriptor, 1e7));
  for (const [role, descriptor] of object.logs)
    logs.set(role, await fetchFile(target, descriptor, MAX_LOG_BYTES));
  return { files, logs };
}

/** Puts a stage beside the head, as anybody who may push can. */
export async function pushStage(target: Target, { files, logs }: StageContent): Promise<Tag> {
  const assembly = assembleStage({ files, logs });
  const tag = stageTag(assembly.top.descriptor.digest);
  await pushAssembly(target, assembly, tag);
  return tag;
}

/** A metadata file with other content, without signatures. */
export function altered(bytes: Uint8Array, change: (signed: JsonObject) => void): Uint8Array {
  const file = JSON.parse(Buffer.from(bytes).toString('utf8')) as { signed: JsonObject };
  change(file.signed);
  return new Uint8Array(Buffer.from(JSON.stringify({ signatures: [], signed: file.signed })));
}

/** Publishes a head with content that no bulla would sign: by those who hold its keys, with another tool. */
export async function publishUnchecked(
  target: Target,
  signers: readonly TufSigner[],
  now: Date,
  make: (edit: CollectionEdit) => Promise<void> | void,
): Promise<void> {
  const copy = await WorkingCopy.open(await readAny(target, { now }));
  const versions = trustVersions((range) => Math.floor(Math.random() * range));
  const edit = new CollectionEdit(copy, { now, policy: { versions } });
  Object.assign(edit.edit.policy, { check: undefined });
  await make(edit);
  const prepared = edit.prepare();
  await pushAssembly(target, await prepared.assemble(await prepared.edit.publish(signers)), HEAD_TAG);
}

/** The log of a role that begins. */
export const noLog = (now: Date): Uint8Array => encodeLog(emptyLog(now));
