import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { privateKeyPem } from '../../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../../src/crypto/public-key.ts';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { describe as describeBytes } from '../../../src/oci/descriptor.ts';
import { buildIndex, type ManifestContent } from '../../../src/oci/manifest.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { CollectionEdit } from '../../../src/trust/change/collection-edit.ts';
import { assembleStage } from '../../../src/trust/format/assemble.ts';
import type { LogEntry } from '../../../src/trust/format/log.ts';
import { fetchFile, openTrustObject } from '../../../src/trust/format/object.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { CANDIDATE_MARK, stageTag } from '../../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { versionOf } from '../../../src/tuf/edit/repository.ts';
import { metadataFileName } from '../../../src/tuf/role-name.ts';
import { type CliResult, temporaryDirectory } from '../cli.ts';
import { tagOf } from '../content.ts';
import { NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../tuf/editing.ts';
import { poolKey } from '../tuf/keys.ts';
import { readAny } from './changing.ts';
import { pushAssembly } from './collection.ts';
import { type Files, pushFiles } from './heads.ts';
import { malleated } from './malleate.ts';
import type { Served } from './served.ts';

/** Late enough for no race to be suspected. */
export const LATER: Date = new Date(NOW.getTime() + 300_000);

/** Keys by the names that they have in a key store. */
export type NamedKeys = readonly (readonly [name: string, index: number])[];
export const ALL_KEYS: NamedKeys = [
  ['root', ROOT],
  ['publisher', PUBLISHER],
  ['online', ONLINE],
];

/** Somebody with keys and a machine, for whom `REPO` is the repository. */
export interface Somebody {
  readonly home: string;
  (line: string, now?: Date): Promise<CliResult>;
}

/** A machine of somebody who has these keys, and believes the collection's root key. */
export async function somebody(place: Served, keys: NamedKeys = ALL_KEYS): Promise<Somebody> {
  const home = await temporaryDirectory();
  await mkdir(join(home, 'keys'), { mode: 0o700 });
  for (const [name, index] of keys) {
    const { privateKey } = poolKey(index);
    await writeFile(join(home, 'keys', `${name}.key`), privateKeyPem(privateKey), { mode: 0o600 });
    await writeFile(join(home, 'keys', `${name}.pub`), publicKeyPem(publicKeyOf(privateKey)));
  }
  const env = { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' };
  const run = (line: string, now = LATER): Promise<CliResult> =>
    place.run(line.replaceAll('REPO', place.name).replaceAll('HOME', home).split(' '), { now, env });
  const pinned = await run(`pin REPO --root-key-id ${poolKey(ROOT).key.keyid}`);
  if (pinned.code !== 0) throw new Error(pinned.stderr);
  return Object.assign(run, { home });
}

/** An image as a change names it. */
export function naming(
  tag: string,
  { descriptor }: ManifestContent,
  change: Partial<LogEntry> = {},
): LogEntry {
  const set = new Map([[tag, { length: descriptor.size, sha256: descriptor.digest.slice(7) }]]);
  const id = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex');
  return { id, at: NOW, set, ...change };
}

/** Stages changes of a role as somebody does who has these keys, whatever they are worth. */
export async function stageAs(
  target: Target,
  keys: readonly number[],
  entries: readonly LogEntry[],
  role = 'names',
): Promise<{ readonly tag: Tag; readonly content: ManifestContent }> {
  const copy = await WorkingCopy.open(await readAny(target));
  const versions = trustVersions((range) => Math.floor(Math.random() * range));
  const edit = new CollectionEdit(copy, { now: NOW, policy: { versions } });
  // With a tool of their own, which signs anything.
  Object.assign(edit.edit.policy, { check: undefined });
  await edit.apply(role, entries);
  const { edit: prepared, logs } = edit.prepare();
  await prepared.sign(signersOf(...keys.map(poolKey)));
  const files = new Map(
    prepared.pending().map(({ file }) => [metadataFileName(file.role, versionOf(file)), file.bytes] as const),
  );
  const { top, blobs, children } = assembleStage({ files, logs });
  const tag = stageTag(top.descriptor.digest);
  await pushAssembly(target, { top, blobs, children }, tag);
  return { tag, content: top };
}

/** The files of a stage again, as a candidate: whatever is not signed of it, nobody believes. */
export async function candidateOfStage(target: Target, stage: ManifestContent): Promise<void> {
  await ofFiles((bytes) => bytes)(target, stage);
}

/** Tags of candidates and stages. */
export async function siblingsOf(target: Target): Promise<readonly Tag[]> {
  return (await target.listTags()).filter((tag) => tag.startsWith('_trust.'));
}

const edited = (bytes: Uint8Array, change: (text: string) => string): Uint8Array =>
  new Uint8Array(Buffer.from(change(Buffer.from(bytes).toString())));
const json = (bytes: Uint8Array): JsonObject => JSON.parse(Buffer.from(bytes).toString()) as JsonObject;
const reversed = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
};
const indented = (bytes: Uint8Array): Uint8Array =>
  edited(bytes, (text) => JSON.stringify(JSON.parse(text), null, 2));
const turned = (bytes: Uint8Array): Uint8Array =>
  edited(bytes, (text) => JSON.stringify(reversed(JSON.parse(text))));
/** Every letter "e" within a string as an escape. */
const escaped = (bytes: Uint8Array): Uint8Array =>
  edited(bytes, (text) => text.replace(/"(?:[^"\\]|\\.)*"/g, (string) => string.replaceAll('e', '\\u0065')));

/** One object in another spelling, that no key is needed for. */
export type Respell = (target: Target, content: ManifestContent) => Promise<ManifestContent>;

const ofManifest =
  (change: (bytes: Uint8Array) => Uint8Array): Respell =>
  async (target, { bytes, descriptor }) => {
    const other = change(bytes);
    const content = { bytes: other, descriptor: describeBytes(descriptor.mediaType, other) };
    await target.pushManifest(content, {
      tag: tagOf(`_trust.next.${content.descriptor.digest.slice(7, 19)}`),
    });
    return content;
  };

const ofFiles =
  (change: (bytes: Uint8Array, name: string) => Uint8Array): Respell =>
  async (target, content) => {
    const object = await openTrustObject(target, content);
    const files: Files = new Map();
    for (const [name, descriptor] of object.files)
      files.set(name, change(await fetchFile(target, descriptor, 1e7), name));
    const logs = [...object.logs].map(([role, descriptor]) => ({
      ...descriptor,
      annotations: { 'tuf.io/filename': `${role}.log.json` },
    }));
    const annotations = { [CANDIDATE_MARK]: 'true' };
    const scratch = tagOf('scratch');
    const made = await pushFiles(target, files, {
      annotations,
      layers: (layers) => [...layers, ...logs],
      tag: scratch,
    });
    await target.pushManifest(made, { tag: tagOf(`_trust.next.${made.descriptor.digest.slice(7, 19)}`) });
    return made;
  };

/** Spellings in which somebody without a key can push a candidate again. */
export const SPELLINGS: Readonly<Record<string, Respell>> = {
  'as it was': ofManifest((bytes) => bytes),
  'with white space': ofManifest(indented),
  'with keys in another order': ofManifest(turned),
  'with escaped letters': ofManifest(escaped),
  'with further annotations': ofManifest((bytes) => {
    const manifest = json(bytes);
    return new Uint8Array(
      Buffer.from(
        JSON.stringify({
          ...manifest,
          annotations: { ...(manifest['annotations'] as JsonObject), also: 'this' },
        }),
      ),
    );
  }),
  'with white space in every file': ofFiles(indented),
  'with keys in another order in every file': ofFiles(turned),
  'with escaped letters in every file': ofFiles(escaped),
  'with white space in the timestamp': ofFiles((bytes, name) =>
    name === 'timestamp.json' ? indented(bytes) : bytes,
  ),
  'with white space in names': ofFiles((bytes, name) =>
    name.endsWith('.names.json') ? indented(bytes) : bytes,
  ),
  'with further members beside what is signed': ofFiles((bytes) =>
    edited(bytes, (text) => JSON.stringify({ ...JSON.parse(text), also: 'this' })),
  ),
  'with signatures in their other spelling': ofFiles((bytes, name) =>
    name.endsWith('.root.json')
      ? bytes
      : malleated(bytes, name.replace(/^[0-9]+\./, '').replace(/\.json$/, '')),
  ),
  'wrapped in an index': async (target, content) => {
    const index = buildIndex({ manifests: [content.descriptor], annotations: { [CANDIDATE_MARK]: 'true' } });
    await target.pushManifest(index, { tag: tagOf(`_trust.next.${index.descriptor.digest.slice(7, 19)}`) });
    return index;
  },
};
