import { createHash, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Key, Metadata, MetadataKind } from '@tufjs/models';
import { Updater } from 'tuf-js';
import { request } from 'undici';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import type { JsonObject } from '../../src/encoding/json.ts';
import { HttpPool } from '../../src/http/pool.ts';
import { DirectoryMirror } from '../../src/mirror/directory.ts';
import { HttpMirror } from '../../src/mirror/http.ts';
import { TrustedDirectory } from '../../src/state/trusted-directory.ts';
import { refresh } from '../../src/tuf/client.ts';
import { type TufKey, tufKeyOf } from '../../src/tuf/keys.ts';
import { composeMetadataFile, parseMetadataFile, signedMessage } from '../../src/tuf/metadata-file.ts';
import type { MetadataFetcher } from '../../src/tuf/ports.ts';
import { parseTargets } from '../../src/tuf/targets.ts';
import { assertThreshold } from '../../src/tuf/threshold.ts';

/*
 * A process of its own for each client that is measured: refresh and one target, with nothing in the
 * trusted state but root (cold), and again with all of it (warm). Prints milliseconds as JSON.
 * Arguments: client, directory or URL of the metadata, root.json, target, runs, files that a cold client
 * asks for. The command sets the same (src/cli/start/main.ts).
 */
if (process.versions.v8.startsWith('11.')) setFlagsFromString('--wasm-tiering-budget=200000000');
const [client, place = '', rootFile = '', target = '', runs = '5', asked = ''] = process.argv.slice(2);

async function find(fetcher: MetadataFetcher, state: string): Promise<void> {
  const done = await refresh(fetcher, await TrustedDirectory.open(state), new Date());
  await done.findTarget(target);
}

const pool = new HttpPool();
const CLIENTS: Readonly<Record<string, (state: string, isCold: boolean) => Promise<void>>> = {
  'bulla, directory': (state) => find(new DirectoryMirror(place, place), state),
  'bulla, HTTP': (state) => find(new HttpMirror({ pool, metadataUrl: new URL(place) }), state),
  'tuf-js, HTTP': async (state) => {
    const updater = new Updater({ metadataDir: state, metadataBaseUrl: place, targetDir: state });
    await updater.refresh();
    if ((await updater.getTargetInfo(target)) === undefined) throw new Error(`${target} was not found`);
  },
  'no TUF, HTTP': (state, isCold) => alone(state, asked.split(',').slice(0, isCold ? 5 : 2)),
};

/**
 * No TUF at all: what any client on Node has to do for the same outcome. The requests, one after the
 * other on one connection, by undici alone; one P-256 signature for each of five files; and, cold, four
 * files put in their places. Nothing is parsed.
 */
async function alone(state: string, files: readonly string[]): Promise<void> {
  let size = 0;
  for (const [index, file] of files.entries()) {
    const { body } = await request(`${place}${file}`);
    const bytes = new Uint8Array(await body.arrayBuffer());
    size += bytes.byteLength;
    if (index > 0 && files.length > 2) {
      writeFileSync(join(state, `${index}.new`), bytes);
      renameSync(join(state, `${index}.new`), join(state, `${index}.json`));
    }
  }
  for (let count = 0; count < 5; count++) {
    if (!verify('sha256', MESSAGE, PAIR.publicKey, SIGNATURE) || size === 0) throw new Error('no');
  }
}

const MESSAGE = Buffer.alloc(2048, 'a');
const PAIR = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const SIGNATURE = sign('sha256', MESSAGE, PAIR.privateKey);

/** Runs `work` for about a second and says how often it was done in one. */
function perSecond(work: () => void): number {
  for (let i = 0; i < 20; i++) work();
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < 1000) {
    work();
    count++;
  }
  return (count * 1000) / (performance.now() - start);
}

/** Parsing and verifying one file, with nothing remembered from the last time but the keys. */
function verifyFiles(): unknown {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = tufKeyOf(publicKeyOf(publicKey), 'ES256');
  const theirKey = Key.fromJSON(key.keyid, JSON.parse(JSON.stringify(key.json)));
  return [1, 1000].map((count) => {
    const bytes = targetsFile(count, key, privateKey);
    const keys = new Map([[key.keyid, key]]);
    const role = { keyids: [key.keyid], threshold: 1 };
    const bulla = perSecond(() => {
      const file = parseMetadataFile(bytes, 'targets', bytes.byteLength);
      assertThreshold(file, keys, role, 'root');
      parseTargets(file);
    });
    const tufJs = perSecond(() => {
      const file = Metadata.fromJSON(MetadataKind.Targets, JSON.parse(Buffer.from(bytes).toString()));
      theirKey.verifySignature(file);
    });
    return { file: `${count} targets, ${bytes.byteLength} bytes`, bulla, tufJs };
  });
}

function targetsFile(count: number, key: TufKey, privateKey: KeyObject): Uint8Array {
  const entries = Array.from({ length: count }, (_, index) => {
    const sha256 = createHash('sha256').update(String(index)).digest('hex');
    return [`release-${index}`, { hashes: { sha256 }, length: index }];
  });
  const common = { _type: 'targets', expires: '2099-01-01T00:00:00Z', spec_version: '1.0.31', version: 1 };
  const signed: JsonObject = { ...common, targets: Object.fromEntries(entries) };
  const sig = sign('sha256', signedMessage(signed), privateKey).toString('hex');
  return composeMetadataFile('targets', signed, [{ keyid: key.keyid, sig }]).bytes;
}

const scratch = mkdtempSync(join(tmpdir(), 'bulla-bench-tuf-'));
try {
  process.stdout.write(JSON.stringify(client === 'verify' ? verifyFiles() : await measure()));
} finally {
  rmSync(scratch, { recursive: true, force: true });
  await pool.close();
}

async function measure(): Promise<unknown> {
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
      await work(state, times === cold);
      times.push(performance.now() - start);
    }
  }
  return { cold, warm };
}
