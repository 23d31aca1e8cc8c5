import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { BullaError, isBullaError } from '../../../src/errors.ts';
import { loadPolicy, MAX_INCLUDE_DEPTH, MAX_POLICY_FILES } from '../../../src/policy/file/load.ts';
import type { PolicyMistake } from '../../../src/policy/file/parse.ts';

type Files = Readonly<Record<string, string>>;

const load = (files: Files) =>
  loadPolicy('/p/policy.yaml', {
    read: async (path) => {
      const text = files[posix.relative('/p', path)];
      if (text !== undefined) return utf8(text);
      throw new BullaError('not-found', `there is no file ${path}`, { hint: 'write it' });
    },
    beside: (path, name) => posix.resolve(posix.dirname(path), name),
    shown: (path) => posix.relative('/p', path),
  });

/** `FILE:LINE:COLUMN message` of each mistake. */
async function mistakes(files: Files): Promise<string[]> {
  try {
    await load(files);
    return [];
  } catch (error) {
    if (!isBullaError(error, 'policy-invalid')) throw error;
    const { file, mistakes } = error.details as { file: string; mistakes: readonly PolicyMistake[] };
    return mistakes.map(({ line, column, message }) => `${file}:${line}:${column} ${message}`);
  }
}

const policy = (more: string): string => `version: 1\n${more}\n`;
const top = (include: string, more = 'rules: []'): string => policy(`include: [${include}]\n${more}`);
const rule = (scope: string): string => `rules: [{ scope: ${scope}, signatures: [{ keys: [a.pub] }] }]`;

describe('a policy file includes', () => {
  it('files relative to itself, which include others relative to themselves', async () => {
    const loaded = await load({
      'policy.yaml': top('teams/a.yaml, vendors.json', rule('r.example/*')),
      'teams/a.yaml': top('more/b.yaml', rule('r.example/a')),
      'teams/more/b.yaml': policy(rule('r.example/b')),
      'vendors.json': '{"version":1,"rules":[]}',
    });
    expect(loaded.included.map(({ path, included }) => [path, included.map((one) => one.path)])).toEqual([
      ['/p/teams/a.yaml', ['/p/teams/more/b.yaml']],
      ['/p/vendors.json', []],
    ]);
  });

  it('sets, for itself and for files that include it', async () => {
    const uses = 'rules: [{ scope: r.example/x, signatures: [{ keys: [{ set: release }] }] }]';
    const sets = policy('sets: { release: [a.pub] }\nrules: []');
    const chain = { 'b.yaml': top('c.yaml'), 'c.yaml': sets };
    expect(await mistakes({ 'policy.yaml': top('b.yaml', uses), ...chain })).toEqual([]);
  });
});

