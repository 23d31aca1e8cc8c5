import { beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/encoding/json.ts';
import type { Tag } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { assembleStage } from '../../src/trust/format/assemble.ts';
import { encodeLog, type LogEntry, logBinding, parseLog } from '../../src/trust/format/log.ts';
import { delegationsIn } from '../../src/tuf/edit/repository.ts';
import { PendingFile } from '../../src/tuf/edit/signing.ts';
import { copyJson, type MetadataFile, parseMetadataFile } from '../../src/tuf/metadata-file.ts';
import { pushImage } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import { pushStage, readStage, type StageContent } from '../support/trust/altered.ts';
import { readAny, setting } from '../support/trust/changing.ts';
import { pushAssembly } from '../support/trust/collection.ts';
import { fileOf } from '../support/trust/heads.ts';
import { People, type Person } from '../support/trust/people.ts';

const now = new Date('2030-01-01T00:00:00Z');
const people = new People();

let repository: string;
let target: Target;
let pin: string;
let all: Person;
let publisher: Person;
let alice: Person;
beforeEach(async () => {
  const registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  pin = `--root-key-id ${people.keyids.get('root')}`;
  all = await people.person(now, 'root', 'publisher', 'online', 'alice');
  publisher = await people.person(now, 'publisher');
  alice = await people.person(now, 'alice');
  expect(await all.run(`init ${repository}`)).toMatchObject({ code: 0 });
  await pushImage(target, 'good', 'latest');
  await pushImage(target, 'good', 'v0');
  expect(await all.run(`sign ${repository}:latest ${repository}:v0 --name-only`)).toMatchObject({ code: 0 });
  const two = await all.run(`rotate ${repository} names --key alice --keep --threshold 2`);
  expect(two, two.stderr).toMatchObject({ code: 0 });
});

interface Pending {
  readonly id: string;
  readonly state: string;
  readonly tags: readonly Tag[];
  readonly changes: readonly string[];
}

async function listed(): Promise<{
  readonly pending: readonly Pending[];
  readonly refused: readonly { readonly tag: string; readonly message: string }[];
}> {
  const result = await all.run(`pending ${repository} -o json`);
  expect(result.code).toBe(0);
  return result.json() as never;
}

/** What a co-publisher stages: these names, in one change. */
async function stage(...tags: readonly string[]): Promise<void> {
  const references = tags.map((tag) => `${repository}:${tag}`).join(' ');
  const staged = await publisher.run(`sign ${references} --name-only --wait 0s ${pin}`);
  expect(staged, staged.stderr).toMatchObject({ code: 31 });
}

describe('a change of very many names', () => {
  it('shows the one that moves, first and in full, before it is signed', async () => {
    const harmless = Array.from({ length: 59 }, (_, at) => `a${String(at).padStart(2, '0')}`);
    for (const tag of harmless) await pushImage(target, 'good', tag);
    const evil = await pushImage(target, 'evil', 'latest');
    await stage(...harmless, 'latest');
    const { pending } = await listed();
    const [change] = pending;
    const moves = `latest is ${evil.descriptor.digest}`;
    expect(change?.changes.filter((line) => /^\s+\S+ is sha256:/.test(line))).toHaveLength(60);
    expect(change?.changes.filter((line) => line.includes(', before sha256:'))).toHaveLength(1);
    for (const line of [`pending ${repository}`, `pending ${repository} --all`]) {
      const { stdout } = await all.run(line);
      expect(stdout).toContain(moves);
      expect(stdout.indexOf(moves)).toBeLessThan(stdout.indexOf('a00 is sha256:'));
    }
    const shown = await alice.run(`approve ${repository} ${change?.id.slice(0, 8)} --dry-run ${pin}`);
    expect(shown.stderr).toContain(moves);
    expect(shown.stderr.match(/^\s+\S+ is sha256:/gm)).toHaveLength(60);
  }, 120_000);

  it('says how many new ones a summary leaves out, and lists them where all are asked for', async () => {
    const many = Array.from({ length: 120 }, (_, at) => `n${at}`);
    for (const tag of many) await pushImage(target, 'good', tag);
    await stage(...many);
    const short = (await all.run(`pending ${repository}`)).stdout;
    expect([short.match(/^\s+\S+ is sha256:/gm)?.length, short]).toEqual([
      100,
      expect.stringContaining('20 more new names'),
    ]);
    expect((await all.run(`pending ${repository} --all`)).stdout.match(/^\s+\S+ is sha256:/gm)).toHaveLength(
      120,
    );
    const [change] = (await listed()).pending;
    const shown = await alice.run(`approve ${repository} ${change?.id} --dry-run ${pin}`);
    expect(shown.stderr.match(/^\s+\S+ is sha256:/gm)).toHaveLength(120);
  }, 120_000);
});

describe('an approval', () => {
  beforeEach(async () => {
    await pushImage(target, 'good', 'v1');
    await stage('v1');
  });

  it('without a question names all of the id, and nothing stored has few digits of it', async () => {
    const { id, tags } = (await listed()).pending[0]!;
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(tags[0]).toMatch(/^_trust\.stage\.[0-9a-f]{16,}$/);
    for (const [typed, code] of [
      [id.slice(0, 4), 11],
      [id.slice(0, 7), 11],
      [id.slice(0, 8), 2],
      [id.slice(0, 12), 2],
      [id.slice(0, 16), 2],
      [id.slice(0, 63), 2],
      [`${id}0`, 11],
      [id.toUpperCase(), /[a-f]/.test(id) ? 11 : 0],
      [`${id.slice(0, 63)}${id.endsWith('0') ? '1' : '0'}`, 11],
    ] as const)
      expect(await alice.run(`approve ${repository} ${typed} --yes --wait 0s ${pin}`), typed).toMatchObject({
        code,
      });
    expect(
      await alice.run(`approve ${repository} ${id} --yes --change ${'0'.repeat(64)} ${pin}`),
    ).toMatchObject({ code: 30 });
    const asked = await alice.run(`approve ${repository} ${id.slice(0, 8)} ${pin}`, {
      typed: true,
      stdin: 'n\n',
    });
    expect(asked).toMatchObject({ code: 130 });
    expect((await listed()).pending).toMatchObject([{ id, state: 'signatures' }]);
    expect(await alice.run(`approve ${repository} ${id} --yes --wait 0s ${pin}`)).toMatchObject({ code: 31 });
  });

  it('signs nothing where another change has taken the place of the one that was shown', async () => {
    const { id, tags } = (await listed()).pending[0]!;
    await pushImage(target, 'evil', 'v1');
    await stage('v1');
    const other = (await listed()).pending.find((one) => one.id !== id)!;
    // The thief of a registry puts one in the other's place.
    const content = await target.fetchManifest(other.tags[0]!);
    for (const tag of tags) await target.pushManifest(content, { tag });
    const attempt = await alice.run(`approve ${repository} ${id} --yes --wait 0s ${pin}`);
    expect(attempt).toMatchObject({ code: 11 });
    expect((await listed()).pending.map((one) => one.id)).toEqual([other.id]);
  });

  it('is of the same change under a tag of old, with fewer digits', async () => {
    const { id, tags } = (await listed()).pending[0]!;
    const content = await target.fetchManifest(tags[0]!);
    await target.pushManifest(content, { tag: tags[0]!.slice(0, '_trust.stage.'.length + 12) as Tag });
    const { pending } = await listed();
    expect(pending).toHaveLength(1);
    expect(pending[0]?.id).toBe(id);
    expect(pending[0]?.tags).toHaveLength(2);
  });
});

/** Somebody who has one of the two keys of `names` stages what no bulla would make. */
async function forgeStage(make: (signed: JsonObject, log: LogEntry[]) => void): Promise<Tag> {
  const tag = (await listed()).pending[0]!.tags[0]!;
  const honest: StageContent = await readStage(target, tag);
  const { name, bytes } = fileOf(honest.files, 'names');
  const file = parseMetadataFile(bytes, 'names', 1e7);
  const log = parseLog(honest.logs.get('names')!, 'names');
  const [signed, entries] = [copyJson(file.signed), [...log.entries]];
  make(signed, entries);
  const logBytes = encodeLog({ since: log.since, entries });
  Object.assign(signed['bulla'] as JsonObject, logBinding(logBytes));
  const forged = await signedBy(signed);
  return await pushStage(target, {
    files: new Map([[name, forged.bytes]]),
    logs: new Map([['names', logBytes]]),
  });
}

async function signedBy(signed: JsonObject): Promise<MetadataFile> {
  const { client } = await readAny(target, { now, place: repository });
  const targets = await client.role('targets', client.trusted.targetsDelegator());
  const { keys, roles } = delegationsIn(targets.file)!;
  const pending = new PendingFile('names', signed, [{ delegator: 'targets', keys, role: roles[0]! }]);
  await pending.sign([people.signer('publisher')]);
  return pending.file;
}

describe('a staged file whose log says something else than it does', () => {
  const EVIL = { length: 1, sha256: 'e'.repeat(64) };
  const set = (signed: JsonObject, name: string, sha256: string, more: object = {}) =>
    Object.assign(signed['targets'] as JsonObject, { [name]: { length: 1, hashes: { sha256 }, ...more } });

  it.each<[string, (signed: JsonObject, log: LogEntry[]) => void]>([
    [
      'an entry that the names do not show',
      (_, log) => log.push({ ...setting([], now), set: new Map([['latest', EVIL]]) }),
    ],
    [
      'a revocation that the names do not show',
      (_, log) => log.push({ ...setting([], now), set: undefined, unset: new Set(['latest']) }),
    ],
    ['a name that the log does not tell', (signed) => set(signed, 'latest', EVIL.sha256)],
    [
      'a name that is gone, and the log does not tell',
      (signed) => {
        delete (signed['targets'] as JsonObject)['v0'];
      },
    ],
    [
      'a digest that the log tells otherwise',
      (signed, log) => {
        log.push({ ...setting([], now), set: new Map([['v7', EVIL]]) });
        set(signed, 'v7', 'd'.repeat(64));
      },
    ],
    [
      'a media type that the log does not tell',
      (signed, log) => {
        log.push({ ...setting([], now), set: new Map([['v7', EVIL]]) });
        set(signed, 'v7', EVIL.sha256, { custom: { mediaType: 'application/vnd.oci.image.index.v1+json' } });
      },
    ],
  ])('is not offered for a signature: %s', async (_, make) => {
    await pushImage(target, 'good', 'v1');
    await stage('v1');
    const { pending: before } = await listed();
    const evil = await forgeStage(make);
    const { pending, refused } = await listed();
    expect(pending.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
    expect(refused.map(({ tag }) => tag)).toContain(evil);
  });
});

it('an empty stage of nobody is no obstacle to a list', async () => {
  await pushAssembly(
    target,
    assembleStage({ files: new Map(), logs: new Map() }),
    '_trust.stage.0123456789abcdef' as Tag,
  );
  expect((await listed()).pending).toEqual([]);
});
