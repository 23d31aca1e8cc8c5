import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { AlgorithmId } from '../../src/crypto/algorithm.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../../src/encoding/json.ts';
import { delegationOf, delegationsFor } from '../../src/tuf/delegations.ts';
import { TufKey } from '../../src/tuf/keys.ts';
import { composeMetadataFile, parseMetadataFile } from '../../src/tuf/metadata-file.ts';
import { parseRoot } from '../../src/tuf/root.ts';
import { parseSnapshot, parseTimestamp } from '../../src/tuf/snapshot.ts';
import { parseTargets } from '../../src/tuf/targets.ts';
import { assertThreshold, countSignatures } from '../../src/tuf/threshold.ts';
import { makeKey, poolKey, signatureOf } from '../support/tuf/keys.ts';

const code = (name: string) => expect.objectContaining({ code: name });
const json = (text: string): JsonObject => parseJsonObject(utf8(text), { what: 'test' });
const EXPIRES = '"expires":"2030-01-01T00:00:00Z"';
const COMMON = `${EXPIRES},"spec_version":"1.0.34","version":1`;
const fileOf = (signed: string, role = 'targets') =>
  parseMetadataFile(utf8(`{"signatures":[],"signed":${signed}}`), role, 1_000_000);

describe('keys', () => {
  it.each<AlgorithmId>(['ES256', 'ES384', 'Ed25519', 'PS256', 'PS384', 'PS512', 'RS256'])(
    '%s: what is written is read, and verifies',
    (id) => {
      const made = makeKey(id);
      const read = new TufKey(made.key.keyid, made.key.json);
      expect(read.hasCorrectId).toBe(true);
      expect(read.fingerprint).toBe(made.key.fingerprint);
      const signed = json(`{"_type":"targets",${COMMON},"targets":{}}`);
      const file = composeMetadataFile('targets', signed, [signatureOf(signed, made)]);
      const keys = new Map([[read.keyid, read]]);
      expect(countSignatures(file, keys, { keyids: [read.keyid], threshold: 1 }).isMet).toBe(true);
    },
  );

  it.each([
    ['an unknown scheme', { scheme: 'rot13' }],
    ['a scheme of another key type', { scheme: 'ed25519' }],
    ['a type of another scheme', { keytype: 'rsa' }],
    ['another curve than the scheme says', { scheme: 'ecdsa-sha2-nistp384' }],
    ['no key in it', { keyval: { public: 'bm8=' } }],
    ['nothing public', { keyval: {} }],
    ['an array for keyval', { keyval: [] }],
  ])('a key with %s verifies nothing, and does not throw', (_name, change) => {
    const key = new TufKey('id', json(JSON.stringify({ ...poolKey(0).key.json, ...change })));
    expect(key.verifier).toBeUndefined();
    expect(key.problem).toMatch(/key/);
  });

  it('counts unknown fields for the key id (§4.2)', () => {
    const plain = poolKey(0).key;
    const more = new TufKey(plain.keyid, json(JSON.stringify({ ...plain.json, 'x-owner': '@alice' })));
    expect(more.hasCorrectId).toBe(false);
    expect(more.fingerprint).toBe(plain.fingerprint);
  });

  it("reads hex points, as in sigstore's first roots", () => {
    const pem = poolKey(0).key;
    const point = Buffer.from(pem.verifier!.publicKey.spki.slice(-65)).toString('hex');
    const keytype = 'ecdsa-sha2-nistp256';
    const text = JSON.stringify({ keytype, scheme: keytype, keyval: { public: point } });
    expect(new TufKey('id', json(text)).fingerprint).toBe(pem.fingerprint);
  });
});

