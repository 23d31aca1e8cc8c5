/** Pushes images under NAME0, NAME1, …, those of "a" with a signature: `LAYOUT NAME COUNT`. */
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { pushImage, pushReferrer } from '../support/content.ts';

const [path, name, count] = process.argv.slice(2) as [string, string, string];
const store = new LayoutStore(await DirectoryFiles.open(path));
for (let at = 0; at < Number(count); at++) {
  const image = await pushImage(store, `${name} ${at}`, `${name}${at}`);
  if (name === 'a') await pushReferrer(store, image.descriptor, `signature ${at}`);
  console.log(`pushed ${at}`);
}
