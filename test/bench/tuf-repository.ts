import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import type { JsonObject, JsonValue } from '../../src/encoding/json.ts';
import { type BinLayout, binFor, binNames } from '../../src/tuf/hash-bins.ts';
import { type TufKey, tufKeyOf } from '../../src/tuf/keys.ts';
import { composeMetadataFile, signedMessage } from '../../src/tuf/metadata-file.ts';

/** Size of a repository that is measured: as many targets, in as many bins. */
export interface RepositorySize {
  readonly targets: number;
  readonly bitLength: number;
}

/** A target that every measured repository has. */
export const SOUGHT = 'v1.0.0';

interface Pair {
  readonly key: TufKey;
  readonly privateKey: KeyObject;
}

const EXPIRES = '2099-01-01T00:00:00Z';

/**
 * Writes a repository as python-tuf's editor writes it: succinct bins below targets, compact JSON, and
 * a media type in every target, about 185 bytes each.
 * @returns the file of the bin that {@link SOUGHT} is in
 */
export function writeRepository(directory: string, size: RepositorySize): { readonly bin: string } {
  mkdirSync(directory, { recursive: true });
  const keys = Object.fromEntries(ROLES.map((role) => [role, makePair()])) as Record<
    (typeof ROLES)[number],
    Pair
  >;
  const write = (role: string, name: string, pair: Pair, members: JsonObject): void => {
    const signed: JsonObject = { expires: EXPIRES, spec_version: '1.0.31', version: 1, ...members };
    const sig = sign('sha256', signedMessage(signed), pair.privateKey).toString('hex');
    const file = composeMetadataFile(role, signed, [{ keyid: pair.key.keyid, sig }]);
    writeFileSync(join(directory, name), file.bytes);
  };
  const layout: BinLayout = { bitLength: size.bitLength, namePrefix: 'bin' };
  const meta: JsonObject = { 'targets.json': { version: 1 } };
  for (const [bin, targets] of fill(layout, size.targets)) {
    write(bin, `1.${bin}.json`, keys.bins, { _type: 'targets', targets });
    meta[`${bin}.json`] = { version: 1 };
  }
  write('targets', '1.targets.json', keys.targets, {
    _type: 'targets',
    delegations: delegate(layout, keys.bins.key),
    targets: {},
  });
  write('snapshot', '1.snapshot.json', keys.snapshot, { _type: 'snapshot', meta });
  write('timestamp', 'timestamp.json', keys.timestamp, {
    _type: 'timestamp',
    meta: { 'snapshot.json': { version: 1 } },
  });
  write('root', '1.root.json', keys.root, { _type: 'root', consistent_snapshot: true, ...rootMembers(keys) });
  return { bin: `1.${binFor(layout, SOUGHT)}.json` };
}

const ROLES = ['root', 'timestamp', 'snapshot', 'targets', 'bins'] as const;

function makePair(): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { key: tufKeyOf(publicKeyOf(publicKey), 'ES256'), privateKey };
}

function* fill(layout: BinLayout, count: number): Generator<[string, JsonObject]> {
  const bins = new Map<string, JsonObject>([...binNames(layout)].map((name) => [name, {}]));
  for (let index = 0; index < count; index++) {
    const path = index === 0 ? SOUGHT : `release-${String(index).padStart(9, '0')}`;
    const sha256 = createHash('sha256').update(path).digest('hex');
    (bins.get(binFor(layout, path)) as JsonObject)[path] = {
      custom: { mediaType: 'application/vnd.oci.image.manifest.v1+json' },
      hashes: { sha256 },
      length: 1024 + (index % 4096),
    };
  }
  yield* bins;
}

function delegate(layout: BinLayout, key: TufKey): JsonValue {
  return {
    keys: { [key.keyid]: key.json },
    succinct_roles: {
      bit_length: layout.bitLength,
      keyids: [key.keyid],
      name_prefix: layout.namePrefix,
      threshold: 1,
    },
  };
}

function rootMembers(keys: Readonly<Record<string, Pair>>): JsonObject {
  const top = ['root', 'timestamp', 'snapshot', 'targets'].map(
    (role) => [role, (keys[role] as Pair).key] as const,
  );
  return {
    keys: Object.fromEntries(top.map(([, key]) => [key.keyid, key.json])),
    roles: Object.fromEntries(top.map(([role, { keyid }]) => [role, { keyids: [keyid], threshold: 1 }])),
  };
}
