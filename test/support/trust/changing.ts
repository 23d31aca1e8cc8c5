import { createHash, randomBytes } from 'node:crypto';
import type { Target } from '../../../src/oci/target.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import type { LogEntry } from '../../../src/trust/format/log.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import {
  anyFirstRoot,
  type Collection,
  type ReadOptions,
  readCollection,
} from '../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../tuf/editing.ts';
import { poolKey } from '../tuf/keys.ts';
import { PLACE, pushAssembly } from './collection.ts';

/** How a fresh client that believes everybody reads the collection of {@link PLACE}. */
export function reading(change: Partial<ReadOptions> = {}): ReadOptions {
  return {
    place: PLACE,
    now: NOW,
    memory: new ProcessMemory(),
    anchor: anyFirstRoot,
    isPinned: false,
    isNamed: (name) => name === PLACE,
    ...change,
  };
}

/** The collection of a place that has one. */
export async function readAny(store: Target, change: Partial<ReadOptions> = {}): Promise<Collection> {
  const collection = await readCollection(store, reading({ isNamed: () => true, ...change }));
  if (collection === undefined) throw new Error(`${store.name} has no collection`);
  return collection;
}

/** Changes the head of a store by itself, with versions that do not collide. */
export async function changeHead(
  store: Target,
  make: (edit: CollectionEdit) => Promise<void> | void,
  now: Date = NOW,
): Promise<void> {
  const copy = await WorkingCopy.open(await readAny(store, { now }));
  const versions = trustVersions((range) => Math.floor(Math.random() * range));
  const edit = new CollectionEdit(copy, { now, policy: { versions } });
  await make(edit);
  const prepared = edit.prepare();
  const files = await prepared.edit.publish(signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE)));
  await pushAssembly(store, await prepared.assemble(files), HEAD_TAG);
}

/** What is signed about some text. */
export function contentOf(text: string): { readonly length: number; readonly sha256: string } {
  return { length: text.length, sha256: createHash('sha256').update(text).digest('hex') };
}

/** A change that names each of these by its own text, or by `content`. */
export function setting(names: readonly string[], at: Date = NOW, content?: string): LogEntry {
  const set = new Map(names.map((name) => [name, contentOf(content ?? name)]));
  return { id: randomBytes(16).toString('hex'), at, set };
}

/** A change that takes names out. */
export function unsetting(names: readonly string[], at: Date = NOW): LogEntry {
  return { id: randomBytes(16).toString('hex'), at, unset: new Set(names) };
}
