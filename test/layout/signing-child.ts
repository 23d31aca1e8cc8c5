/** Adds a referrer to the image v1 of an archive, or waits before it is closed: `ARCHIVE TEXT [wait]`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isBullaError } from '../../src/errors.ts';
import { openLayout } from '../../src/layout/open.ts';
import { pushReferrer, tagOf } from '../support/content.ts';

const [path, text, wait] = process.argv.slice(2) as [string, string, string | undefined];
const store = await openLayout({ kind: 'archive', path }, { create: true });
try {
  await pushReferrer(store, await store.resolve(tagOf('v1')), text);
  console.log('pushed');
  if (wait !== undefined) await sleep(60_000);
  await store.close();
} catch (error) {
  await store.abandon();
  console.log(isBullaError(error) ? `${error.code}: ${error.hint}` : String(error));
  process.exitCode = 1;
}
