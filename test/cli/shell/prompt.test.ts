import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { promptLine, promptSecret, type Terminal } from '../../../src/cli/shell/prompt.ts';

/** A terminal whose keys a test presses, and which remembers what was done to it. */
function fakeTerminal(signal: AbortSignal = new AbortController().signal): {
  terminal: Terminal;
  keys: PassThrough;
  shown(): string;
  raw: boolean[];
} {
  const keys = new PassThrough();
  const raw: boolean[] = [];
  let shown = '';
  const input = Object.assign(keys, { setRawMode: (mode: boolean) => raw.push(mode) });
  const output = { isTTY: true, write: (text: string) => (shown += text) };
  return { terminal: { input, output, signal, close: () => undefined }, keys, shown: () => shown, raw };
}

async function typed(...chunks: (string | Buffer)[]): Promise<string> {
  const { terminal, keys } = fakeTerminal();
  const answer = promptSecret('Passphrase: ', terminal);
  for (const chunk of chunks) keys.write(chunk);
  return Buffer.from(await answer).toString();
}

describe('asking for a secret', () => {
  it.each<[string, (string | Buffer)[], string]>([
    ['a line', ['correct horse\r'], 'correct horse'],
    ['key by key', ['a', 'b', 'c', '\n'], 'abc'],
    ['an empty line', ['\r'], ''],
    ['backspace', ['abx\u007fc\u0008d\r'], 'abd'],
    ['backspace at the beginning', ['\u007f\u007fa\r'], 'a'],
    ['backspace over one character of several bytes', ['ä🔑\u007f\r'], 'ä'],
    ['Ctrl-U', ['wrong\u0015right\r'], 'right'],
    ['a character cut in two', [Buffer.from([0xc3]), Buffer.from([0xa4]), '\r'], 'ä'],
    ['a control character', ['a\u0007b\u0000\r'], 'ab'],
    ['Ctrl-D after some characters', ['abc\u0004'], 'abc'],
    ['spaces, which belong to it', ['  a \r'], '  a '],
  ])('takes %s', async (_, chunks, secret) => {
    expect(await typed(...chunks)).toBe(secret);
  });

  it('shows nothing of it, and puts the terminal back', async () => {
    const { terminal, keys, shown, raw } = fakeTerminal();
    const answer = promptSecret('Passphrase: ', terminal);
    keys.write('secret\r');
    await answer;
    expect(shown()).toBe('Passphrase: \n');
    expect(raw).toEqual([true, false]);
  });

  it('asks only when nothing is echoed any more: people type at once', async () => {
    const { terminal, keys } = fakeTerminal();
    const done: string[] = [];
    const input = Object.assign(keys, {
      setRawMode: (mode: boolean) => done.push(mode ? 'echo off' : 'echo on'),
    });
    const output = { isTTY: true, write: (text: string) => done.push(text) };
    const answer = promptSecret('Passphrase: ', { ...terminal, input, output });
    keys.write('x\r');
    await answer;
    expect(done).toEqual(['echo off', 'Passphrase: ', 'echo on', '\n']);
  });

  it.each([
    ['Ctrl-C', 'abc\u0003', 'interrupted'],
    ['Ctrl-D at the beginning', '\u0004', 'interrupted'],
    ['a novel', 'x'.repeat(2000), 'usage'],
  ])('ends at %s and puts the terminal back', async (_, chunk, code) => {
    const { terminal, keys, raw } = fakeTerminal();
    const answer = promptSecret('Passphrase: ', terminal);
    keys.write(chunk);
    await expect(answer).rejects.toMatchObject({ code });
    expect(raw).toEqual([true, false]);
  });

  it('ends when the terminal is closed, and when the command is told to end', async () => {
    const closing = fakeTerminal();
    const closed = promptSecret('Passphrase: ', closing.terminal);
    closing.keys.end();
    await expect(closed).rejects.toMatchObject({ code: 'interrupted' });

    const ending = new AbortController();
    const { terminal, raw } = fakeTerminal(ending.signal);
    const answer = promptSecret('Passphrase: ', terminal);
    ending.abort();
    await expect(answer).rejects.toMatchObject({ code: 'interrupted' });
    expect(raw).toEqual([true, false]);
    await expect(promptSecret('Passphrase: ', terminal)).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('keeps what was typed ahead for the next question', async () => {
    const { terminal, keys } = fakeTerminal();
    const first = promptSecret('One: ', terminal);
    keys.write('one\rtwo\rthr');
    expect(Buffer.from(await first).toString()).toBe('one');
    expect(Buffer.from(await promptSecret('Two: ', terminal)).toString()).toBe('two');
    const third = promptSecret('Three: ', terminal);
    keys.write('ee\r');
    expect(Buffer.from(await third).toString()).toBe('three');
  });
});

describe('asking for a name', () => {
  it('leaves showing it to the terminal, and keeps what was typed ahead', async () => {
    const { terminal, keys, shown, raw } = fakeTerminal();
    keys.write('alice\nsesame\n');
    expect(await promptLine('Name: ', terminal)).toBe('alice');
    expect({ shown: shown(), raw }).toEqual({ shown: 'Name: ', raw: [] });
    expect(Buffer.from(await promptSecret('Password: ', terminal)).toString()).toBe('sesame');
  });
});
