import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { LOSSES } from '../support/recovery/cases.ts';
import { inProcess, Lab } from '../support/recovery/lab.ts';

const root = new URL('../../', import.meta.url);
const page = async (): Promise<string> => await readFile(new URL('docs/recovery.md', root), 'utf8');

/** Commands of the sections of the page, by their headings. */
async function sections(): Promise<ReadonlyMap<string, readonly string[]>> {
  const parts = (await page()).split(/^## /m).slice(1);
  return new Map(
    parts.map((part) => [
      part.slice(0, part.indexOf('\n')),
      [...part.matchAll(/^\$ (.+?)(?: +#.*)?$/gm)].map(([, command = '']) => command),
    ]),
  );
}

/** A command as the page shows it: with placeholders for what is different each time. */
function shown(command: string, repository: string): string {
  return command
    .replaceAll(repository, 'registry.example.com/team/app')
    .replaceAll(/(--drop|--key) [0-9a-f]{12,64}/g, '$1 OLD_KEY_ID')
    .replaceAll(/--replace [0-9a-f]{12}/g, '--replace COLLECTION_ID')
    .replaceAll(/(--trust-served-head|@) ?sha256:[0-9a-f]{64}/g, '$1DIGEST');
}

describe('docs/recovery.md', { timeout: 120_000 }, () => {
  it.each(Object.entries(LOSSES))(
    'recovers with its commands, as bulla recover prints them: %s',
    async (name, loss) => {
      const { lab, flags, meanwhile, check } = await loss.lose(inProcess);
      const tag = meanwhile === 11 ? 'v3' : 'v1';
      expect(await lab.reader.run(`verify REPO:${tag}`)).toMatchObject({ code: meanwhile });
      const recovery = await lab.recover(flags);
      const commands = await lab.follow(recovery);
      const asked = `bulla recover ${lab.repository} ${flags}`;
      const section = (await sections()).get(loss.heading);
      // A section has one example; the other members of its kind are only followed.
      if (!name.includes('('))
        expect([asked, ...commands].map((line) => shown(line, lab.repository))).toEqual(section);
      await check?.(recovery);
      const status = await lab.owner.run('status REPO');
      expect(status, status.stdout).toMatchObject({ code: 0 });
      await lab.reader.do('verify REPO:v1');
      await lab.reader.do('verify REPO:v2');
    },
  );

  it('counts its commands, has measured all of them, and ends with how to see that it is over', async () => {
    const text = await page();
    const parts = text.split(/^## /m).slice(1);
    for (const { heading } of Object.values(LOSSES)) {
      const part = parts.find((one) => one.startsWith(heading));
      const count = [...(part ?? '').matchAll(/^\$ /gm)].length - 1;
      expect(part, heading).toMatch(new RegExp(`\\n${count} commands, [0-9]+(?:\\.[0-9])? s\\.`));
    }
    expect((await sections()).get('It is over when')?.map((line) => line.split(' ')[1])).toEqual([
      'status',
      'verify',
      'log',
    ]);
  });

  it('is linked from the README, and links to what is there', async () => {
    expect(await readFile(new URL('README.md', root), 'utf8')).toContain('](docs/recovery.md)');
    const text = await page();
    const anchors = [...text.matchAll(/^## (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^a-z0-9 _-]/g, '')
        .replaceAll(' ', '-'),
    );
    for (const [, link = ''] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      if (link.startsWith('#')) expect(anchors).toContain(link.slice(1));
      else await expect(readFile(new URL(`docs/${link}`, root)), link).resolves.toBeDefined();
    }
  });
});

describe('a recovery with keys on other machines', { timeout: 120_000 }, () => {
  it("replaces a publisher's key by way of the machine with the root key", async () => {
    const lab = await Lab.open(inProcess);
    const vault = await lab.machine();
    await lab.moveKeys(vault, 'root');
    const recovery = await lab.recover('--lost publisher-key');
    expect(recovery.steps.map(({ argv }) => argv.slice(1, 3).concat(argv.slice(4, 6)).join(' '))).toEqual([
      'key generate',
      expect.stringContaining('rotate'),
      'approve recover-names.json',
      expect.stringContaining('rotate'),
      expect.stringContaining('log'),
      expect.stringContaining('ls'),
    ]);
    await lab.follow(recovery, [vault]);
    await lab.reader.do('verify REPO:v1');
  });

  it('waits for the online key where that is elsewhere, too', async () => {
    const lab = await Lab.open(inProcess);
    const [vault, service] = [await lab.machine(), await lab.machine()];
    const root = await lab.keyId('root');
    await lab.moveKeys(vault, 'root');
    await lab.moveKeys(service, 'online');
    await service.do(`pin REPO --root-key-id ${root}`);
    await service.do('resign REPO');
    const recovery = await lab.recover('--lost publisher-key');
    await lab.follow(recovery, [vault, service]);
    expect((await lab.owner.do('tree REPO')).stdout).not.toContain(recovery.keys[0]?.slice(0, 12));
    await lab.reader.do('verify REPO:v1');
  });

  it('needs as many approvals as the threshold of root says', async () => {
    const lab = await Lab.open(inProcess, {
      init: '--root-key root --root-key second --root-key third --threshold root=2',
      keys: ['publisher', 'root', 'second', 'third', 'online'],
      rootKeys: ['root', 'second'],
    });
    const [one, two] = [await lab.machine(), await lab.machine()];
    const third = await lab.keyId('third');
    const root = await lab.keyId('root');
    await lab.moveKeys(one, 'root');
    await lab.moveKeys(two, 'second');
    const recovery = await lab.recover('--lost root-key --key third');
    expect(recovery.steps.filter(({ argv }) => argv[1] === 'approve')).toHaveLength(2);
    await lab.follow(recovery, [one, two]);
    const tree = (await lab.owner.do('tree REPO -o json')).stdout;
    expect(tree).not.toContain(third);
    expect(tree).toContain(root);
    await lab.reader.do('verify REPO:v1');
  });

  it('puts the tag back from a copy, where nothing is remembered', async () => {
    const lab = await Lab.open(inProcess);
    await lab.owner.do('copy REPO:_trust oci:backup');
    await lab.removeTag('_trust');
    const other = await lab.machine();
    const backup = `oci:${lab.owner.home}/backup`;
    const recovery = await lab.recover(`--lost trust-tag --backup ${backup}`, other);
    expect(recovery).toMatchObject({ source: 'unknown' });
    for (const { argv } of recovery.steps)
      expect(await inProcess(argv.slice(1), other)).toMatchObject({ code: 0 });
    await lab.reader.do('verify REPO:v1');
  });
});

describe('bulla recover', () => {
  it('asks what was lost on a terminal, and says what to give without one', async () => {
    const lab = await Lab.open(inProcess);
    const { home, env } = lab.owner;
    const { bulla } = await import('../support/cli.ts');
    const line = ['recover', lab.repository];
    const asked = await bulla(line, { cwd: home, env, typed: true, stdin: '9\n2\n' });
    expect(asked, asked.stderr).toMatchObject({ code: 0 });
    expect(asked.stderr).toContain('What was lost?');
    expect(asked.stdout).toContain('bulla key generate online-2');
    const stolen = await bulla(line, { cwd: home, env, typed: true, stdin: '4\n1\n' });
    expect(stolen.stdout).toContain('rotate');
    const silent = await bulla(line, { cwd: home, env });
    expect(silent).toMatchObject({ code: 2, stdout: '' });
    expect(silent.stderr).toContain('publisher-key, online-key');
  });

  it('changes nothing', async () => {
    const lab = await Lab.open(inProcess);
    const before = await lab.owner.do('ls REPO --all -l -o json');
    for (const { heading } of Object.values(LOSSES)) expect(heading).not.toBe('');
    for (const lost of ['publisher-key', 'online-key', 'only-root-key', 'registry', 'clock', 'trust-tag'])
      await lab.recover(`--lost ${lost}`);
    expect((await lab.owner.do('ls REPO --all -l -o json')).stdout).toBe(before.stdout);
    expect((await lab.owner.do('key ls -o json')).stdout).not.toContain('"publisher-2"');
  });

  it('refuses a copy of another collection, and a key that is not there', async () => {
    const lab = await Lab.open(inProcess);
    await lab.owner.do('copy REPO:_trust oci:backup');
    const id = String((await lab.owner.do('status REPO -o json')).json()['collection']);
    // A second later, so that its first root is another one: the keys are the same.
    await lab.owner.do(`init REPO --replace ${id.slice(0, 12)}`, new Date(Date.now() + 5_000));
    expect(await lab.owner.run('recover REPO --lost publisher-key --backup oci:backup')).toMatchObject({
      code: 30,
    });
    expect(await lab.owner.run('recover REPO --lost publisher-key --key 0123456789ab')).toMatchObject({
      code: 2,
    });
  });
});
