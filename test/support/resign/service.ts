import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Target } from '../../../src/oci/target.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { SYSTEM_CHANCE, SYSTEM_CLOCK } from '../../../src/servers/system.ts';
import type { PublishOptions } from '../../../src/trust/publish/publish-options.ts';
import { ProcessSignerState } from '../../../src/trust/publish/signer-state.ts';
import type { CliResult } from '../cli.ts';
import { bulla, temporaryDirectory } from '../cli.ts';
import type { FaultyRegistry } from '../registry/server.ts';
import { newCollection, pushHead } from '../trust/collection.ts';
import { ONLINE, PUBLISHER, ROOT, signersOf } from '../tuf/editing.ts';
import { poolKey } from '../tuf/keys.ts';

/** A key of the pool as a file that its owner alone can read. */
export async function keyFile(dir: string, name: string, key: number): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, poolKey(key).privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await chmod(path, 0o600);
  return path;
}

/** A collection at a repository of a registry, made some time ago. */
export async function collectionIn(
  registry: Pick<FaultyRegistry, 'host'>,
  repository: string,
  agoMs = 0,
): Promise<Target> {
  const target = openRepository({ registry: registry.host, repository });
  const made = await newCollection(`${registry.host}/${repository}`, new Date(Date.now() - agoMs));
  await pushHead(target, made);
  return target;
}

/** A publisher without the online key, in real time. */
export function realPublisher(): PublishOptions {
  return {
    clock: SYSTEM_CLOCK,
    chance: SYSTEM_CHANCE,
    signers: signersOf(poolKey(PUBLISHER)),
    state: new ProcessSignerState(true),
    wait: 20_000,
  };
}

/** Writes a configuration that pins the root key of the pool. */
export async function configFor(
  scopes: readonly string[],
  more = 'schedule: {poll: 200ms}\n',
): Promise<string> {
  const dir = await temporaryDirectory();
  await keyFile(dir, 'online.pem', ONLINE);
  await writeConfig(join(dir, 'resigner.yaml'), scopes, more);
  return join(dir, 'resigner.yaml');
}

export async function writeConfig(path: string, scopes: readonly string[], more = ''): Promise<void> {
  const entry = { repositories: scopes, rootKeyIds: [poolKey(ROOT).key.keyid] };
  await writeFile(
    path,
    `collections: [${JSON.stringify(entry)}]\nkey: ${join(path, '..', 'online.pem')}\nstate: {directory: state}\nlisten: 127.0.0.1:0\n${more}`,
  );
}

/** A service that runs until `use` is done with it. */
export interface RunningService {
  readonly url: string;
  log(): Readonly<Record<string, unknown>>[];
}

export async function serving(
  config: string,
  use: (service: RunningService) => Promise<void>,
  argv: readonly string[] = [],
): Promise<CliResult> {
  const ending = new AbortController();
  let stdout = '';
  let stderr = '';
  const running = bulla(['serve', 'resigner', '--config', config, '-o', 'json', ...argv], {
    signal: ending.signal,
    onStdout: (text) => {
      stdout += text;
    },
    onStderr: (text) => {
      stderr += text;
    },
  });
  try {
    await Promise.race([expect.poll(() => stdout, { timeout: 20_000 }).toContain('}\n'), running]);
    if (stdout === '') throw new Error((await running).stderr);
    const { url } = JSON.parse(stdout) as { url: string };
    await use({
      url,
      log: () =>
        stderr
          .split('\n')
          .filter((line) => line.startsWith('{'))
          .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>),
    });
  } finally {
    ending.abort();
  }
  return await running;
}
