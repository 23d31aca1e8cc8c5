import { readdir, readFile } from 'node:fs/promises';
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

/** What a constant of the code is: a number, or a product of numbers. */
function constantIn(text: string, name: string): number | undefined {
  const [, product] =
    new RegExp(`^(?:export )?const ${name}(?:: number)? = ([\\d_ *]+);$`, 'm').exec(text) ?? [];
  return product?.split('*').reduce((all, factor) => all * Number(factor.replaceAll('_', '').trim()), 1);
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

it('names every limit of what comes from the network', async () => {
  const named = new Set((await limits()).map(({ file, name }) => `${file} ${name}`));
  const missing: string[] = [];
  for (const room of ['http', 'registry']) {
    for (const entry of await readdir(new URL(`${room}/`, source))) {
      const text = await readFile(new URL(`${room}/${entry}`, source), 'utf8');
      for (const [, name = ''] of text.matchAll(
        /^(?:export )?const (MAX_\w+|\w+_TIMEOUT_MS)(?:: number)? = /gm,
      )) {
        if (!named.has(`${room}/${entry} ${name}`)) missing.push(`${room}/${entry} ${name}`);
      }
    }
  }
  expect(missing).toEqual([]);
});
