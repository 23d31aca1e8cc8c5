import { expect, onTestFinished } from 'vitest';
import { isBullaError } from '../../../src/errors.ts';
import type { Timing } from '../../../src/http/retry.ts';
import type { Target } from '../../../src/oci/target.ts';
import {
  openRepository,
  type RegistryClientOptions,
  type RepositoryOptions,
} from '../../../src/registry/client.ts';
import { type FaultyRegistry, type RegistryOptions, startRegistry } from './server.ts';

/** A clock that goes on only by waiting, and remembers for how long. */
export class FakeTiming implements Timing {
  readonly slept: number[] = [];
  private clock = Date.UTC(2026, 0, 1);

  now(): number {
    return this.clock;
  }

  random(): number {
    return 0.5;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.slept.push(ms);
    this.clock += ms;
    // Others get their turn, as they would.
    await new Promise((resolve) => setImmediate(resolve));
  }

  pass(ms: number): void {
    this.clock += ms;
  }
}

/** A registry that ends with the test. */
export async function registryFor(options: RegistryOptions = {}): Promise<FaultyRegistry> {
  const registry = await startRegistry(options);
  onTestFinished(() => registry.close());
  return registry;
}

/** A repository of it, through a client of its own that ends with the test; waits take no time. */
export function repositoryOf(
  registry: Pick<FaultyRegistry, 'host'>,
  options: RegistryClientOptions & RepositoryOptions = {},
  repository = 'team/app',
): Target {
  const target = openRepository(
    { registry: registry.host, repository },
    { timing: new FakeTiming(), ...options },
  );
  onTestFinished(() => target.close());
  return target;
}

/** Code of the BullaError that `work` fails with; every one of them must say what to do. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'success';
  } catch (error) {
    if (!isBullaError(error)) throw error;
    expect(error.hint, `hint of: ${error.message}`).toBeTruthy();
    return error.code;
  }
}

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}
