import { describe, expect, it } from 'vitest';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { changeHead, contentOf, readAny, setting, unsetting } from '../support/trust/changing.ts';
import { type Served, served, servedCollection } from '../support/trust/served.ts';
import { anyOf, daysLater, ONLINE, PUBLISHER, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const keyid = (index: number) => poolKey(index).key.keyid;
const short = (index: number) => keyid(index).slice(0, 12);
const digest = (text: string) => `sha256:${contentOf(text).sha256}`;

/** Two names, one by a signer too; the tag v2 points elsewhere, v3 is signed by nobody. */
async function prepared(): Promise<Served> {
  const repository = await servedCollection();
  const { target } = repository;
  await changeHead(target, (edit) => {
    edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(7), poolKey(ROOT)), paths: ['v*'] });
  });
  await changeHead(target, (edit) => edit.apply(NAMES_ROLE, [setting(['v1', 'v2'])]));
  await changeHead(target, (edit) => edit.apply('ci', [setting(['v2'])]));
  await pushImage(target, 'two', 'v2');
  await pushImage(target, 'three', 'v3');
  return repository;
}

describe('bulla tree of a repository', () => {
  it('draws who may sign what, what expires when, and names', async () => {
    const { name, run } = await prepared();
    const { stdout, stderr, code } = await run(['tree', name, '--tofu']);
    expect(code, stderr).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(new RegExp(`^${name}  collection [0-9a-f]{12}, as of now$`));
    expect(lines.slice(1)).toEqual([
      expect.stringMatching(
        new RegExp(`^├── root       1 +  until 2031-01-01 \\(in 365 days\\)  by ${short(ROOT)}$`),
      ),
      expect.stringMatching(
        new RegExp(
          `^├── targets    [0-9]+.[0-9a-f]{7}  until 2031-01-01 \\(in 365 days\\)  by ${short(ROOT)}$`,
        ),
      ),
      expect.stringMatching(new RegExp(`^│   ├── names  .* by ${short(PUBLISHER)}  2 names$`)),
      `│   │   ├── v1  ${digest('v1').slice(0, 19)}`,
      `│   │   └── v2  ${digest('v2').slice(0, 19)}`,
      expect.stringMatching(
        new RegExp(`^│   └── ci     .* by 1 of 2: ${short(7)}, ${short(ROOT)} ✓  only v\\*  1 name$`),
      ),
      `│       └── v2  ${digest('v2').slice(0, 19)}`,
      expect.stringMatching(
        new RegExp(`^├── snapshot   .* until 2030-01-15 \\(in 14 days\\)  by ${short(ONLINE)}$`),
      ),
      expect.stringMatching(/^└── timestamp {2}.* until 2030-01-15/),
      '',
    ]);
    const columns = lines.filter((line) => line.includes(' until ')).map((line) => line.indexOf(' until '));
    expect(new Set(columns).size, stdout).toBe(1);
  });

  it('says what has expired, and goes on', async () => {
    const { name, run } = await prepared();
    const { stdout, stderr, code } = await run(['tree', name, '--tofu'], { now: daysLater(20) });
    expect(code).toBe(0);
    expect(stdout).toMatch(/timestamp .* EXPIRED 2030-01-15 \(6 days ago\)/);
    expect(stderr).toMatch(/warning: this collection cannot be used now: .*expired/);
  });

  it('shows what nobody has pinned, and says so', async () => {
    const { name, run } = await prepared();
    const { stdout, stderr, code } = await run(['tree', name, '-o', 'json']);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, trusted: false, name });
    expect(stderr).toMatch(/no trust root configured.*bulla pin/);
    // Looking is not believing: it is asked again.
    expect((await run(['tree', name])).stderr).toMatch(/no trust root configured/);
  });

  it('tells the facts to programs', async () => {
    const { name, run } = await prepared();
    const json = (await run(['tree', name, '--tofu', '-o', 'json', '--names', '1'])).json();
    expect(json).toMatchObject({
      trusted: true,
      place: name,
      name,
      created: '2030-01-01T00:00:00Z',
      roles: [
        { role: 'root', kind: 'root', version: 1, threshold: 1, state: 'fine' },
        { role: 'targets' },
        {
          role: 'names',
          kind: 'names',
          count: 2,
          keys: [{ keyid: keyid(PUBLISHER), scheme: 'ecdsa-sha2-nistp256', name: null }],
          names: [{ name: 'v1', digest: digest('v1'), length: 2 }],
        },
        { role: 'ci', kind: 'signer', paths: ['v*'], signedBy: [keyid(ROOT)] },
        { role: 'snapshot' },
        { role: 'timestamp', expires: '2030-01-15T00:00:00Z' },
      ],
    });
  });

  it('has colours on a terminal that wants them', async () => {
    const { name, run } = await prepared();
    const esc = '\u001b';
    expect((await run(['tree', name, '--tofu'], { tty: true })).stdout).toContain(`${esc}[32muntil`);
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }])
      expect((await run(['tree', name], { tty: true, env })).stdout).not.toContain(esc);
    expect((await run(['tree', name])).stdout).not.toContain(esc);
  });

  it('sends no control character of a hostile collection to the terminal', async () => {
    const { name, target, run } = await servedCollection();
    const evil = 'ci\u001b[2J\u202e, names';
    await changeHead(target, (edit) => {
      // Another tool may delegate so; ours refuses it.
      edit.edit.targets('targets').delegate({ name: evil, ...anyOf(1, poolKey(ROOT)), paths: ['v*\r'] });
      edit.beginSigner(evil);
      edit.edit.targets(NAMES_ROLE).setTarget('v1\u001b]0;x\u0007\n└── v2', {
        length: 1,
        hashes: { sha256: 'a'.repeat(64) },
      });
    });
    for (const command of ['tree', 'ls', 'inspect', 'log', 'status']) {
      const { stdout, stderr } = await run([command, name, '--tofu']);
      expect(stdout + stderr, command).not.toMatch(/(?!\n)[\p{Cc}\u202e]/u);
      expect(
        stdout.split('\n').some((line) => line.startsWith('└── v2')),
        command,
      ).toBe(false);
    }
    expect((await run(['tree', name])).stdout).toContain('"ci\\u001b[2J\\u202e, names"');
  });

  it('tells a repository without a collection from an image', async () => {
    const { name, run } = await served();
    for (const command of ['tree', 'inspect', 'log', 'status'])
      expect(await run([command, name]), command).toMatchObject({
        code: command === 'tree' ? 2 : 11,
        stdout: '',
      });
  });
});

