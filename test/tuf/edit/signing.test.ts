import { p256 } from '@noble/curves/nist.js';
import { describe, expect, it } from 'vitest';
import { generatePrivateKey } from '../../../src/crypto/private-key.ts';
import { ecdsaFromDer, ecdsaToDer } from '../../../src/crypto/signature.ts';
import { fromHex, hex, utf8 } from '../../../src/encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../../../src/encoding/json.ts';
import { BullaError } from '../../../src/errors.ts';
import { signerOf } from '../../../src/keystore/key-of.ts';
import { RepositoryEdit } from '../../../src/tuf/edit/edit.ts';
import type { RepositoryFiles } from '../../../src/tuf/edit/repository.ts';
import { PendingFile, type SignatureDemand, signFiles, tufSigner } from '../../../src/tuf/edit/signing.ts';
import { TufKey } from '../../../src/tuf/keys.ts';
import { parseMetadataFile, type TufSignature } from '../../../src/tuf/metadata-file.ts';
import { RemoteKeys } from '../../support/keystore/remote.ts';
import {
  anyOf,
  digestOf,
  NOW,
  ONLINE,
  PUBLISHER,
  ROOT,
  signersOf,
  simpleRepository,
  simpleSigners,
  targetOf,
} from '../../support/tuf/editing.ts';
import { poolKey, signContent, type TestKey } from '../../support/tuf/keys.ts';

const code = (name: string) => expect.objectContaining({ code: name });
const json = (text: string): JsonObject => parseJsonObject(utf8(text), { what: 'test' });
const CONTENT =
  '{"_type":"targets","expires":"2040-01-01T00:00:00Z","spec_version":"1.0.34","targets":{},"version":2}';
const signed = json(CONTENT);
const [A, B, C, STRANGER] = [poolKey(0), poolKey(1), poolKey(2), poolKey(3)] as const;

function demand(threshold: number, ...keys: TestKey[]): SignatureDemand {
  return {
    delegator: 'targets',
    keys: new Map(keys.map(({ key }) => [key.keyid, key])),
    role: { keyids: keys.map(({ key }) => key.keyid), threshold },
  };
}

/** The other signature of the same key over the same message that anybody can compute: n − s. */
function malleated({ keyid, sig }: TufSignature): TufSignature {
  const raw = ecdsaFromDer(fromHex(sig)!, 32)!;
  const s = BigInt(`0x${hex(raw.slice(32))}`);
  const other = (p256.Point.Fn.ORDER - s).toString(16).padStart(64, '0');
  return { keyid, sig: hex(ecdsaToDer(fromHex(hex(raw.slice(0, 32)) + other)!)) };
}

/** The same integers, with a superfluous zero in front of r. */
function padded({ keyid, sig }: TufSignature): TufSignature {
  const der = fromHex(sig)!;
  const r = der.slice(4, 4 + der[3]!);
  const body = [0x02, r.length + 1, 0, ...r, ...der.slice(4 + r.length)];
  return { keyid, sig: hex(Uint8Array.from([0x30, body.length, ...body])) };
}

