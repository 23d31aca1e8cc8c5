import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ISOLATED } from './isolated.ts';

const root = new URL('../', import.meta.url);
const files = readdirSync(new URL('test', root), { recursive: true, encoding: 'utf8' })
  .map((name) => `test/${name}`)
  .filter(
    (name) => /\.test\.ts$/.test(name) && !/^test\/(?:interop|conformance|soak|fuzz|bench)\//.test(name),
  );

const patterns = ISOLATED.map(
  (glob) => new RegExp(`^${glob.replaceAll('.', '\\.').replaceAll('*', '[^/]+')}$`),
);
const isIsolated = (name: string): boolean => patterns.some((pattern) => pattern.test(name));

/** What a file must not do to the files that share its worker. */
const REACHES_OTHERS =
  /\bvi\.(?:mock|doMock|stubGlobal|stubEnv|useFakeTimers)\(|\bprocess\.(?:env\[[^\]]+\]|exitCode) = |\bprocess\.(?:chdir|umask|memoryUsage|on|once)\(|syncBuiltinESMExports\(/;

describe('test files', () => {
  it('have a process of their own where they change or measure it', () => {
    const self = 'test/isolated.test.ts';
    const found = files.filter(
      (name) => name !== self && REACHES_OTHERS.test(readFileSync(new URL(name, root), 'utf8')),
    );
    expect(found.length).toBeGreaterThan(4);
    expect(found.filter((name) => !isIsolated(name))).toEqual([]);
  });

  it('are there where the list names them', () => {
    expect(patterns.filter((pattern) => !files.some((name) => pattern.test(name)))).toEqual([]);
  });

  it.each([
    `vi.mock('./a.ts')`,
    `vi.useFakeTimers()`,
    `process.env['A'] = 'b'`,
    `process.exitCode = 1`,
    `process.on('warning', f)`,
    `process.memoryUsage()`,
  ])('are recognised by %s', (line) => expect(line).toMatch(REACHES_OTHERS));
});
