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
 * A line that a person types, without the spaces around it.
 * @param hint where there is no terminal
 * @throws BullaError usage where there is no terminal, interrupted
 */
export async function typedLine(io: Io, question: string, hint: string): Promise<string> {
  const terminal = openTerminal(io);
  if (terminal === undefined) throw new BullaError('usage', 'no terminal to ask on', { hint });
  try {
    return (await promptLine(question, terminal)).trim();
  } finally {
    terminal.close();
  }
}

/**
 * Has a person type what they have read before it counts.
 * @param isAgreed with `--yes`
 * @throws BullaError usage where there is no terminal to confirm on, interrupted where something else is typed
 */
export async function confirmTyped(
  io: Io,
  question: string,
  {
    expected,
    isAgreed,
    hint,
  }: { readonly expected: string; readonly isAgreed: boolean; readonly hint: string },
): Promise<void> {
  if (isAgreed) return;
  for (let tries = 1; tries <= TRIES; tries++) {
    const terminal = openTerminal(io);
    if (terminal === undefined) throw new BullaError('usage', 'no terminal to confirm on', { hint });
    try {
      if ((await promptLine(question, terminal)).replace(/\s/g, '').toLowerCase() === expected) return;
    } finally {
      terminal.close();
    }
  }
  throw new BullaError('interrupted', 'what was typed is not what is shown; it was not signed', {
    hint: 'compare the digest with the one of the machine that made the change',
  });
}

/** How often a person is asked again after another answer than the choices. */
const TRIES = 3;

/**
 * Has a person choose from a numbered list on the terminal.
 * @returns the index of the choice; undefined where there is no terminal
 * @throws BullaError interrupted; usage after too many other answers
 */
export async function choose(
  io: Io,
  question: string,
  choices: readonly string[],
): Promise<number | undefined> {
  const terminal = openTerminal(io);
  if (terminal === undefined) return undefined;
  try {
    terminal.output.write(`${question}\n`);
    for (const [at, choice] of choices.entries()) terminal.output.write(`  ${at + 1}  ${choice}\n`);
    for (let tries = 1; tries <= TRIES; tries++) {
      const answer = (await promptLine(`1-${choices.length}: `, terminal)).trim();
      const number = /^[1-9][0-9]?$/.test(answer) ? Number(answer) : 0;
      if (number >= 1 && number <= choices.length) return number - 1;
    }
  } finally {
    terminal.close();
  }
  throw new BullaError('usage', `a number from 1 to ${choices.length} was expected`, {
    hint: 'run the command again',
  });
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
