import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { base64, fromBase64, utf8 } from '../../src/encoding/bytes.ts';
import { isBullaError } from '../../src/errors.ts';
import type { IdentityRule } from '../../src/sigstore/fulcio-identity.ts';
import { parseTrustedRoot } from '../../src/sigstore/trusted-root.ts';
import { verifyBundle } from '../../src/sigstore/verify.ts';
import { type Making, SigstoreInstance } from '../support/sigstore/instance.ts';

const instance = new SigstoreInstance();
const artifact = utf8('an artifact');
const statement = statementOf(artifact);
const alice: IdentityRule = { subject: 'alice@example.com', issuer: 'https://accounts.example.com' };

function statementOf(bytes: Uint8Array): Uint8Array {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return utf8(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { sha256 } }],
      predicateType: 'https://sigstore.dev/cosign/sign/v1',
      predicate: {},
    }),
  );
}

/** The code of the refusal, or `verified`. */
function outcome(
  bundle: Uint8Array,
  { rules = [alice], root = instance.trustedRoot(), bytes = artifact } = {},
): string {
  try {
    verifyBundle(bundle, { bytes }, { identities: rules }, parseTrustedRoot(root, 'the root'), 'the bundle');
    return 'verified';
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return error.code;
  }
}

describe('a keyless bundle', () => {
  it.each([1, 2] as const)('with an entry of Rekor v%d is verified', (rekor) => {
    const bundle = instance.sign(statement, { rekor });
    expect(outcome(bundle)).toBe('verified');
    const { identity, times, logEntries } = verifyBundle(
      bundle,
      { bytes: artifact },
      { identities: [alice] },
      parseTrustedRoot(instance.trustedRoot(), 'the root'),
      'the bundle',
    );
    expect(identity).toEqual({ ...alice, subjectKind: 'email' });
    expect(times).toHaveLength(rekor === 1 ? 2 : 1);
    expect(logEntries).toMatchObject([{ index: rekor === 1 ? 7 : 1 }]);
  });

  const seen = (text: string): Partial<Making> => ({ seen: new Date(`2026-06-01T${text}Z`) });
  it.each<[string, string, Partial<Making>]>([
    ['at the first second of its certificate', 'verified', seen('12:00:00')],
    ['at the last second', 'verified', seen('12:10:00')],
    ['a second before', 'certificate-expired', seen('11:59:59')],
    ['a second after', 'certificate-expired', seen('12:10:01')],
    ['in no log', 'signature-mismatch', { isLogged: false }],
    ['Rekor v1 without a time stamp', 'verified', { isStamped: false }],
    ['Rekor v2 without a time stamp', 'signature-mismatch', { rekor: 2, isStamped: false }],
    ['a certificate that was never published', 'certificate-invalid', { isPublished: false }],
    ['a certificate for servers', 'certificate-invalid', { purposes: ['1.3.6.1.5.5.7.3.1'] }],
    ['a certificate for time stamping', 'certificate-invalid', { purposes: ['1.3.6.1.5.5.7.3.8'] }],
    ['before the instance was trusted', 'signature-mismatch', { now: new Date('2025-12-31T00:00:00Z') }],
  ])('%s: %s', (_, code, making) => {
    expect(outcome(instance.sign(statement, making))).toBe(code);
  });

  it.each<[string, string, Partial<Making['owner']>]>([
    ['a URI', 'verified', { kind: 'uri', subject: 'https://ci.example.com/build' }],
    ['a user name', 'verified', { kind: 'username', subject: 'alice!example.com' }],
    ['no name', 'certificate-invalid', { kind: 'none' }],
    ['a NUL in its name', 'certificate-invalid', { subject: 'alice@example.com\0.evil.com' }],
    ['two issuers', 'certificate-invalid', { issuerV1: 'https://evil.example.com' }],
    ['two issuers, the other way round', 'certificate-invalid', { issuerV2: 'https://evil.example.com' }],
    ['the older issuer alone', 'verified', { issuerV2: null }],
    ['an issuer with a slash at its end', 'untrusted-identity', { issuer: 'https://accounts.example.com/' }],
    ['another issuer', 'untrusted-identity', { issuer: 'https://evil.example.com' }],
    ['another case', 'untrusted-identity', { subject: 'Alice@example.com' }],
  ])('whose certificate has %s: %s', (_, code, part) => {
    const owner = { kind: 'email', ...alice, ...part } as Making['owner'];
    const rule = { subject: part.kind === undefined ? alice.subject : owner.subject, issuer: alice.issuer };
    expect(outcome(instance.sign(statement, { owner }), { rules: [rule] })).toBe(code);
  });

  it.each<[RegExp, RegExp, string]>([
    [/.*@example\.com/, /https:\/\/accounts\.example\.com/, 'verified'],
    [/alice/, /.*/, 'untrusted-identity'],
    [/.*/, /accounts/, 'untrusted-identity'],
    [/alice@example\.com|bob/, /.*/, 'verified'],
    [/b|a/, /.*/, 'untrusted-identity'],
    [/alice@example\.com$/m, /.*/, 'verified'],
  ])('of an identity that matches %s of %s as a whole: %s', (subject, issuer, code) => {
    expect(outcome(instance.sign(statement), { rules: [{ subject, issuer }] })).toBe(code);
  });

  it('of another instance is refused, whichever part of its trusted root is taken over', () => {
    const other = new SigstoreInstance();
    const bundle = other.sign(statement, { rekor: 1, isStamped: false });
    const theirs = JSON.parse(String(Buffer.from(other.trustedRoot()))) as Record<string, never>;
    const parts = ['tlogs', 'certificateAuthorities', 'ctlogs'];
    for (const left of [
      [],
      ...parts.map((part) => [part]),
      ...parts.map((part) => parts.filter((p) => p !== part)),
    ]) {
      const root = instance.trustedRoot((mine) => {
        for (const part of left) mine[part] = theirs[part] as never;
      });
      expect(outcome(bundle, { root }), left.join()).not.toBe('verified');
    }
    expect(outcome(bundle, { root: other.trustedRoot() })).toBe('verified');
  });

  it('for another artifact is refused', () => {
    expect(outcome(instance.sign(statement), { bytes: utf8('another one') })).toBe('signature-mismatch');
  });

  it('of a trusted key’s owner is refused where a key is demanded, and one by a key where an identity is', () => {
    const root = parseTrustedRoot(instance.trustedRoot(), 'the root');
    const bundle = instance.sign(statement);
    const { key } = verifyBundle(bundle, { bytes: artifact }, { identities: [alice] }, root, 'x');
    expect(() => verifyBundle(bundle, { bytes: artifact }, { key }, root, 'x')).toThrow(
      expect.objectContaining({ code: 'signature-mismatch' }),
    );
    const bare = changed(bundle, (it) => {
      const { tlogEntries } = it['verificationMaterial'] as Json;
      it['verificationMaterial'] = { publicKey: {}, tlogEntries: tlogEntries as Json };
    });
    expect(outcome(bare)).toBe('signature-mismatch');
  });
});

