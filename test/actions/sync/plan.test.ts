import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseSync } from '../../../src/actions/sync/plan.ts';
import { BullaError } from '../../../src/errors.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import { isSchedule } from '../../../src/servers/sync/schedule.ts';

const parse = (text: string) => parseSync(text, 'sync.yaml', isSchedule);

const REGSYNC = `version: 1
creds:
  - registry: registry.example.com
    user: robot
    pass: '{{env "PASSWORD"}}'
  - registry: localhost:5000
    tls: disabled
defaults:
  interval: 60m
  parallel: 3
  backup: "backup-{{.Ref.Tag}}"
sync:
  - source: busybox:latest
    target: localhost:5000/library/busybox:stable
    type: image
  - source: registry.example.com/team/app
    target: localhost:5000/team/app
    type: repository
    tags:
      allow: ["latest", "v\\\\d+\\\\.\\\\d+\\\\.\\\\d+"]
      deny: ["v0\\\\..*"]
      semverRange: [">=1.2 <2"]
      newest: 10
    schedule: "15 1 * * *"
    fastCopy: true
    referrers: false
  - source: registry.example.com/base
    target: localhost:5000
    type: registry
    repos: { allow: ["base/.*"], deny: ["base/old"] }
`;

const TAGS = ['latest', 'v0.1.0', 'v1.2.3', 'v1.2.3-alpine', 'sha'] as Tag[];

function mistakes(text: string): readonly string[] {
  try {
    parse(text);
    return [];
  } catch (error) {
    if (!(error instanceof BullaError) || error.code !== 'config-invalid') throw error;
    const told = error.details['mistakes'] as { line: number; column: number; message: string }[];
    return told.map(({ line, column, message }) => `${line}:${column} ${message}`);
  }
}

const entry = (more: string): string =>
  `sync:\n  - source: a.example.com/app\n    target: b.example.com/app\n    type: repository\n${more}`;

