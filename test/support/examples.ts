import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = new URL('../..', import.meta.url).pathname;
const API = join(root, 'src/api');

/** A program in the documentation of a function of the library. */
export interface Example {
  /** The function that it shows. */
  readonly of: string;
  readonly file: string;
  readonly source: string;
}

/** The examples of the library: the first block of code after `@example` in the docstring of a function. */
export function examples(): readonly Example[] {
  return apiFiles().flatMap((file) => {
    const text = readFileSync(file, 'utf8');
    const documented = text.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*export (?:async )?function (\w+)/g);
    return [...documented].flatMap(([, comment = '', of = '']) => {
      const [, source] = /@example\s+\* ```ts\n([\s\S]*?)\n \* ```/.exec(comment) ?? [];
      if (source === undefined) return [];
      return [{ of, file: relative(root, file), source: `${source.replace(/^ \* ?/gm, '')}\n` }];
    });
  });
}

/** Functions of the library that work from a textual reference, by the docstring or without one. */
export function functionsOfReferences(): readonly string[] {
  return apiFiles().flatMap((file) =>
    [
      ...readFileSync(file, 'utf8').matchAll(/^export async function (\w+)\(\s*\w+: string \| Reference/gm),
    ].map(([, name = '']) => name),
  );
}

function apiFiles(): readonly string[] {
  return readdirSync(API)
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => join(API, name));
}
