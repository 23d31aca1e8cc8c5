import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { copy } from '../../src/actions/copy/copy.ts';
import { openLayout } from '../../src/layout/open.ts';
import { pushReferrer, tagOf } from '../support/content.ts';
import { temporaryDirectory } from '../support/processes.ts';

const DEMO = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const V1 = tagOf('v1');

describe('spec/layout.md', () => {
  it('shows the index.json of an image with something that refers to it', async () => {
    const page = await readFile(new URL('../../spec/layout.md', import.meta.url), 'utf8');
    const example = /```json\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
    const directory = await temporaryDirectory();
    const path = join(directory.path, 'layout');
    const source = await openLayout({ kind: 'layout', path: DEMO });
    const destination = await openLayout({ kind: 'layout', path }, { create: true });
    const { root } = await copy({ source, reference: V1, destination, tag: V1 });
    await pushReferrer(destination, root, 'signature');
    expect(JSON.parse(example)).toEqual(JSON.parse(await readFile(join(path, 'index.json'), 'utf8')));
    await directory.remove();
  });
});
