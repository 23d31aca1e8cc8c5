import * as z from 'zod/mini';
import './zod-words.ts';

/** What zod says of a member that is not there. */
const MISSING = /^Invalid input: expected (.+), received undefined$/;

/** What is wrong with a document, in one line: `Unrecognized key: "a"; Invalid input … at b.c; d is missing: expected array`. */
export function issuesText({ issues }: z.core.$ZodError): string {
  return issues
    .map(({ message, path }) => {
      if (path.length === 0) return message;
      const member = z.core.toDotPath(path);
      const [, expected] = MISSING.exec(message) ?? [];
      return expected === undefined
        ? `${message} at ${member}`
        : `${member} is missing: expected ${expected}`;
    })
    .join('; ');
}
