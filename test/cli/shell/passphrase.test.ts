import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { passphraseSource } from '../../../src/cli/shell/passphrase.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import type { PassphraseSource } from '../../../src/keystore/back-end.ts';

/** A person at a terminal who types `lines`, one after each question. */
function person(...lines: string[]): {
  source: PassphraseSource;
  questions: () => string[];
  shown: () => string;
} {
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => stdin });
  const ended = [...lines];
  let shown = '';
  const stderr = {
    isTTY: true,
    columns: 80,
    write: (text: string) => {
      shown += text;
      if (text.endsWith(': ')) setImmediate(() => stdin.write(`${ended.shift() ?? '\u0003'}\r`));
    },
  };
  const source = passphraseSource(
    {
      ...{ stdin, stderr, stdout: stderr, env: {}, cwd: '/', home: '/' },
      signal: new AbortController().signal,
      now: () => new Date(),
    },
    {},
  );
  return { source, shown: () => shown, questions: () => shown.match(/Passphrase for \S+:/g) ?? [] };
}

const opened = (secret: string) => async (tried: Uint8Array) => Buffer.from(tried).toString() === secret;
const text = async (answer: Promise<Uint8Array>): Promise<string> => Buffer.from(await answer).toString();

describe('passphrases of several keys', () => {
  it('are asked for once where the keys share one', async () => {
    const { source, questions } = person('shared');
    const ask = (key: string) => text(source({ key, format: 'sigstore' }, opened('shared')));
    expect(await Promise.all([ask('publisher'), ask('online'), ask('root')])).toEqual(
      Array(3).fill('shared'),
    );
    expect(await ask('publisher')).toBe('shared');
    expect(questions()).toEqual(['Passphrase for publisher:']);
  });

  it('are asked for one at a time where they differ', async () => {
    const { source, questions } = person('one', 'two');
    const answers = await Promise.all([
      text(source({ key: 'a', format: 'sigstore' }, opened('one'))),
      text(source({ key: 'b', format: 'pkcs8-encrypted' }, opened('two'))),
      text(source({ key: 'c', format: 'sigstore' }, opened('one'))),
    ]);
    expect(answers).toEqual(['one', 'two', 'one']);
    expect(questions()).toEqual(['Passphrase for a:', 'Passphrase for b:']);
  });

  it('are asked for again after a mistake, three times at most', async () => {
    const typing = person('wrnog', 'right');
    expect(await text(typing.source({ key: 'a', format: 'sigstore' }, opened('right')))).toBe('right');
    expect(typing.shown()).toContain('that is not the passphrase of a');
    expect(typing.shown()).not.toContain('wrnog');

    const lost = person('1', '2', '3', '4');
    expect(await text(lost.source({ key: 'a', format: 'sigstore' }, opened('right')))).toBe('3');
    expect(lost.questions()).toHaveLength(3);
  });

  it('end with Ctrl-C, and nothing more is asked', async () => {
    const { source, questions } = person('\u0003', 'two');
    const asked = ['a', 'b'].map((key) => source({ key, format: 'sigstore' }, opened('two')));
    for (const answer of asked) await expect(answer).rejects.toMatchObject({ code: 'interrupted' });
    expect(questions()).toEqual(['Passphrase for a:']);
  });

  it('are not asked for where a key is opened early', async () => {
    const { source, questions } = person('one');
    const early = source({ key: 'a', format: 'sigstore', unattended: true }, opened('one'));
    await expect(early).rejects.toMatchObject({ code: 'usage' });
    expect(questions()).toEqual([]);
  });

  it('are handed out as copies, so that one who wipes it takes it from nobody', async () => {
    const { source } = person('shared');
    const first = await source({ key: 'a', format: 'sigstore' }, opened('shared'));
    first.fill(0);
    expect(await source({ key: 'b', format: 'sigstore' }, opened('shared'))).toEqual(utf8('shared'));
  });
});
