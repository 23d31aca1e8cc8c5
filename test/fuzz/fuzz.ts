import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isBullaError } from '../../src/errors.ts';
import { mutate, Random } from './mutate.ts';

/** A parser with examples of what it reads. */
export interface Target {
  readonly name: string;
  readonly seeds: readonly (string | Uint8Array)[];
  /** Reads one input, whole or not at all: what it refuses, it refuses with a BullaError. */
  readonly parse: (input: Buffer) => unknown;
  /** Other errors by which it may refuse. */
  readonly refusal?: (error: unknown) => boolean;
}

const CORPUS = new URL('../../testdata/fuzz', import.meta.url).pathname;

/**
 * Feeds a parser what was kept from earlier finds, its examples, and changes of them for `milliseconds`.
 * @returns how many inputs it took
 * @throws Error where anything else than a BullaError was thrown, or an input took more than ten
 * seconds; the input is kept in testdata/fuzz for ever after
 */
export async function fuzz(target: Target, milliseconds: number, seed: string): Promise<number> {
  const examples = target.seeds.map((example) => Buffer.from(example));
  const kept = join(CORPUS, target.name);
  const finds = existsSync(kept) ? readdirSync(kept).map((name) => readFileSync(join(kept, name))) : [];
  for (const input of [...finds, ...examples, Buffer.alloc(0)]) await feed(target, input);
  const random = new Random(`${seed} ${target.name}`);
  const end = performance.now() + milliseconds;
  let inputs = 0;
  while (performance.now() < end) {
    for (let batch = 0; batch < 16; batch += 1) await feed(target, mutate(random, [...examples, ...finds]));
    inputs += 16;
  }
  return inputs;
}

async function feed(target: Target, input: Buffer): Promise<void> {
  const start = performance.now();
  let complaint: string | undefined;
  let cause: unknown;
  try {
    await target.parse(input);
  } catch (error) {
    const refused = isBullaError(error) ? error.code !== 'internal' : target.refusal?.(error) === true;
    if (!refused) {
      cause = error;
      complaint = `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    }
  }
  const took = performance.now() - start;
  if (took > 10_000) complaint = `took ${Math.round(took)} ms`;
  if (complaint === undefined) return;
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16);
  mkdirSync(join(CORPUS, target.name), { recursive: true });
  writeFileSync(join(CORPUS, target.name, name), input);
  throw new Error(`${target.name}: ${complaint}; the input is testdata/fuzz/${target.name}/${name}`, {
    cause,
  });
}
