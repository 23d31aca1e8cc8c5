/** Counts up a file under a lock: `count LOCK FILE ROUNDS`; or takes it and waits: `hold LOCK`. */
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { acquireLock, withLock } from '../../src/disk/lock.ts';

const [verb, lock, file, rounds] = process.argv.slice(2) as [string, string, string, string];
if (verb === 'hold') {
  await acquireLock(lock);
  console.log('held');
  await sleep(60_000);
}
for (let round = 0; round < Number(rounds); round++) {
  await withLock(lock, async () => {
    const count = Number(await readFile(file, 'utf8'));
    await sleep(Math.random() * 2);
    await writeFile(file, String(count + 1));
  });
}
