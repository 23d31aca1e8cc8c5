import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { isBullaError } from '../../src/errors.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { NotaryPinFile } from '../../src/state/notary-pins.ts';
import { bulla, type CliResult } from '../support/cli.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { temporaryDirectory } from '../support/processes.ts';

const LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;

let place: Awaited<ReturnType<typeof temporaryDirectory>>;
let server: Awaited<ReturnType<typeof serveRegistry>>;
let whole: string;
let home: string;
let image: string;

const run = (argv: readonly string[], env: Record<string, string> = {}): Promise<CliResult> =>
  bulla(argv, {
    cwd: place.path,
    env: { BULLA_HOME: home, DOCKER_CONFIG: join(place.path, 'docker'), ...env },
  });

async function prepare(): Promise<void> {
  place = await temporaryDirectory();
  home = join(place.path, 'home');
  whole = join(place.path, 'whole');
  server = await serveRegistry({ dir: join(place.path, 'registry') });
  image = `${server.address}/app:v1`;
  await storePlainKeys(home, 'publisher', 'root', 'online');
  for (const argv of [
    ['init', `${server.address}/app`],
    ['push', LAYOUT, image, '--sign'],
    ['verify', image],
    ['pin', `${server.address}/other`, '--root-key-id', 'a'.repeat(64)],
  ])
    expect(await run(argv)).toMatchObject({ code: 0 });
  await cp(home, whole, { recursive: true });
}

let prepared: Promise<void> | undefined;
let count = 0;
beforeEach(async () => {
  prepared ??= prepare();
  await prepared;
  // A directory of its own for each test: a command may still note what it learnt while the next one begins.
  home = join(place.path, `home-${++count}`);
  await cp(whole, home, { recursive: true });
}, 60_000);

afterAll(async () => {
  await server.close();
  await place.remove();
});

/** The files below the home of a person whose path has that in it. */
async function files(part: string): Promise<readonly string[]> {
  const all = await readdir(home, { recursive: true, withFileTypes: true });
  const found = all
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => path.includes(part));
  expect(found, part).not.toEqual([]);
  return found;
}

const DAMAGE: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  'cut to nothing': (path) => writeFile(path, ''),
  'all zeros': (path) => writeFile(path, Buffer.alloc(4096)),
  'half of JSON': (path) => writeFile(path, '{"version": 1, "pins": [{"sco'),
  'other JSON': (path) => writeFile(path, '[]'),
  'no text': (path) => writeFile(path, Buffer.from([0xff, 0xfe, 0x00])),
  'too large': (path) => writeFile(path, Buffer.alloc(20 * 1024 * 1024, 0x20)),
  'a directory': (path) => rm(path).then(() => mkdir(path)),
  'a link to nothing': (path) => rm(path).then(() => symlink('/nowhere/at/all', path)),
  'a pipe': (path) => rm(path).then(() => execFileSync('mkfifo', [path])),
};

async function damage(part: string, how: string): Promise<void> {
  for (const path of await files(part)) await DAMAGE[how]?.(path);
}

/** A file, what is asked of a person who has it damaged, and what the command ends with. */
const REFUSED: readonly [string, string, readonly string[]][] = [
  ['pins.json', 'verify', ['config-invalid', 'storage-error']],
  ['pins.json', 'sign', ['config-invalid', 'storage-error']],
  ['state/signers/', 'sign', ['storage-error']],
  ['state/signers/', 'revoke', ['storage-error']],
  ['state/trust/places/', 'verify', ['storage-error']],
  ['keys/default', 'sign', ['config-invalid', 'storage-error', 'key-invalid']],
  ['keys/publisher.key', 'sign', ['key-invalid', 'storage-error']],
];

describe.each(REFUSED)('where %s is damaged, %s fails closed:', (part, command, codes) => {
  it.each(Object.keys(DAMAGE))(
    '%s',
    async (how) => {
      await damage(part, how);
      // What is signed already would be left as it is.
      const flags = command === 'sign' ? ['--again'] : [];
      const result = await run([command, image, ...flags, '-o', 'json']);
      expect(result.code, result.stdout).not.toBe(0);
      const { code, hint } = result.json();
      expect(codes, result.stdout).toContain(code);
      expect(hint).toMatch(/\w/);
    },
    30_000,
  );
});

describe('where the pins of Notary are damaged, they are not taken for none:', () => {
  it.each(Object.keys(DAMAGE))('%s', async (how) => {
    const path = join(home, 'notary-pins.json');
    await writeFile(path, '{"version":1,"pins":[]}');
    expect(await new NotaryPinFile(path).list()).toEqual(new Map());
    await DAMAGE[how]?.(path);
    const error: unknown = await new NotaryPinFile(path).list().catch((thrown: unknown) => thrown);
    expect(isBullaError(error, 'config-invalid', 'storage-error'), String(error)).toBe(true);
  });
});

/** What only saves work: it is made again, whatever became of it. */
describe.each(['cache/trust', 'cache/registries.json'])('where %s is damaged, nothing is lost:', (part) => {
  it.each(Object.keys(DAMAGE))(
    '%s',
    async (how) => {
      await damage(part, how);
      expect(await run(['verify', image])).toMatchObject({ code: 0 });
    },
    30_000,
  );
});

it.each(Object.keys(DAMAGE))('a remembered head that is %s is fetched again, or told of', async (how) => {
  await damage('/heads/', how);
  expect([0, 5]).toContain((await run(['verify', image])).code);
});
