import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { JsonObject, JsonValue } from '../../src/encoding/json.ts';
import { refresh } from '../../src/tuf/client.ts';
import { isTrustedWith } from '../../src/tuf/delegations.ts';
import { ContentCheck } from '../../src/tuf/file-meta.ts';
import { isBin } from '../../src/tuf/hash-bins.ts';
import { TufKey, tufKeyOf } from '../../src/tuf/keys.ts';
import { isPossible, MemoryFetcher, MemoryStateStore, same } from '../../src/tuf/memory.ts';
import { composeMetadataFile, parseMetadataFile } from '../../src/tuf/metadata-file.ts';
import { parseRoot } from '../../src/tuf/root.ts';
import { keysWereRemoved } from '../../src/tuf/rotation.ts';
import { parseSnapshot } from '../../src/tuf/snapshot.ts';
import { parseTargets } from '../../src/tuf/targets.ts';
import { countSignatures, isSignedByAny } from '../../src/tuf/threshold.ts';
import { TrustedMetadata } from '../../src/tuf/trusted-metadata.ts';
import { makeKey, poolKey, signatureOf } from '../support/tuf/keys.ts';
import { content, NOW, object, RepositorySimulator } from '../support/tuf/repository.ts';

const code = (name: string) => expect.objectContaining({ code: name });
const SHA256 = '0123456789abcdef'.repeat(4);

describe('what is signed about a file', () => {
  const withHashes = (hashes: JsonValue, length: JsonValue = 3) => {
    const signed = content('targets', { targets: object({ v1: object({ length, hashes }) }) });
    return () => parseTargets(composeMetadataFile('targets', signed, []));
  };

  it.each<[string, JsonValue, JsonValue?]>([
    ['no algorithm', object({})],
    ['SHA-256 with a digit too few', object({ sha256: SHA256.slice(1) })],
    ['SHA-256 with a digit too many', object({ sha256: `${SHA256}0` })],
    ['SHA-256 in capitals', object({ sha256: SHA256.toUpperCase() })],
    ['SHA-256 with something else in it', object({ sha256: `${SHA256.slice(1)}g` })],
    ['SHA-512 of the length of SHA-256', object({ sha512: SHA256 })],
    ['a good one beside a bad one', object({ sha256: SHA256, sha512: 'ab' })],
    ['a number', object({ sha256: 7 })],
    ['a list', [SHA256]],
    ['no list and no object', SHA256],
    ['a length below nothing', object({ sha256: SHA256 }), -1],
    ['half a byte', object({ sha256: SHA256 }), 0.5],
    ['a length in words', object({ sha256: SHA256 }), '3'],
  ])('is refused with %s', (_, hashes, length) => {
    expect(withHashes(hashes, length)).toThrow(code('content-invalid'));
  });

  it('is taken with an algorithm that is not known, and with nothing to hash', () => {
    expect(
      withHashes(object({ blake3: 'x' }))()
        .targets.get('v1')
        ?.hashes.get('blake3'),
    ).toBe('x');
    expect(withHashes(object({ sha256: SHA256 }), 0)().targets.get('v1')?.length).toBe(0);
  });

  it.each<[string, JsonObject]>([
    ['no version', object({})],
    ['version 0', object({ version: 0 })],
    ['a version in words', object({ version: '1' })],
    ['a length below nothing', object({ version: 1, length: -1 })],
    ['a length that is null', object({ version: 1, length: null })],
    ['hashes of no algorithm', object({ version: 1, hashes: object({}) })],
  ])('is refused in a snapshot with %s', (_, meta) => {
    const signed = content('snapshot', { meta: object({ 'targets.json': meta }) });
    const file = composeMetadataFile('snapshot', signed, []);
    expect(() => parseSnapshot(file)).toThrow(code('content-invalid'));
  });

  it.each<[string, ConstructorParameters<typeof ContentCheck>[0], string | undefined]>([
    ['nothing', {}, undefined],
    ['its length', { length: 3 }, undefined],
    ['a length that is shorter', { length: 2 }, 'length'],
    ['a length that is longer', { length: 4 }, 'length'],
    ['only an unknown algorithm', { length: 3, hashes: new Map([['blake3', 'x']]) }, 'hashes'],
    ['no algorithm', { hashes: new Map() }, 'hashes'],
    ['another hash', { length: 3, hashes: new Map([['sha256', SHA256]]) }, 'sha256'],
  ])('is held against the bytes: %s', (_, expected, what) => {
    expect(new ContentCheck(expected).update(utf8('abc')).mismatch()?.what).toBe(what);
  });

  it.each([
    [2, false],
    [3, false],
    [4, true],
  ])('ends reading once more has come than was signed: %i of 3 bytes', (bytes, isTooLong) => {
    expect(new ContentCheck({ length: 3 }).update(new Uint8Array(bytes)).isTooLong).toBe(isTooLong);
    expect(new ContentCheck({}).update(new Uint8Array(bytes)).isTooLong).toBe(false);
  });
});

