import { cachedDataVersionTag } from 'node:v8';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../../src/cli/start/program.ts';
import { run } from '../../../src/cli/start/run.ts';

vi.mock('../../../src/cli/start/run.ts', () => ({ run: vi.fn() }));

interface WebAssemblyPart {
  Module: new (bytes: Uint8Array) => object;
}
const { WebAssembly: assembly } = globalThis as unknown as { readonly WebAssembly: WebAssemblyPart };
const { Module } = assembly;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const listeners = SIGNALS.map((name) => process.listeners(name));
const status = process.exitCode;

beforeEach(() => {
  process.exitCode = undefined;
});
afterEach(() => {
  process.exitCode = status;
  assembly.Module = Module;
  for (const [index, name] of SIGNALS.entries()) {
    for (const added of process.listeners(name))
      if (!listeners[index]?.includes(added)) process.off(name, added);
  }
});

describe('main', () => {
  it('ends with the status of the command', async () => {
    vi.mocked(run).mockResolvedValueOnce(25);
    await main();
    expect(process.exitCode).toBe(25);
  });

  // Then Node ends, because nothing goes on that a command could wait for.
  it('has not succeeded where the command never ends', () => {
    vi.mocked(run).mockReturnValueOnce(new Promise(() => undefined));
    void main();
    expect(process.exitCode).toBe(13);
  });

  it('leaves the flags of V8 as they were, so that what was compiled before still counts', async () => {
    vi.mocked(run).mockResolvedValueOnce(0);
    await main();
    const before = cachedDataVersionTag();
    const empty = Buffer.from('0061736d01000000', 'hex');
    expect(new assembly.Module(empty)).toBeInstanceOf(Module);
    expect(cachedDataVersionTag()).toBe(before);
    expect(() => new assembly.Module(empty.subarray(1))).toThrow();
    expect(cachedDataVersionTag()).toBe(before);
  });
});
