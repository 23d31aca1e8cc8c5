import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import type { CliResult } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { setting } from '../support/trust/changing.ts';
import { changeWith, type Files, headFiles, pushFiles } from '../support/trust/heads.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import { anyOf, daysLater, NOW, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const BELIEVE = ['--root-key-id', poolKey(ROOT).key.keyid];
/** Late enough for no race to be suspected. */
const LATER = new Date(NOW.getTime() + 300_000);

let place: Served;
let old: Files;
let image: ManifestContent;
/** Files of the rollback memory. */
let metadata: string;

const collections = () => join(place.home, 'state', 'trust', 'collections');

async function name(tag: string, now = NOW): Promise<void> {
  const { digest, size } = image.descriptor;
  const set = new Map([[tag, { length: size, sha256: digest.slice(7) }]]);
  await changeWith(place.target, (edit) => edit.apply('names', [{ ...setting([]), set }]), { now });
}

const verify = (flags: readonly string[] = [], now = LATER): Promise<CliResult> =>
  place.run(['verify', `${place.name}:v1`, ...flags], { now });

beforeEach(async () => {
  place = await servedCollection();
  image = await pushImage(place.target, 'one', 'v1');
  await name('v1');
  old = await headFiles(place.target);
  await name('v2');
  expect(await verify(BELIEVE, NOW)).toMatchObject({ code: 0 });
  const [id = ''] = await readdir(collections());
  metadata = join(collections(), id, 'metadata');
});

const file = (role: string) => join(metadata, `${role}.json`);
const all = ['timestamp', 'snapshot', 'root'] as const;

const DAMAGE: Readonly<Record<string, () => Promise<unknown>>> = {
  'a timestamp and a snapshot that were cut to nothing': async () => {
    await writeFile(file('timestamp'), '');
    await writeFile(file('snapshot'), '');
  },
  ...Object.fromEntries(
    all.flatMap((role) => {
      const other = role === 'snapshot' ? 'timestamp' : 'snapshot';
      const cases: readonly (readonly [string, () => Promise<unknown>])[] = [
        ['that was cut to nothing', () => writeFile(file(role), '')],
        ['that is garbage', () => writeFile(file(role), Buffer.from([0xff, 0x00, 0x7b]))],
        ['that is all zeros', () => writeFile(file(role), Buffer.alloc(4096))],
        ['that is half', async () => writeFile(file(role), (await readFile(file(role))).subarray(0, 200))],
        ['of another role', () => cp(file(other), file(role))],
        ['that is gone', () => rm(file(role))],
        ['that is a directory', () => rm(file(role)).then(() => mkdir(file(role)))],
        [
          'that is a link to nothing',
          () => rm(file(role)).then(() => symlink('/nowhere/at/all', file(role))),
        ],
        ['that is larger than any', () => writeFile(file(role), Buffer.alloc(64 * 1024 * 1024, 0x20))],
      ];
      return cases.map(([how, damage]) => [`a ${role} ${how}`, damage]);
    }),
  ),
  'a timestamp and a snapshot that are gone': async () => {
    await rm(file('timestamp'));
    await rm(file('snapshot'));
  },
  'no metadata at all': () => rm(metadata, { recursive: true }),
  'no collection at all': () => rm(collections(), { recursive: true }),
  'a file where the metadata should be': () =>
    rm(metadata, { recursive: true }).then(() => writeFile(metadata, '')),
};

