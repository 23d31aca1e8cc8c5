import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Updater } from 'tuf-js';
import { HttpPool } from '../../src/http/pool.ts';
import { DirectoryMirror } from '../../src/mirror/directory.ts';
import { HttpMirror } from '../../src/mirror/http.ts';
import { TrustedDirectory } from '../../src/state/trusted-directory.ts';
import { refresh } from '../../src/tuf/client.ts';
import type { MetadataFetcher } from '../../src/tuf/ports.ts';

/*
 * A process of its own for each client that is measured: refresh and one target, with nothing in the
 * trusted state but root (cold), and again with all of it (warm). Prints milliseconds as JSON.
 * Arguments: client, directory or URL of the metadata, root.json, target, runs.
 */
const [client, place = '', rootFile = '', target = '', runs = '5'] = process.argv.slice(2);

async function find(fetcher: MetadataFetcher, state: string): Promise<void> {
  const done = await refresh(fetcher, await TrustedDirectory.open(state), new Date());
  await done.findTarget(target);
}

const pool = new HttpPool();
const CLIENTS: Readonly<Record<string, (state: string) => Promise<void>>> = {
  'bulla, directory': (state) => find(new DirectoryMirror(place, place), state),
  'bulla, HTTP': (state) => find(new HttpMirror({ pool, metadataUrl: new URL(place) }), state),
  'tuf-js, HTTP': async (state) => {
    const updater = new Updater({ metadataDir: state, metadataBaseUrl: place, targetDir: state });
    await updater.refresh();
    if ((await updater.getTargetInfo(target)) === undefined) throw new Error(`${target} was not found`);
  },
};

const scratch = mkdtempSync(join(tmpdir(), 'bulla-bench-tuf-'));
try {
  const work = CLIENTS[client ?? ''];
  if (work === undefined) throw new Error(`there is no client ${client}`);
  const cold: number[] = [];
  const warm: number[] = [];
  for (let run = 0; run < Number(runs); run++) {
    const state = join(scratch, String(run));
    mkdirSync(state);
    cpSync(rootFile, join(state, 'root.json'));
    for (const times of [cold, warm]) {
      const start = performance.now();
      await work(state);
      times.push(performance.now() - start);
    }
  }
  process.stdout.write(JSON.stringify({ cold, warm, root: readFileSync(rootFile).byteLength }));
} finally {
  rmSync(scratch, { recursive: true, force: true });
  await pool.close();
}
