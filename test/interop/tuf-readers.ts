import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readWithTufJs, withServer } from '../support/tuf/tuf-js-client.ts';
import { havePeers, ok, peer, type RunOptions } from './peers.ts';

/** Reads a repository in a directory; hex SHA-256 of each name as downloaded. */
export type TufReader = (directory: string, names: readonly string[]) => Promise<unknown>;

/** Other implementations of TUF clients, and whether they are here. */
export const TUF_READERS: readonly (readonly [name: string, isThere: boolean, read: TufReader])[] = [
  ['python-tuf', havePeers('python'), readWithPython],
  ['go-tuf', havePeers('go-tuf-client'), readWithGo],
  ['tuf-js', true, readWithTufJs],
];

/** As {@link readWithTufJs}, with python-tuf. */
export async function readWithPython(directory: string, names: readonly string[]): Promise<unknown> {
  const state = await mkdtemp(join(tmpdir(), 'bulla-python-tuf-'));
  const [metadata, targets] = [join(directory, 'metadata'), join(directory, 'targets')];
  const args = [script('tuf_client.py'), join(metadata, '1.root.json'), metadata, targets, state, ...names];
  const options: RunOptions = { cwd: state };
  try {
    return JSON.parse(await ok(peer('python'), args, options));
  } finally {
    await rm(state, { recursive: true, force: true });
  }
}

/** As {@link readWithTufJs}, with go-tuf. */
export async function readWithGo(directory: string, names: readonly string[]): Promise<unknown> {
  return withServer(directory, async (base) => {
    const root = join(directory, 'metadata/1.root.json');
    const places = ['-root', root, '-metadata', `${base}/metadata`, '-targets', `${base}/targets`];
    const report: { targets: Record<string, { sha256: string }> } = JSON.parse(
      await ok(peer('go-tuf-client'), [...places, ...names]),
    );
    return Object.fromEntries(Object.entries(report.targets).map(([name, { sha256 }]) => [name, sha256]));
  });
}

/** Path of a program beside this file. */
export function script(name: string): string {
  return new URL(name, import.meta.url).pathname;
}
