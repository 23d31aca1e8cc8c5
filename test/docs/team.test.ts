import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';

const root = new URL('../../', import.meta.url);

/** The words of a line, as a shell splits it. */
const words = (line: string): string[] =>
  [...line.matchAll(/'([^']*)'|([^ ]+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');

interface Ground {
  readonly host: string;
  readonly cwd: string;
  push(repository: string, tag: string): Promise<void>;
  run(machine: string, line: string): Promise<CliResult>;
}

/** A registry, a folder that all machines share, and a key store for each. */
async function ground(): Promise<Ground> {
  const cwd = await temporaryDirectory();
  const server = await serveRegistry({ dir: join(cwd, 'registry') });
  onTestFinished(() => server.close());
  await mkdir(join(cwd, 'usb'));
  return {
    ...{ host: server.address, cwd },
    async push(repository, tag) {
      const target = openRepository(parseReference(`${server.address}/${repository}`) as RegistryReference);
      onTestFinished(() => target.close());
      await pushImage(target, repository, tag);
    },
    run: async (machine, line) =>
      await bulla(words(line).slice(1), {
        cwd,
        env: { BULLA_HOME: join(cwd, machine), BULLA_PASSPHRASE: 'x' },
        // The owner of a key reads what is shown, and agrees.
        ...(line.includes(' approve ') && { typed: true, stdin: 'y\n' }),
      }),
  };
}

