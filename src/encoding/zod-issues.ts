import * as z from 'zod/mini';
import './zod-words.ts';

/** What is wrong with a document, in one line: `Unrecognized key: "a"; Invalid input … at b.c`. */
export function issuesText({ issues }: z.core.$ZodError): string {
  return issues
    .map(({ message, path }) => (path.length === 0 ? message : `${message} at ${z.core.toDotPath(path)}`))
    .join('; ');
}
