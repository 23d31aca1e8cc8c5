import { describe, expect, it } from 'vitest';
import { collectKeyIds } from '../../../src/cli/flags/values.ts';
import { wantsColour } from '../../../src/cli/render/style.ts';
import { NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { bulla } from '../../support/cli.ts';
import { changeHead, setting } from '../../support/trust/changing.ts';
import { servedCollection } from '../../support/trust/served.ts';
import { daysLater } from '../../support/tuf/editing.ts';

const GREEN = '\u001b[32mverified\u001b[0m';
const RED = '\u001b[1;31m';
const YELLOW = '\u001b[33m';

async function signed() {
  const { name, run, target } = await servedCollection();
  await changeHead(target, (edit) => edit.apply(NAMES_ROLE, [setting(['v1'])]));
  const verify = (options: Parameters<typeof run>[1] = {}) =>
    run(['verify', `${name}:v1`, '--tofu', '--no-drift'], options);
  return { name, run, verify };
}

describe('colour', () => {
  it.each([
    ['a terminal', true, {}, true],
    ['a pipe', false, {}, false],
    ['a terminal with NO_COLOR', true, { NO_COLOR: '1' }, false],
    ['a terminal with an empty NO_COLOR', true, { NO_COLOR: '' }, true],
    ['a dumb terminal', true, { TERM: 'dumb' }, false],
    ['a pipe with FORCE_COLOR', false, { FORCE_COLOR: '1' }, true],
    ['a pipe with FORCE_COLOR and NO_COLOR', false, { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
    ['a terminal with FORCE_COLOR=0', true, { FORCE_COLOR: '0' }, false],
    ['a pipe with FORCE_COLOR=false', false, { FORCE_COLOR: 'false' }, false],
  ])('on %s is wanted or not', (_, isTTY, env, wanted) => {
    expect(wantsColour({ isTTY }, env)).toBe(wanted);
  });

  it('says verified in green at a terminal, and only there', async () => {
    const { verify } = await signed();
    const { stdout, stderr, code } = await verify({ tty: true });
    expect(code).toBe(0);
    expect(stderr).toContain(`${GREEN} `);
    expect(stderr).not.toContain('expires soon');
    expect(stdout).not.toContain('\u001b');
    expect((await verify({ tty: true, env: { NO_COLOR: '1' } })).stderr).toMatch(/^verified \S+$/m);
    const piped = await verify();
    expect(piped.stderr).not.toMatch(/\u001b|^verified/m);
    expect((await verify({ env: { FORCE_COLOR: '1' } })).stderr).toContain(GREEN);
  });

  it('says in yellow that something expires soon', async () => {
    const { verify } = await signed();
    const { stderr } = await verify({ tty: true, now: daysLater(12) });
    expect(stderr).toContain(`${YELLOW}expires soon, in 2 days\u001b[0m`);
  });

  it('says refused in red at a terminal, and error elsewhere', async () => {
    const { name, run, verify } = await signed();
    await verify();
    const wrong = ['verify', `${name}:v2`];
    const refused = await run(wrong, { tty: true });
    expect(refused.code).toBe(23);
    expect(refused.stderr).toContain(`${RED}refused:\u001b[0m `);
    expect((await run(wrong)).stderr).toMatch(/^error: /m);
    const expired = await verify({ tty: true, now: daysLater(30) });
    expect(expired.stderr).toContain(`${RED}refused:\u001b[0m `);
  });

  it.each([
    ['a wrong command line', ['verify', '--drift', 'x', 'localhost:1/a:v1'], 2],
    ['a registry that is away', ['ls', 'localhost:1/a'], 3],
  ])('says error in red where nothing was refused: %s', async (_, argv, status) => {
    const { code, stderr } = await bulla(argv, { tty: true });
    expect(code).toBe(status);
    expect(stderr).toContain(`${RED}error:\u001b[0m `);
    expect(stderr).not.toContain('refused:');
  });

  it('never gets into JSON', async () => {
    const { name, run } = await signed();
    const { stdout } = await run(['verify', `${name}:v1`, '--tofu', '--no-drift', '-o', 'json'], {
      tty: true,
      env: { FORCE_COLOR: '1' },
    });
    expect(stdout).not.toContain('\u001b');
    expect(JSON.parse(stdout)).toMatchObject({ ok: true });
  });
});

describe('--root-key-id', () => {
  const id = 'ab'.repeat(32);

  it.each([
    ['an id', id],
    ['an id in capital letters', id.toUpperCase()],
    ['an id with blanks', ` ${id}\n`],
    ['the line that init prints', `  root   ${id}  root (made)`],
    ['the line that init prints of a key without a name', `root   ${id}`],
  ])('takes %s', (_, text) => {
    expect(collectKeyIds(text, ['before'])).toEqual(['before', id]);
  });

  it.each([
    ['a fingerprint', `sha256:${id}`],
    ['two ids', `${id} ${id}`],
    ['a beginning of an id', 'abababababab'],
    ['a longer number', `${id}00`],
  ])('does not take %s', async (_, text) => {
    expect(collectKeyIds(text)).toEqual([text]);
    const { code, stderr } = await bulla(['pin', 'registry.example.com/app', '--root-key-id', text]);
    expect(code).toBe(2);
    expect(stderr).toContain('is not a key id');
  });

  it('takes what init has printed', async () => {
    const { name, run } = await servedCollection();
    const env = { BULLA_PASSPHRASE: 'pass' };
    const repository = name.replace('/team/app', '/team/made');
    const made = await run(['init', repository], { env, now: new Date() });
    expect(made.code, made.stderr).toBe(0);
    const line = made.stdout.split('\n').find((one) => one.trim().startsWith('root')) ?? '';
    expect((await run(['pin', repository, '--root-key-id', line])).code).toBe(0);
    expect((await run(['ls', repository, '--root-key-id', line], { now: new Date() })).code).toBe(0);
  });
});