describe('files of one edit', () => {
  const files = (roles: readonly string[], ...demands: SignatureDemand[]) =>
    roles.map((role) => new PendingFile(role, json(CONTENT), demands));

  it('are signed by one request to each key, whatever their number', async () => {
    const keys = { a: generatePrivateKey('P-256'), b: generatePrivateKey('P-256') };
    const service = new RemoteKeys(keys);
    const signers = await Promise.all(
      ['a', 'b'].map(async (name) => tufSigner(signerOf(await service.find(name)))),
    );
    const listed = { keys: new Map(signers.map(({ key }) => [key.keyid, key])) };
    const keyids = signers.map(({ key }) => key.keyid);
    const bins = Array.from({ length: 16 }, (_, bin) => `bin-${bin.toString(16)}`);
    const pending = files(bins, { ...listed, delegator: 'names', role: { keyids, threshold: 2 } });
    // The same key twice is asked once.
    expect(await signFiles(pending, [...signers, ...signers])).toBe(32);
    expect(pending.flatMap((file) => file.missing())).toEqual([]);
    expect(service).toMatchObject({ opened: 2, requests: [16, 16] });
    expect(await signFiles(pending, signers)).toBe(0);
    expect(service.requests).toHaveLength(2);
  });

  it('are signed by nobody where one of them must not be signed', async () => {
    const service = new RemoteKeys({ a: generatePrivateKey('P-256') });
    const signer = tufSigner(signerOf(await service.find('a')));
    const { keyid } = signer.key;
    const listed = {
      delegator: 'targets',
      keys: new Map([[keyid, signer.key]]),
      role: { keyids: [keyid], threshold: 1 },
    };
    const refuse = (role: string): void => {
      if (role === 'b') throw new BullaError('content-invalid', 'not known', { hint: 'look at it' });
    };
    const pending = ['a', 'b'].map((role) => new PendingFile(role, json(CONTENT), [listed], [], refuse));
    await expect(signFiles(pending, [signer])).rejects.toEqual(code('content-invalid'));
    expect(service.requests).toEqual([]);
    expect(pending.map((file) => file.missing().length)).toEqual([1, 1]);
  });
});