type Json = { [name: string]: Json };

function changed(bundle: Uint8Array, change: (bundle: Json) => void): Uint8Array {
  const json = JSON.parse(String(Buffer.from(bundle))) as Json;
  change(json);
  return utf8(JSON.stringify(json));
}

/** Every place in a document that holds a value, as a path. */
function* leaves(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value)) yield* leaves(inner, [...path, name]);
}

/** The same document with one member altered. */
function altered(
  bundle: Uint8Array,
  path: readonly string[],
  alter: (value: unknown) => unknown,
): Uint8Array {
  return changed(bundle, (root) => {
    let at: Json = root;
    for (const name of path.slice(0, -1)) at = at[name] as Json;
    const last = path.at(-1) ?? '';
    const value = alter(at[last]);
    if (value === undefined) delete at[last];
    else at[last] = value as Json;
  });
}

/** A bit of what base64 stands for. */
function flip(value: unknown, at: number): unknown {
  const bytes = typeof value === 'string' ? fromBase64(value) : undefined;
  if (bytes === undefined || bytes.byteLength === 0) return `${String(value)}x`;
  const place = Math.floor(at * bytes.byteLength);
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  return base64(bytes);
}

describe.each([1, 2] as const)('a bundle with an entry of Rekor v%d of which one member is', (rekor) => {
  const bundle = instance.sign(statement, { rekor });
  const paths = [...leaves(JSON.parse(String(Buffer.from(bundle))))].filter((path) => path.length > 0);
  /** Rekor v1 and the time-stamp authority both give a time, and one is enough. */
  const unneeded = new Set(
    rekor === 1
      ? [
          'verificationMaterial.timestampVerificationData',
          'verificationMaterial.timestampVerificationData.rfc3161Timestamps',
          'verificationMaterial.tlogEntries.0.inclusionPromise',
        ]
      : [],
  );

  it('left out is refused', () => {
    for (const path of paths) {
      const name = path.join('.');
      const code = outcome(altered(bundle, path, () => undefined));
      expect(code === 'verified', name).toBe(unneeded.has(name));
    }
  });

  it('altered in a bit is refused', () => {
    for (const path of paths) {
      for (const at of [0, 0.3, 0.5, 0.7, 0.99]) {
        const value = path.reduce<unknown>(
          (inner, name) => (inner as Json)[name],
          JSON.parse(String(Buffer.from(bundle))),
        );
        if (typeof value !== 'string') continue;
        expect(outcome(altered(bundle, path, (it) => flip(it, at))), `${path.join('.')} ${at}`).not.toBe(
          'verified',
        );
      }
    }
  });

  it('taken from another bundle is refused', () => {
    const other = JSON.parse(String(Buffer.from(instance.sign(statement, { rekor })))) as Json;
    for (const path of paths) {
      const theirs = path.reduce<unknown>((inner, name) => (inner as Json)[name], other);
      const mine = path.reduce<unknown>(
        (inner, name) => (inner as Json)[name],
        JSON.parse(String(Buffer.from(bundle))),
      );
      if (JSON.stringify(theirs) === JSON.stringify(mine)) continue;
      expect(outcome(altered(bundle, path, () => theirs)), path.join('.')).not.toBe('verified');
    }
  });
});
