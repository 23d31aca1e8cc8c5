/** Starts to push a blob and never ends: `LAYOUT`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { blobOf } from '../support/content.ts';

const store = new LayoutStore(await DirectoryFiles.open(process.argv[2] as string));
const blob = blobOf('never complete');
await store.pushBlob(blob.descriptor, async () => slowly(blob.bytes));

async function* slowly(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes.subarray(0, 5);
  console.log('streaming');
  await sleep(60_000);
}
