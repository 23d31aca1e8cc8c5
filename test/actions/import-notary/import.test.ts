import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compareNames, updateOf } from '../../../src/actions/import-notary/compare.ts';
import { planImport } from '../../../src/actions/import-notary/plan.ts';
import { isBullaError } from '../../../src/errors.ts';
import { releasedNames } from '../../../src/notary/names.ts';
import { verifyNotaryRepository } from '../../../src/notary/repository.ts';
import { NotaryDirectory } from '../../../src/notary-client/directory.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { Tag } from '../../../src/oci/reference.ts';

const DATA = new URL('../../../testdata/notary-v1/', import.meta.url).pathname;

/** Directories that hold a whole repository. */
function repositories(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (!entry.isDirectory()) return [];
    const path = join(directory, entry.name);
    const isWhole = ['root', 'targets', 'snapshot', 'timestamp'].every((role) =>
      existsSync(join(path, `${role}.json`)),
    );
    return [...(isWhole ? [path] : []), ...repositories(path)];
  });
}

/** Sets that do not hold together, on purpose: nothing of them may be planned. */
const BROKEN = ['err-image', 'never-expire-image', 'never-expire-with-delegations-image'].map((name) =>
  join('validator', name),
);
const ALL = repositories(DATA).map((path) => path.slice(DATA.length));

const commonName = /CN=([^,\n]+)/;

async function verified(name: string) {
  const source = new NotaryDirectory(join(DATA, name));
  return await verifyNotaryRepository(source, {
    gun: await gunOf(source),
    now: new Date('2026-11-30T00:00:00Z'),
    pin: { kind: 'tofu' },
    allowExpired: true,
    badDelegation: 'report',
  });
}

describe('planImport', () => {
  it.each(BROKEN)('gets nothing to plan from %s', async (name) => {
    const outcome = await verified(name).catch((error: unknown) => error);
    expect(isBullaError(outcome, 'trust-invalid', 'content-invalid')).toBe(true);
  });

  it.each(ALL.filter((name) => !BROKEN.includes(name)))('plans %s as docker shows it', async (set) => {
    const repository = await verified(set);
    if (repository === undefined) throw new Error('there is no root');
    const plan = planImport(repository);
    const shown = new Map<string, string[]>();
    for (const { name, digest } of releasedNames(repository))
      shown.set(name, [...(shown.get(name) ?? []), digest]);
    for (const [name, digests] of shown) {
      const planned = plan.names.get(name as Tag);
      const isListed = plan.notCarried.some(({ kind, what }) => kind === 'name' && what === name);
      if (planned === undefined) expect(isListed, name).toBe(true);
      else expect(digests).toContain(planned.digest);
    }
    for (const name of plan.names.keys()) expect(shown.has(name), name).toBe(true);
    for (const role of repository.roles.values()) {
      if (role.name === 'targets' || role.name === 'targets/releases') continue;
      const name = role.name.replace('targets/', '');
      const isThere =
        plan.signers.some((signer) => signer.name === name) ||
        plan.notCarried.some(({ kind, what }) => kind === 'signer' && what === name);
      expect(isThere, name).toBe(true);
    }
  });
});

/** The name that the root certificate carries. */
async function gunOf(source: NotaryDirectory): Promise<string> {
  const { parseNotaryFile } = await import('../../../src/notary/file.ts');
  const { parseNotaryRoot } = await import('../../../src/notary/content.ts');
  const bytes = await source.fetch({ role: 'root' }, 1024 * 1024);
  if (bytes === undefined) return 'none';
  const root = parseNotaryRoot(parseNotaryFile(bytes, 'root', bytes.byteLength));
  for (const { key } of root.keys.values()) {
    const subject = key?.certificates[0]?.x509.subject;
    const name = subject === undefined ? undefined : commonName.exec(subject)?.[1];
    if (name !== undefined && (root.roles.get('root')?.keyids ?? []).includes(key?.computedId ?? ''))
      return name;
  }
  return 'registry.example.com/team/app';
}

const digest = (of: string): Digest => `sha256:${of.repeat(64)}` as Digest;
const named = (names: Record<string, string>): Map<Tag, { digest: Digest; length: number }> =>
  new Map(Object.entries(names).map(([tag, of]) => [tag as Tag, { digest: digest(of), length: 1 }]));
const there = (names: Record<string, string>): Map<string, Digest> =>
  new Map(Object.entries(names).map(([tag, of]) => [tag, digest(of)]));

describe('compareNames', () => {
  it('tells each state of a name', () => {
    const compared = compareNames(named({ a: '1', b: '1', c: '1' }), there({ a: '1', b: '2', d: '3' }));
    expect(compared.map(({ tag, state }) => `${tag} ${state}`)).toEqual([
      'a same',
      'b different',
      'c missing',
      'd added',
    ]);
  });
});

describe('updateOf', () => {
  const update = (
    before: Record<string, string>,
    after: Record<string, string>,
    now: Record<string, string>,
  ) => {
    const { set, unset, conflicts } = updateOf(named(before), named(after), there(now));
    return [[...set.keys()], [...unset], conflicts.map(({ tag }) => tag)];
  };
  it.each([
    ['nothing changed', { a: '1' }, { a: '1' }, { a: '1' }, [], [], []],
    ['set on the old server', { a: '1' }, { a: '2' }, { a: '1' }, ['a'], [], []],
    ['new on the old server', {}, { a: '1' }, {}, ['a'], [], []],
    ['taken out on the old server', { a: '1' }, {}, { a: '1' }, [], ['a'], []],
    ['changed here alone', { a: '1' }, { a: '1' }, { a: '2' }, [], [], []],
    ['revoked here alone', { a: '1' }, { a: '1' }, {}, [], [], []],
    ['new here alone', {}, {}, { a: '1' }, [], [], []],
    ['changed on both sides', { a: '1' }, { a: '2' }, { a: '3' }, [], [], ['a']],
    ['changed to the same', { a: '1' }, { a: '2' }, { a: '2' }, [], [], []],
    ['revoked here, set there', { a: '1' }, { a: '2' }, {}, [], [], ['a']],
    ['set here, taken out there', { a: '1' }, {}, { a: '2' }, [], [], ['a']],
    ['taken out on both sides', { a: '1' }, {}, {}, [], [], []],
    ['new on both sides, and different', {}, { a: '1' }, { a: '2' }, [], [], ['a']],
  ] as const)('%s', (_, before, after, now, set, unset, conflicts) => {
    expect(update(before, after, now)).toEqual([set, unset, conflicts]);
  });
});
