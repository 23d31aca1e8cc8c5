import { createHash } from 'node:crypto';
import { algorithm } from '../../../src/crypto/algorithm.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { refresh, type TufClient } from '../../../src/tuf/client.ts';
import { RepositoryEdit } from '../../../src/tuf/edit/edit.ts';
import type { KeyChoice } from '../../../src/tuf/edit/key-list.ts';
import type { EditPolicy } from '../../../src/tuf/edit/policy.ts';
import {
  EMPTY_REPOSITORY,
  type RepositoryFiles,
  writeRepositoryFiles,
} from '../../../src/tuf/edit/repository.ts';
import { type TufSigner, tufSigner } from '../../../src/tuf/edit/signing.ts';
import type { NewTarget } from '../../../src/tuf/edit/targets-content.ts';
import { MemoryFetcher, MemoryStateStore } from '../../../src/tuf/memory.ts';
import type { TestKey } from './keys.ts';
import { poolKey } from './keys.ts';

/** When the edits of tests are made. */
export const NOW: Date = new Date('2030-01-01T00:00:00Z');

/** So many days after {@link NOW}. */
export function daysLater(days: number): Date {
  return new Date(NOW.getTime() + days * 86_400_000);
}

/** Signers of test keys. */
export function signersOf(...keys: TestKey[]): TufSigner[] {
  return keys.map(({ privateKey, algorithm: id }) => tufSigner(createSigner(privateKey, algorithm(id))));
}

/** Any `threshold` of these keys. */
export function anyOf(threshold: number, ...keys: TestKey[]): KeyChoice {
  return { keys: keys.map(({ key }) => key), threshold };
}

/** What is signed about some text. */
export function targetOf(text: string): NewTarget {
  const bytes = utf8(text);
  return {
    length: bytes.byteLength,
    hashes: { sha256: createHash('sha256').update(bytes).digest('hex') },
  };
}

/** Keys of {@link simpleRepository}: pool keys 0 to 2. */
export const ROOT = 0;
export const PUBLISHER = 1;
export const ONLINE = 2;

/** All signers of {@link simpleRepository}. */
export function simpleSigners(): TufSigner[] {
  return signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE));
}

/** Root and targets by one key, a delegation `names` by another, snapshot and timestamp by a third. */
export async function simpleRepository(
  names: Readonly<Record<string, string>> = { v1: 'one' },
  policy: Partial<EditPolicy> = {},
  consistentSnapshot = true,
): Promise<RepositoryFiles> {
  const edit = new RepositoryEdit(EMPTY_REPOSITORY, { now: NOW, policy });
  const [root, online] = [anyOf(1, poolKey(ROOT)), anyOf(1, poolKey(ONLINE))];
  edit.createRoot({ root, targets: root, snapshot: online, timestamp: online }, consistentSnapshot);
  edit.targets('targets').delegate({ ...anyOf(1, poolKey(PUBLISHER)), name: 'names', paths: ['*'] });
  for (const [name, text] of Object.entries(names)) edit.targets('names').setTarget(name, targetOf(text));
  return edit.prepare().publish(simpleSigners());
}

/** A client that knows nothing but the oldest root. */
export function freshClient(repository: RepositoryFiles, now: Date = NOW): Promise<TufClient> {
  return refresh(new MemoryFetcher(writeRepositoryFiles(repository)), new MemoryStateStore(), now, {
    initialRoot: repository.roots[0]!.bytes,
  });
}

/** SHA-256 that a fresh client finds for a path. */
export async function digestOf(repository: RepositoryFiles, path: string): Promise<string | undefined> {
  const client = await freshClient(repository);
  for await (const { target } of client.findTargets(path)) return target.hashes.get('sha256');
  return undefined;
}