describe('a memory that is damaged fails closed', () => {
  it.each(['state', 'state/trust', 'state/trust/places'])('%s is a link to nothing', async (below) => {
    await rm(join(place.home, below), { recursive: true });
    await symlink('/nowhere/at/all', join(place.home, below));
    await pushFiles(place.target, old);
    expect(await verify()).toMatchObject({ code: 5, stdout: '' });
    expect(await verify(BELIEVE)).toMatchObject({ code: 5, stdout: '' });
  });

  it.each(Object.keys(DAMAGE))('%s', async (how) => {
    await DAMAGE[how]?.();
    const shown = how.startsWith('a file where') ? ['cannot'] : [`bulla pin rm ${place.name}`];
    // With a pin and without; with what is served now, and with an old head.
    for (const flags of [BELIEVE, []]) {
      const result = await verify([...flags, '-o', 'json']);
      expect([result.code, result.json()['code'], result.stdout]).toEqual([
        5,
        'storage-error',
        expect.not.stringContaining('wasKnown'),
      ]);
      for (const text of shown) expect(JSON.stringify(result.json())).toContain(text);
      await pushFiles(place.target, old);
    }
  });

  it.each(Object.keys(DAMAGE).filter((how) => /nothing|no |of another role|directory/.test(how)))(
    'until a person forgets it on purpose: %s',
    async (how) => {
      await DAMAGE[how]?.();
      expect(await place.run(['pin', 'rm', place.name])).toMatchObject({ code: 0 });
      expect(await verify(['-o', 'json'])).not.toMatchObject({ code: 0 });
      await place.run(['pin', place.name, ...BELIEVE]);
      const result = await verify(['-o', 'json']);
      expect(result).toMatchObject({ code: 0 });
      expect(result.json()['name']).toMatchObject({ wasKnown: false });
      expect((await verify()).code).toBe(0);
    },
  );

  it('and what is whole stays where a place is forgotten', async () => {
    await place.run(['pin', 'rm', place.name]);
    await pushFiles(place.target, old);
    expect(await verify(BELIEVE)).toMatchObject({ code: 21 });
  });
});

describe('a power cut leaves the old or the new', () => {
  const places = () => join(place.home, 'state', 'trust', 'places');

  it.each([0, 1, 2, 3])('of the first files, after %d of them', async (made) => {
    await rm(places(), { recursive: true });
    await rm(join(metadata, '..', 'heads'), { recursive: true });
    for (const role of all.slice(made)) await rm(file(role));
    expect(await verify(BELIEVE)).toMatchObject({ code: 0 });
    await pushFiles(place.target, old);
    expect(await verify(BELIEVE, new Date(LATER.getTime() + 300_000))).toMatchObject({ code: 21 });
  });

  it.each(['timestamp', 'snapshot'])('where only the new %s arrived', async (arrived) => {
    const before = await Promise.all(all.map((role) => readFile(file(role))));
    const older = await headFiles(place.target);
    await name('v3', LATER);
    expect(await verify()).toMatchObject({ code: 0 });
    for (const [index, role] of all.entries())
      if (role !== arrived) await writeFile(file(role), before[index] as Buffer);
    expect(await verify()).toMatchObject({ code: 0 });
    await pushFiles(place.target, older);
    expect(await verify([], new Date(LATER.getTime() + 300_000))).toMatchObject({ code: 21 });
  });

  it.each([1, 2, 3])('of forgetting versions with a key, after %d of its steps', async (steps) => {
    const before = await readFile(file('root'));
    await changeWith(place.target, (edit) => edit.root().setKeys('timestamp', anyOf(1, poolKey(7))), {
      now: NOW,
      keys: [poolKey(7)],
    });
    // The steps, in their order: heads, timestamp, snapshot; root was not replaced.
    const parts = [join(metadata, '..', 'heads'), file('timestamp'), file('snapshot')];
    for (const part of parts.slice(0, steps)) await rm(part, { recursive: true });
    expect(await readFile(file('root'))).toEqual(before);
    expect(await verify()).toMatchObject({ code: 0 });
    expect(await verify()).toMatchObject({ code: 0 });
  });

  it('and a refresh that fails after it forgot versions is no damage', async () => {
    await changeWith(place.target, (edit) => edit.root().setKeys('timestamp', anyOf(1, poolKey(7))), {
      now: NOW,
      keys: [poolKey(7)],
    });
    expect(await verify([], daysLater(20))).toMatchObject({ code: 20 });
    expect((await readdir(metadata)).filter((name) => /^(timestamp|snapshot)/.test(name))).toEqual([]);
    expect(await verify()).toMatchObject({ code: 0 });
  });
});
