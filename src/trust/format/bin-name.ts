import { BIN_PREFIX } from './vocabulary.ts';

/** Whether a role's name could be that of a bin of `names`. */
export function isBinName(role: string): boolean {
  return new RegExp(`^${BIN_PREFIX}-[0-9a-f]+$`).test(role);
}
