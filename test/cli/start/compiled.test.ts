import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type Compiled,
  cacheName,
  compileProgram,
  PROGRAM,
  packCache,
  runProgram,
  SCRIPTS,
} from '../../../src/cli/start/compiled.ts';
import { temporaryDirectory } from '../../support/cli.ts';

const SOURCE =
  'const twice = (n) => n * 2; module.exports = { main: async () => [1, 2, 3].map(twice).join() };';

let directory: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
});

/**
 * Stores the program, and what V8 makes of it once it has run: elsewhere, because V8 remembers what it has
 * compiled under a name.
 */
async function store(source: string): Promise<Uint8Array> {
  const elsewhere = await temporaryDirectory();
  writeFileSync(join(elsewhere, PROGRAM), source);
  const compiled = compileProgram(elsewhere);
  await runProgram(compiled, elsewhere).main();
  const cache = packCache(compiled.script.createCachedData(), Buffer.from(source));
  writeFileSync(join(directory, PROGRAM), source);
  writeFileSync(join(directory, cacheName()), cache);
  return cache;
}

async function start(): Promise<{ readonly isCached: boolean; readonly said: unknown }> {
  const compiled = compileProgram(directory);
  return { isCached: compiled.isCached, said: await runProgram(compiled, directory).main() };
}

describe('the compiled program', () => {
  it('runs where there is no cache', async () => {
    writeFileSync(join(directory, PROGRAM), SOURCE);
    expect(await start()).toEqual({ isCached: false, said: '2,4,6' });
  });

  it('is taken from the cache beside it', async () => {
    await store(SOURCE);
    expect(await start()).toEqual({ isCached: true, said: '2,4,6' });
  });

  it('is strict, as modules are', async () => {
    writeFileSync(join(directory, PROGRAM), 'module.exports = { main: async () => { undeclared = 1; } };');
    await expect(start()).rejects.toThrow(ReferenceError);
  });

  it('asks for parts of Node', async () => {
    await store("module.exports = { main: async () => require('node:path').basename('/a/b') };");
    expect(await start()).toEqual({ isCached: true, said: 'b' });
  });

  it('runs another script when it asks for it, once, and each has the values of the other', async () => {
    writeFileSync(
      join(directory, PROGRAM),
      "exports.values = { count: 0 }; exports.main = async () => [1, 2].map(() => require('./more.js').next());",
    );
    writeFileSync(
      join(directory, 'more.js'),
      "const { values } = require('./program.js'); exports.next = () => (values.count += 1);",
    );
    const compiled = new Map<string, Compiled>();
    const { main } = runProgram(compileProgram(directory), directory, undefined, compiled);
    expect([...compiled.keys()]).toEqual([PROGRAM]);
    expect(await main()).toEqual([1, 2]);
    expect([...compiled.keys()]).toEqual([PROGRAM, 'more.js']);
  });

  it('is read from where it is kept', async () => {
    const files = new Map([
      [PROGRAM, "exports.main = async () => require('./documents.js').said;"],
      ['documents.js', "exports.said = 'kept elsewhere';"],
    ]);
    const read = (name: string): Buffer => {
      const text = files.get(name);
      if (text === undefined) throw new Error(`no ${name}`);
      return Buffer.from(text);
    };
    expect(await runProgram(compileProgram(directory, read), directory, read).main()).toBe('kept elsewhere');
  });

  // V8 itself crashes, hangs or does something else for most of these.
  it('is compiled anew where one bit of the cache is wrong, wherever it is', async () => {
    const cache = await store(SOURCE);
    for (let bit = 0; bit < cache.length * 8; bit += 53) {
      const wrong = Uint8Array.from(cache);
      wrong[bit >> 3] = (wrong[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      writeFileSync(join(directory, cacheName()), wrong);
      expect(await start(), `bit ${bit}`).toEqual({ isCached: false, said: '2,4,6' });
    }
  });

  it('is compiled anew where the cache ends early or goes on', async () => {
    const cache = await store(SOURCE);
    for (let length = 0; length < cache.length; length += 31) {
      writeFileSync(join(directory, cacheName()), cache.subarray(0, length));
      expect(await start(), `${length} bytes`).toEqual({ isCached: false, said: '2,4,6' });
    }
    writeFileSync(join(directory, cacheName()), Buffer.concat([cache, Buffer.alloc(4096)]));
    expect(await start()).toEqual({ isCached: false, said: '2,4,6' });
  });

  // V8 compares their lengths only.
  it('is compiled anew where it was changed after the cache was made', async () => {
    await store(SOURCE);
    writeFileSync(join(directory, PROGRAM), SOURCE.replace('n * 2', 'n * 3'));
    expect(await start()).toEqual({ isCached: false, said: '3,6,9' });
  });

  it('is compiled anew where V8 does not know what is in the cache', async () => {
    await store(SOURCE);
    const cache = packCache(Buffer.alloc(4096, 7), Buffer.from(SOURCE));
    writeFileSync(join(directory, cacheName()), cache);
    expect(await start()).toEqual({ isCached: false, said: '2,4,6' });
  });

  it('has a cache of its own for each V8, system, processor and script', () => {
    const of = (v8: string, platform: NodeJS.Platform, arch: NodeJS.Architecture): string =>
      cacheName({ versions: { ...process.versions, v8 }, platform, arch });
    const names = [
      of('11.3.244.8-node.38', 'linux', 'x64'),
      of('11.3.244.8-node.33', 'linux', 'x64'),
      of('11.3.244.8-node.38', 'darwin', 'x64'),
      of('11.3.244.8-node.38', 'linux', 'arm64'),
    ];
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(SCRIPTS.map((script) => cacheName(process, script))).size).toBe(SCRIPTS.length);
  });
});