describe('a pending file', () => {
  const sign = (key: TestKey, content: JsonObject = signed) => signContent(content, key);
  const missing = (file: PendingFile) => file.missing().map(({ valid, open }) => [valid.length, open.length]);

  it('says what is missing, and for whom', async () => {
    const file = new PendingFile('names', signed, [demand(2, A, B, C)]);
    expect(missing(file)).toEqual([[0, 3]]);
    file.add(await sign(B));
    expect(file.missing()).toEqual([
      {
        role: 'names',
        delegator: 'targets',
        threshold: 2,
        valid: [B.key.keyid],
        open: [A.key.keyid, C.key.keyid],
      },
    ]);
    file.add(await sign(A));
    expect(missing(file)).toEqual([]);
  });

  it('takes what the last signer sent, whoever that was, and ends with the same bytes', async () => {
    const files = [A, B, C].map(() => new PendingFile('names', signed, [demand(3, A, B, C)]));
    const [one, two, three] = files as [PendingFile, PendingFile, PendingFile];
    await one.sign(signersOf(A));
    await two.sign(signersOf(B));
    await three.sign(signersOf(C));
    for (const [file, others] of [
      [one, [two, three]],
      [three, [two, one]],
    ] as const) {
      for (const other of others) file.addFile(other.file.bytes);
      expect(missing(file)).toEqual([]);
    }
    expect(one.file.bytes).toEqual(three.file.bytes);
  });

  it('takes a signature made over the exported bytes elsewhere', async () => {
    const file = new PendingFile('names', signed, [demand(1, A)]);
    expect(new TextDecoder().decode(file.message)).toBe(CONTENT);
    const { sig } = await sign(A);
    file.add({ keyid: A.key.keyid, sig: sig.toUpperCase() });
    expect(file.file.signatures).toEqual([{ keyid: A.key.keyid, sig }]);
  });

  const refusals: [string, () => TufSignature | Promise<TufSignature>, string][] = [
    ['of a key that may not sign', () => sign(STRANGER), 'untrusted-identity'],
    ['over other content', () => sign(A, json(CONTENT.replace('2040', '2041'))), 'signature-mismatch'],
    [
      'of another key under this id',
      async () => ({ ...(await sign(B)), keyid: A.key.keyid }),
      'signature-mismatch',
    ],
    ['that is empty', async () => ({ keyid: A.key.keyid, sig: '' }), 'signature-mismatch'],
    ['that is not hexadecimal', async () => ({ keyid: A.key.keyid, sig: 'zz' }), 'signature-mismatch'],
    ['spelled with a superfluous zero', async () => padded(await sign(A)), 'signature-mismatch'],
    [
      'in raw form',
      async () => ({ keyid: A.key.keyid, sig: hex(ecdsaFromDer(fromHex((await sign(A)).sig)!, 32)!) }),
      'signature-mismatch',
    ],
  ];

  it.each(refusals)('refuses a signature %s', async (_name, make, expected) => {
    const file = new PendingFile('names', signed, [demand(2, A, B)]);
    const signature = await make();
    expect(() => file.add(signature)).toThrow(code(expected));
    expect(missing(file)).toEqual([[0, 2]]);
  });

  it('refuses a file with other content, and one with a bad signature of a listed key', async () => {
    const file = new PendingFile('names', signed, [demand(1, A)]);
    const other = new PendingFile('names', json(CONTENT.replace('2040', '2041')), [demand(1, A)]);
    await other.sign(signersOf(A));
    expect(() => file.addFile(other.file.bytes)).toThrow(code('signature-mismatch'));
    const bad = utf8(`{"signatures":[{"keyid":"${A.key.keyid}","sig":"00"}],"signed":${CONTENT}}`);
    expect(() => file.addFile(bad)).toThrow(code('signature-mismatch'));
    expect(missing(file)).toEqual([[0, 1]]);
  });

  it('takes a file that was laid out anew, and leaves strangers aside', async () => {
    const file = new PendingFile('names', signed, [demand(1, A)]);
    const [own, strange] = [await sign(A), await sign(STRANGER)];
    const pretty = JSON.stringify({ signed: JSON.parse(CONTENT), signatures: [strange, own] }, null, 2);
    expect(file.addFile(utf8(pretty))).toBe(1);
    expect(file.file.signatures).toEqual([own]);
  });

  it('keeps one of two signatures of a key, the same whichever came first', async () => {
    const one = await sign(A);
    const two = malleated(one);
    expect(two.sig).not.toBe(one.sig);
    const pooled = [
      [one, two],
      [two, one],
      [one, two, one, one],
    ].map((signatures) => {
      const file = new PendingFile('names', signed, [demand(2, A, B)]);
      for (const signature of signatures) file.add(signature);
      expect(missing(file)).toEqual([[1, 1]]);
      return file.file.bytes;
    });
    expect(new Set(pooled.map(hex)).size).toBe(1);
  });

  it('counts a key once that is listed under two ids, and meets thresholds that know it by either', async () => {
    const alias = new TufKey('alias', json(JSON.stringify({ ...A.key.json, 'x-note': 'the same key' })));
    const role = { keyids: [A.key.keyid, 'alias'], threshold: 2 };
    const keys = new Map([A.key, alias].map((key) => [key.keyid, key]));
    const both = new PendingFile('names', signed, [{ delegator: 'targets', keys, role }]);
    await both.sign(signersOf(A));
    expect(missing(both)).toEqual([[1, 0]]);
    const renamed = {
      delegator: 'x',
      keys: new Map([['alias', alias]]),
      role: { keyids: ['alias'], threshold: 1 },
    };
    const either = new PendingFile('names', signed, [demand(1, A), renamed]);
    expect(await either.sign(signersOf(A))).toBe(1);
    expect(either.missing()).toEqual([]);
  });

  it('is not signed by a key that nobody lists, and not twice by one', async () => {
    const file = new PendingFile('names', signed, [demand(2, A, B)]);
    expect(await file.sign(signersOf(STRANGER))).toBe(0);
    expect(await file.sign(signersOf(A, A))).toBe(1);
    expect(await file.sign(signersOf(A))).toBe(0);
  });

  it('says so where a threshold cannot be met any more', async () => {
    const file = new PendingFile('names', signed, [
      { ...demand(1, A), role: { keyids: [A.key.keyid, 'gone'], threshold: 2 } },
    ]);
    await file.sign(signersOf(A));
    expect(missing(file)).toEqual([[1, 0]]);
  });
});

