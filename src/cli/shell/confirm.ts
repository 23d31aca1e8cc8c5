import { BullaError } from '../../errors.ts';
import type { Io } from './io.ts';
import { openTerminal, promptLine } from './prompt.ts';

/** Asks on the terminal. @returns undefined where there is none @throws BullaError interrupted */
export async function askYes(io: Io, question: string): Promise<boolean | undefined> {
  const terminal = openTerminal(io);
  if (terminal === undefined) return undefined;
  try {
    return /^y(?:es)?$/i.test((await promptLine(`${question} [y/N] `, terminal)).trim());
  } finally {
    terminal.close();
  }
}

/**
 * Asks before something is signed.
 * @param isAgreed with `--yes`
 * @throws BullaError usage where there is no terminal to confirm on, interrupted where the answer is no
 */
export async function confirmSigning(io: Io, question: string, isAgreed: boolean): Promise<void> {
  await confirm(io, question, isAgreed, 'it was not signed', 'look at it with --dry-run, then add --yes');
}

/**
 * Asks before something is done.
 * @param isAgreed with `--yes`
 * @param undone what is said where the answer is no
 * @param hint where there is no terminal
 * @throws BullaError usage where there is no terminal to confirm on, interrupted where the answer is no
 */
export async function confirm(
  io: Io,
  question: string,
  isAgreed: boolean,
  undone: string,
  hint: string,
): Promise<void> {
  if (isAgreed) return;
  const answer = await askYes(io, question);
  if (answer === true) return;
  if (answer === undefined) throw new BullaError('usage', 'no terminal to confirm on', { hint });
  throw new BullaError('interrupted', undone, { hint: 'nothing was changed' });
}
