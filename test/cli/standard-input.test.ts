import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openLayout } from '../../src/layout/open.ts';
import { bulla, type CliOptions } from '../support/cli.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { served } from '../support/trust/served.ts';

const LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const DIGEST = 'sha256:fa2a75f2ba8c9aa946faea65abf8d6f6ef3039b88395e353763dcc0ad581faa4';

/** An archive with the image of the demo, and a repository to push it to. */
async function lab() {
  const repository = await served();
  const archive = join(repository.home, 'image.tar');
  const made = await bulla(['copy', `oci:${LAYOUT}`, `oci-archive:${archive}:v1`]);
  expect(made.code, made.stderr).toBe(0);
  // Bytes as characters, as stdin of tests takes text.
  const bytes = await readFile(archive);
  const push = (stdin: string | Buffer, more: Partial<CliOptions> = {}, argv: readonly string[] = []) =>
    bulla(['push', '-', `${repository.name}:v1`, ...argv], { stdin: stdin as string, ...more });
  return { ...repository, archive, bytes, push };
}

const leftovers = async (): Promise<readonly string[]> =>
  (await readdir(tmpdir())).filter(
    (name) => name.startsWith(`.bulla-tmp-`) && name.includes(`${process.pid}`),
  );

describe('bulla push -', () => {
  it('pushes an archive on standard input, and leaves nothing behind', async () => {
    const { bytes, push, name, run } = await lab();
    const { code, stdout, stderr } = await push(bytes);
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(`${name}@${DIGEST}\n`);
    expect((await run(['ls', name, '--long', '--tags'])).stdout).toContain(DIGEST);
    expect(await leftovers()).toEqual([]);
  });

  it.each<[string, (bytes: Buffer) => string | Buffer, number, string]>([
    ['nothing', () => '', 40, 'nothing came on standard input'],
    ['what is no archive', () => 'Error response from daemon: no such image', 40, '[content-invalid]'],
    [
      'an archive that is cut off',
      (bytes) => bytes.subarray(0, bytes.length - 3_000),
      40,
      '[content-invalid]',
    ],
    ['an archive with a flipped bit', flipped, 40, '[content-invalid]'],
    ['another compression', () => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3]), 40, '[content-invalid]'],
  ])('refuses %s', async (_, make, status, message) => {
    const { bytes, push, name, run } = await lab();
    const { code, stderr } = await push(make(bytes));
    expect(code, stderr).toBe(status);
    expect(stderr).toContain(message);
    expect((await run(['ls', name, '--tags'])).code).toBe(11);
    expect(await leftovers()).toEqual([]);
  });

  it('refuses a terminal, and a password beside the archive', async () => {
    const { bytes, push } = await lab();
    expect((await push('', { tty: true })).stderr).toContain('standard input is a terminal');
    const both = await push(bytes, {}, ['--username', 'me', '--password-stdin']);
    expect(both.code).toBe(2);
    expect(both.stderr).toContain('cannot both come from standard input');
  });
});

/** With a change in the bytes of a blob. */
function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[700] = (copy[700] ?? 0) ^ 1;
  return copy;
}

describe('docker-archive:', () => {
  it('holds the image alone, and is read like any archive', async () => {
    const { archive, name, home, run } = await lab();
    await storePlainKeys(home, 'release');
    const pushed = await run(['push', archive, `${name}:v1`, '--key', 'release']);
    expect(pushed.code, pushed.stderr).toBe(0);
    const [alone, whole] = [join(home, 'alone.tar'), join(home, 'whole.tar')];
    const pull = (to: string) => run(['pull', `${name}:v1`, to, '--key', 'release']);
    expect((await pull(`docker-archive:${alone}`)).stdout).toBe(`docker-archive:${alone}@${DIGEST}\n`);
    expect((await pull(whole)).stdout).toBe(`oci-archive:${whole}@${DIGEST}\n`);
    const verify = (place: string) => run(['verify', place, '--key', 'release']);
    expect((await verify(`oci-archive:${whole}:v1`)).code).toBe(0);
    expect((await verify(`docker-archive:${alone}:v1`)).code).toBe(10);
    const entries = async (path: string): Promise<number> => {
      const layout = await openLayout({ kind: 'archive', path });
      const { length } = await layout.entryNames();
      await layout.close();
      return length;
    };
    expect(await entries(alone)).toBe(1);
    expect(await entries(whole)).toBeGreaterThan(1);
    expect((await run(['push', `docker-archive:${alone}`, `${name}:again`])).code).toBe(0);
    expect((await pull(`docker-archive:${alone}`)).code).toBe(30);
    expect((await run(['copy', `${name}:v1`, `docker-archive:${alone}`])).code).toBe(30);
  });

  it.each([
    ['docker-archive:', 2],
    ['docker-archive:app.tar:', 2],
    ['docker-archive:nothing-here.tar', 11],
  ])('is refused as a source where it names nothing: %s', async (text, status) => {
    expect((await bulla(['ls', text])).code).toBe(status);
  });
});
