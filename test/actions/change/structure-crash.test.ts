import { describe, expect, it } from 'vitest';
import { BullaError } from '../../../src/errors.ts';
import { type ManifestContent, parseManifest } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import {
  addSigner,
  ONLINE_ROLE,
  rekey,
  renew,
  type StructureChange,
} from '../../../src/trust/change/role-changes.ts';
import type { TrustTarget } from '../../../src/trust/format/ports.ts';
import { FILE_NAME } from '../../../src/trust/format/vocabulary.ts';
import { publishEdit } from '../../../src/trust/publish/publish.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { readAny } from '../../support/trust/changing.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { FakeClock, publisher } from '../../support/trust/publishing.ts';
import { anyOf, daysLater, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const ALICE = 3;
const SECOND = 4;
const signers = signersOf(
  poolKey(ROOT),
  poolKey(PUBLISHER),
  poolKey(ONLINE),
  poolKey(ALICE),
  poolKey(SECOND),
);

/** Digests of roots that somebody could have read, by version. */
type Roots = Map<number, Set<string>>;

/** A store that its user loses with the write of that number, as a process does that is killed. */
function dying(store: MemoryStore, at: number, roots: Roots): TrustTarget {
  let writes = 0;
  const write = (): void => {
    if (++writes >= at) throw new BullaError('registry-unreachable', 'killed', { hint: 'run it again' });
  };
  return new Proxy(store, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]) => {
        if (name === 'pushBlob' || name === 'pushManifest' || name === 'deleteTag') write();
        const result: unknown = await (member as (...rest: unknown[]) => unknown).apply(target, args);
        if (name === 'pushManifest') noteRoots(args[0] as ManifestContent, roots);
        return result;
      };
    },
  });
}

function noteRoots(content: ManifestContent, roots: Roots): void {
  const manifest = parseManifest(content);
  for (const { annotations, digest } of manifest.kind === 'manifest' ? manifest.layers : []) {
    const version = Number(/^([0-9]+)\.root\.json$/.exec(annotations?.[FILE_NAME] ?? '')?.[1]);
    if (version > 0) roots.set(version, (roots.get(version) ?? new Set()).add(digest));
  }
}

describe('a change of keys whose maker is killed', () => {
  const keep = { drop: [], keep: true };
  it.each<[string, StructureChange, (copy: WorkingCopy) => boolean]>([
    [
      'rotate root',
      rekey('root', { add: [poolKey(SECOND).key], ...keep }),
      ({ collection }) => collection.client.trusted.root.content.roles.get('root')?.keyids.length === 2,
    ],
    [
      'rotate online',
      rekey(ONLINE_ROLE, { add: [poolKey(SECOND).key], drop: [], keep: false }),
      ({ collection }) =>
        collection.client.trusted.root.content.roles.get('timestamp')?.keyids[0] ===
        poolKey(SECOND).key.keyid,
    ],
    [
      'signer add',
      async (edit, copy) =>
        copy.delegations.roles.length > 1
          ? await renew('targets')(edit, copy)
          : await addSigner({ name: 'alice', ...anyOf(1, poolKey(ALICE)), paths: ['*'] })(edit, copy),
      (copy) => copy.delegations.roles.length === 2,
    ],
  ])('%s: made again, it is there; no second root of a version was made', async (_, change, isThere) => {
    for (let at = 1; at <= 30; at++) {
      const store = new MemoryStore();
      await pushHead(store, await newCollection());
      const roots: Roots = new Map();
      const first = publisher(at, { signers });
      const ended = await publishEdit(dying(store, at, roots), first.read, change, first.options).then(
        () => 'done',
        (error: BullaError) => error.code,
      );
      const again = publisher(at + 100, { signers }, new FakeClock(daysLater(1)));
      await publishEdit(dying(store, Infinity, roots), again.read, change, again.options);
      expect(isThere(await WorkingCopy.open(await readAny(store))), `killed at write ${at}`).toBe(true);
      for (const [version, files] of roots) expect(files.size, `root ${version}, write ${at}`).toBe(1);
      if (ended === 'done') return;
      expect(ended).toBe('registry-unreachable');
    }
    expect.unreachable('it takes fewer writes than that');
  });
});
