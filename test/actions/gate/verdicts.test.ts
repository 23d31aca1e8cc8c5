import { describe, expect, it } from 'vitest';
import { parseImage, refusedBy, type Verdict } from '../../../src/actions/gate/verdict.ts';
import { GATE_LIMITS, type Question, Verdicts } from '../../../src/actions/gate/verdicts.ts';
import { BullaError } from '../../../src/errors.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { Policy } from '../../../src/policy/file/policy.ts';

const DIGEST = `sha256:${'a'.repeat(64)}` as Digest;
const POLICY: Policy = {
  rules: [
    { scope: 'r.example/*', mode: 'enforce', verdict: { kind: 'verify', signatures: [] } },
    { scope: 'r.example/denied', mode: 'enforce', verdict: { kind: 'deny', reason: 'bad' } },
    { scope: 'other.example/*', mode: 'enforce', verdict: { kind: 'verify', signatures: [] } },
    { scope: 'free.example/*', mode: 'enforce', verdict: { kind: 'allow', reason: 'known' } },
  ],
};
const GOOD: Verdict = {
  outcome: 'verified',
  scope: 'r.example/*',
  mode: 'enforce',
  digest: DIGEST,
  signers: [],
};
const UNSIGNED = refusedBy(new BullaError('unsigned', 'no'), { mode: 'enforce' });
const DOWN = refusedBy(new BullaError('registry-unreachable', 'no'), { mode: 'enforce' });

const question = (image: string, credential = ''): Question => ({ image: parseImage(image), credential });

/** An engine by a clock that the test turns, whose registry answers as the test says. */
function engine(answer: (question: Question) => Verdict | Promise<Verdict> = () => GOOD, limits = {}) {
  const state = { now: 0, asked: [] as string[] };
  const verdicts = new Verdicts(
    POLICY,
    {
      monotonic: () => state.now,
      now: () => new Date(1_000_000 + state.now),
      decide: async (one: Question) => {
        state.asked.push(one.image.text);
        return await answer(one);
      },
    },
    { ...GATE_LIMITS, ...limits },
  );
  return { state, verdicts };
}

/** Answers that the test gives when it wants to. */
function held(): { promise: Promise<Verdict>; give: (verdict: Verdict) => void } {
  let give: (verdict: Verdict) => void = () => undefined;
  const promise = new Promise<Verdict>((resolve) => {
    give = resolve;
  });
  return { promise, give };
}

