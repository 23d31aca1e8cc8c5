import { describe, expect, it } from 'vitest';
import { KeysAtHand } from '../../src/actions/sign/keys-at-hand.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../../src/encoding/json.ts';
import { distinctKeys } from '../../src/tuf/delegation-keys.ts';
import { PendingFile, type SignatureDemand } from '../../src/tuf/edit/signing.ts';
import { TufKey } from '../../src/tuf/keys.ts';
import { composeMetadataFile } from '../../src/tuf/metadata-file.ts';
import { parseRoot } from '../../src/tuf/root.ts';
import { keysWereRemoved } from '../../src/tuf/rotation.ts';
import { countSignatures } from '../../src/tuf/threshold.ts';
import { signersOf } from '../support/tuf/editing.ts';
import { poolKey, signatureOf, type TestKey } from '../support/tuf/keys.ts';

const [A, B] = [poolKey(0), poolKey(1)];
const json = (value: unknown): JsonObject => parseJsonObject(utf8(JSON.stringify(value)), { what: 'test' });
const signed = json({
  _type: 'targets',
  expires: '2040-01-01T00:00:00Z',
  spec_version: '1.0.34',
  targets: {},
  version: 2,
});

/** The same key as other tools list it: with a member that changes its id. */
const again = (key: TestKey, note: string): TufKey => {
  const object = { ...key.key.json, 'x-note': note } as JsonObject;
  return new TufKey(new TufKey('', object).computedId, object);
};
const second = again(A, 'second');
const third = again(A, 'third');

const demand = (threshold: number, ...keys: TufKey[]): SignatureDemand => ({
  delegator: 'targets',
  keys: new Map(keys.map((key) => [key.keyid, key])),
  role: { keyids: keys.map(({ keyid }) => keyid), threshold },
});

describe('a key that a role lists under several ids counts once', () => {
  it('in a count of keys', () => {
    const { keys, role } = demand(2, A.key, second, third, B.key);
    expect(distinctKeys(keys, role.keyids).size).toBe(2);
    expect(distinctKeys(keys, [A.key.keyid, 'missing', 'missing', 'other']).size).toBe(3);
  });

  it('in a threshold', async () => {
    const { keys, role } = demand(2, A.key, second, third);
    const { sig } = signatureOf(signed, A);
    const file = composeMetadataFile(
      'targets',
      signed,
      role.keyids.map((keyid) => ({ keyid, sig })),
    );
    expect(countSignatures(file, keys, role)).toMatchObject({ isMet: false, valid: [A.key.keyid] });
  });

  it('among those that could still sign', async () => {
    const file = new PendingFile('targets', signed, [demand(2, A.key, second, third, B.key)]);
    expect(file.missing()[0]?.open).toEqual([A.key.keyid, B.key.keyid]);
    file.add({ ...signatureOf(signed, A), keyid: second.keyid });
    expect(file.missing()[0]).toMatchObject({ valid: [second.keyid], open: [B.key.keyid] });
    const never = new PendingFile('targets', signed, [demand(2, A.key, second)]);
    expect(never.missing()[0]?.open).toEqual([A.key.keyid]);
  });

  it('when keys are chosen that are to sign', async () => {
    const at = ({ key, privateKey, algorithm: id }: TestKey, name: string) => ({
      name,
      publicKey: key.verifier!.publicKey,
      certificates: [],
      signer: createSigner(privateKey, algorithm(id)),
    });
    const [first, other] = [at(A, 'first'), at(B, 'other')];
    const keys = new KeysAtHand({ find: async () => first, all: async () => [other] }, ['first']);
    const wanted = demand(2, A.key, second, third, B.key);
    expect((await keys.signersFor([wanted])).map(({ key }) => key.keyid)).toEqual([A.key.keyid, B.key.keyid]);
    // What it signed under one id does not have to be signed under another.
    expect(
      (await keys.signersFor([wanted], new Set([second.keyid, third.keyid]))).map(({ key }) => key.keyid),
    ).toEqual([B.key.keyid]);
  });

  it('when the id of a key changes and the key stays', () => {
    const root = (key: TufKey) => {
      const role = { keyids: [key.keyid], threshold: 1 };
      const roles = { root: role, targets: role, snapshot: role, timestamp: role };
      const content = {
        _type: 'root',
        consistent_snapshot: true,
        expires: '2040-01-01T00:00:00Z',
        keys: { [key.keyid]: key.json },
        roles,
        spec_version: '1.0.34',
        version: 1,
      };
      return parseRoot(composeMetadataFile('root', json(content), []));
    };
    expect(keysWereRemoved(root(A.key), root(second), 'timestamp')).toBe(false);
    expect(keysWereRemoved(root(A.key), root(B.key), 'timestamp')).toBe(true);
  });

  it('and signs under every id when it signs', async () => {
    const file = new PendingFile('targets', signed, [demand(2, A.key, second, B.key)]);
    await file.sign(signersOf(A));
    expect(file.file.signatures.map(({ keyid }) => keyid).sort()).toEqual([A.key.keyid, second.keyid].sort());
    expect(file.missing()[0]?.open).toEqual([B.key.keyid]);
  });
});