describe('docs/team.md', () => {
  it('has commands that all work, in its order, on the machines that the prompts name', async () => {
    const page = await readFile(new URL('docs/team.md', root), 'utf8');
    const lines = [...page.matchAll(/^(\w+)\$ (bulla .+)$/gm)];
    expect(lines.length).toBeGreaterThan(15);
    const { host, cwd, push, run } = await ground();
    await push('shop/web', 'v1');
    await push('shop/api', 'v1');
    await push('team/app', 'v1');
    await writeFile(join(cwd, 'repositories.txt'), `# ours\n${host}/shop/web\n${host}/shop/tools\n`);
    const ids = { ROOT_KEY_ID: '', CHANGE_ID: '' };
    for (const [, machine = '', text = ''] of lines) {
      const line = text
        .replaceAll('registry.example.com', host)
        // A person waits for the re-signer; here, it comes with the next command.
        .replace(/( approve \S+\/app .*)$/, '$1 --wait 0s')
        .replaceAll('/media/usb', join(cwd, 'usb'))
        .replaceAll(/ROOT_KEY_ID|CHANGE_ID/g, (id) => ids[id as keyof typeof ids]);
      const result = await run(machine, line);
      const waits = line.includes('--threshold names=2') || / approve .*\/app /.test(line);
      expect(waits ? [0, 31] : [0], `${line}\n${result.stdout}${result.stderr}`).toContain(result.code);
      // What it prints is what its readers paste.
      ids.ROOT_KEY_ID = /--root-key-id ([0-9a-f]{64})/.exec(result.stderr)?.[1] ?? ids.ROOT_KEY_ID;
      ids.CHANGE_ID = /bulla approve \S+ ([0-9a-f]{64})/.exec(result.stderr)?.[1] ?? ids.CHANGE_ID;
    }
    const { signers } = (await run('admin', `bulla signer ls ${host}/team/app -o json`)).json() as {
      signers: { role: string; threshold: number; keys: unknown[] }[];
    };
    expect(signers).toMatchObject([{ role: 'names', threshold: 2, keys: [{}, {}] }]);
    // The pattern found two, the list added one.
    for (const name of ['web', 'api', 'tools'])
      expect(await run('owner', `bulla status ${host}/shop/${name}`)).toMatchObject({ code: 0 });
  }, 120_000);

  it('is linked from the README, and links to what is there', async () => {
    expect(await readFile(new URL('README.md', root), 'utf8')).toContain('](docs/team.md)');
    const page = await readFile(new URL('docs/team.md', root), 'utf8');
    for (const [, link = ''] of page.matchAll(/\]\((?!https?:)([^)#]+)/g))
      await expect(readFile(new URL(`docs/${link}`, root)), link).resolves.toBeDefined();
  });
});

describe('bulla init with public keys of names', () => {
  it.each([
    ['one of one', 1, ['a']],
    ['one of two', 1, ['a', 'b']],
    ['two of two', 2, ['a', 'b']],
    ['two of three', 2, ['a', 'b', 'c']],
  ] as const)('hands names over to %s', async (_, threshold, people) => {
    const { host, cwd, push, run } = await ground();
    await push('app', 'v1');
    await storePlainKeys(join(cwd, 'admin'), 'publisher', 'root', 'online');
    for (const name of people) {
      await storePlainKeys(join(cwd, name), name);
      expect(await run(name, `bulla key export ${name} --public --out ${name}.pub`)).toMatchObject({
        code: 0,
      });
    }
    const keys = people.map((name) => `--names-key ${name}.pub`).join(' ');
    const made = await run('admin', `bulla init ${host}/app --threshold names=${threshold} ${keys} -o json`);
    expect(made, made.stdout).toMatchObject({ code: 31 });
    const { waiting, keys: described } = made.json() as {
      waiting: { id: string };
      keys: { root: { keys: { keyid: string }[] } };
    };
    // Until then, only root can sign a name, and the publisher's key in the store is nothing to it.
    expect(await run('admin', `bulla verify ${host}/app:v1`)).toMatchObject({ code: 23 });
    for (const name of people.slice(0, threshold === 1 ? 1 : people.length)) {
      await run(name, `bulla pin ${host}/app --root-key-id ${described.root.keys[0]?.keyid}`);
      const approved = await run(name, `bulla approve ${host}/app ${waiting.id} --wait 0s`);
      expect([0, 30, 31], approved.stderr).toContain(approved.code);
    }
    expect(await run('admin', `bulla resign ${host}/app`)).toMatchObject({ code: 0 });
    const listed = (await run('admin', `bulla signer ls ${host}/app -o json`)).json();
    expect(listed).toMatchObject({ signers: [{ role: 'names', threshold, keys: people.map(() => ({})) }] });
    expect(await run('admin', `bulla sign ${host}/app:v1 --name-only --wait 0s`)).not.toMatchObject({
      code: 0,
    });
  });

  it('says how to go on where the online key is elsewhere, too', async () => {
    const { host, cwd, run } = await ground();
    await storePlainKeys(join(cwd, 'admin'), 'root');
    await storePlainKeys(join(cwd, 'other'), 'a', 'online');
    for (const name of ['a', 'online'])
      await run('other', `bulla key export ${name} --public --out ${name}.pub`);
    const made = await run('admin', `bulla init ${host}/app --names-key a.pub --online-key online.pub`);
    expect(made, made.stderr).toMatchObject({ code: 31 });
    expect(made.stderr).toMatch(/bulla init \S+ --complete --root-key-id [0-9a-f]{64}/);
    expect(made.stderr).toMatch(/bulla rotate \S+ names --key \S+ --threshold 1 --stage/);
    const id = /--root-key-id ([0-9a-f]{64})/.exec(made.stderr)?.[1];
    expect(await run('other', `bulla init ${host}/app --complete --root-key-id ${id}`)).toMatchObject({
      code: 0,
    });
    const staged = await run('admin', `bulla rotate ${host}/app names --key a.pub --threshold 1 --stage`);
    expect(staged, staged.stderr).toMatchObject({ code: 31 });
  });
});

describe('a collection that was just made', () => {
  it.each([
    ['in the repository', ''],
    ['in another repository', '--at HOST/trust/app'],
  ])('is trusted by the machine that made it, without a flag, %s', async (_, at) => {
    const { host, cwd, push, run } = await ground();
    await push('app', 'v1');
    await storePlainKeys(join(cwd, 'me'), 'publisher', 'root', 'online');
    const made = await run('me', `bulla init ${host}/app ${at.replace('HOST', host)}`.trim());
    expect(made, made.stderr).toMatchObject({ code: 0 });
    expect(made.stderr).toContain('all keys are on this machine');
    expect(await run('me', `bulla sign ${host}/app:v1 --name-only`)).toMatchObject({ code: 0 });
    expect(await run('me', `bulla verify ${host}/app:v1`)).toMatchObject({ code: 0 });
    expect((await run('me', 'bulla pin ls')).stdout).toContain(`${host}/app  root file, version 1`);
  });

  it('keeps a pin that applies already', async () => {
    const { host, cwd, run } = await ground();
    await storePlainKeys(join(cwd, 'me'), 'publisher', 'root', 'online');
    const { keyid } = (await run('me', 'bulla key show root -o json')).json();
    await run('me', `bulla pin ${host}/* --root-key-id ${String(keyid)}`);
    expect(await run('me', `bulla init ${host}/app`)).toMatchObject({ code: 0 });
    expect((await run('me', 'bulla pin ls -o json')).json()).toMatchObject({
      pins: [{ scope: `${host}/*` }],
    });
  });

  it('makes no keys for a collection that is there', async () => {
    const { host, cwd, run } = await ground();
    await storePlainKeys(join(cwd, 'me'), 'publisher', 'root', 'online');
    await run('me', `bulla init ${host}/app`);
    expect(await run('other', `bulla init ${host}/app`)).toMatchObject({ code: 30 });
    expect((await run('other', 'bulla key ls -o json')).json()).toMatchObject({ keys: [] });
  });
});

describe('one command over many repositories', () => {
  it('begins, changes and renews them, with a line for each and the greatest exit status', async () => {
    const { host, cwd, push, run } = await ground();
    for (const name of ['a', 'b', 'c']) await push(`team/${name}`, 'v1');
    await push('other', 'v1');
    await storePlainKeys(join(cwd, 'me'), 'publisher', 'root', 'online', 'new');
    expect(await run('me', `bulla init ${host}/team/b`)).toMatchObject({ code: 0 });
    const made = await run('me', `bulla init '${host}/team/*' -o json`);
    expect(made, made.stdout).toMatchObject({ code: 0 });
    const lines = made.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ given, existed }) => [given, existed])).toEqual([
      [`${host}/team/a`, false],
      [`${host}/team/b`, true],
      [`${host}/team/c`, false],
      [undefined, undefined],
    ]);
    expect(lines.at(-1)).toMatchObject({ ok: true, details: { total: 3, done: 3, failed: 0 } });
    const renewed = await run('me', 'bulla rotate --all root --renew');
    expect(renewed, renewed.stderr).toMatchObject({ code: 0 });
    expect(renewed.stdout.trim().split('\n')).toHaveLength(3);
    expect(renewed.stderr).toContain('3 of 3 changed');
    await writeFile(join(cwd, 'list'), `${host}/team/a\n${host}/team/none\n${host}/team/c\n`);
    const rotated = await run('me', 'bulla rotate --from list names --key new');
    expect(rotated).toMatchObject({ code: 11 });
    expect(rotated.stderr).toContain('2 of 3 changed, 1 failed');
    for (const name of ['a', 'c'])
      expect((await run('me', `bulla signer ls ${host}/team/${name}`)).stdout).toMatch(/ {2}new$/m);
    expect((await run('me', `bulla signer ls ${host}/team/b`)).stdout).not.toMatch(/ {2}new$/m);
    // A pattern means those that have a collection, or should have one.
    const listed = await run(
      'me',
      `bulla rotate '${host}/*' names --renew --sign-with new --sign-with publisher`,
    );
    expect(listed, listed.stderr).toMatchObject({ code: 0 });
    expect(listed.stdout.trim().split('\n')).toHaveLength(3);
    expect(await run('me', `bulla resign '${host}/*'`)).toMatchObject({ code: 0 });
  });

  it.each([
    ['a repository and --all', 'bulla rotate HOST/a names --all --renew', 2],
    ['--from and --all', 'bulla rotate names --all --from list --renew', 2],
    ['a pattern and a file for the change', "bulla rotate 'HOST/*' names --renew --export-unsigned x", 2],
    ['a pattern with nothing below it', "bulla rotate 'HOST/none/*' names --renew", 11],
    ['no pins', 'bulla rotate --all names --renew', 11],
    ['an empty list', 'bulla init --from list', 11],
    ['a pattern and one place', "bulla init 'HOST/*' --at HOST/b", 2],
    ['no role', 'bulla rotate HOST/a', 2],
    ['nothing', 'bulla rotate', 2],
  ])('refuses %s', async (_, line, code) => {
    const { host, cwd, run } = await ground();
    await writeFile(join(cwd, 'list'), '# nothing\n');
    expect(await run('me', line.replaceAll('HOST', host))).toMatchObject({ code, stdout: '' });
  });
});
