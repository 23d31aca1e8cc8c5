import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { generatePrivateKey } from '../../src/crypto/private-key.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { Keystore } from '../../src/keystore/store.ts';
import { bulla, type CliOptions, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { registryFor } from '../support/registry/open.ts';

const BULLA = new URL('../../dist/bulla.js', import.meta.url).pathname;

/** A person at a terminal who makes a collection, and types this. */
async function typing(
  stdin: string,
  options: CliOptions = {},
): Promise<CliResult & { home: string; keys: string[] }> {
  const { host } = await registryFor();
  const home = await temporaryDirectory();
  const result = await bulla(['init', `${host}/team/app`], {
    ...{ env: { BULLA_HOME: home }, typed: true, stdin, ...options },
  });
  return { ...result, home, keys: await keysIn(home) };
}

/** Names of whole keys; fails where one of them is broken. */
async function keysIn(home: string): Promise<string[]> {
  const keys = await new Keystore(join(home, 'keys')).list();
  for (const key of keys) expect(key).not.toHaveProperty('problem');
  return keys.map(({ name }) => name);
}

const questions = (text: string): string[] =>
  text.match(/(?:New passphrase|Repeat it|Passphrase)[^:\n]*:/g) ?? [];
const ALL = ['online', 'publisher', 'root'];

describe('the keys of a new collection', () => {
  it('share one passphrase, which is asked for once, and twice for its spelling', async () => {
    const made = await typing('horse\nhorse\n');
    expect(made, made.stderr).toMatchObject({ code: 0, keys: ALL });
    expect(questions(made.stderr)).toEqual(['New passphrase for the keys of the collection:', 'Repeat it:']);
  });

  it('are asked for again if the two are not the same, three times at most', async () => {
    const made = await typing('a\nb\nc\nc\n');
    expect(made, made.stderr).toMatchObject({ code: 0, keys: ALL });
    expect(questions(made.stderr)).toHaveLength(4);
    const given = await typing('a\nb\nc\nd\ne\nf\ng\ng\n');
    expect(given).toMatchObject({ code: 2, keys: [] });
    expect(questions(given.stderr)).toHaveLength(6);
  });

  it.each([
    [
      'a descriptor',
      (path: string) => ({ flags: ['--passphrase-fd', String(openSync(path, 'r'))], env: {} }),
    ],
    ['a file', (path: string) => ({ flags: [], env: { BULLA_PASSPHRASE_FILE: path } })],
  ] as const)('open with the passphrase from %s, which is never asked for', async (_, give) => {
    const { host } = await registryFor();
    const home = await temporaryDirectory();
    const path = join(home, 'passphrase');
    await writeFile(path, 'horse\n', { mode: 0o600 });
    const made = give(path);
    const env = { BULLA_HOME: home, ...made.env };
    const first = await bulla(['init', `${host}/team/app`, ...made.flags], { env, typed: true });
    expect(first, first.stderr).toMatchObject({ code: 0 });
    expect(questions(first.stderr)).toEqual([]);
    await writeFile(path, 'wrong\n', { mode: 0o600 });
    const again = give(path);
    const wrong = await bulla(['init', `${host}/team/other`, ...again.flags], {
      ...{ env, typed: true, stdin: 'horse\n' },
    });
    expect(wrong).toMatchObject({ code: 2 });
    expect(questions(wrong.stderr)).toEqual([]);
  });
});

describe('an end by Ctrl-C, or worse, leaves no half-made keys:', () => {
  it.each([
    ['at the first question', '\u0003'],
    ['at the second question', 'horse\n\u0003'],
    ['at a question that is asked again', 'horse\nhouse\n\u0003'],
  ])('%s', async (_, typed) => {
    expect(await typing(typed)).toMatchObject({ code: 130, keys: [] });
  });

  it('after the answers, while keys are sealed', async () => {
    const ending = new AbortController();
    const onStderr = (text: string): void => {
      if (text.includes('Repeat it')) setTimeout(() => ending.abort(), 20);
    };
    const ended = await typing('horse\nhorse\n', { signal: ending.signal, onStderr });
    expect(ended.code).not.toBe(0);
    expect([0, 3]).toContain(ended.keys.length);
  });

  // What a directory stands in the way of is as far as it came.
  it.each(['default', 'root.pub'])('before %s is written', async (file) => {
    const directory = join(await temporaryDirectory(), 'keys');
    await mkdir(join(directory, file, 'in the way'), { recursive: true });
    const store = new Keystore(directory);
    const keys = ['publisher', 'root', 'online'].map((name) => ({
      ...{ name, key: generatePrivateKey('P-256'), passphrase: utf8('x') },
    }));
    await expect(store.putAll(keys)).rejects.toMatchObject({ code: expect.any(String) });
    await rm(join(directory, file), { recursive: true });
    for (const key of await store.list()) expect(key).not.toHaveProperty('problem');
    const left = [];
    for (const key of keys) if (!(await store.has(key.name))) left.push(key);
    await store.putAll(left);
    expect(await store.list()).toHaveLength(3);
  });

  it('none is stored where one of the names is taken', async () => {
    const directory = join(await temporaryDirectory(), 'keys');
    const store = new Keystore(directory);
    const made = (name: string) => ({ name, key: generatePrivateKey('P-256'), passphrase: utf8('x') });
    await store.putAll([made('root')]);
    await expect(store.putAll([made('publisher'), made('root')])).rejects.toMatchObject({ code: 'conflict' });
    expect((await store.list()).map(({ name }) => name)).toEqual(['root']);
  });

  it.each([1, 4])('kill -9 when there are %i files', { timeout: 120_000 }, async (count) => {
    const { host } = await registryFor();
    const home = await temporaryDirectory();
    const env = { BULLA_HOME: home, BULLA_PASSPHRASE: 'horse' };
    const child = spawn(process.execPath, [BULLA, 'init', `${host}/team/app`], {
      env: { ...process.env, ...env },
      stdio: 'ignore',
    });
    const ended = once(child, 'close');
    const directory = join(home, 'keys');
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    while (!isOver && (!existsSync(directory) || (await readdir(directory)).length < count))
      await new Promise((resolve) => setTimeout(resolve, 1));
    child.kill('SIGKILL');
    await ended;
    await keysIn(home);
    // What is there is used again, and the rest is made.
    const again = await bulla(['init', `${host}/team/app`], { env });
    expect([0, 30], again.stderr).toContain(again.code);
    expect(await keysIn(home)).toEqual(ALL);
  });
});