describe('a metadata file', () => {
  const signedBy = (count: number) => {
    const signatures = Array.from({ length: count }, (_, at) => ({ keyid: `${at}`, sig: '' }));
    return composeMetadataFile('targets', content('targets', { targets: object({}) }), signatures).bytes;
  };

  it('carries at most 1,024 signatures', () => {
    expect(parseMetadataFile(signedBy(1024), 'targets', 1e6).signatures).toHaveLength(1024);
    expect(() => parseMetadataFile(signedBy(1025), 'targets', 1e6)).toThrow(code('content-invalid'));
  });

  it.each<[string, JsonValue]>([
    ['a number', 7],
    ['text', 'sig'],
    ['a list', []],
    ['null', null],
  ])('has no signature that is %s', (_, entry) => {
    const signed = content('targets', { targets: object({}) });
    const bytes = utf8(JSON.stringify({ signed, signatures: [entry] }));
    expect(() => parseMetadataFile(bytes, 'targets', 1e6)).toThrow(code('content-invalid'));
  });

  it('is as large as may be, and no larger', () => {
    const bytes = signedBy(1);
    expect(parseMetadataFile(bytes, 'targets', bytes.byteLength).bytes).toBe(bytes);
    const tooSmall = bytes.byteLength - 1;
    expect(() => parseMetadataFile(bytes, 'targets', tooSmall)).toThrow(code('content-invalid'));
  });
});

describe('files in memory', () => {
  it.each([
    [5, 'of the largest size'],
    [6, 'below it'],
  ])('are given out up to %i bytes: %s', async (maxBytes) => {
    const fetcher = new MemoryFetcher(new Map([['timestamp.json', utf8('12345')]]));
    expect(await fetcher.fetchMetadata('timestamp.json', maxBytes)).toEqual(utf8('12345'));
    expect(await fetcher.fetchMetadata('snapshot.json', 0)).toBeUndefined();
  });

  it.each([0, 1, 4])('are refused above %i bytes', async (maxBytes) => {
    const fetcher = new MemoryFetcher(new Map([['timestamp.json', utf8('12345')]]));
    await expect(fetcher.fetchMetadata('timestamp.json', maxBytes)).rejects.toThrow(code('content-invalid'));
  });

  it('have content where there is some', async () => {
    const fetcher = new MemoryFetcher(new Map(), new Map([['v1', utf8('one')]]));
    expect(await fetcher.fetchTarget('v2')).toBeUndefined();
    const pieces = [];
    for await (const piece of (await fetcher.fetchTarget('v1')) ?? []) pieces.push(piece);
    expect(pieces).toEqual([utf8('one')]);
  });

  const [one, other] = [utf8('one'), utf8('two')];
  it.each([
    [undefined, undefined, true],
    [undefined, one, false],
    [one, undefined, false],
    [one, utf8('one'), true],
    [one, other, false],
  ])('are the same or not: %s, %s', (a, b, isSame) => {
    expect(same(a, b)).toBe(isSame);
  });

  it.each([
    ['as expected', one, one, other, true],
    ['done already', other, one, other, true],
    ['something else', utf8('three'), one, other, false],
    ['gone', undefined, one, other, false],
    ['there, where nothing was', one, undefined, other, false],
    ['gone already, as it is to be', undefined, one, undefined, true],
    ['as expected, to be gone', one, one, undefined, true],
    ['something else, to be gone', other, one, undefined, false],
  ])('are changed only from what was expected: %s', async (_, present, expected, bytes, isDone) => {
    const change = { role: 'root', expected, bytes };
    expect(isPossible(change, present)).toBe(isDone);
    const store = new MemoryStateStore();
    if (present !== undefined) await store.keep('root', present);
    await store.keep('snapshot', one);
    // All or nothing: another change beside it makes it no better.
    const beside = { role: 'snapshot', expected: one, bytes: other };
    expect(await store.replace([beside, change])).toBe(isDone);
    expect(await store.load('root')).toEqual(isDone ? bytes : present);
    expect(await store.load('snapshot')).toEqual(isDone ? other : one);
  });
});