describe('bulla ls of a repository with a collection', () => {
  it('lists names, who signed them, and tags that nobody signed', async () => {
    const { name, run } = await prepared();
    const { stdout, code, stderr } = await run(['ls', name, '--tofu']);
    expect(code, stderr).toBe(0);
    expect(stdout.split('\n')).toEqual([
      `v1  ${digest('v1')}  names  not a tag here`,
      `v2  ${digest('v2')}  names, ci`,
      'v3  unsigned',
      '',
    ]);
    expect((await run(['ls', name, '--tags'])).stdout).toBe('v2\nv3\n');
  });

  it('shows with -l where the tags of the registry point', async () => {
    const { name, target, run } = await prepared();
    const { digest: two } = await target.resolve(tagOf('v2'));
    const { stdout } = await run(['ls', '-l', name, '--tofu']);
    expect(stdout).toContain(`names, ci  the tag points to ${two}\n`);
    expect((await run(['ls', '-l', name, '-o', 'json'])).json()).toMatchObject({
      repository: name,
      trusted: true,
      tags: [
        { tag: 'v1', signed: { digest: digest('v1'), signers: ['names'] }, listed: false, points: null },
        { tag: 'v2', signed: { signers: ['names', 'ci'] }, listed: true, points: two },
        { tag: 'v3', signed: null, listed: true },
      ],
    });
  });

  it('lists more names than one file holds', async () => {
    const { name, target, run } = await servedCollection();
    const names = Array.from({ length: 1100 }, (_, at) => `v${at}`);
    await changeHead(target, (edit) => edit.apply(NAMES_ROLE, [setting(names)]));
    const { stdout } = await run(['ls', name, '--tofu']);
    const listed = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]);
    expect(listed.toSorted()).toEqual(names.toSorted());
    expect((await run(['tree', name])).stdout).toMatch(/1100 names in \d+ bins\n.*… 1100 more: bulla ls/);
  });

  it('fails where the collection does not verify, and lists tags all the same if told to', async () => {
    const { name, target, run } = await prepared();
    await run(['ls', name, '--tofu']);
    const image = await target.fetchManifest(tagOf('v3'));
    await target.pushManifest(image, { tag: tagOf('_trust') });
    expect(await run(['ls', name])).toMatchObject({ code: 22, stdout: '' });
    expect((await run(['ls', name, '--tags'])).stdout).toBe('v2\nv3\n');
  });
});

describe('bulla inspect of a collection', () => {
  it('shows roles, keys and files', async () => {
    const { name, target, run } = await prepared();
    const { id } = await readAny(target);
    for (const reference of [name, `${name}:_trust`]) {
      const { stdout, code, stderr } = await run(['inspect', reference, '--tofu']);
      expect(code, stderr).toBe(0);
      expect(stdout).toContain(`  collection  ${id}\n`);
      expect(stdout).toMatch(new RegExp(`key +${keyid(PUBLISHER)} {2}ecdsa-sha2-nistp256 {2}has signed\n`));
      expect(stdout).toMatch(/file +sha256:[0-9a-f]{64} {2}[0-9.]+ K?i?B {2}timestamp.json\n/);
    }
    const json = (await run(['inspect', name, '-o', 'json'])).json();
    expect(json).toMatchObject({
      collection: id,
      roles: [
        { role: 'root', file: { name: '1.root.json' }, bulla: { collection: name } },
        { role: 'targets' },
        { role: 'names', log: { size: expect.any(Number) } },
        {},
        {},
        {},
      ],
    });
  });
});

