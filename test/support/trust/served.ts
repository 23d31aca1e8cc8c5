import { onTestFinished } from 'vitest';
import { parseReference, type RegistryReference } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { serveRegistry } from '../../../src/servers/registry/server.ts';
import { bulla, type CliResult, temporaryDirectory } from '../cli.ts';
import { NOW } from '../tuf/editing.ts';
import { newCollection, pushHead } from './collection.ts';

/** A repository of the embedded registry, and the command line of somebody who remembers what was seen. */
export interface Served {
  /** `HOST/REPOSITORY` */
  readonly name: string;
  readonly target: Target;
  readonly home: string;
  /** Runs a command line at {@link NOW}, or later. */
  run(argv: readonly string[], options?: RunOptions): Promise<CliResult>;
}

export interface RunOptions {
  readonly now?: Date;
  readonly env?: Readonly<Record<string, string>>;
  readonly tty?: boolean;
}

/** An empty repository of an embedded registry, or of `registry`; gone when the test ends. */
export async function served(registry?: { readonly host: string }): Promise<Served> {
  const name = `${registry?.host ?? (await embeddedRegistry())}/team/app`;
  const target = openRepository(parseReference(name) as RegistryReference);
  onTestFinished(() => target.close());
  const home = await temporaryDirectory();
  const run = (argv: readonly string[], { now = NOW, env, tty }: RunOptions = {}) =>
    bulla(argv, { now, env: { BULLA_HOME: home, ...env }, ...(tty !== undefined && { tty }) });
  return { name, target, home, run };
}

/** As {@link served}, with a collection by the keys of `newCollection`, made at {@link NOW}. */
export async function servedCollection(registry?: { readonly host: string }): Promise<Served> {
  const repository = await served(registry);
  await pushHead(repository.target, await newCollection(repository.name));
  return repository;
}

async function embeddedRegistry(): Promise<string> {
  const server = await serveRegistry({ dir: await temporaryDirectory() });
  onTestFinished(() => server.close());
  return server.address;
}