describe('thresholds', () => {
  const signed = json(`{"_type":"targets",${COMMON},"targets":{}}`);

  it('count key material, so that one key under two ids is one', () => {
    const one = poolKey(0);
    const alias = new TufKey('alias', json(JSON.stringify({ ...one.key.json, note: 'the same key' })));
    const signature = signatureOf(signed, one);
    const file = composeMetadataFile('targets', signed, [signature, { keyid: 'alias', sig: signature.sig }]);
    const keys = new Map([one.key, alias].map((key) => [key.keyid, key]));
    const role = { keyids: [one.key.keyid, 'alias'], threshold: 2 };
    expect(countSignatures(file, keys, role).valid).toEqual([one.key.keyid]);
    expect(() => assertThreshold(file, keys, role, 'root')).toThrow(code('trust-invalid'));
  });

  it('count only keys of the role, and bear with invalid signatures beside enough valid ones', () => {
    const [a, b, c] = [poolKey(0), poolKey(1), poolKey(2)];
    const keys = new Map([a, b, c].map(({ key }) => [key.keyid, key]));
    const [sa, sb, sc] = [a, b, c].map((key) => signatureOf(signed, key));
    const broken = { keyid: b.key.keyid, sig: sa!.sig };
    const notHex = { keyid: c.key.keyid, sig: 'not hex' };
    const both = [a.key.keyid, b.key.keyid];
    const count = (signatures: (typeof broken)[], keyids: string[], threshold: number) =>
      countSignatures(composeMetadataFile('targets', signed, signatures), keys, { keyids, threshold }).isMet;
    expect(count([sa!, sb!], both, 2)).toBe(true);
    expect(count([sa!, broken, notHex], both, 1)).toBe(true);
    expect(count([sa!, broken], both, 2)).toBe(false);
    expect(count([sa!, sc!], both, 2)).toBe(false);
    expect(count([sa!], [...both, 'unlisted'], 2)).toBe(false);
    expect(count([], both, 1)).toBe(false);
  });
});

describe('metadata files', () => {
  it('keep unknown fields and the bytes, and ignore what is not signed', () => {
    const text = `{"signed":{"_type":"targets",${COMMON},"x":{"y":[1,null]}},"signatures":[],"extra":{"a":1}}\n `;
    const file = parseMetadataFile(utf8(text), 'targets', 10_000);
    expect(file.bytes).toEqual(utf8(text));
    expect(file.signed['x']).toEqual(json('{"y":[1,null]}'));
    expect(new TextDecoder().decode(file.message)).toBe(`{"_type":"targets",${COMMON},"x":{"y":[1,null]}}`);
  });

  it('compose the same bytes for the same content, whatever the order of the keys', () => {
    const one = composeMetadataFile('targets', json('{"b":"ü\\n","a":{"d":1,"c":[true]}}'), []);
    const other = composeMetadataFile('targets', json('{"a":{"c":[true],"d":1},"b":"ü\\n"}'), []);
    expect(one.bytes).toEqual(other.bytes);
    expect(parseMetadataFile(one.bytes, 'targets', 1000).message).toEqual(one.message);
  });

  it.each([
    ['no JSON', 'nope'],
    ['no object', '[]'],
    ['no signatures', '{"signed":{}}'],
    ['signatures that are an object', '{"signed":{},"signatures":{}}'],
    ['no signed part', '{"signatures":[]}'],
    ['a signed part that is null', '{"signatures":[],"signed":null}'],
    ['a signature without sig', '{"signatures":[{"keyid":"a"}],"signed":{}}'],
    [
      'two signatures of one key id',
      '{"signatures":[{"keyid":"a","sig":""},{"keyid":"a","sig":""}],"signed":{}}',
    ],
    ['a key twice', '{"signatures":[],"signed":{"version":1,"version":2}}'],
    ['a number that a double rounds', '{"signatures":[],"signed":{"version":9007199254740993}}'],
    ['a float', '{"signatures":[],"signed":{"version":1.0}}'],
    ['something behind it', '{"signatures":[],"signed":{}}{}'],
  ])('with %s: content-invalid, naming the role', (_name, text) => {
    expect(() => parseMetadataFile(utf8(text), 'a/b', 10_000)).toThrow(
      expect.objectContaining({ code: 'content-invalid', details: { role: 'a/b' } }),
    );
  });

  it('larger than allowed are refused unread', () => {
    expect(() => parseMetadataFile(utf8('{"signatures":[],"signed":{}}'), 'root', 10)).toThrow(
      code('content-invalid'),
    );
  });
});

