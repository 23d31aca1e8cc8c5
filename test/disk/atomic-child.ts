/** Writes a file over and over: `PATH`; or once with so many bytes: `PATH BYTES`, and prints the error. */
import { writeFileAtomic } from '../../src/disk/atomic.ts';
import { isBullaError } from '../../src/errors.ts';

const [path, bytes] = process.argv.slice(2) as [string, string | undefined];
if (bytes !== undefined) {
  try {
    await writeFileAtomic(path, new Uint8Array(Number(bytes)));
    console.log('written');
  } catch (error) {
    console.log(isBullaError(error) ? `${error.code}: ${error.hint}` : String(error));
  }
} else {
  for (let round = 0; ; round++) {
    await writeFileAtomic(path, Buffer.alloc(200_000, String(round % 10)));
    if (round === 2) console.log('writing');
  }
}