describe('a key of metadata', () => {
  const pem = (poolKey(0).key.json['keyval'] as JsonObject)['public'] as string;
  const ed25519 = makeKey('Ed25519');
  const keyOf = (keytype: JsonValue, scheme: JsonValue, keyval: JsonValue) =>
    new TufKey('id', object({ keytype, scheme, keyval }));
  const publicly = (material: JsonValue) => object({ public: material });

  it.each<[string, JsonValue, JsonValue, JsonValue]>([
    ['an unknown scheme', 'ecdsa', 'ecdsa-sha2-nistp521', publicly(pem)],
    ['a type that does not go with the scheme', 'rsa', 'ecdsa-sha2-nistp256', publicly(pem)],
    ['another curve as its type', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp256', publicly(pem)],
    ['another curve', 'ecdsa', 'ecdsa-sha2-nistp384', publicly(pem)],
    ['another kind of key', 'rsa', 'rsassa-pss-sha256', publicly(pem)],
    ['no type', null, 'ecdsa-sha2-nistp256', publicly(pem)],
    ['a type that is a list', ['ecdsa'], 'ecdsa-sha2-nistp256', publicly(pem)],
    ['a key value that is missing', 'ecdsa', 'ecdsa-sha2-nistp256', null],
    ['a key value that is a list', 'ecdsa', 'ecdsa-sha2-nistp256', [pem]],
    ['a key value that is text', 'ecdsa', 'ecdsa-sha2-nistp256', pem],
    ['a public part that is a number', 'ecdsa', 'ecdsa-sha2-nistp256', publicly(7)],
    ['an empty public part', 'ecdsa', 'ecdsa-sha2-nistp256', publicly('')],
    ['an empty Ed25519 key', 'ed25519', 'ed25519', publicly('')],
    ['PEM for Ed25519', 'ed25519', 'ed25519', publicly(pem)],
    ['a short Ed25519 key', 'ed25519', 'ed25519', publicly('00'.repeat(31))],
  ])('verifies nothing with %s', (_, keytype, scheme, keyval) => {
    const key = keyOf(keytype, scheme, keyval);
    expect(key.verifier).toBeUndefined();
    expect(key.fingerprint).toBeUndefined();
    expect(key.problem).toMatch(/./);
  });

  it.each(['ecdsa', 'ecdsa-sha2-nistp256'])('may be called %s', (keytype) => {
    const key = keyOf(keytype, 'ecdsa-sha2-nistp256', publicly(pem));
    expect(key.fingerprint).toBe(poolKey(0).key.fingerprint);
    expect(key.problem).toBeUndefined();
    expect(key.hasCorrectId).toBe(false);
  });

  it('on another curve may be called alike, and is written by the common name', () => {
    const { key } = makeKey('ES384');
    expect(key.json['keytype']).toBe('ecdsa');
    for (const keytype of ['ecdsa', 'ecdsa-sha2-nistp384'])
      expect(keyOf(keytype, 'ecdsa-sha2-nistp384', key.json['keyval'] as JsonObject).fingerprint).toBe(
        key.fingerprint,
      );
  });

  it('is hex for Ed25519 and PEM for all others', () => {
    const material = (key: TufKey) => (key.json['keyval'] as JsonObject)['public'];
    expect(material(ed25519.key)).toMatch(/^[0-9a-f]{64}$/);
    expect(material(makeKey('ES384').key)).toMatch(/^-----BEGIN PUBLIC KEY-----/);
    expect(ed25519.key.hasCorrectId).toBe(true);
  });

  it('is not made for an algorithm that TUF has no name for, or that the key does not sign with', () => {
    const publicKey = poolKey(0).key.verifier?.publicKey as NonNullable<TufKey['verifier']>['publicKey'];
    for (const chosen of ['ES384', 'PS256', 'Ed25519'] as const)
      expect(() => tufKeyOf(publicKey, chosen)).toThrow(code('key-invalid'));
    expect(() => tufKeyOf(publicKey, 'ES512')).toThrow(code('key-invalid'));
  });
});

describe('signatures of a role', () => {
  const keys = [poolKey(0), poolKey(1), poolKey(2)];
  const role = { keyids: keys.map(({ key }) => key.keyid), threshold: 2 };
  const listed = new Map(keys.map(({ key }) => [key.keyid, key]));
  const signed = content('timestamp', { meta: object({}) });
  const signedBy = (...signers: (typeof keys)[number][]) =>
    composeMetadataFile(
      'timestamp',
      signed,
      signers.map((key) => signatureOf(signed, key)),
    );

  it.each([
    [0, false, false],
    [1, false, true],
    [2, true, true],
    [3, true, true],
  ])('of %i of its keys', (count, isMet, isAny) => {
    const file = signedBy(...keys.slice(0, count));
    expect(countSignatures(file, listed, role).isMet).toBe(isMet);
    expect(isSignedByAny(file, listed, role)).toBe(isAny);
  });

  it.each([0, 1, 2])('count as one of any when key %i made one of several', (index) => {
    const file = signedBy(poolKey(7), keys[index] as (typeof keys)[number], poolKey(8));
    expect(isSignedByAny(file, listed, role)).toBe(true);
    expect(isSignedByAny(file, new Map(), role)).toBe(false);
    expect(isSignedByAny(signedBy(poolKey(7), poolKey(8)), listed, role)).toBe(false);
  });

  it('count one key once under two ids, and none under a wrong id where ids are pinned', () => {
    const twice = new TufKey('alias', poolKey(0).key.json);
    const both = new Map([...listed, ['alias', twice]]);
    const signature = signatureOf(signed, poolKey(0));
    const file = composeMetadataFile('timestamp', signed, [signature, { ...signature, keyid: 'alias' }]);
    const count = countSignatures(file, both, { keyids: [signature.keyid, 'alias'], threshold: 2 });
    expect(count).toMatchObject({ isMet: false, valid: [signature.keyid] });
    const only = { keyids: ['alias'], threshold: 1 };
    expect(countSignatures(file, both, only).isMet).toBe(true);
    expect(countSignatures(file, both, only, { strictKeyIds: true }).isMet).toBe(false);
  });
});

describe('a refresh without a root', () => {
  const repository = new RepositorySimulator();

  it('believes nobody', async () => {
    await expect(refresh(repository, new MemoryStateStore(), NOW)).rejects.toThrow(
      expect.objectContaining({ code: 'trust-unpinned' }),
    );
  });

  it.each(['timestamp', 'snapshot'])('says that it was taken away from beside a %s', async (role) => {
    const store = new MemoryStateStore();
    await store.keep(role, repository.fileOf(role) as Uint8Array);
    await expect(refresh(repository, store, NOW)).rejects.toMatchObject({
      code: 'storage-error',
      details: { role: 'root', reason: 'damaged-state' },
    });
  });
});

describe('the workflow out of order', () => {
  const repository = new RepositorySimulator();
  const begun = () => new TrustedMetadata(repository.rootBytes(), NOW);
  const file = (role: string) => repository.fileOf(role) as Uint8Array;

  it.each<[string, (trusted: TrustedMetadata) => unknown]>([
    ['a timestamp while more roots may come', (trusted) => trusted.updateTimestamp(file('timestamp'))],
    ['the timestamp before there is one', (trusted) => trusted.timestamp],
    ['a request for the snapshot before the timestamp', (trusted) => trusted.snapshotRequest()],
    ['a stored snapshot before the timestamp', (trusted) => trusted.loadSnapshot(file('snapshot'))],
    ['a snapshot before the timestamp', (trusted) => trusted.updateSnapshot(file('snapshot'))],
    ['the snapshot before there is one', (trusted) => trusted.snapshot],
    ['a request for a role before the snapshot', (trusted) => trusted.roleRequest('targets')],
    [
      'a role before the snapshot',
      (trusted) => trusted.updateRole('targets', file('targets'), trusted.targetsDelegator()),
    ],
    [
      'a root after the last',
      (trusted) => {
        trusted.finishRoot();
        trusted.updateRoot(repository.rootBytes());
      },
    ],
  ])('is refused: %s', (_, use) => {
    const trusted = begun();
    expect(() => use(trusted)).toThrow(code('internal'));
  });

  it('forgets what was cached, and then has none', () => {
    const trusted = begun();
    trusted.finishRoot();
    trusted.updateTimestamp(file('timestamp'));
    trusted.updateSnapshot(file('snapshot'));
    trusted.forgetCached();
    expect(() => trusted.timestamp).toThrow(code('internal'));
    expect(() => trusted.snapshot).toThrow(code('internal'));
  });

  it('needs a time', () => {
    expect(() => new TrustedMetadata(repository.rootBytes(), new Date(Number.NaN))).toThrow(code('usage'));
  });
});

describe('keys of a role', () => {
  const rootOf = (...indexes: number[]) => {
    const repository = new RepositorySimulator();
    repository.setKeys('timestamp', indexes.map(poolKey));
    return parseRoot(parseMetadataFile(repository.sign('root'), 'root', 1e6));
  };

  it.each([
    [[5], [5], false],
    [[5], [5, 6], false],
    [[5, 6], [6, 5], false],
    [[5, 6], [5], true],
    [[5, 6], [5, 7], true],
    [[5, 6], [7, 8], true],
  ])('%j were removed or not in %j', (before, after, wereRemoved) => {
    expect(keysWereRemoved(rootOf(...before), rootOf(...after), 'timestamp')).toBe(wereRemoved);
  });
});

describe('a delegation', () => {
  const role = { name: 'a', keyids: [], threshold: 1, terminating: false };

  it.each<[object, string, boolean]>([
    [{}, 'a', false],
    [{ paths: [] }, 'a', false],
    [{ pathHashPrefixes: [] }, 'a', false],
    [{ paths: ['b', 'a'] }, 'a', true],
    [{ paths: ['b', 'c'] }, 'a', false],
    // SHA-256 of "a" begins with ca97.
    [{ pathHashPrefixes: ['ca9'] }, 'a', true],
    [{ pathHashPrefixes: ['0', 'ca97'] }, 'a', true],
    [{ pathHashPrefixes: ['a97', 'ca98'] }, 'a', false],
  ])('%j is trusted with %s or not', (paths, path, isTrusted) => {
    expect(isTrustedWith({ ...role, ...paths }, path)).toBe(isTrusted);
  });

  it.each([
    ['b-0', 5, false],
    ['b-00', 5, true],
    ['b-1f', 5, true],
    ['b-20', 5, false],
    ['b-1F', 5, false],
    ['b-001', 5, false],
    ['b-', 5, false],
    ['c-00', 5, false],
    ['b_00', 5, false],
    ['b-0x', 5, false],
    ['b-ffffffff', 32, true],
    ['b-100000000', 32, false],
    ['b-0', 1, true],
    ['b-2', 1, false],
  ])('of bins leads to %s of %i bits or not', (name, bitLength, isOne) => {
    expect(isBin({ bitLength, namePrefix: 'b' }, name)).toBe(isOne);
  });
});
