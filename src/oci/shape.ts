import * as z from 'zod/mini';
import '../encoding/zod-words.ts';

/** Where a schema notes what it reads, for the schemas that are published: a function can't be printed. */
export const SHAPE: string = 'shape';

/**
 * A list, read up to its first wrong element. z.array goes on to the end: a manifest of 4 MiB can be wrong a
 * million times over, and the report of it takes minutes and gigabytes.
 */
export function listOf<T>(
  element: z.ZodMiniType<T>,
  most: number = Number.MAX_SAFE_INTEGER,
): z.ZodMiniType<readonly T[]> {
  const items = z.array(z.unknown()).check(z.maxLength(most));
  const read = z.transform((found: unknown[], context: z.core.ParsePayload) => {
    const list: T[] = [];
    for (const [at, item] of found.entries()) {
      const one = element.safeParse(item);
      if (one.success) {
        list.push(one.data);
        continue;
      }
      const [first] = one.error.issues;
      context.issues.push({
        code: 'custom',
        input: item,
        path: [at, ...(first?.path ?? [])],
        message: first?.message ?? 'invalid',
      });
      return z.NEVER;
    }
    return list;
  });
  return z
    .pipe(items, read)
    .register(z.globalRegistry, { [SHAPE]: { listOf: element } }) as unknown as z.ZodMiniType<readonly T[]>;
}

/** An object whose members are all strings: annotations, labels. Read up to the first other one. */
export const textsByName: z.ZodMiniType<Readonly<Record<string, string>>> = z
  .custom<Record<string, string>>(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((member) => typeof member === 'string'),
    'expected an object of strings',
  )
  .register(z.globalRegistry, { [SHAPE]: 'texts' });

const SHOWN_ISSUES = 3;
const MAX_CHARACTERS = 400;

/** What a document fails at, in one short line. */
export function describeIssues(error: z.core.$ZodError): string {
  const text = error.issues
    .slice(0, SHOWN_ISSUES)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
    .join('; ');
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
}
