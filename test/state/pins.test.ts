import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { PinFile, readPins } from '../../src/state/pins.ts';
import type { Pin } from '../../src/trust/read/pin.ts';
import { temporaryDirectory } from '../support/cli.ts';

const ID = 'a'.repeat(64);
const PINS: readonly Pin[] = [
  { scope: 'a.example/x', trust: { kind: 'root', bytes: utf8('{}') }, minRootVersion: 3 },
  { scope: 'a.example/*', trust: { kind: 'key-ids', keyIds: [ID] }, collection: 'b.example/team/*' },
  { scope: 'a.example/team/*', trust: { kind: 'ca', pem: 'PEM' } },
  { scope: 'a.example:5000/y', trust: { kind: 'tofu' } },
];

describe('PinFile', () => {
  it('holds pins of every kind, for the owner alone', async () => {
    const file = new PinFile(join(await temporaryDirectory(), 'new', 'pins.json'));
    expect([...(await file.list())]).toEqual([]);
    for (const pin of PINS) await file.set(pin);
    const pins = await new PinFile(file.path).list();
    expect(pins.size).toBe(PINS.length);
    for (const pin of PINS) expect(pins.get(pin.scope)).toMatchObject(pin);
    expect((await stat(file.path)).mode & 0o777).toBe(0o600);
  });

  it('replaces and removes by scope', async () => {
    const file = new PinFile(join(await temporaryDirectory(), 'pins.json'));
    await file.set({ scope: 'a.example/x', trust: { kind: 'tofu' } });
    await file.set({ scope: 'a.example/x', trust: { kind: 'key-ids', keyIds: [ID] } });
    expect((await file.remove('a.example/x'))?.trust.kind).toBe('key-ids');
    expect(await file.remove('a.example/x')).toBeUndefined();
    expect((await file.list()).size).toBe(0);
  });

  it('loses none of those that many add at once', async () => {
    const path = join(await temporaryDirectory(), 'pins.json');
    const add = (n: number) => new PinFile(path).set({ scope: `a.example/r${n}`, trust: { kind: 'tofu' } });
    await Promise.all(Array.from({ length: 12 }, (_, n) => add(n)));
    expect((await new PinFile(path).list()).size).toBe(12);
  });

  it.each<[string, unknown]>([
    ['no list', {}],
    ['another version', { version: 2, pins: [] }],
    ['two of one scope', { version: 1, pins: Array(2).fill({ scope: 'a.example/x', tofu: true }) }],
    ['two kinds at once', { version: 1, pins: [{ scope: 'a.example/x', tofu: true, keyIds: [ID] }] }],
    ['no kind', { version: 1, pins: [{ scope: 'a.example/x' }] }],
    ['a member that is not known', { version: 1, pins: [{ scope: 'a.example/x', tofu: true, rot: 1 }] }],
    ['no key ids', { version: 1, pins: [{ scope: 'a.example/x', keyIds: [] }] }],
    ['a key id cut short', { version: 1, pins: [{ scope: 'a.example/x', keyIds: ['abc'] }] }],
    ['a pattern as scope', { version: 1, pins: [{ scope: 'a.example/x*', tofu: true }] }],
    ['a scope of everything', { version: 1, pins: [{ scope: '*', tofu: true }] }],
    ['a scope with a capital host', { version: 1, pins: [{ scope: 'A.example/x', tofu: true }] }],
    ['a root for a prefix', { version: 1, pins: [{ scope: 'a.example/x/*', root: 'e30=' }] }],
    ['a root that is not base64', { version: 1, pins: [{ scope: 'a.example/x', root: '{}' }] }],
    [
      'a pattern for one repository',
      { version: 1, pins: [{ scope: 'a.example/x', tofu: true, collection: 'b.example/*' }] },
    ],
    [
      'one collection for many repositories',
      { version: 1, pins: [{ scope: 'a.example/*', tofu: true, collection: 'b.example/x' }] },
    ],
    ['version 0 of a root', { version: 1, pins: [{ scope: 'a.example/x', tofu: true, minRootVersion: 0 }] }],
  ])('refuses a file with %s', async (_, json) => {
    expect(() => readPins(utf8(JSON.stringify(json)), 'pins.json')).toThrowError(
      expect.objectContaining({ code: 'config-invalid' }),
    );
    const path = join(await temporaryDirectory(), 'pins.json');
    await writeFile(path, JSON.stringify(json));
    await expect(new PinFile(path).set(PINS[0] as Pin)).rejects.toMatchObject({ code: 'config-invalid' });
  });
});