describe('content', () => {
  const role = '{"keyids":[],"threshold":1}';
  const roles = `{"root":${role},"targets":${role},"snapshot":${role},"timestamp":${role}}`;
  const typed = (members: string) => `{"_type":"targets",${members},"targets":{}}`;
  const withTarget = (entry: string) => `{"_type":"targets",${COMMON},"targets":{"a":${entry}}}`;
  const withDelegations = (delegations: string) => typed(`${COMMON},"delegations":${delegations}`);
  const delegated = (members: string) => withDelegations(`{"keys":{},"roles":[{${members}}]}`);
  const keys = '"keyids":[],"threshold":1';
  const bins = (bits: number) =>
    `"succinct_roles":{"keyids":["k"],"threshold":1,"bit_length":${bits},"name_prefix":"b"}`;

  it.each([
    ['another type', `{"_type":"snapshot",${COMMON},"targets":{}}`],
    ['no type', `{${COMMON},"targets":{}}`],
    ['spec_version 2', typed(`${EXPIRES},"spec_version":"2.0.0","version":1`)],
    ['spec_version 1', typed(`${EXPIRES},"spec_version":"1","version":1`)],
    ['spec_version 1.x', typed(`${EXPIRES},"spec_version":"1.x","version":1`)],
    ['version 0', typed(`${EXPIRES},"spec_version":"1.0","version":0`)],
    ['version as a string', typed(`${EXPIRES},"spec_version":"1.0","version":"1"`)],
    ['no expiry', typed('"spec_version":"1.0","version":1')],
    ['a day that does not exist', typed('"expires":"2030-02-30T00:00:00Z","spec_version":"1.0","version":1')],
    ['targets as an array', `{"_type":"targets",${COMMON},"targets":[]}`],
    ['a target without hashes', withTarget('{"length":1}')],
    ['a target with no hash', withTarget('{"length":1,"hashes":{}}')],
    ['a short hash', withTarget('{"length":1,"hashes":{"sha256":"ab"}}')],
    ['an upper-case hash', withTarget(`{"length":1,"hashes":{"sha256":"${'A'.repeat(64)}"}}`)],
    ['a negative length', withTarget('{"length":-1,"hashes":{"x":"y"}}')],
    ['custom that is a string', withTarget('{"length":1,"hashes":{"x":"y"},"custom":"z"}')],
    ['a delegation to root', delegated(`"name":"root",${keys}`)],
    ['a delegation to timestamp', delegated(`"name":"timestamp",${keys}`)],
    ['a delegation to nobody', delegated(`"name":"",${keys}`)],
    ['paths and prefixes', delegated(`"name":"a","paths":["*"],"path_hash_prefixes":["00"],${keys}`)],
    ['an empty prefix', delegated(`"name":"a","path_hash_prefixes":[""],${keys}`)],
    ['an upper-case prefix', delegated(`"name":"a","path_hash_prefixes":["A0"],${keys}`)],
    ['paths that are a string', delegated(`"name":"a","paths":"*",${keys}`)],
    ['a threshold of 0', delegated('"name":"a","keyids":[],"threshold":0')],
    ['a key id twice', delegated('"name":"a","keyids":["k","k"],"threshold":1')],
    ['a key that is a string', withDelegations('{"keys":{"a":"b"},"roles":[]}')],
    ['a role twice', withDelegations(`{"keys":{},"roles":[{"name":"a",${keys}},{"name":"a",${keys}}]}`)],
    ['roles and bins', withDelegations(`{"keys":{},"roles":[],${bins(4)}}`)],
    ['0 bits', withDelegations(`{"keys":{},${bins(0)}}`)],
    ['33 bits', withDelegations(`{"keys":{},${bins(33)}}`)],
  ])('targets with %s: content-invalid', (_name, signed) => {
    expect(() => parseTargets(fileOf(signed))).toThrow(code('content-invalid'));
  });

  it.each(['1.0', '1.0.0', '1.0.34', '1.0.99', '1.7.0'])('spec_version %s is read', (version) => {
    const signed = typed(`${EXPIRES},"spec_version":"${version}","version":1`);
    expect(parseTargets(fileOf(signed)).specVersion).toBe(version);
  });

  it('root, timestamp and snapshot', () => {
    const rootWith = (more: string) => fileOf(`{"_type":"root",${COMMON},"keys":{},${more}}`, 'root');
    const root = parseRoot(rootWith(`"consistent_snapshot":true,"roles":${roles}`));
    expect([root.consistentSnapshot, root.roles.size]).toEqual([true, 4]);
    expect(parseRoot(rootWith(`"roles":${roles}`)).consistentSnapshot).toBe(false);
    expect(() => parseRoot(rootWith(`"roles":{"root":${role}}`))).toThrow(code('content-invalid'));
    const meta = '"meta":{"snapshot.json":{"version":3,"length":5}}';
    const timestamp = parseTimestamp(fileOf(`{"_type":"timestamp",${COMMON},${meta}}`));
    expect(timestamp.snapshot).toEqual({ version: 3, length: 5 });
    const odd = '"meta":{"targets.json":{"version":2},"__proto__.json":{"version":1}}';
    const snapshot = parseSnapshot(fileOf(`{"_type":"snapshot",${COMMON},${odd}}`));
    expect([...snapshot.meta.keys()]).toEqual(['targets.json', '__proto__.json']);
  });

  it('keeps the order of roles whose names are integers or belong to Object', () => {
    const names = ['10', '9', 'constructor', '1', '__proto__', 'toString'];
    const list = names.map((name) => `{"name":"${name}","paths":["*"],${keys}}`);
    const targets = parseTargets(fileOf(withDelegations(`{"keys":{},"roles":[${list.join(',')}]}`)));
    expect(delegationsFor(targets.delegations!, 'x').map(({ name }) => name)).toEqual(names);
    expect(delegationOf(targets.delegations!, 'hasOwnProperty')).toBeUndefined();
    expect(delegationOf(targets.delegations!, '__proto__')?.name).toBe('__proto__');
  });

  it('finds roles by prefix of the path hash, and bins by its leading bits', () => {
    const hash = createHash('sha256').update('v1').digest('hex');
    const delegationsOf = (signed: string) => parseTargets(fileOf(signed)).delegations!;
    const byPrefix = delegationsOf(
      delegated(`"name":"a","path_hash_prefixes":["${hash.slice(0, 3)}"],${keys}`),
    );
    expect(delegationsFor(byPrefix, 'v1')).toHaveLength(1);
    expect(delegationsFor(byPrefix, 'v2')).toHaveLength(0);
    expect(delegationsFor(delegationsOf(delegated(`"name":"a",${keys}`)), 'v1')).toHaveLength(0);
    const succinct = delegationsOf(withDelegations(`{"keys":{},${bins(8)}}`));
    expect(delegationsFor(succinct, 'v1').map(({ name }) => name)).toEqual([`b-${hash.slice(0, 2)}`]);
    expect(delegationOf(succinct, 'b-ff')?.keyids).toEqual(['k']);
    expect(delegationOf(succinct, 'b-100')).toBeUndefined();
  });

  it('holds targets of any name', () => {
    const entry = `{"length":1,"hashes":{"sha256":"${'a'.repeat(64)}"},"custom":{"k":1},"more":2}`;
    const signed = `{"_type":"targets",${COMMON},"targets":{"__proto__":${entry},"1":${entry}}}`;
    const { targets } = parseTargets(fileOf(signed));
    expect([...targets.keys()].sort()).toEqual(['1', '__proto__']);
    expect(targets.get('constructor')).toBeUndefined();
    expect(targets.get('__proto__')?.json['more']).toBe(2);
  });
});
