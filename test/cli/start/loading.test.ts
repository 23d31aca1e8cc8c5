import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const src = new URL('../../../src/', import.meta.url).pathname;

/** What a file imports when it is loaded: not types, nor what it imports later. */
function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(src, file), 'utf8');
  const found = text.matchAll(/^(?:import|export)\s(?!type\b)([^;]*?)\sfrom '([^']+)';/gms);
  return [...found]
    .filter(([, names = '']) => !/^\{(?:\s*type\s[^,}]+,?)+\s*\}$/.test(names))
    .map(([, , from = '']) => (from.startsWith('.') ? join(dirname(file), from) : from));
}

/** Everything that is loaded with a file. */
function loadedWith(file: string): ReadonlySet<string> {
  const seen = new Set([file]);
  for (const one of seen) {
    if (!existsSync(join(src, one))) continue;
    for (const other of importsOf(one)) seen.add(other);
  }
  return seen;
}

const SIGNING = /^(?:actions\/sign|keystore|cli\/commands\/(?:sign|copy\/as))/;
const READER = /^(?:trust\/read\/collection|tuf\/(?:client|trusted-metadata))\.ts$/;
const NOTARY = /^notary/;
/** What asks and reads a Notary server, but for what every policy and every registry need. */
const NOTARY_READING =
  /^(?:notary\/(?!role-name)|notary-client\/(?!docker-tls)|state\/notary|cli\/flags\/notary|actions\/verify\/notary)/;
const SERVERS = /^(?:servers\/(?!system)|api\/registry-server)/;

// A cold command is measured in milliseconds, and each of these rooms takes some of them to load.
describe('a command does not load what it may not need', () => {
  it.each<[string, readonly RegExp[]]>([
    ['cli/commands/copy.ts', [SIGNING, READER, NOTARY, SERVERS, /^@noble/]],
    ['cli/commands/copy/run.ts', [SIGNING, READER, NOTARY, SERVERS, /^@noble/]],
    ['cli/commands/verify.ts', [SIGNING, READER, NOTARY, SERVERS, /^@noble/]],
    ['cli/render/verified-text.ts', [SIGNING, READER, NOTARY, SERVERS, /^@noble/]],
    ['actions/verify/verify.ts', [SIGNING, READER, NOTARY, SERVERS, /^@noble/]],
    ['cli/shell/context.ts', [SIGNING, READER, NOTARY, SERVERS, /^@noble/]],
    ['cli/commands/inspect.ts', [SIGNING, READER, NOTARY, SERVERS, /^@noble/]],
    ['cli/commands/policy/by-policy.ts', [NOTARY_READING, READER, SERVERS]],
    ['cli/commands/serve/gate.ts', [NOTARY_READING]],
    ['api/policy.ts', [NOTARY_READING, SERVERS]],
    ['http/speaks-tls.ts', [/^node:(?:tls|https|crypto)$/]],
  ])('%s', (file, rooms) => {
    const loaded = [...loadedWith(file)];
    expect(loaded.length).toBeGreaterThan(2);
    expect(loaded.filter((one) => rooms.some((room) => room.test(one)))).toEqual([]);
  });

  it('and the check sees through files', () => {
    expect([...loadedWith('actions/sign/copy-as.ts')].some((one) => SIGNING.test(one))).toBe(true);
    expect([...loadedWith('trust/read/names.ts')].length).toBeGreaterThan(3);
    expect(loadedWith('crypto/digest-signature.ts')).toContain('@noble/curves/nist.js');
  });
});
