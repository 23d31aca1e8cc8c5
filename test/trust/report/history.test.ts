import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { historyOf } from '../../../src/trust/report/history.ts';
import { changeHead, readAny, setting, unsetting } from '../../support/trust/changing.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { anyOf, NOW, ROOT } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const secondsLater = (seconds: number) => new Date(NOW.getTime() + seconds * 1000);

describe('the history of a collection', () => {
  it('has what all roles did, newest first, and of one second the last first', async () => {
    const store = new MemoryStore();
    await pushHead(store, await newCollection());
    await changeHead(store, (edit) =>
      edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(ROOT)), paths: ['*'] }),
    );
    const made = [
      [NAMES_ROLE, setting(['v1'], secondsLater(10))],
      ['ci', setting(['v2'], secondsLater(30))],
      [NAMES_ROLE, setting(['v3'], secondsLater(20))],
      [NAMES_ROLE, unsetting(['v1'], secondsLater(20))],
      ['ci', unsetting(['v2'], secondsLater(40))],
    ] as const;
    for (const [role, entry] of made)
      await changeHead(store, (edit) => edit.apply(role, [entry]), secondsLater(60));
    const { changes, since, roots } = await historyOf(
      await WorkingCopy.open(await readAny(store, { now: secondsLater(60) })),
    );
    expect(changes.map(({ role, entry }) => [role, entry.id])).toEqual(
      [4, 1, 3, 2, 0].map((at) => [made[at]?.[0], made[at]?.[1].id]),
    );
    expect([...since.keys()]).toEqual([NAMES_ROLE, 'ci']);
    expect(roots.map(({ version }) => version)).toEqual([1]);
  });
});
