import { z } from 'zod';

/** Where a schema notes what it reads, for the schemas that are published: a function can't be printed. */
export const SHAPE: string = 'shape';

/**
 * A list, read up to its first wrong element. z.array goes on to the end: a manifest of 4 MiB can be wrong a
 * million times over, and the report of it takes minutes and gigabytes.
 */
export function listOf<T>(
  element: z.ZodType<T>,
  most: number = Number.MAX_SAFE_INTEGER,
): z.ZodType<readonly T[]> {
  return z
    .array(z.unknown())
    .max(most)
    .transform((items, context) => {
      const list: T[] = [];
      for (const [at, item] of items.entries()) {
        const read = element.safeParse(item);
        if (read.success) {
          list.push(read.data);
          continue;
        }
        const [first] = read.error.issues;
        context.issues.push({
          code: 'custom',
          input: item,
          path: [at, ...(first?.path ?? [])],
          message: first?.message ?? 'invalid',
        });
        return z.NEVER;
      }
      return list;
    })
    .meta({ [SHAPE]: { listOf: element } }) as unknown as z.ZodType<readonly T[]>;
}

/** An object whose members are all strings: annotations, labels. Read up to the first that is none. */
export const textsByName: z.ZodType<Readonly<Record<string, string>>> = z
  .custom<Record<string, string>>(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((member) => typeof member === 'string'),
    'expected an object of strings',
  )
  .meta({ [SHAPE]: 'texts' });

const SHOWN_ISSUES = 3;
const MAX_CHARACTERS = 400;

/** What a document fails at, in one short line. */
export function describeIssues(error: z.ZodError): string {
  const text = error.issues
    .slice(0, SHOWN_ISSUES)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
    .join('; ');
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
}
