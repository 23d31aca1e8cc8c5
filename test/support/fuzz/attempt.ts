import { isBullaError } from '../../../src/errors.ts';
import { inputFrom, randomFor } from './mutate.ts';
import { type FuzzedParser, PARSERS } from './parsers.ts';

/** Processor time that one input of at most 128 KiB may take, in seconds; most take less than a millisecond. */
const MAX_CPU_SECONDS = 3;

/** Input number `index` of a run, and who gets it. */
export function attemptOf(
  seed: number,
  index: number,
): { readonly parser: FuzzedParser; readonly input: Uint8Array } {
  const parser = PARSERS[index % PARSERS.length] as FuzzedParser;
  return { parser, input: inputFrom(randomFor(seed, index), parser.seeds) };
}

/**
 * Gives one input to one parser.
 * @throws Error saying what went wrong: another error than a BullaError, one that blames us, or too much time
 */
export async function attempt({ name, parse }: FuzzedParser, input: Uint8Array): Promise<void> {
  const before = process.cpuUsage();
  try {
    await parse(Uint8Array.from(input));
  } catch (error) {
    if (!isBullaError(error) || error.code === 'internal')
      throw new Error(`${name} crashed`, { cause: error });
    if (error.hint === undefined || error.message.length > 16_384)
      throw new Error(`${name}: an error without a hint, or as long as its input`, { cause: error });
  }
  const { user, system } = process.cpuUsage(before);
  const seconds = (user + system) / 1e6;
  if (seconds > MAX_CPU_SECONDS)
    throw new Error(`${name} took ${seconds.toFixed(1)} s for ${input.byteLength} bytes`);
}
