import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { RECENT_MS, YOUNG_MS } from '../../src/trust/candidates/competing-candidates.ts';
import { MAX_FOREIGN } from '../../src/trust/candidates/siblings.ts';
import { LOG_KEPT_BYTES, LOG_KEPT_MS } from '../../src/trust/format/log.ts';
import { trustVersions } from '../../src/trust/format/versions.ts';
import {
  LONGEST_TURN_MS,
  MAX_ROUNDS,
  PARENT_MS,
  TURN_MS,
  WAIT_MS,
} from '../../src/trust/publish/publish-run.ts';
import { encodeRecord, parseRecord } from '../../src/trust/publish/signer-record.ts';
import { formatVersion } from '../../src/tuf/edit/policy.ts';

const page = await readFile(new URL('../../spec/trust-publishing.md', import.meta.url), 'utf8');

describe('spec/trust-publishing.md', () => {
  it('names the bounds that the code keeps', () => {
    const rows = [...page.matchAll(/^\| (.+?) \| ([0-9]+)(?: ms| bytes)? \|$/gm)].map(([, , value]) =>
      Number(value),
    );
    expect(rows).toEqual([
      YOUNG_MS,
      PARENT_MS,
      WAIT_MS,
      TURN_MS,
      LONGEST_TURN_MS,
      RECENT_MS,
      MAX_ROUNDS,
      MAX_FOREIGN,
      LOG_KEPT_MS,
      LOG_KEPT_BYTES,
    ]);
  });

  it('shows a record of a signer as it is written', () => {
    const text = /```json record\n([\s\S]*?)\n```/.exec(page)?.[1] ?? '';
    const id = JSON.parse(text).collection;
    const record = parseRecord(Buffer.from(text), id, 'the example');
    expect(JSON.parse(Buffer.from(encodeRecord(id, record)).toString())).toEqual(JSON.parse(text));
  });

  it('counts versions as it says', () => {
    const next = trustVersions(() => 0x3f2a1);
    expect(formatVersion(next(16 * 2 ** 26 + 5, 'names'))).toBe('17.003f2a1');
    expect(next(0, 'names')).toBe(2 ** 26 + 0x3f2a1);
    expect(next(16 * 2 ** 20 + 5, '-0a')).toBe(17 * 2 ** 20 + (0x3f2a1 >> 6));
  });
});
