import { MemoryStore } from '../../../../src/oci/memory.ts';
import { CollectionEdit } from '../../../../src/trust/change/collection-edit.ts';
import { createCollection } from '../../../../src/trust/change/create.ts';
import { type Assembly, assembleHead } from '../../../../src/trust/format/assemble.ts';
import { trustVersions } from '../../../../src/trust/format/versions.ts';
import { HEAD_TAG } from '../../../../src/trust/format/vocabulary.ts';
import { anyFirstRoot, type ReadOptions, readCollection } from '../../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../../src/trust/read/memory.ts';
import { WorkingCopy } from '../../../../src/trust/read/working-copy.ts';
import { PLACE, pushAssembly } from '../collection.ts';
import { KEYS, type SimulatedKey, signerOf } from './keys.ts';

/** When each schedule begins. */
export const START: Date = new Date('2030-01-01T00:00:00Z');

/** What each schedule begins with: a collection with the roles `names` and `ci`, without a name in it. */
export interface Foundation {
  readonly head: Assembly;
  readonly signedTexts: ReadonlySet<string>;
}

const choice = ({ key }: SimulatedKey) => ({ keys: [key], threshold: 1 });

async function makeFoundation(): Promise<Foundation> {
  const signedTexts = new Set<string>();
  const signers = Object.values(KEYS).map((key) => signerOf(key, signedTexts));
  const policy = { versions: trustVersions(() => 0) };
  const made = await createCollection(
    {
      name: PLACE,
      now: START,
      policy,
      root: choice(KEYS.root),
      names: choice(KEYS.names),
      online: choice(KEYS.online),
    },
    signers,
  );
  const store = new MemoryStore();
  await pushAssembly(store, assembleHead(made), HEAD_TAG);
  const collection = await readCollection(store, readOptions(new ProcessMemory(), START));
  if (collection === undefined) throw new Error('the collection was not there');
  const copy = await WorkingCopy.open(collection);
  const edit = new CollectionEdit(copy, { now: START, policy });
  edit.addSigner({ name: 'ci', ...choice(KEYS.ci), paths: ['*'] });
  const prepared = edit.prepare();
  const files = await prepared.edit.publish(signers);
  const { head, blobs } = { head: await prepared.assemble(files), blobs: assembleHead(made).blobs };
  return { head: { ...head, blobs: [...blobs, ...head.blobs] }, signedTexts };
}

let made: Promise<Foundation> | undefined;

/** Made once: it is the same for all schedules. */
export function foundation(): Promise<Foundation> {
  made ??= makeFoundation();
  return made;
}

/** How everybody reads: whoever is there first is believed, and remembered. */
export function readOptions(memory: ProcessMemory, now: Date, onWarning?: () => void): ReadOptions {
  return {
    place: PLACE,
    now,
    memory,
    anchor: anyFirstRoot,
    isPinned: false,
    isNamed: (name) => name === PLACE,
    ...(onWarning !== undefined && { onWarning }),
  };
}