describe('a policy file is refused, with the file, line and column,', () => {
  it.each<[string, Files, RegExp]>([
    [
      'that includes itself',
      { 'policy.yaml': top('./policy.yaml') },
      /^policy.yaml:2:11 .*includes this file/,
    ],
    [
      'that includes itself by a detour',
      { 'policy.yaml': top('a.yaml'), 'a.yaml': top('b.yaml'), 'b.yaml': top('x/../a.yaml') },
      /^b.yaml:2:11 .*includes this file/,
    ],
    [
      'that includes a file twice',
      { 'policy.yaml': top('a.yaml, b.yaml'), 'a.yaml': top('b.yaml'), 'b.yaml': policy('rules: []') },
      /^policy.yaml:2:19 b.yaml is included twice/,
    ],
    ...['https://e.example/a.yaml', 'file:///etc/a.yaml', 'HTTP:a', 'tuf+https://e.example/a', 'data:,'].map(
      (url): [string, Files, RegExp] => [
        `that includes the URL ${url}`,
        { 'policy.yaml': top(`"${url}"`) },
        /^policy.yaml:2:11 .*not a path relative/,
      ],
    ),
    [
      'that includes an absolute path',
      { 'policy.yaml': top('/etc/a.yaml') },
      /^policy.yaml:2:11 .*not a path relative/,
    ],
    [
      'that includes a path of a server of Windows',
      { 'policy.yaml': top('"\\\\\\\\host\\\\a.yaml"') },
      /not a path relative/,
    ],
    ['that includes something else than paths', { 'policy.yaml': top('{ file: a.yaml }') }, /^policy.yaml:2/],
    ['with an empty list', { 'policy.yaml': top('') }, /^policy.yaml:2/],
    [
      'with a mistake in what it includes',
      { 'policy.yaml': top('a.yaml'), 'a.yaml': policy('rules:\n  - { scope: r.example/a }') },
      /^a.yaml:3:5 a rule has one of/,
    ],
    [
      'with YAML in what it includes that is not YAML',
      { 'policy.yaml': top('a.yaml'), 'a.yaml': 'version: [' },
      /^a.yaml:1:/,
    ],
    [
      'with an included mode, which would let all pass',
      { 'policy.yaml': top('a.yaml'), 'a.yaml': policy('mode: audit\nrules: []') },
      /^a.yaml:2:1 mode holds for a whole policy/,
    ],
    [
      'with an included member that is not known',
      { 'policy.yaml': top('a.yaml'), 'a.yaml': policy('rules: []\ntrustAll: true') },
      /^a.yaml:.*trustAll/,
    ],
    [
      'with the same scope in two files',
      {
        'policy.yaml': top('a.yaml', `rules:\n  - { scope: r.example/a, deny: x }`),
        'a.yaml': policy(rule('R.example:443/a')),
      },
      /^a.yaml:2:11 another rule has the same scope: policy.yaml:4:7$/,
    ],
    [
      'with the same scope in two files that it includes',
      { 'policy.yaml': top('a.yaml, b.yaml'), 'a.yaml': policy(rule("'*'")), 'b.yaml': policy(rule('"*"')) },
      /^b.yaml:2:11 another rule has the same scope: a.yaml:2:11$/,
    ],
    [
      'with two sets of one name',
      {
        'policy.yaml': top('a.yaml', 'sets: { s: [a.pub] }\nrules: []'),
        'a.yaml': policy('sets: { s: [evil.pub] }\nrules: []'),
      },
      /^policy.yaml:2:11 there are two sets "s": in policy.yaml and in a.yaml/,
    ],
    [
      'with two sets of one name in files that it includes',
      {
        'policy.yaml': top('a.yaml, b.yaml'),
        'a.yaml': policy('sets: { s: [a.pub] }\nrules: []'),
        'b.yaml': policy('sets: { s: [evil.pub] }\nrules: []'),
      },
      /^policy.yaml:2:19 there are two sets "s": in a.yaml and in b.yaml/,
    ],
    [
      'that is included and uses a set of the file above it',
      {
        'policy.yaml': top('a.yaml', 'sets: { s: [a.pub] }\nrules: []'),
        'a.yaml': policy('rules: [{ scope: r.example/a, signatures: [{ keys: [{ set: s }] }] }]'),
      },
      /^a.yaml:2:.* there is no set "s"/,
    ],
    [
      'that includes too many files',
      {
        'policy.yaml': top([...Array(MAX_POLICY_FILES).keys()].map((n) => `${n}.yaml`).join(', ')),
        ...Object.fromEntries(
          [...Array(MAX_POLICY_FILES).keys()].map((n) => [`${n}.yaml`, policy('rules: []')]),
        ),
      },
      /^policy.yaml:2:\d+ more than 64 files/,
    ],
    [
      'that includes files too deep',
      {
        'policy.yaml': top('0.yaml'),
        ...Object.fromEntries(
          [...Array(MAX_INCLUDE_DEPTH + 2).keys()].map((n) => [`${n}.yaml`, top(`${n + 1}.yaml`)]),
        ),
      },
      /^7.yaml:2:11 files are included more than 8 levels deep/,
    ],
  ])('%s', async (_, files, expected) => {
    expect((await mistakes(files))[0]).toMatch(expected);
  });

  it('whose included file is not there', async () => {
    await expect(load({ 'policy.yaml': top('sub/a.yaml') })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringMatching(/^policy\.yaml includes sub\/a\.yaml: /),
    });
  });

  it('and takes as many files, and as many levels, as are allowed', async () => {
    const names = [...Array(MAX_POLICY_FILES - 1).keys()].map((n) => `${n}.yaml`);
    const many = Object.fromEntries(names.map((name) => [name, policy('rules: []')]));
    expect(await mistakes({ 'policy.yaml': top(names.join(', ')), ...many })).toEqual([]);
    const deep = [...Array(MAX_INCLUDE_DEPTH).keys()].map((n) => [
      `${n}.yaml`,
      n === MAX_INCLUDE_DEPTH - 1 ? policy('rules: []') : top(`${n + 1}.yaml`),
    ]);
    expect(await mistakes({ 'policy.yaml': top('0.yaml'), ...Object.fromEntries(deep) })).toEqual([]);
  });
});
