import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCertificates } from '../../../src/crypto/certificate.ts';
import { canonicalOlpc } from '../../../src/encoding/canonical.ts';
import type { JsonObject, JsonValue } from '../../../src/encoding/json.ts';
import { isBullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { describeChange, linesOf, tellChange } from '../../../src/trust/change/describe-change.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { composeMetadataFile, copyJson, type MetadataFile } from '../../../src/tuf/metadata-file.ts';
import { readAny, setting } from '../../support/trust/changing.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { changeWith } from '../../support/trust/heads.ts';
import { anyOf, NOW } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const store = new MemoryStore('registry.example.com/team/app');
await pushHead(store, await newCollection());
await changeWith(store, (edit) => edit.apply('names', [setting(['v1', 'v2', 'v3'])]));
await changeWith(
  store,
  (edit) => {
    edit.addSigner({ ...anyOf(1, poolKey(5)), name: 'ci', paths: ['ci-*', 'v?'] });
    edit.addSigner({ ...anyOf(2, poolKey(6), poolKey(7)), name: 'alice', paths: ['*'] });
    edit.setLifetime('ci', 86_400_000);
  },
  { keys: [poolKey(5), poolKey(6), poolKey(7)] },
);
const copy = await WorkingCopy.open(await readAny(store));
const chain = parseCertificates(
  readFileSync(new URL('../../../testdata/signatures/notation.crt', import.meta.url), 'utf8'),
  'notation.crt',
);

it('tells new names once, and nothing else of their file', async () => {
  const edit = new CollectionEdit(copy, { now: NOW, policy: { versions: trustVersions(() => 7) } });
  await edit.apply('names', [setting(['v4', 'v5'])]);
  const { edit: prepared } = edit.prepare();
  const names = prepared.pending().find(({ file }) => file.role === 'names')!.file;
  const told = tellChange(copy.files.roles.get('names'), names, copy.collection.id);
  expect(told).toMatchObject({ moved: [], removed: [] });
  expect(told.added).toHaveLength(2);
  expect(told.other.filter((line) => !line.includes('list of changes'))).toEqual([]);
});

/** The next version of each role, with something of everything in it. */
async function nextFiles(): Promise<readonly (readonly [MetadataFile | undefined, MetadataFile])[]> {
  const edit = new CollectionEdit(copy, { now: NOW, policy: { versions: trustVersions(() => 7) } });
  await edit.apply('names', [setting(['v1', 'v4'], NOW, 'other')]);
  edit.root().setKeys('root', anyOf(1, poolKey(9), poolKey(10)));
  edit.setRootCertificates(new Map([[poolKey(9).key.keyid, chain]]));
  edit.setLifetime('timestamp', 3_600_000);
  edit.addSigner({ ...anyOf(1, poolKey(11)), name: 'bob', paths: ['b-*'] });
  edit.setLifetime('bob', 7_200_000);
  const { edit: prepared } = edit.prepare();
  const before = (role: string) => (role === 'root' ? copy.files.roots.at(-1) : copy.files.roles.get(role));
  const made = prepared.pending().map(({ file }) => [before(file.role), file] as const);
  // Bins are delegated by a role that has nothing but them.
  const [, names] = made.find(([, { role }]) => role === 'names')!;
  const spread = copyJson(names.signed);
  const succinct = { keyids: [poolKey(1).key.keyid], threshold: 1, bit_length: 6, name_prefix: '' };
  Object.assign(spread, {
    targets: {},
    delegations: {
      keys: { [poolKey(1).key.keyid]: copyJson(poolKey(1).key.json) },
      succinct_roles: succinct,
    },
  });
  return [...made, [before('names'), composeMetadataFile('names', copyJson(spread), [])]];
}
const FILES = await nextFiles();

/** Every place in a document at which something can be changed. */
function places(value: JsonValue, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (Array.isArray(value)) return [path, ...value.flatMap((element, at) => places(element, [...path, at]))];
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, member]) => places(member, [...path, name]))];
}

const TEXTS = [
  '',
  'x',
  'v1',
  'v1, terminating',
  'names',
  'nothing',
  '"v1"',
  'a\nb',
  '\u202ev1',
  'v\u0131',
  '*',
  'a.b',
  '__proto__',
];
const odd: fc.Arbitrary<JsonValue> = fc.oneof(
  fc.constantFrom(...TEXTS),
  fc.constantFrom<JsonValue>(0, 1, 2, -1, true, false, null, [], {}, ['*'], ['v1', 'v2'], [['*']], {
    length: 1,
  }),
);

interface Step {
  readonly at: number;
  readonly kind: 'set' | 'drop' | 'add' | 'reverse' | 'rename' | 'twice' | 'nudge';
  readonly value: JsonValue;
  readonly name: string;
}
const step: fc.Arbitrary<Step> = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom('set', 'drop', 'add', 'reverse', 'rename', 'twice', 'nudge'),
  value: odd,
  name: fc.constantFrom(...TEXTS, 'critical', 'paths', 'path_hash_prefixes', 'terminating', 'roles', 'log'),
});