describe('bulla export tuf', () => {
  it('writes a repository, for which the collection must be trusted', async () => {
    const { name, run, home } = await prepared();
    expect(await run(['export', 'tuf', name, `${home}/tuf`])).toMatchObject({ code: 25, stdout: '' });
    const { stdout, stderr, code } = await run(['export', 'tuf', name, `${home}/tuf`, '--tofu', '--targets']);
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: `${home}/tuf\n` });
    expect(stderr).toMatch(/warning: v1 is signed, and its manifest sha256:\w+ is not there/);
    expect(stderr).toContain('6 metadata files and 0 targets');
    const read = await run(['tuf', 'init', `${home}/tuf/metadata`, `${home}/tuf/metadata/1.root.json`]);
    expect(read.code, read.stderr).toBe(0);
    expect((await run(['tuf', 'refresh', `${home}/tuf/metadata`])).code).toBe(0);
    const late = { now: daysLater(20) };
    expect(await run(['export', 'tuf', name, `${home}/late`], late)).toMatchObject({ code: 20, stdout: '' });
    const json = (await run(['export', 'tuf', name, `${home}/tuf`, '-o', 'json'])).json();
    expect(json).toMatchObject({ repository: name, metadata: 6, targets: null, missing: [] });
  });
});

describe('bulla log', () => {
  it('shows who changed which name when, newest first', async () => {
    const { name, target, run } = await prepared();
    const by = keyid(PUBLISHER);
    const later = { ...setting(['v3'], daysLater(1)), by, origin: 'registry.example.com/other:v3' };
    const revoked = { ...unsetting(['v1'], daysLater(2)), by: keyid(9) };
    await changeHead(target, (edit) => edit.apply(NAMES_ROLE, [later, revoked]), daysLater(2));
    const { stdout, stderr, code } = await run(['log', name, '--tofu'], { now: daysLater(2) });
    expect(code, stderr).toBe(0);
    const rootKeys = stdout
      .split('\n')
      .filter((line) => /^ {2}(root|targets|snapshot|timestamp) /.test(line));
    expect(rootKeys).toContain(`  root gets the key ${short(ROOT)} (ecdsa-sha2-nistp256)`);
    expect(stdout.split('\n').filter((line) => !line.includes('consistent'))).toEqual([
      `2030-01-03T00:00:00Z  now  names  by ${keyid(9).slice(0, 12)}  ${revoked.id.slice(0, 12)}`,
      '  - v1  revoked',
      `2030-01-02T00:00:00Z  24 hours ago  names  by ${short(PUBLISHER)}  ${later.id.slice(0, 12)}  copied from registry.example.com/other:v3`,
      `  + v3  ${digest('v3')}`,
      expect.stringMatching(/^2030-01-01T00:00:00Z {2}2 days ago {2}names {2}[0-9a-f]{12}$/),
      `  + v1  ${digest('v1')}`,
      `  + v2  ${digest('v2')}`,
      expect.stringMatching(/^2030-01-01T00:00:00Z {2}2 days ago {2}ci {2}[0-9a-f]{12}$/),
      `  + v2  ${digest('v2')}`,
      'the log of names goes back to 2030-01-01T00:00:00Z (2 days ago)',
      'the log of ci goes back to 2030-01-01T00:00:00Z (2 days ago)',
      'root 1',
      ...rootKeys,
      '',
    ]);
    const json = (await run(['log', name, '--name', 'v1', '--max', '1', '-o', 'json'])).json();
    expect(json).toMatchObject({
      since: { names: '2030-01-01T00:00:00Z' },
      changes: [{ role: 'names', by: keyid(9), set: [], unset: ['v1'], at: '2030-01-03T00:00:00Z' }],
      more: 1,
      roots: [{ version: 1 }],
    });
    expect((await run(['log', name, '--role', 'ci'])).stdout).not.toContain('v3');
  });

  it('tells how root keys changed', async () => {
    const { name, target, run } = await servedCollection();
    await changeHead(target, (edit) => void edit.root().setKeys('timestamp', anyOf(1, poolKey(PUBLISHER))));
    const { stdout } = await run(['log', name, '--tofu']);
    expect(stdout).toMatch(/no change of a name is listed\n.*root 2\n {2}timestamp.*root 1\n {2}root /s);
  });
});
