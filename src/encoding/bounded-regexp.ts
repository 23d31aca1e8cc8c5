import { createContext, Script } from 'node:vm';
import { BullaError } from '../errors.ts';

/** Longest expression, in characters. */
const MAX_EXPRESSION = 1024;
/** Time for one expression on all texts of a list, in milliseconds. */
const MATCH_MS = 1_000;

/** An expression for whole texts, read; undefined if it is invalid. */
export function wholeExpression(text: string): RegExp | undefined {
  if (text.length > MAX_EXPRESSION) return undefined;
  try {
    return new RegExp(`^(?:${text})$`, 'u');
  } catch {
    return undefined;
  }
}

const select = new Script('texts.filter((text) => expression.test(text))');

/**
 * The texts that match an expression. JavaScript tries alternatives one by one, which can take years for one short
 * text; both the expression and the texts come from others, so that it is ended then.
 * @throws BullaError config-invalid where it takes longer than a second
 */
export function matching<T extends string>(texts: readonly T[], expression: RegExp): readonly T[] {
  try {
    return [...(select.runInContext(createContext({ texts, expression }), { timeout: MATCH_MS }) as T[])];
  } catch (cause) {
    throw new BullaError('config-invalid', `matching the expression ${expression.source} takes too long`, {
      cause,
      hint: 'simplify it: nested repetitions such as (a+)+ try every way to split a text',
    });
  }
}
