/**
 * Refreshes trusted states that other processes refresh as well: `METADATA STATES ROUNDS`. Says so, and
 * fails, where a state is older than one that this process has been told of.
 */
import { join } from 'node:path';
import { DirectoryMirror } from '../../src/mirror/directory.ts';
import { TrustedDirectory } from '../../src/state/trusted-directory.ts';
import { refresh } from '../../src/tuf/client.ts';
import { parseMetadataFile } from '../../src/tuf/metadata-file.ts';
import { parseTimestamp } from '../../src/tuf/snapshot.ts';
import { NOW } from '../support/tuf/repository.ts';

const [metadata = '', states = '', rounds = ''] = process.argv.slice(2);
const mirror = new DirectoryMirror(metadata, metadata);
const initialRoot = await mirror.fetchMetadata('1.root.json', 100_000);
if (initialRoot === undefined) throw new Error('there is no root');

async function storedVersion(store: TrustedDirectory): Promise<number> {
  const bytes = await store.load('timestamp');
  return bytes === undefined ? 0 : parseTimestamp(parseMetadataFile(bytes, 'timestamp', 100_000)).version;
}

for (let round = 0; round < Number(rounds); round++) {
  const store = await TrustedDirectory.open(join(states, String(round)));
  let least = await storedVersion(store);
  for (let turn = 0; turn < 4; turn++) {
    const client = await refresh(mirror, store, NOW, { initialRoot });
    const { version } = client.trusted.timestamp.content;
    const stored = await storedVersion(store);
    if (version < least || stored < version)
      throw new Error(`went back in round ${round}: ${least}, ${version}, ${stored}`);
    least = stored;
  }
  process.stdout.write(`round ${round}\n`);
}