describe('a file of bulla sync', () => {
  it('is read as regsync reads it', () => {
    const { entries, creds, parallel } = parse(REGSYNC);
    expect([creds.length, parallel]).toEqual([2, 3]);
    const [image, repository, registry] = entries;
    expect(image).toMatchObject({
      title: 'busybox:latest => localhost:5000/library/busybox:stable',
      type: 'image',
      intervalMs: 3_600_000,
      source: { reference: { registry: 'docker.io', repository: 'library/busybox', tag: 'latest' } },
      referrers: true,
      fast: false,
      prune: false,
    });
    expect(image?.backup?.('stable' as Tag)).toBe('backup-stable');
    // A schedule of its own comes in place of the interval of all.
    expect(repository).toMatchObject({ schedule: '15 1 * * *', fast: true, referrers: false });
    expect(repository?.intervalMs).toBeUndefined();
    expect(repository?.selection).toMatchObject({ semver: '>=1.2 <2', newest: 10 });
    expect(repository?.selection.expressions?.select(TAGS)).toEqual(['latest', 'v1.2.3']);
    expect(registry).toMatchObject({
      source: { kind: 'registry', registry: 'registry.example.com', prefix: 'base' },
      target: { kind: 'registry', registry: 'localhost:5000', prefix: '' },
    });
    expect(registry?.repositories.select(['base/app', 'base/old', 'other'])).toEqual(['base/app']);
  });

  it.each<[string, string, RegExp]>([
    ['is broken', 'sync: [', /^1:\d+ /],
    ['has an unknown member', entry('    colour: red\n'), /^2:5 .*colour/],
    ['has a key twice', entry('    type: image\n'), /^5:5 .*unique/],
    ['has no entries', 'sync: []', /^1:1 /],
    ['has an alias', 'x: &a 1\nsync: *a', /^1:1 /],
    ['has another version', `version: 2\n${entry('')}`, /^1:1 /],
    [
      'has an entry without a target',
      'sync:\n  - source: a.example.com/app\n    type: repository\n',
      /^2:5 /,
    ],
    ['has an interval that is none', entry('    interval: soon\n'), /^5:5 "soon" is not a duration/],
    ['has a schedule that is none', entry('    schedule: "61 * * * *"\n'), /^5:5 .*cron/],
    ['has a schedule that never comes', entry('    schedule: "0 0 30 2 *"\n'), /^5:5 .*cron/],
    ['has a schedule with seconds', entry('    schedule: "* * * * * *"\n'), /^5:5 .*cron/],
    ['has both', entry('    interval: 1h\n    schedule: "0 * * * *"\n'), /^6:5 .*exclude/],
    [
      'has an expression that is none',
      entry('    tags:\n      allow: ["ok", "("]\n'),
      /^6:21 .*regular expression/,
    ],
    [
      'has a longer expression than that',
      entry(`    tags: { deny: ["${'a'.repeat(1100)}"] }\n`),
      /^5:.*regular expression/,
    ],
    [
      'has a source with a tag',
      'sync:\n  - source: a.example.com/app:v1\n    target: b.example.com/app\n    type: repository\n',
      /^2:5 .*type is repository/,
    ],
    [
      'has an image without a tag',
      'sync:\n  - source: a.example.com/app\n    target: b.example.com/app\n    type: image\n',
      /^2:5 .*tag or a digest/,
    ],
    [
      'has a registry that is a path',
      'sync:\n  - source: ../x\n    target: b.example.com\n    type: registry\n',
      /^2:5 .*not a registry/,
    ],
    ['selects repositories of a repository', entry('    repos: { allow: ["a"] }\n'), /^5:5 repos/],
    [
      'selects tags of an image',
      'sync:\n  - source: a.example.com/app:v1\n    target: b.example.com/app:v1\n    type: image\n    tags: { allow: ["a"] }\n',
      /^5:5 tags/,
    ],
    ['prunes what it keeps', entry('    prune: true\n    backup: "old-{{.Ref.Tag}}"\n'), /^5:5 prune/],
    ['has a backup without the tag', entry('    backup: "old"\n'), /^5:5 .*Ref.Tag/],
    ['has a backup that is no tag', entry('    backup: "../{{.Ref.Tag}}"\n'), /^5:5 .*Ref.Tag/],
    ['has a platform that is none', entry('    platform: windows\n'), /^5:5 /],
    [
      'has one registry twice',
      `creds: [{ registry: localhost }, { registry: LOCALHOST }]\n${entry('')}`,
      /^1:\d+ .*twice/,
    ],
    [
      'has a user without a password',
      `creds:\n  - registry: a.example.com\n    user: me\n${entry('')}`,
      /^2:5 user and pass/,
    ],
    [
      'has one target twice, and prunes it',
      `${entry('    prune: true\n')}  - source: c.example.com/app\n    target: b.example.com/app\n    type: repository\n`,
      /^7:5 another entry/,
    ],
  ])('is refused with line and column where it %s', (_, text, expected) => {
    const [first, ...others] = mistakes(text);
    expect(first).toMatch(expected);
    expect(others.length).toBeLessThan(2);
  });

  it('is as its specification shows it', () => {
    const page = readFileSync(new URL('../../../spec/sync.md', import.meta.url), 'utf8');
    const { entries, creds } = parse(/```yaml\n(.*?)```/s.exec(page)?.[1] ?? '');
    expect([entries.map(({ type }) => type), creds.length]).toEqual([['repository', 'image', 'registry'], 2]);
    expect(entries[0]?.selection.expressions?.select(TAGS)).toEqual(['latest', 'v1.2.3']);
  });

  it('tells all mistakes at once', () => {
    expect(
      mistakes(entry('    interval: soon\n    platform: x\n    tags: { allow: ["("], deny: [")"] }\n')),
    ).toHaveLength(4);
  });

  it('ends an expression that would take years', () => {
    const { entries } = parse(entry('    tags: { allow: ["(a+)+"] }\n'));
    const hostile = [`${'a'.repeat(120)}!`] as Tag[];
    expect(() => entries[0]?.selection.expressions?.select(hostile)).toThrow(
      expect.objectContaining({ code: 'config-invalid' }),
    );
  });
});
