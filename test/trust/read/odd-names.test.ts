import { expect, it } from 'vitest';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { contentOf, freshRead, naming, publisher, revoking } from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';

/** Tags that objects have already as properties, or that sort otherwise than text. */
const ODD = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '0', '10', '9', 'length'];

async function found(store: WeakStore): Promise<readonly (readonly [string, string | undefined])[]> {
  const { client } = await freshRead(store);
  const all: [string, string | undefined][] = [];
  for (const name of ODD)
    for await (const { target } of client.findTargets(name)) all.push([name, target.hashes.get('sha256')]);
  return all;
}

it.each([
  ['without bins', 0],
  ['with bins', 1100],
])('names that objects have already are signed, found and revoked as others are: %s', async (_, more) => {
  const store = new WeakStore();
  await pushHead(store, await newCollection());
  const { read, options } = publisher(1);
  const filling = Array.from({ length: more }, (_, index) => [`w${index}`, 'w'] as const);
  if (more > 0) await publishNames(store, read, naming(Object.fromEntries(filling)), options);
  expect(await found(store)).toEqual([]);
  const set = new Map(ODD.map((name) => [name, contentOf(`about ${name}`)]));
  await publishNames(store, read, [{ set }], options);
  expect(await found(store)).toEqual(ODD.map((name) => [name, contentOf(`about ${name}`).sha256]));
  await publishNames(store, read, revoking(...ODD), options);
  expect(await found(store)).toEqual([]);
});
