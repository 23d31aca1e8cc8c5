import { describe, expect, it } from 'vitest';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { rekey } from '../../../src/trust/change/role-changes.ts';
import { assembleStage } from '../../../src/trust/format/assemble.ts';
import { encodeLog, type LogEntry, MAX_LOG_BYTES } from '../../../src/trust/format/log.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { stageTag } from '../../../src/trust/format/vocabulary.ts';
import { publishEdit, publishNames } from '../../../src/trust/publish/publish.ts';
import { resignCollection } from '../../../src/trust/publish/resign.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { versionOf } from '../../../src/tuf/edit/repository.ts';
import { metadataFileName } from '../../../src/tuf/role-name.ts';
import { newCollection, pushAssembly, pushHead } from '../../support/trust/collection.ts';
import { changeWith } from '../../support/trust/heads.ts';
import { FakeClock, freshRead, logOf, naming, publisher, reading } from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';
import { daysLater, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const HOUR_MS = 3_600_000;
const TIMEOUT = { timeout: 120_000 };

async function place(): Promise<WeakStore> {
  const store = new WeakStore();
  await pushHead(store, await newCollection());
  return store;
}

/** As many changes as a log holds, and as few bytes left as can be. */
function brimful(at: Date = NOW): LogEntry[] {
  const filler = (index: number): LogEntry => ({
    id: index.toString(16).padStart(32, '0'),
    at,
    origin: 'x'.repeat(1024),
    unset: new Set(['x'.repeat(128)]),
  });
  const sizeOf = (entries: LogEntry[]): number => encodeLog({ since: NOW, entries }).byteLength;
  const each = sizeOf([filler(1), filler(2)]) - sizeOf([filler(1)]);
  const count = Math.floor((MAX_LOG_BYTES - sizeOf([])) / each);
  return Array.from({ length: count }, (_, index) => filler(index));
}

/** What somebody who has the key of `names`, and no other, puts beside the head. */
async function stageOf(store: WeakStore, entries: readonly LogEntry[]): Promise<string> {
  const copy = await WorkingCopy.open(await freshRead(store));
  const edit = new CollectionEdit(copy, { now: NOW, policy: { versions: trustVersions(() => 7) } });
  await edit.apply('names', entries);
  const prepared = edit.prepare();
  await prepared.edit.sign(signersOf(poolKey(PUBLISHER)));
  const files = prepared.edit.pending().map(({ file }) => file);
  const stage = assembleStage({
    files: new Map(files.map((file) => [metadataFileName(file.role, versionOf(file)), file.bytes])),
    logs: prepared.logs,
  });
  const tag = stageTag(stage.top.descriptor.digest);
  await pushAssembly(store, stage, tag);
  return tag;
}

describe('a thief of the key of names', () => {
  it('cannot fill the log for longer than a day: it is cut before anything is added', TIMEOUT, async () => {
    const store = await place();
    await changeWith(store, (edit) => edit.apply('names', brimful()));
    const clock = new FakeClock();
    clock.pass(26 * HOUR_MS);
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`v1.${index}`, 'x']));
    const { options } = publisher(1, {}, clock);
    await publishNames(store, reading({ now: clock.now() }), naming(many), options);
    expect(await logOf(store, 'names', clock.now())).toHaveLength(1);
  });

  it(
    'cannot keep others from signing, or from giving the role other keys, with a brimful stage',
    TIMEOUT,
    async () => {
      const store = await place();
      const { read, options } = publisher(1, {
        signers: signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE), poolKey(3)),
      });
      await publishNames(store, read, naming({ v1: 'one' }), options);
      const tag = await stageOf(store, brimful().slice(1));
      const published = await publishNames(store, read, naming({ v2: 'two' }), options);
      expect(published.refused).toMatchObject([{ tag, code: 'content-invalid' }]);
      const service = publisher(2, { signers: signersOf(poolKey(ONLINE)) });
      expect((await resignCollection(store, service.read, service.options)).outcome).toBe('fresh');
      await publishEdit(
        store,
        read,
        rekey('names', { add: [poolKey(3).key], drop: [], keep: false }),
        options,
      );
      await publishNames(store, read, naming({ v3: 'three' }), options);
      expect(await logOf(store)).toHaveLength(3);
    },
  );

  it.each([
    ['folded', signersOf(poolKey(PUBLISHER), poolKey(ONLINE))],
    ['adopted', signersOf(poolKey(ONLINE))],
  ])('cannot have a change %s that stays in the log for ever', async (_, signers) => {
    const store = await place();
    const tag = await stageOf(store, [{ id: '1'.repeat(32), at: daysLater(3000), unset: new Set(['v1']) }]);
    const { read, options } = publisher(1, { signers });
    const { refused, outcome } = await resignCollection(store, read, options);
    expect({ refused, outcome }).toMatchObject({
      refused: [{ tag, code: 'trust-invalid' }],
      outcome: 'fresh',
    });
  });
});
