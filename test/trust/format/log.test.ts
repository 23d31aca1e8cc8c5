import { expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { encodeLog, parseLog } from '../../../src/trust/format/log.ts';
import { setting } from '../../support/trust/changing.ts';
import { NOW } from '../../support/tuf/editing.ts';

const LOG = Buffer.from(encodeLog({ since: NOW, entries: [setting(['v1'])] })).toString();

it.each([
  ['of the log', LOG.replace('"entries"', '"also":1,"entries"')],
  ['of a change', LOG.replace('"at"', '"also":1,"at"')],
  ['of what is said of a name', LOG.replace('"length"', '"also":1,"length"')],
])('a log with an unknown member %s is refused: who folds it would lose that', (_, text) => {
  expect(parseLog(utf8(LOG), 'names').entries).toHaveLength(1);
  expect(text).not.toBe(LOG);
  expect(() => parseLog(utf8(text), 'names')).toThrow(expect.objectContaining({ code: 'content-invalid' }));
});
