import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isBullaError, messageOf } from '../../src/errors.ts';
import { HttpPool } from '../../src/http/pool.ts';
import { HttpMirror } from '../../src/mirror/http.ts';
import { saveTarget } from '../../src/mirror/save-target.ts';
import { TrustedDirectory } from '../../src/state/trusted-directory.ts';
import { refresh, type TufClient } from '../../src/tuf/client.ts';

// The command line that theupdateframework/tuf-conformance asks of a client (its CLIENT-CLI.md).
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'metadata-dir': { type: 'string', default: '' },
    'metadata-url': { type: 'string', default: '' },
    'target-name': { type: 'string', multiple: true, default: [] },
    'target-dir': { type: 'string', default: '' },
    'target-base-url': { type: 'string' },
  },
});

async function init(rootFile: string): Promise<void> {
  const store = await TrustedDirectory.open(values['metadata-dir']);
  const bytes = new Uint8Array(await readFile(rootFile));
  await store.replace([{ role: 'root', expected: undefined, bytes }]);
}

async function withRepository(work: (client: TufClient, mirror: HttpMirror) => Promise<void>): Promise<void> {
  const targets = values['target-base-url'];
  const pool = new HttpPool();
  try {
    const mirror = new HttpMirror({
      pool,
      metadataUrl: new URL(values['metadata-url']),
      ...(targets !== undefined && { targetsUrl: new URL(targets) }),
    });
    const store = await TrustedDirectory.open(values['metadata-dir']);
    const onWarning = (line: string) => process.stderr.write(`warning: ${line}\n`);
    await work(await refresh(mirror, store, new Date(), { onWarning }), mirror);
  } finally {
    await pool.close();
  }
}

async function download(client: TufClient, mirror: HttpMirror, name: string): Promise<void> {
  const path = join(values['target-dir'], createHash('sha256').update(name).digest('hex'));
  await saveTarget(client, mirror, await client.findTarget(name), path);
}

async function main(): Promise<void> {
  const [command, argument] = positionals;
  if (command === 'init' && argument !== undefined) return await init(argument);
  if (command === 'refresh') return await withRepository(async () => undefined);
  if (command === 'download') {
    return await withRepository(async (client, mirror) => {
      for (const name of values['target-name']) await download(client, mirror, name);
    });
  }
  throw new Error('the command is init ROOT, refresh or download');
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${isBullaError(error) ? `${error.code}: ` : ''}${messageOf(error)}\n`);
  process.exitCode = 1;
}
