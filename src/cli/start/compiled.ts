import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Script } from 'node:vm';

/** What the bundled program exports. */
export type Program = typeof import('./program.ts');

/** The bundled program, beside the entry that loads it: what everyday commands need. */
export const PROGRAM = 'program.js' as const;

/**
 * The scripts that the program is divided into (decision 500). A script may ask for modules of those before it at once,
 * and of those behind it when a command needs them.
 */
export const SCRIPTS: readonly ['program.js', 'documents.js', 'more.js'] = [
  PROGRAM,
  'documents.js',
  'more.js',
];

const CHECK_BYTES = 4;

/** Reads a script or its cache by name. @throws Error where there is none of this name */
export type Read = (name: string) => Buffer;

const readBeside =
  (directory: string): Read =>
  (name) =>
    readFileSync(join(directory, name));

/** A script as V8 has it, and whether it was compiled before. */
export interface Compiled {
  readonly script: Script;
  readonly isCached: boolean;
}

/**
 * Name of the file with a compiled script for the Node that runs: what one version of V8 has compiled means
 * something else to another.
 */
export function cacheName(
  { versions, platform, arch }: Pick<NodeJS.Process, Versioned> = process,
  script: string = PROGRAM,
): string {
  return `${script.replace(/\.js$/, '')}-${versions.v8}-${platform}-${arch}.cache`;
}

type Versioned = 'versions' | 'platform' | 'arch';

/**
 * Compiles a script of the program, or takes it as the build has compiled it. A cache that is not there, is not
 * whole, or is of another script or another V8, is as good as none.
 * @param directory where the script is, or is taken to be
 * @param read where its bytes are, if not in files there
 */
export function compileProgram(
  directory: string,
  read: Read = readBeside(directory),
  name: string = PROGRAM,
): Compiled {
  const filename = join(directory, name);
  const bytes = read(name);
  const cachedData = readCache(read, cacheName(process, name), bytes);
  // It is ASCII: the build ensures it. Strict, as the modules were that it was made of.
  const source = `(function(exports,require,module){"use strict";${bytes.toString('latin1')}\n})`;
  const script = new Script(source, { filename, ...(cachedData !== undefined && { cachedData }) });
  return { script, isCached: script.cachedDataRejected === false };
}

/**
 * Runs a compiled program once, as Node runs a CommonJS module. Its other scripts are compiled and run when it asks
 * for them, once each.
 * @param read where their bytes are, if not in files of the directory
 * @param compiled takes them
 */
export function runProgram(
  program: Compiled,
  directory: string,
  read?: Read,
  compiled: Map<string, Compiled> = new Map(),
): Program {
  const others = createRequire(join(directory, PROGRAM));
  const loaded = new Map<string, object>();
  const run = (name: string, one: Compiled): object => {
    const module = { exports: {} };
    compiled.set(name, one);
    (one.script.runInThisContext() as RunScript)(module.exports, require, module);
    loaded.set(name, module.exports);
    return module.exports;
  };
  const require = ((id: string): unknown => {
    const name = SCRIPTS.find((script) => id === `./${script}`);
    if (name === undefined) return others(id);
    return loaded.get(name) ?? run(name, compileProgram(directory, read, name));
  }) as NodeJS.Require;
  return run(PROGRAM, program) as Program;
}

type RunScript = (exports: object, require: NodeJS.Require, module: object) => void;

/** A cache as it is stored: what V8 made, and at its end the checksum of program and cache. */
export function packCache(made: Uint8Array, program: Uint8Array): Uint8Array {
  const check = Buffer.alloc(CHECK_BYTES);
  check.writeUInt32LE(checksum(program, made) ?? 0);
  return Buffer.concat([made, check]);
}

/**
 * V8 looks at version, flags and length; a wrong bit further on makes it crash, or the program do something
 * else. This is against accidents: write access here allows writing the program as well.
 */
function readCache(read: Read, name: string, program: Uint8Array): Buffer | undefined {
  let stored: Buffer;
  try {
    stored = read(name);
  } catch {
    return undefined;
  }
  if (stored.length <= CHECK_BYTES) return undefined;
  const made = stored.subarray(0, -CHECK_BYTES);
  const expected = stored.readUInt32LE(made.length);
  return checksum(program, made) === expected ? made : undefined;
}

/** CRC-32; undefined where this Node has none (22.0 and 22.1). */
function checksum(program: Uint8Array, made: Uint8Array): number | undefined {
  const { crc32 } = process.getBuiltinModule('node:zlib') as Partial<typeof import('node:zlib')>;
  return crc32?.(made, crc32(program));
}
