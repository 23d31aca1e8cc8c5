/** Pushes a blob that is larger than the process may write, and prints the error: `LAYOUT`. */
import { isBullaError } from '../../src/errors.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { blobOf, pushBytes } from '../support/content.ts';

const store = new LayoutStore(await DirectoryFiles.open(process.argv[2] as string));
try {
  await pushBytes(store, blobOf('much '.repeat(1_000_000)));
  console.log('pushed');
} catch (error) {
  console.log(isBullaError(error) ? `${error.code}: ${error.hint}` : String(error));
}