describe('several people', () => {
  const people = [poolKey(30), poolKey(31), poolKey(32)];

  async function rootOfThree(): Promise<RepositoryFiles> {
    const edit = new RepositoryEdit(await simpleRepository(), { now: NOW });
    edit.root().setKeys('root', anyOf(2, ...people));
    edit.root().setKeys('targets', anyOf(2, ...people));
    return edit.prepare().publish([...simpleSigners(), ...signersOf(...people)]);
  }

  it('sign a rotation by turns, each with what the one before sent', async () => {
    const base = await rootOfThree();
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.root().setKeys('root', anyOf(2, people[0]!, people[1]!, poolKey(33)));
    const prepared = edit.prepare();
    await expect(prepared.publish(simpleSigners())).rejects.toThrow(code('threshold-not-met'));
    const sent = prepared.pendingFile('root').file.bytes;
    const back = await Promise.all(
      [people[2]!, people[0]!, poolKey(33)].map(async (person) => {
        const theirs = new RepositoryEdit(base, { now: NOW });
        theirs.adopt('root', sent);
        const file = theirs.prepare();
        await file.sign(signersOf(person));
        return file.pendingFile('root').file.bytes;
      }),
    );
    prepared.pendingFile('root').addFile(back[0]!);
    prepared.pendingFile('root').addFile(back[1]!);
    // Two of the old keys, but only one of the new.
    expect(prepared.missing().map(({ delegator }) => delegator)).toEqual(['root 3']);
    prepared.pendingFile('root').addFile(back[2]!);
    const next = await prepared.publish(simpleSigners());
    expect(next.roots).toHaveLength(3);
    expect(parseMetadataFile(next.roots[2]!.bytes, 'root', 10_000).signatures).toHaveLength(3);
  });

  it('publish what others have staged, and only with signatures that suffice', async () => {
    const base = await rootOfThree();
    const change = new RepositoryEdit(base, { now: NOW });
    change.targets('targets').setTarget('v2', targetOf('two'));
    const staged = change.prepare();
    await staged.sign(signersOf(people[0]!));
    const publish = async (bytes: Uint8Array) => {
      const edit = new RepositoryEdit(base, { now: NOW });
      edit.adopt('targets', bytes);
      return edit.prepare().publish(signersOf(poolKey(ONLINE)));
    };
    const half = staged.pendingFile('targets').file.bytes;
    await expect(publish(half)).rejects.toThrow(code('threshold-not-met'));
    await staged.sign(signersOf(people[1]!));
    const next = await publish(staged.pendingFile('targets').file.bytes);
    expect(await digestOf(next, 'v2')).toBe(targetOf('two').hashes['sha256']);
  });

  it('cannot slip a file of one role in as that of another', async () => {
    const base = await simpleRepository();
    const change = new RepositoryEdit(base, { now: NOW });
    change.targets('names').setTarget('v2', targetOf('two'));
    const staged = change.prepare();
    await staged.sign(signersOf(poolKey(PUBLISHER)));
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.adopt('targets', staged.pendingFile('names').file.bytes);
    const signers = signersOf(poolKey(ROOT), poolKey(ONLINE));
    await expect(edit.prepare().publish(signers)).rejects.toThrow(code('threshold-not-met'));
  });

  it('may give snapshot and timestamp thresholds too', async () => {
    const first = new RepositoryEdit(await simpleRepository(), { now: NOW });
    for (const role of ['snapshot', 'timestamp'] as const) first.root().setKeys(role, anyOf(2, ...people));
    const base = await first.prepare().publish([...simpleSigners(), ...signersOf(...people)]);
    const edit = new RepositoryEdit(base, { now: NOW });
    edit.renew('names');
    const prepared = edit.prepare();
    const one = [...simpleSigners(), ...signersOf(people[0]!)];
    await expect(prepared.publish(one)).rejects.toThrow(code('threshold-not-met'));
    expect(prepared.missing().map(({ role }) => role)).toEqual(['snapshot']);
    await expect(prepared.publish([signersOf(people[1]!)[0]!])).rejects.toThrow(code('threshold-not-met'));
    expect(prepared.missing().map(({ role }) => role)).toEqual(['timestamp']);
    const next = await prepared.publish(signersOf(people[2]!));
    expect(next.timestamp?.signatures).toHaveLength(2);
    const late = await signContent(next.snapshot!.signed, people[2]!);
    expect(() => prepared.pendingFile('snapshot').add(late)).toThrow(code('usage'));
  });
});
