import { existsSync, readdirSync } from 'node:fs';

/** What is mutated, and the tests that should notice, those that notice soonest first. */
export interface Room {
  readonly sources: readonly string[];
  readonly tests: readonly string[];
  /** Run only for what the others let live. */
  readonly more: readonly string[];
  /** What runs with all mutants behind switches; leaves out crowds, races and random walks, which take long. */
  readonly switched: readonly string[];
}

export const root: string = new URL('../..', import.meta.url).pathname;

/**
 * The mirrored tests of a room of `src/`, and where what it refuses is attacked from outside.
 * @throws RangeError for a room that is not one
 */
export function roomOf(name: string): Room {
  const more = MORE.get(name);
  if (more === undefined) throw new RangeError(`${name} is not one of ${[...MORE.keys()].join(', ')}`);
  const tests = filesIn(`test/${name}`).filter((path) => path.endsWith('.test.ts') && !SLOW.test(path));
  return {
    sources: filesIn(`src/${name}`).filter((path) => path.endsWith('.ts') && isMutated(name, path)),
    tests,
    more,
    switched: [...tests, ...more].sort((a, b) => orderOf(a) - orderOf(b)),
  };
}

/** Files of the lists below that are not there: they have moved, and would be left out without a word. */
export function missingFiles(): string[] {
  const listed = [...[...READERS].map((name) => `src/trust/${name}.ts`), ...[...MORE.values()].flat()];
  return listed.filter((path) => !existsSync(`${root}${path}`));
}

/** Random walks, crowds and large collections: what they notice, a test with a name should have noticed. */
const SLOW = /simulation|crowd|scale|race|properties|own-formats/;
/** What asks functions and needs no repository is soonest there; last come those that take longest. */
const ORDER: readonly RegExp[] = [
  /refusals|signable|object|vectors|pin|versions/,
  /./,
  /bins|model|names|merge|collection-edit|\bfold|looking|renewal|signer-record/,
  /log-attacks|folded-attacks|publish|resign|restore|create/,
];

/** Of `trust/`, what reads: where something that lies in a registry, or was handed over, is refused. */
const READERS: ReadonlySet<string> = new Set([
  ...['approve/change-file', 'approve/change-id', 'approve/import-change', 'approve/staged-trust'],
  ...['candidates/sibling-files', 'candidates/siblings'],
  ...[
    'change/describe-certificates',
    'change/describe-change',
    'change/describe-keys',
    'change/describe-values',
  ],
  ...['format/binding', 'format/candidate', 'format/folded', 'format/log', 'format/named-content'],
  ...['format/object', 'format/plain-text', 'format/role-files', 'format/signable', 'format/versions'],
  ...['format/vocabulary', 'read/bootstrap', 'read/cached-source', 'read/certified-root', 'read/collection'],
  ...['read/head-source', 'read/memory', 'read/names', 'read/object-fetcher', 'read/pin'],
  ...['read/read-for-display', 'read/root-chain', 'read/scratch-memory', 'report/history'],
  ...['transfer/compare-heads', 'transfer/proof'],
]);

function isMutated(room: string, path: string): boolean {
  return room !== 'trust' || READERS.has(path.slice('src/trust/'.length, -'.ts'.length));
}

const ATTACKS = ['test/signatures/stock.test.ts', 'test/actions/verify/attacks.test.ts'];
const TRUSTING = [
  'docker-trust/docker-keys',
  'copy/collection',
  'export/tuf',
  'change/offline',
  'change/pending',
].map((name) => `test/actions/${name}.test.ts`);
const MORE: ReadonlyMap<string, readonly string[]> = new Map([
  ['signatures', ATTACKS],
  ['policy', ATTACKS],
  ['crypto', ATTACKS],
  ['tuf', []],
  ['trust', TRUSTING],
]);

function orderOf(path: string): number {
  const at = ORDER.findLastIndex((pattern) => pattern.test(path));
  // What is asked by functions may be called anything else besides.
  return ORDER[0]?.test(path) === true ? 0 : at;
}

function filesIn(folder: string): string[] {
  return readdirSync(`${root}/${folder}`, { recursive: true })
    .map((path) => `${folder}/${String(path)}`)
    .sort();
}
