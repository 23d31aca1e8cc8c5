import { describe, expect, it } from 'vitest';
import { assertAll, eachOf, type Outcome, summary } from '../../../src/actions/copy/many.ts';
import { BullaError, type ErrorCode } from '../../../src/errors.ts';

const fail = (code: ErrorCode, text = 'x'): BullaError =>
  new BullaError(code, text, { hint: `about ${code}` });

/** Runs `work` for each text, and keeps what was told. */
async function run<R>(texts: readonly string[], work: (text: string) => Promise<R>, signal?: AbortSignal) {
  const told: Outcome<R>[] = [];
  const tally = await eachOf(texts, { concurrency: 3, signal }, work, (outcome) => told.push(outcome));
  return { told, tally };
}

const codesIn = (work: () => void): ErrorCode | 'none' => {
  try {
    work();
    return 'none';
  } catch (error) {
    return (error as BullaError).code;
  }
};

describe('work on many references', () => {
  it('tells outcomes in the order of the references, whichever ends first', async () => {
    const { told } = await run(['a', 'b', 'c', 'd'], async (text) => {
      if (text === 'a') await new Promise((resolve) => setTimeout(resolve, 5));
      if (text === 'c') throw fail('unsigned');
      return text.toUpperCase();
    });
    expect(told.map((one) => [one.text, one.ok ? one.value : one.error.code])).toEqual([
      ['a', 'A'],
      ['b', 'B'],
      ['c', 'unsigned'],
      ['d', 'D'],
    ]);
  });

  it('tells each as soon as those before it are told', async () => {
    const told: string[] = [];
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const done = eachOf(
      ['a', 'b', 'c'],
      { concurrency: 2 },
      async (text) => {
        if (text === 'c') await gate;
      },
      ({ text }) => told.push(text),
    );
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(told).toEqual(['a', 'b']);
    release();
    await done;
    expect(told).toEqual(['a', 'b', 'c']);
  });

  it.each([
    [['r.example/a:v1', 'r.example/a:v1']],
    [['docker.io/library/alpine:3', 'docker.io/alpine:3']],
    [['oci:dir:v1', 'oci:dir:v1']],
    [['no reference!', 'no reference!']],
    [['R.EXAMPLE/a:v1', 'r.example/a:v1']],
  ])('does once what is given twice: %s', async (texts) => {
    const seen: string[] = [];
    const { tally } = await run(texts, async (text) => seen.push(text));
    expect(seen).toEqual([texts[0]]);
    expect(tally).toMatchObject({ total: 1, done: 1 });
  });

  it('works on so many at the same time, and no more', async () => {
    let now = 0;
    let most = 0;
    await run(
      Array.from({ length: 20 }, (_, at) => `r.example/a:v${at}`),
      async () => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setTimeout(resolve, 1));
        now--;
      },
    );
    expect(most).toBe(3);
  });

  it('goes on with thousands while an early one takes long, and ends', async () => {
    const texts = Array.from({ length: 3_000 }, (_, at) => `r.example/a:v${at}`);
    let begun = 0;
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const all = run(texts, async (text) => {
      begun++;
      if (text === texts[0]) await gate;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(begun).toBeLessThan(1_100);
    release();
    expect((await all).tally).toMatchObject({ total: 3_000, done: 3_000 });
  });

  it.each<[readonly ErrorCode[], ErrorCode]>([
    [['unsigned', 'registry-unreachable'], 'unsigned'],
    [['registry-unreachable', 'usage'], 'registry-unreachable'],
    [['unsigned', 'trust-rollback', 'signature-mismatch'], 'trust-rollback'],
    [['name-not-signed', 'digest-mismatch', 'not-found'], 'digest-mismatch'],
    [['unsigned', 'unsupported-signature'], 'unsigned'],
    [['unsupported-signature', 'unsigned'], 'unsupported-signature'],
    [['content-invalid', 'trust-unpinned'], 'content-invalid'],
  ])('fails with the greatest exit status of %s', async (codes, expected) => {
    const { tally } = await run(codes, async (code) => {
      throw fail(code as ErrorCode);
    });
    expect(codesIn(() => assertAll(tally, 'verified'))).toBe(expected);
  });

  it('throws what is a defect', async () => {
    const work = run(['a', 'b'], async () => {
      throw new TypeError('a defect');
    });
    await expect(work).rejects.toThrow(TypeError);
  });

  it('tells what is done where it is interrupted, and calls the rest not done', async () => {
    const ending = new AbortController();
    const { told, tally } = await run(
      ['a', 'b', 'c', 'd', 'e', 'f'],
      async (text) => {
        if (text === 'b') throw fail('unsigned');
        if (text === 'd') {
          ending.abort();
          throw fail('interrupted');
        }
        return text;
      },
      ending.signal,
    );
    const texts = told.map(({ text }) => text);
    expect(texts.slice(0, 2)).toEqual(['a', 'b']);
    expect(texts).not.toContain('d');
    expect(tally.done + tally.failed + tally.left).toBe(6);
    expect(tally.left).toBeGreaterThan(0);
    expect(summary(tally, 'verified')).toMatch(/^\d of 6 verified, 1 failed, \d not done$/);
    expect(codesIn(() => assertAll(tally, 'verified', ending.signal))).toBe('interrupted');
  });

  it('ends with the code of a signal that has one', async () => {
    const signal = AbortSignal.abort(fail('timeout'));
    const { tally } = await run(['a'], async (text) => text, signal);
    expect(codesIn(() => assertAll(tally, 'verified', signal))).toBe('timeout');
  });
});