describe('answers to equal questions', () => {
  it('are asked for once, also while they are under way', async () => {
    const later = held();
    const { state, verdicts } = engine(() => later.promise);
    const all = [1, 2, 3].map(() => verdicts.ask(question('r.example/app:1')));
    later.give(GOOD);
    expect(await Promise.all(all)).toEqual([GOOD, GOOD, GOOD]);
    await verdicts.ask(question('r.example/app:1'));
    expect(state.asked).toHaveLength(1);
    expect(verdicts.counts).toEqual({ misses: 1, joined: 2, hits: 1 });
  });

  it('a verified tag answers for its digest as well, which is what is asked about next', async () => {
    const { state, verdicts } = engine();
    await verdicts.ask(question('r.example/app:1'));
    expect(await verdicts.ask(question(`r.example/app:1@${DIGEST}`))).toEqual(GOOD);
    expect(state.asked).toEqual(['r.example/app:1']);
    // For another tag or none, or another digest, it says nothing.
    await verdicts.ask(question(`r.example/app:2@${DIGEST}`));
    await verdicts.ask(question(`r.example/app@${DIGEST}`));
    await verdicts.ask(question(`r.example/app:1@sha256:${'b'.repeat(64)}`));
    expect(state.asked).toHaveLength(4);
  });

  it.each<[string, string, Verdict, number]>([
    ['a tag', 'r.example/app:1', GOOD, GATE_LIMITS.tagMs],
    ['a digest', `r.example/app@${DIGEST}`, GOOD, GATE_LIMITS.digestMs],
    ['a refusal', `r.example/app@${DIGEST}`, UNSIGNED, GATE_LIMITS.refusedMs],
    ['a registry that is away', 'r.example/app:1', DOWN, GATE_LIMITS.unknownMs],
  ])('%s is remembered so long, and no longer', async (_, image, verdict, ms) => {
    const { state, verdicts } = engine(() => verdict);
    await verdicts.ask(question(image));
    state.now = ms - 1;
    await verdicts.ask(question(image));
    expect(state.asked).toHaveLength(1);
    state.now = ms;
    await verdicts.ask(question(image));
    expect(state.asked).toHaveLength(2);
  });

  it('attack: nothing is remembered beyond the expiry of what it rests on', async () => {
    const { state, verdicts } = engine(() => ({ ...GOOD, until: 1_000_000 + 5_000 }));
    await verdicts.ask(question(`r.example/app@${DIGEST}`));
    state.now = 4_999;
    await verdicts.ask(question(`r.example/app@${DIGEST}`));
    expect(state.asked).toHaveLength(1);
    state.now = 5_000;
    await verdicts.ask(question(`r.example/app@${DIGEST}`));
    expect(state.asked).toHaveLength(2);
  });

  it('attack: what one namespace may see is not told to another', async () => {
    const { state, verdicts } = engine(({ credential }) => (credential === 'a' ? GOOD : UNSIGNED));
    expect(await verdicts.ask(question('r.example/app:1', 'a'))).toEqual(GOOD);
    expect(await verdicts.ask(question('r.example/app:1', 'b'))).toEqual(UNSIGNED);
    expect(await verdicts.ask(question(`r.example/app:1@${DIGEST}`, 'b'))).toEqual(UNSIGNED);
    expect(state.asked).toHaveLength(3);
  });

  it('nothing survives a change of the policy, not even what was being asked', async () => {
    const later = held();
    let answers: (() => Verdict | Promise<Verdict>)[] = [
      () => GOOD,
      () => later.promise,
      () => UNSIGNED,
      () => UNSIGNED,
    ];
    const { state, verdicts } = engine(() => (answers.shift() ?? (() => DOWN))());
    await verdicts.ask(question('r.example/app:1'));
    const underWay = verdicts.ask(question('r.example/app:2'));
    verdicts.use({ rules: POLICY.rules });
    later.give(GOOD);
    expect(await underWay).toEqual(UNSIGNED);
    expect(await verdicts.ask(question('r.example/app:1'))).toEqual(UNSIGNED);
    expect(state.asked).toHaveLength(4);
    answers = [];
    verdicts.use({ rules: [] });
    expect(await verdicts.ask(question('r.example/app:1'))).toMatchObject({
      outcome: 'refused',
      error: { code: 'policy-denied' },
    });
    expect(state.asked).toHaveLength(4);
  });

  it('are so many and no more', async () => {
    const { verdicts } = engine(() => UNSIGNED, { answers: 10 });
    for (let at = 0; at < 50; at++) await verdicts.ask(question(`r.example/app:${at}`));
    expect(verdicts.size).toBe(10);
  });
});

describe('what needs no registry', () => {
  it.each([
    ['free.example/app:1', 'allowed'],
    ['r.example/denied:1', 'refused'],
    ['unknown.example/app:1', 'refused'],
    // Neighbours of a scope.
    ['r.example.evil.example/app:1', 'refused'],
    ['evil.example/r.example/app:1', 'refused'],
    ['r.example:5000/app:1', 'refused'],
    ['free.example.:1', 'refused'],
  ])('%s is %s', async (image, outcome) => {
    const { state, verdicts } = engine();
    const answer = await Promise.resolve()
      .then(() => verdicts.ask(question(image)))
      .catch(() => ({ outcome: 'refused' }));
    expect(answer.outcome).toBe(outcome);
    expect(state.asked).toHaveLength(0);
  });
});

describe('attack: a registry that stalls', () => {
  it('takes its own places only, and then says so at once', async () => {
    const never = new Promise<Verdict>(() => undefined);
    const { verdicts } = engine(({ image }) => (image.reference.registry === 'r.example' ? never : GOOD), {
      perRegistry: 2,
      waitingPerRegistry: 3,
    });
    for (let at = 0; at < 5; at++) void verdicts.ask(question(`r.example/app:${at}`));
    expect(await verdicts.ask(question('other.example/app:1'))).toEqual(GOOD);
    expect(await verdicts.ask(question('r.example/app:6'))).toMatchObject({
      outcome: 'unknown',
      error: { code: 'registry-throttled' },
    });
    expect(verdicts.underWay).toBe(5);
  });

  it('gives its places back, in order', async () => {
    const holds = [held(), held(), held()];
    let at = 0;
    const { state, verdicts } = engine(() => (holds[at++] ?? held()).promise, { perRegistry: 1 });
    const all = ['1', '2', '3'].map((tag) => verdicts.ask(question(`r.example/app:${tag}`)));
    for (const hold of holds) hold.give(GOOD);
    await Promise.all(all);
    expect(state.asked).toEqual(['r.example/app:1', 'r.example/app:2', 'r.example/app:3']);
    expect(verdicts.underWay).toBe(0);
  });
});
