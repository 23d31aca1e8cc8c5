import { matching, wholeExpression } from '../../encoding/bounded-regexp.ts';
import { BullaError } from '../../errors.ts';
import type { NamesDocument } from './schema.ts';

/** Selects names by expressions for the whole name, in bounded time. */
export interface Expressions {
  /** Names that match one of `allow`, or all without it, and none of `deny`; in their order. @throws BullaError config-invalid */
  select<T extends string>(names: readonly T[]): readonly T[];
}

/** @throws BullaError config-invalid for an invalid expression */
export function expressionsOf({ allow, deny = [] }: NamesDocument): Expressions {
  const [allowed, denied] = [allow?.map(read), deny.map(read)];
  return {
    select: (names) => {
      const excluded = anyOf(names, denied);
      const wanted = allowed === undefined ? undefined : anyOf(names, allowed);
      return names.filter((name) => !excluded.has(name) && wanted?.has(name) !== false);
    },
  };
}

function anyOf<T extends string>(names: readonly T[], expressions: readonly RegExp[]): ReadonlySet<T> {
  return new Set(expressions.flatMap((expression) => matching(names, expression)));
}

function read(text: string): RegExp {
  const expression = wholeExpression(text);
  if (expression !== undefined) return expression;
  throw new BullaError('config-invalid', `${JSON.stringify(text)} is not a regular expression`, {
    hint: 'write an expression as JavaScript has them; it must match the whole name',
  });
}
