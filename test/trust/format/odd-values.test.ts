import { expect, it } from 'vitest';
import { isJsonObject, type JsonObject, type JsonValue } from '../../../src/encoding/json.ts';
import { isBullaError } from '../../../src/errors.ts';
import { assertSignableFile } from '../../../src/trust/format/signable.ts';
import { composeMetadataFile, copyJson, parseMetadataFile } from '../../../src/tuf/metadata-file.ts';
import { parseRoot } from '../../../src/tuf/root.ts';
import { parseSnapshot, parseTimestamp } from '../../../src/tuf/snapshot.ts';
import { parseTargets } from '../../../src/tuf/targets.ts';
import { newCollection } from '../../support/trust/collection.ts';

/** A statement of another format, which must be a part of nothing that is signed, wherever it is put. */
const CRITICAL: JsonObject = {
  identity: { 'docker-reference': '' },
  image: { 'docker-manifest-digest': `sha256:${'e'.repeat(64)}` },
  type: 'cosign container image signature',
};
const READERS: Readonly<Record<string, (file: ReturnType<typeof parseMetadataFile>) => unknown>> = {
  root: parseRoot,
  targets: parseTargets,
  names: parseTargets,
  snapshot: parseSnapshot,
  timestamp: parseTimestamp,
};

/** Every place in a value where another one can stand. */
function* placesIn(value: JsonValue, path: readonly string[] = []): Generator<readonly string[]> {
  if (path.length > 0) yield path;
  if (Array.isArray(value))
    for (const [at, one] of value.entries()) yield* placesIn(one, [...path, String(at)]);
  else if (isJsonObject(value))
    for (const [name, one] of Object.entries<JsonValue>(value)) yield* placesIn(one, [...path, name]);
}

function put(signed: JsonObject, path: readonly string[], value: JsonValue): void {
  const holder = path.slice(0, -1).reduce((at, name) => (at as JsonObject)[name] as JsonObject, signed);
  holder[path.at(-1) as string] = value;
}

it.each(Object.keys(READERS))('nothing but what is known is signed in any place of %s', async (role) => {
  const { files } = await newCollection('a.example/x');
  const file =
    role === 'root'
      ? files.roots[0]
      : role === 'snapshot' || role === 'timestamp'
        ? files[role]
        : files.roles.get(role);
  const signed = file!.signed;
  const taken: string[] = [];
  for (const path of placesIn(signed))
    for (const value of [CRITICAL, [CRITICAL], { critical: CRITICAL, optional: null }] as JsonValue[]) {
      const changed = copyJson(signed);
      put(changed, path, value);
      try {
        const { bytes } = composeMetadataFile(role, changed, []);
        const read = parseMetadataFile(bytes, role, 1e6);
        READERS[role]!(read);
        assertSignableFile(read);
        taken.push(path.join('.'));
      } catch (error) {
        expect(isBullaError(error), path.join('.')).toBe(true);
      }
    }
  expect(taken).toEqual([]);
});
