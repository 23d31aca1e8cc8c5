import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { createSigner } from '../../src/crypto/signer.ts';
import { createCollection } from '../../src/trust/change/create.ts';
import { planFold } from '../../src/trust/change/fold.ts';
import { assembleHead } from '../../src/trust/format/assemble.ts';
import { binBitsFor } from '../../src/trust/format/bins.ts';
import { encodeFolded, MAX_FOLDED, parseFolded } from '../../src/trust/format/folded.ts';
import { type ChangeLog, encodeLog, type LogEntry, parseLog } from '../../src/trust/format/log.ts';
import { trustVersions } from '../../src/trust/format/versions.ts';
import { formatVersion } from '../../src/tuf/edit/policy.ts';
import { type TufSigner, tufSigner } from '../../src/tuf/edit/signing.ts';

const page = await readFile(new URL('../../spec/trust.md', import.meta.url), 'utf8');
const example = (name: string) =>
  new RegExp(`\`\`\`json ${name}\\n([\\s\\S]*?)\\n\`\`\``).exec(page)?.[1] ?? `no example ${name}`;
const rowsAfter = (header: string) =>
  (page.split(header)[1] ?? '')
    .split('\n\n')[0]!
    .split('\n')
    .slice(2)
    .filter((row) => row !== '')
    .map((row) => row.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));

const NOW = new Date('2026-12-01T00:00:00Z');

/** The keys of RFC 8032 §7.1, TEST 1 to 3. */
const signers: TufSigner[] = [
  [
    '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  ],
  [
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
  ],
  [
    'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
  ],
].map(([d = '', x = '']) => {
  const base64url = (digits: string) => Buffer.from(digits, 'hex').toString('base64url');
  const key = { kty: 'OKP', crv: 'Ed25519', d: base64url(d), x: base64url(x) };
  return tufSigner(createSigner(createPrivateKey({ format: 'jwk', key })));
});

const image = { length: 1234, sha256: '73c803930ea3ba1e54bc25c2bdc53edd0284c62ed651fe7b00369da519a3c333' };
const log: ChangeLog = {
  since: NOW,
  entries: [
    {
      id: '0123456789abcdef0123456789abcdef',
      at: NOW,
      set: new Map([
        ['v1', image],
        ['latest', image],
      ]),
    },
    { id: 'fedcba9876543210fedcba9876543210', at: NOW, unset: new Set(['v0']) },
  ],
};

describe('spec/trust.md', () => {
  it('shows the head of a new collection', async () => {
    const one = (signer: number) => ({ keys: [signers[signer]!.key], threshold: 1 });
    const collection = await createCollection(
      {
        name: 'registry.example.com/team/app',
        root: one(0),
        names: one(1),
        online: one(2),
        now: NOW,
        policy: { versions: trustVersions(() => 0) },
      },
      signers,
    );
    const { top } = assembleHead(collection);
    const shown = new TextDecoder().decode(top.bytes).replaceAll(/"data":"[^"]+"/g, '"data":"…"');
    expect(example('head')).toBe(JSON.stringify(JSON.parse(shown), undefined, 2));
  });

  it('shows a log, which is read and written so', () => {
    const bytes = encodeLog(log);
    expect(JSON.parse(example('log'))).toEqual(JSON.parse(new TextDecoder().decode(bytes)));
    expect(parseLog(bytes, 'names')).toEqual(log);
  });

  it('shows the list of what was folded, which is read and written so', () => {
    const list = parseFolded(Buffer.from(example('folded'))) ?? new Map();
    expect([...list.keys()]).toEqual(['_trust.next.0123456789ab', '_trust.stage.ba9876543210']);
    expect(JSON.parse(Buffer.from(encodeFolded(list)).toString())).toEqual(JSON.parse(example('folded')));
    expect(page).toContain(`at most ${MAX_FOLDED.toLocaleString('en-US')} tags`);
  });

  it('tells the bins of so many names', () => {
    const rows = rowsAfter('| Names | b | Bins |');
    expect(rows.length).toBeGreaterThan(4);
    for (const [names = '', bits, bins] of rows) {
      const found = binBitsFor(Number(names.replaceAll(',', '')));
      expect([names, bits, bins]).toEqual([
        names,
        found === undefined ? '–' : String(found),
        found === undefined ? '–' : (2 ** found).toLocaleString('en-US'),
      ]);
    }
  });

  it('tells what is folded', () => {
    const set = (id: string): LogEntry => ({ id: id.repeat(32), at: NOW, set: new Map([['v1', image]]) });
    const entries: Record<string, LogEntry> = {
      a: set('a'),
      b: set('b'),
      c: { id: 'c'.repeat(32), at: NOW, unset: new Set(['v1']) },
    };
    const read = (cell: string): ChangeLog => ({
      since: cell.includes('since later') ? new Date(NOW.getTime() + 1000) : NOW,
      entries: cell.split(' ').flatMap((letter) => entries[letter] ?? []),
    });
    const write = (found: readonly LogEntry[]) => found.map(({ id }) => id[0]).join(' ') || '–';
    const rows = rowsAfter("| Head's log | Sibling's log | Applied | Conflicts |");
    expect(rows).toHaveLength(10);
    for (const [head = '', sibling = '', applied, conflicts] of rows) {
      const plan = planFold(read(head), read(sibling));
      const found = [write(plan.apply), write(plan.conflicts.map(({ entry }) => entry))];
      expect([head, sibling, ...found]).toEqual([head, sibling, applied, conflicts]);
    }
  });

  it('writes versions for people as it says', () => {
    expect(formatVersion(17 * 2 ** 26 + 0x3f2a1)).toBe('17.003f2a1');
  });
});
