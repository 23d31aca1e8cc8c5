import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { AlgorithmId } from '../../src/crypto/algorithm.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { parseJsonObject } from '../../src/encoding/json.ts';
import { EXIT_CODES } from '../../src/errors.ts';
import { binFor } from '../../src/tuf/hash-bins.ts';
import { keyIdOf, TufKey } from '../../src/tuf/keys.ts';
import { DEFAULT_LIMITS } from '../../src/tuf/limits.ts';
import { SPEC_VERSION } from '../../src/tuf/signed.ts';
import { makeKey } from '../support/tuf/keys.ts';

const page = await readFile(new URL('../../spec/tuf.md', import.meta.url), 'utf8');

/** Rows of the table whose first column has this head. */
function table(head: string): string[][] {
  const lines = page.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${head} |`));
  const rows: string[][] = [];
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
  }
  return rows;
}

describe('spec/tuf.md', () => {
  it('names the version that is written', () => {
    expect(page).toContain(`\`${SPEC_VERSION}\` into files that it begins`);
  });

  it('lists every kind of key as it is written', () => {
    const rows = table('Algorithm');
    expect(rows).toHaveLength(7);
    for (const [id, keytype, scheme, material] of rows) {
      const { json } = makeKey(id as AlgorithmId).key;
      const { public: text } = json['keyval'] as { public: string };
      expect([json['keytype'], json['scheme']]).toEqual([keytype, scheme]);
      expect(text).toMatch(
        material === 'PEM'
          ? /^-----BEGIN PUBLIC KEY-----\n[\s\S]*-----END PUBLIC KEY-----\n$/
          : /^[0-9a-f]{64}$/,
      );
    }
  });

  it('has the key id of its example', () => {
    const example = /```json\n(\{"keytype"[\s\S]*?)```/.exec(page)?.[1] ?? '';
    const json = parseJsonObject(utf8(example), { what: 'the example' });
    expect(new TufKey('id', json).problem).toBeUndefined();
    expect(page).toContain(`it is \`${keyIdOf(json)}\``);
  });

  it('puts paths into the bins that are asked', () => {
    const rows = table('bit_length');
    expect(rows.length).toBeGreaterThan(3);
    for (const [bits, path = '', bin] of rows)
      expect(binFor({ bitLength: Number(bits), namePrefix: 'names' }, path)).toBe(bin);
  });

  it('lists the limits that hold', () => {
    expect(Object.fromEntries(table('Limit').map(([name, value]) => [name, Number(value)]))).toEqual(
      DEFAULT_LIMITS,
    );
  });

  it('numbers its steps, each with a code that there is', () => {
    const rows = table('Step');
    expect(rows.map(([step]) => Number(step))).toEqual(rows.map((_, index) => index + 1));
    for (const [, , code = ''] of rows) if (code !== '–') expect(EXIT_CODES).toHaveProperty(code);
  });
});
