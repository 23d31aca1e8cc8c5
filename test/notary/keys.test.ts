import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromBase64, utf8 } from '../../src/encoding/bytes.ts';
import { canonicalOlpc } from '../../src/encoding/canonical.ts';
import { type JsonObject, parseJsonObject } from '../../src/encoding/json.ts';
import { type NotaryKey, parseNotaryKey } from '../../src/notary/keys.ts';

function read(name: string): JsonObject {
  const bytes = readFileSync(new URL(`../../testdata/notary-v1/${name}`, import.meta.url));
  return parseJsonObject(bytes, { what: name });
}

function keysOf(root: JsonObject): Map<string, NotaryKey> {
  const keys = (root['signed'] as JsonObject)['keys'] as Record<string, JsonObject>;
  return new Map(Object.entries(keys).map(([keyid, json]) => [keyid, parseNotaryKey(keyid, json)]));
}

/** How many of a file's signatures are valid under these keys. */
function valid(file: JsonObject, keys: ReadonlyMap<string, NotaryKey>): number {
  const message = canonicalOlpc(file['signed']!);
  return (file['signatures'] as JsonObject[]).filter(({ keyid, sig }) =>
    keys.get(String(keyid))?.key.verifier?.verify(message, fromBase64(String(sig))!),
  ).length;
}

describe('keys of Notary v1', () => {
  it.each(['rotated', 'ed25519'])('%s: have the right ids, and verify root and targets', (name) => {
    const root = read(`${name}.root.json`);
    const keys = keysOf(root);
    for (const { key } of keys.values()) expect(key.hasCorrectId).toBe(true);
    expect(valid(root, keys)).toBeGreaterThanOrEqual(1);
    const targets = read(`${name}.targets.json`);
    expect(valid(targets, keys)).toBe(1);
    (targets['signed'] as JsonObject)['version'] = 99;
    expect(valid(targets, keys)).toBe(0);
  });

  it('come in certificates, and then have a second id for their private key', () => {
    const keys = [...keysOf(read('rotated.root.json')).values()];
    const inCertificate = keys.filter(({ certificates }) => certificates.length > 0);
    expect(inCertificate.length).toBeGreaterThan(0);
    for (const { key, keystoreId, certificates } of inCertificate) {
      expect(keystoreId).not.toBe(key.keyid);
      expect(certificates[0]?.publicKey.fingerprint).toBe(key.fingerprint);
    }
    for (const { key, keystoreId, certificates } of keys) {
      if (certificates.length === 0) expect(keystoreId).toBe(key.keyid);
    }
  });

  it.each([
    ['no public part', '{"keytype":"ecdsa","keyval":{"private":null}}'],
    ['no base64', '{"keytype":"ecdsa","keyval":{"private":null,"public":"%%%"}}'],
    ['no key', '{"keytype":"ecdsa","keyval":{"private":null,"public":"bm8="}}'],
    [
      'another type than it says',
      '{"keytype":"rsa","keyval":{"private":null,"public":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEi7BwqqiMcTdcOuUuRHG63Nmuy8rYvqjHnyuqEybG8Z5IQztAqE5zlkiSTh7aIYdoLQ+Wa+cGa4zodUgyVG0e0Q=="}}',
    ],
    ['no certificate', '{"keytype":"ecdsa-x509","keyval":{"private":null,"public":"bm8="}}'],
    ['no type', '{"keyval":{"private":null,"public":"bm8="}}'],
  ])('with %s are refused', (_name, text) => {
    const json = parseJsonObject(utf8(text), { what: 'test' });
    expect(() => parseNotaryKey('id', json)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(key|certificate|content)-invalid$/) }),
    );
  });
});
