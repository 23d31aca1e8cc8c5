import { beforeEach, describe, expect, it } from 'vitest';
import { pieces } from '../../src/cli/render/printer.ts';
import type { Target } from '../../src/oci/target.ts';
import { pushImage } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import { People, type Person } from '../support/trust/people.ts';

const now = new Date('2030-01-01T00:00:00Z');
const people = new People();

let repository: string;
let target: Target;
let pin: string;
let all: Person;
let root: Person;
beforeEach(async () => {
  const registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  pin = `--root-key-id ${people.keyids.get('root')}`;
  all = await people.person(now, 'root', 'publisher', 'online', 'alice');
  root = await people.person(now, 'root');
  expect(await all.run(`init ${repository}`)).toMatchObject({ code: 0 });
  await pushImage(target, 'good', 'v1');
  expect(await all.run(`sign ${repository}:v1 --name-only`)).toMatchObject({ code: 0 });
});

/** The text of what was shown, put together again. */
const joined = (text: string): string => text.replaceAll(/\n *…/g, '');

/** Patterns of a signer among which one stands that matters. */
const PATTERNS: readonly (readonly [string, readonly string[]])[] = [
  ['many short ones, the last of which is *', [...Array.from({ length: 900 }, (_, at) => `rc-${at}`), '*']],
  [
    'many short ones, with * in the middle',
    [
      ...Array.from({ length: 450 }, (_, at) => `rc-${at}`),
      '*',
      ...Array.from({ length: 450 }, (_, at) => `x-${at}`),
    ],
  ],
  ['a very long one', [`v-${'x'.repeat(500)}`, '*']],
  ['long ones without a space', Array.from({ length: 12 }, (_, at) => `${at}-${'y'.repeat(480)}`)],
  ['letters that are escaped', [`${'é'.repeat(400)}`, 'latest']],
];

describe('a change with a line that is longer than lines are shown', () => {
  it.each(PATTERNS)('is shown whole before it is signed: %s', async (_, patterns) => {
    const paths = patterns.flatMap((pattern) => ['--path', pattern]).join(' ');
    const exported = await all.run(
      `signer add ${repository} alice --key alice ${paths} --export-unsigned change.json`,
    );
    expect(exported, exported.stderr).toMatchObject({ code: 0 });
    await all.bring('change.json', root);
    const told = joined((await root.run('approve change.json --dry-run')).stderr);
    const staged = await all.run(
      `signer add ${repository} alice --key alice ${paths} --stage --sign-with alice`,
    );
    expect([0, 31], staged.stderr).toContain(staged.code);
    const escaped = (text: string) => JSON.stringify(text).replaceAll('é', '\\u00e9');
    for (const pattern of patterns) {
      expect(told).toContain(escaped(pattern));
      // What lists it, and what it was made with.
      expect(joined(exported.stderr)).toContain(escaped(pattern));
    }
  });

  it('is listed whole where it waits', async () => {
    const patterns = PATTERNS[0]![1];
    const paths = patterns.flatMap((pattern) => ['--path', pattern]).join(' ');
    const alice = await people.person(now, 'alice');
    expect(
      await alice.run(`signer add ${repository} alice --key alice ${paths} --stage ${pin}`),
    ).toMatchObject({ code: 31 });
    const { stdout } = await root.run(`pending ${repository} ${pin}`);
    expect(joined(stdout)).toContain(patterns.map((pattern) => JSON.stringify(pattern)).join(', '));
    const [{ id }] = ((await root.run(`pending ${repository} -o json ${pin}`)).json() as never)[
      'pending'
    ] as [{ id: string }];
    const shown = await root.run(`approve ${repository} ${id} --dry-run ${pin}`);
    expect(joined(shown.stderr)).toContain('"rc-899", "*"');
  });
});

describe('a change that nobody has named by its whole id', () => {
  beforeEach(async () => {
    const exported = await all.run(
      `signer add ${repository} alice --key alice --path rc-* --export-unsigned change.json`,
    );
    expect(exported, exported.stderr).toMatchObject({ code: 0 });
    await all.bring('change.json', root);
  });

  it.each(['-q', '-o json', '-q -o json'])('is shown before it is signed, with %s', async (flag) => {
    const approved = await root.run(`approve change.json --yes ${flag}`);
    expect(approved, approved.stderr).toMatchObject({ code: 0 });
    expect(approved.stderr).toContain('alice is new, asked after names, trusted with "rc-*"');
  });

  it.each(['-q', '-o json'])('need not be, where it was, with %s', async (flag) => {
    const seen = await root.run('approve change.json --dry-run -o json');
    const { change } = seen.json() as { change: string };
    const approved = await root.run(`approve change.json --yes --change ${change} ${flag}`);
    expect(approved).toMatchObject({ code: 0, stderr: '' });
  });

  it('is shown before somebody is asked, with -q', async () => {
    const asked = await root.run('approve change.json -q', { typed: true, stdin: 'n\n' });
    expect(asked).toMatchObject({ code: 130 });
    expect(asked.stderr).toContain('alice is new');
  });
});

it('a line in pieces holds every character once', () => {
  for (const line of ['', 'a', '  short', `    ${'ab'.repeat(3000)}`, 'x'.repeat(500), 'x'.repeat(501)])
    expect(joined(pieces(line).join('\n'))).toBe(line);
});
