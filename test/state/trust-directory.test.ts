import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { processMark } from '../../src/disk/identity.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import { TrustDirectory } from '../../src/state/trust-directory.ts';
import { parseCollectionId } from '../../src/trust/format/binding.ts';
import type { KnownHead } from '../../src/trust/read/memory.ts';
import { temporaryDirectory } from '../support/cli.ts';

const [ONE, TWO] = ['1', '2'].map((digit) => parseCollectionId(digit.repeat(64))) as [
  ReturnType<typeof parseCollectionId>,
  ReturnType<typeof parseCollectionId>,
];
const PLACE = 'registry.example.com/team/app';

function head(text: string, seconds = 0): KnownHead {
  const bytes = utf8(text);
  const descriptor = describeBytes('application/vnd.oci.image.manifest.v1+json', bytes);
  return { content: { descriptor, bytes }, refreshedAt: new Date(Date.UTC(2030, 0, 1, 0, 0, seconds)) };
}

describe('TrustDirectory', () => {
  it('makes nothing before there is something to remember', async () => {
    const path = join(await temporaryDirectory(), 'trust');
    expect(await new TrustDirectory(path).seen(PLACE)).toBeUndefined();
    await expect(stat(path)).rejects.toThrow();
  });

  it('lets only the owner look', async () => {
    const path = join(await temporaryDirectory(), 'state', 'trust');
    const memory = new TrustDirectory(path);
    await memory.open(ONE);
    await memory.note(PLACE, ONE);
    for (const folder of ['', 'collections', 'places', `collections/${ONE}`])
      expect((await stat(join(path, folder))).mode & 0o077).toBe(0);
  });

  it('remembers which collection is at a place, and keeps to it', async () => {
    const path = await temporaryDirectory();
    const memory = new TrustDirectory(path);
    await memory.note(PLACE, ONE);
    await memory.note(PLACE, ONE);
    expect(await new TrustDirectory(path).seen(PLACE)).toBe(ONE);
    await expect(memory.note(PLACE, TWO)).rejects.toMatchObject({
      code: 'trust-invalid',
      details: { reason: 'collection' },
    });
    expect(await memory.seen(PLACE)).toBe(ONE);
  });

  it('lets one of many win who see a place first', async () => {
    const path = await temporaryDirectory();
    const tries = Array.from({ length: 8 }, (_, index) =>
      new TrustDirectory(path).note(PLACE, index % 2 === 0 ? ONE : TWO),
    );
    const outcomes = await Promise.allSettled(tries);
    const won = (await new TrustDirectory(path).seen(PLACE)) === ONE ? 0 : 1;
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual(
      outcomes.map((_, index) => index % 2 === won),
    );
  });

  it('forgets a place, and not its collection', async () => {
    const memory = new TrustDirectory(await temporaryDirectory());
    await memory.note(PLACE, ONE);
    const collection = await memory.open(ONE);
    await collection.keep('names', utf8('kept'));
    await memory.forget(PLACE);
    await memory.forget(PLACE);
    expect(await memory.seen(PLACE)).toBeUndefined();
    expect(await (await memory.open(ONE)).load('names')).toEqual(utf8('kept'));
  });

  it('keeps places apart that a file system could confuse', async () => {
    const memory = new TrustDirectory(await temporaryDirectory());
    const places = [
      'a.example/x',
      'a.example/X',
      'a.example/x/',
      'a.example/../x',
      'oci:/tmp/X',
      'oci:/tmp/x',
    ];
    const collection = await memory.open(ONE);
    for (const [index, place] of places.entries()) {
      await memory.note(place, index % 2 === 0 ? ONE : TWO);
      await collection.keepHead(place, head(place));
    }
    for (const [index, place] of places.entries()) {
      expect(await memory.seen(place)).toBe(index % 2 === 0 ? ONE : TWO);
      expect(await collection.loadHead(place)).toEqual(head(place));
    }
  });

  it('knows a place by all of its spellings', async () => {
    const memory = new TrustDirectory(await temporaryDirectory());
    await memory.note('A.example:443/x', ONE);
    const collection = await memory.open(ONE);
    await collection.keepHead('a.example:80/x', head('a.example/x'));
    for (const place of ['a.example/x', 'A.EXAMPLE/x', 'a.example:80/x', 'a.example:443/x']) {
      expect(await memory.seen(place)).toBe(ONE);
      expect(await collection.loadHead(place)).toEqual(head('a.example/x'));
      await expect(memory.note(place, TWO)).rejects.toMatchObject({ code: 'trust-invalid' });
    }
    await memory.forget('a.example:443/x');
    expect(await memory.seen('a.example/x')).toBeUndefined();
  });

  /** As earlier versions had it. */
  async function old(places: Readonly<Record<string, string>>): Promise<string> {
    const path = await temporaryDirectory();
    await mkdir(join(path, 'places'));
    for (const [place, id] of Object.entries(places))
      await writeFile(
        join(path, 'places', `${createHash('sha256').update(place).digest('hex')}.json`),
        `${JSON.stringify({ place, id })}\n`,
      );
    return path;
  }

  it.each([
    ['a.example:443/x', 'a.example/x'],
    ['a.example:80/x', 'a.example/x'],
    ['registry-1.docker.io/library/x', 'docker.io/library/x'],
    ['[::ffff:127.0.0.1]:5000/x', '127.0.0.1:5000/x'],
    ['[2001:db8:0::1]/x', '[2001:db8::1]/x'],
    ['oci:/tmp//./x', 'oci:/tmp/x'],
  ])('finds what was noted of %s by earlier versions at %s', async (before, place) => {
    const path = await old({ [before]: ONE, 'b.example/x': TWO });
    for (const spelling of [place, before, place]) {
      const memory = new TrustDirectory(path);
      expect(await memory.seen(spelling)).toBe(ONE);
      expect(await memory.seen('b.example/x')).toBe(TWO);
      expect(await memory.seen('c.example/x')).toBeUndefined();
      await expect(memory.note(spelling, TWO)).rejects.toMatchObject({ code: 'trust-invalid' });
    }
    await new TrustDirectory(path).forget(before);
    expect(await new TrustDirectory(path).seen(place)).toBeUndefined();
  });

  it('never forgets which of two collections was seen at what is one place', async () => {
    const kept = new TrustDirectory(await old({ 'a.example/x': ONE, 'a.example:443/x': TWO }));
    expect(await kept.seen('a.example:443/x')).toBe(ONE);
    await expect(kept.note('a.example:443/x', TWO)).rejects.toMatchObject({ code: 'trust-invalid' });
    const unknown = new TrustDirectory(await old({ 'a.example:80/x': ONE, 'a.example:443/x': TWO }));
    for (const place of ['a.example/x', 'a.example:80/x', 'a.example:443/x'])
      await expect(unknown.seen(place)).rejects.toMatchObject({ code: 'storage-error' });
    await unknown.forget('a.example/x');
    expect(await unknown.seen('a.example/x')).toBeUndefined();
  });

  it('keeps roles apart from everything else, whatever they are called', async () => {
    const path = await temporaryDirectory();
    const collection = await new TrustDirectory(path).open(ONE);
    const roles = ['root', 'ROOT', '__proto__', 'constructor', '7', '../../places/x', 'heads'];
    for (const role of roles) await collection.keep(role, utf8(role));
    for (const role of roles) expect(await collection.load(role)).toEqual(utf8(role));
    expect(await readdir(join(path, 'collections', ONE, 'heads'))).toEqual([]);
    expect((await readdir(join(path, 'collections', ONE, 'metadata'))).length).toBe(roles.length);
  });

  it('takes a damaged head for none, and a damaged place for a failure', async () => {
    const path = await temporaryDirectory();
    const memory = new TrustDirectory(path);
    await memory.note(PLACE, ONE);
    const collection = await memory.open(ONE);
    await collection.keepHead(PLACE, head('one', 5));
    const heads = join(path, 'collections', ONE, 'heads');
    const [file = ''] = await readdir(heads);
    await writeFile(join(heads, file), (await readFile(join(heads, file))).subarray(0, -1));
    expect(await collection.loadHead(PLACE)).toBeUndefined();
    const [place = ''] = await readdir(join(path, 'places'));
    await writeFile(join(path, 'places', place), '');
    await expect(memory.seen(PLACE)).rejects.toMatchObject({ code: 'storage-error' });
    await memory.forget(PLACE);
    expect(await memory.seen(PLACE)).toBeUndefined();
  });

  it('removes what killed processes left', async () => {
    const path = await temporaryDirectory();
    const collection = await new TrustDirectory(path).open(ONE);
    const heads = join(path, 'collections', ONE, 'heads');
    const left = join(heads, `.bulla-tmp-${processMark().replace(/-\d+-/, '-4194999-')}-00`);
    await writeFile(left, 'half a head');
    await collection.keepHead(PLACE, head('one'));
    expect(await readdir(heads)).toHaveLength(1);
  });
});
