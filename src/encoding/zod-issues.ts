import * as z from 'zod/mini';
import './zod-words.ts';

/** What is wrong with a document, in one line: `Unrecognized key: "a"; Invalid input … at b.c`. */
export function issuesText(error: z.core.$ZodError): string {
  return z
    .prettifyError(error)
    .split(/^✖ /m)
    .filter((issue) => issue !== '')
    .map((issue) => issue.trimEnd().replace(/\n\s*→ at /, ' at '))
    .join('; ');
}
