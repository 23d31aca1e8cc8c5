/** Copies v1 from one layout or archive to another: `FROM TO`, each `layout:PATH` or `archive:PATH`. */
import { copy } from '../../src/actions/copy/copy.ts';
import { openLayout } from '../../src/layout/open.ts';
import type { LayoutStore } from '../../src/layout/store.ts';
import { tagOf } from '../support/content.ts';

const [from, to] = process.argv.slice(2) as [string, string];

function open(text: string, create: boolean): Promise<LayoutStore> {
  const colon = text.indexOf(':');
  const kind = text.slice(0, colon) === 'archive' ? 'archive' : 'layout';
  return openLayout({ kind, path: text.slice(colon + 1) }, { create });
}

const [source, destination] = [await open(from, false), await open(to, true)];
let done = 0;
await copy({
  source,
  reference: tagOf('v1'),
  destination,
  tag: tagOf('v1'),
  concurrency: 2,
  onEvent: ({ kind }) => {
    if (kind === 'done') console.log(`done ${++done};`);
  },
});
await destination.close();
console.log('copied');
