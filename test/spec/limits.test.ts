import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';

const source = new URL('../../src/', import.meta.url);

interface Limit {
  readonly bound: number;
  readonly file: string;
  readonly name: string;
}

/** Rows of all tables: a bound, and the constant that is it. */
async function limits(): Promise<readonly Limit[]> {
  const page = await readFile(new URL('../../spec/limits.md', import.meta.url), 'utf8');
  return [...page.matchAll(/^\|[^|]*\| (\d+)[^|]*\| `([\w/.-]+)` `(\w+)` \|/gm)].map(
    ([, bound, file = '', name = '']) => ({ bound: Number(bound), file, name }),
  );
}

/** What a constant of the code is: an expression of numbers and of constants of the same file. */
function constantIn(text: string, name: string): number | undefined {
  const [, expression] =
    new RegExp(`^(?:export )?const ${name}(?:: number)? = ([\\w *+/()-]+);$`, 'm').exec(text) ??
    new RegExp(`^  ${name}: ([\\d_]+),$`, 'm').exec(text) ??
    [];
  const plain = expression?.replaceAll(/[A-Z]\w+/g, (other) => `(${constantIn(text, other)})`);
  if (plain === undefined || !/^[\d_ *+/()-]+$/.test(plain)) return undefined;
  return runInNewContext(plain) as number;
}

it('says of each limit what it is in the code', async () => {
  const found = await limits();
  expect(found.length).toBeGreaterThan(40);
  const values = await Promise.all(
    found.map(async ({ file, name }) => ({
      bound: constantIn(await readFile(new URL(file, source), 'utf8'), name),
      file,
      name,
    })),
  );
  expect(found).toEqual(values);
});

/** Where content, metadata and answers of others are read. */
const ROOMS = ['http', 'registry', 'trust', 'tuf', 'notary', 'layout', 'signatures', 'revocation-client'];

async function filesIn(room: string): Promise<readonly string[]> {
  const directory = new URL(`${room}/`, source).pathname;
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length));
}

it('names every limit of what comes from others', async () => {
  const named = new Set((await limits()).map(({ file, name }) => `${file} ${name}`));
  const missing: string[] = [];
  for (const room of ROOMS) {
    for (const entry of await filesIn(room)) {
      const text = await readFile(new URL(`${room}/${entry}`, source), 'utf8');
      for (const [, name = ''] of text.matchAll(
        /^(?:export )?const (MAX_\w+|\w+_TIMEOUT_MS)(?:: number)? = /gm,
      )) {
        if (!named.has(`${room}/${entry} ${name}`)) missing.push(`${room}/${entry} ${name}`);
      }
    }
  }
  const { DEFAULT_LIMITS } = await import('../../src/tuf/limits.ts');
  for (const name of Object.keys(DEFAULT_LIMITS))
    if (!named.has(`tuf/limits.ts ${name}`)) missing.push(`tuf/limits.ts ${name}`);
  expect(missing).toEqual([]);
});