function changed(signed: JsonObject, { at, kind, value, name }: Step): JsonObject {
  const made = copyJson(signed);
  const all = places(made).filter((path) => path.length > 0);
  const path = all[at % all.length]!;
  const holder = path
    .slice(0, -1)
    .reduce<JsonValue>((object, part) => (object as JsonObject)[part]!, made) as JsonObject;
  const last = path.at(-1) as string;
  const present = holder[last] as JsonValue;
  const isList = Array.isArray(present);
  if (kind === 'set') holder[last] = value;
  else if (kind === 'drop' && Array.isArray(holder)) holder.splice(Number(last), 1);
  else if (kind === 'drop') delete holder[last];
  else if (kind === 'reverse' && isList) present.reverse();
  else if (kind === 'twice' && isList) present.push(copyJson(present[0] ?? null));
  else if (kind === 'add' && isList) present.push(value);
  else if (kind === 'add' && typeof present === 'object' && present !== null)
    (present as JsonObject)[name] = value;
  else if (kind === 'rename' && !Array.isArray(holder)) {
    delete holder[last];
    holder[name] = present;
  } else if (typeof present === 'number') holder[last] = present + 1;
  else if (typeof present === 'boolean') holder[last] = !present;
  else if (typeof present === 'string')
    holder[last] = present.replace(/.$/, (end) => (end === 'a' ? 'b' : 'a'));
  return made;
}

function told(before: MetadataFile | undefined, role: string, signed: JsonObject): string | undefined {
  try {
    return describeChange(before, composeMetadataFile(role, signed, []), copy.collection.id).join('\n');
  } catch (error) {
    if (isBullaError(error, 'content-invalid')) return undefined;
    throw error;
  }
}

describe('two different changes', () => {
  it.each(FILES.map(([before, after], index) => [`${index} ${after.role}`, before, after] as const))(
    'of %s never read the same',
    (_, before, { role, signed }) => {
      let compared = 0;
      const property = fc.property(
        fc.array(step, { maxLength: 2 }),
        fc.array(step, { minLength: 1, maxLength: 2 }),
        (one, other) => {
          const [a, b] = [one.reduce(changed, signed), other.reduce(changed, signed)];
          const [first, second] = [told(before, role, a), told(before, role, b)];
          if (first === undefined || second === undefined) return;
          compared++;
          const isEqual = Buffer.from(canonicalOlpc(a)).equals(canonicalOlpc(b));
          expect(first === second, `${JSON.stringify(a)}\n${JSON.stringify(b)}\n${first}`).toBe(isEqual);
          expect(first).toMatch(/^[\x20-\x7e\n→]*$/);
        },
      );
      fc.assert(property, { numRuns: 500 });
      expect(compared).toBeGreaterThan(100);
    },
  );
});

describe('what is told', () => {
  const before = copy.files.roles.get('names')!;
  const names = (targets: JsonObject) =>
    composeMetadataFile('names', { ...copyJson(before.signed), targets }, []);
  const entry = (digit: string) => ({ length: 1, hashes: { sha256: digit.repeat(64) } });

  it('holds every name, those that move first, then those that go, then new ones', () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`n${at}`, entry('a')]));
    const { v1: _, ...rest } = before.signed['targets'] as JsonObject;
    const after = names({ ...many, ...rest, v2: entry('e') });
    const lines = describeChange(before, after);
    expect(lines.filter((line) => / is sha256:a{64} /.test(line))).toHaveLength(300);
    const places = ['  v2 is sha256:eeee', '  v1 is removed', '  n0 is sha256:aaaa'].map((start) =>
      lines.findIndex((line) => line.startsWith(start)),
    );
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(places[0]).toBeGreaterThan(0);
    expect(lines.join('\n')).toContain('1 names move to another digest, 1 are removed, 300 are new');
  });

  it('leaves out nothing but new names where it is short, and says so', () => {
    const many = (digit: string) =>
      Object.fromEntries(Array.from({ length: 150 }, (_, at) => [`n${at}`, entry(digit)]));
    const short = linesOf(
      tellChange(before, names({ ...(before.signed['targets'] as JsonObject), ...many('a') })),
      true,
    );
    expect(short.at(-1)).toContain('50 more new names');
    const all = composeMetadataFile('names', { ...copyJson(before.signed), targets: many('b') }, []);
    const moved = linesOf(tellChange(names(many('a')), all), true);
    expect(moved.filter((line) => line.includes(', before sha256:'))).toHaveLength(150);
  });

  it.each<[string, JsonObject, RegExp]>([
    ['a pattern that reads like a word', { paths: ['nothing'] }, /trusted with "nothing"$/m],
    [
      'a pattern that reads like the end of a search',
      { paths: ['v1, terminating'] },
      /trusted with "v1, terminating"$/m,
    ],
    ['two patterns', { paths: ['v1', 'v2'] }, /trusted with "v1", "v2"$/m],
    ['one pattern with a comma', { paths: ['v1", "v2'] }, /trusted with "v1\\", \\"v2"$/m],
    ['hash prefixes', { path_hash_prefixes: ['3f'] }, /trusted with names whose SHA-256 begins with "3f"$/m],
    ['no pattern', { paths: [] }, /trusted with nothing$/m],
    ['the end of the search', { paths: ['*'], terminating: true }, /trusted with "\*"; and no role after it/],
    ['a letter of another script', { paths: ['\u0430*'] }, /trusted with "\\u0430\*"$/m],
  ])('of a delegation: %s', (_, trust, expected) => {
    const old = copy.files.roles.get('targets')!;
    const signed = copyJson(old.signed);
    const role = { name: 'eve', keyids: [], threshold: 1, terminating: false, ...trust };
    ((signed['delegations'] as JsonObject)['roles'] as JsonValue[]).unshift(role);
    const lines = describeChange(old, composeMetadataFile('targets', signed, [])).join('\n');
    expect(lines).toMatch(expected);
    expect(lines).toContain('eve is new, asked first, trusted with');
  });
});
