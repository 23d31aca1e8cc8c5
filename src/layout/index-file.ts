import * as z from 'zod/mini';
import { utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { type Descriptor, descriptorSchema } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { MEDIA_TYPES } from '../oci/media-types.ts';
import { isTag, type Tag } from '../oci/reference.ts';
import { describeIssues, listOf } from '../oci/shape.ts';

/** Annotation that names an entry of index.json (image-spec, annotations.md): what a tag is in a registry. */
export const REF_NAME = 'org.opencontainers.image.ref.name';

/** Largest index.json that is read, in bytes. */
export const MAX_INDEX_BYTES: number = 32 * 1024 * 1024;

/** A parsed index.json. Entries keep all that other tools wrote into them. */
export interface LayoutIndex {
  readonly entries: readonly Descriptor[];
  /** Other fields of the file, kept as they are. */
  readonly rest: Readonly<Record<string, unknown>>;
}

export const EMPTY_INDEX: LayoutIndex = { entries: [], rest: {} };

const schema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.optional(z.literal(MEDIA_TYPES.ociIndex)),
  // Some tools write null for an empty list.
  manifests: z.nullable(listOf(descriptorSchema)),
});

/** @throws BullaError content-invalid */
export function parseLayoutIndex(bytes: Uint8Array, where: string): LayoutIndex {
  const json = parseJsonObject(bytes, { what: where, maxBytes: MAX_INDEX_BYTES, floats: true });
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    throw new BullaError(
      'content-invalid',
      `${where} is not the index of a layout: ${describeIssues(parsed.error)}`,
      { hint: 'the layout is damaged, or it is not an OCI image layout' },
    );
  }
  const { schemaVersion: _, mediaType: __, manifests, ...rest } = parsed.data;
  return { entries: manifests ?? [], rest };
}

/** Bytes of an index.json. */
export function encodeLayoutIndex(index: LayoutIndex): Uint8Array {
  const fields = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: index.entries,
    ...index.rest,
  };
  return utf8(`${JSON.stringify(fields)}\n`);
}

/** Annotation under which containerd and docker look for the whole name of an entry of index.json. */
export const IMAGE_NAME = 'io.containerd.image.name';

/** The name of an entry, a tag or not. */
export function nameOfEntry(entry: Descriptor): string | undefined {
  return entry.annotations?.[REF_NAME];
}

/** Every name in the index that can be a tag, once. */
export function tagsIn(index: LayoutIndex): readonly Tag[] {
  const tags = new Set<Tag>();
  for (const entry of index.entries) {
    const name = nameOfEntry(entry);
    if (name !== undefined && isTag(name)) tags.add(name);
  }
  return [...tags];
}

/**
 * The entry that a tag names.
 * @throws BullaError content-invalid where it names two different things
 */
export function findTag(index: LayoutIndex, tag: string, where: string): Descriptor | undefined {
  const found = index.entries.filter((entry) => nameOfEntry(entry) === tag);
  const [first] = found;
  if (found.some((entry) => entry.digest !== first?.digest)) {
    throw new BullaError(
      'content-invalid',
      `${where}: ${tag} names ${found.length} different manifests: ${found.map((e) => e.digest).join(', ')}`,
      { hint: 'say which one by its digest, or have the layout written again' },
    );
  }
  return first;
}

/**
 * What a person may call an entry: its name, be it a tag or not, and the whole name that containerd, docker and
 * `docker save` give it.
 */
function namesOf(entry: Descriptor): readonly string[] {
  return [nameOfEntry(entry), entry.annotations?.[IMAGE_NAME]].filter(
    (name) => name !== undefined && name !== '',
  ) as string[];
}

/**
 * Digests of the entries of a name, in the spellings that people type: as it is, or with the tag that docker
 * leaves out.
 */
export function digestsNamed(index: LayoutIndex, name: string): ReadonlySet<Digest> {
  const named = (wanted: string): ReadonlySet<Digest> =>
    new Set(index.entries.filter((entry) => namesOf(entry).includes(wanted)).map(({ digest }) => digest));
  const exact = named(name);
  return exact.size > 0 || /[:@][^/]*$/.test(name) ? exact : named(`${name}:latest`);
}

/** Names by which exactly one thing is found, the shortest for each entry; its digest where it has none. */
export function callableNames(
  index: LayoutIndex,
): readonly { readonly name: string; readonly digest: Digest }[] {
  const called = new Map<string, Digest>();
  for (const entry of index.entries) {
    const name = namesOf(entry).find((one) => digestsNamed(index, one).size === 1) ?? entry.digest;
    called.set(name, entry.digest);
  }
  return [...called].map(([name, digest]) => ({ name, digest }));
}

/** What `cosign save` calls an entry of index.json; it gives none a name. */
const COSIGN_KIND = 'kind';
const COSIGN_KINDS: ReadonlyMap<string, string> = new Map([
  ['sig', 'dev.cosignproject.cosign/sigs'],
  ['att', 'dev.cosignproject.cosign/atts'],
]);

/** Whether an entry is what `cosign save` keeps beside the image. */
export function isSavedBeside(entry: Descriptor): boolean {
  return [...COSIGN_KINDS.values()].includes(entry.annotations?.[COSIGN_KIND] ?? '');
}

/**
 * The entry that `cosign save` wrote for one of cosign's tags, where it saved the image whose tag that is.
 * @param tag `sha256-<hex>.sig` or `.att`
 */
export function findSaved(index: LayoutIndex, tag: string): Descriptor | undefined {
  const [, hex, suffix = ''] = /^sha256-([0-9a-f]{64})\.(sig|att)$/.exec(tag) ?? [];
  const kind = COSIGN_KINDS.get(suffix);
  const images = index.entries.filter(({ annotations }) =>
    /^dev\.cosignproject\.cosign\/image(?:Index)?$/.test(annotations?.[COSIGN_KIND] ?? ''),
  );
  const saved = index.entries.filter(({ annotations }) => annotations?.[COSIGN_KIND] === kind);
  const isIts = kind !== undefined && images.length === 1 && images[0]?.digest === `sha256:${hex}`;
  return isIts && saved.length === 1 ? saved[0] : undefined;
}

/**
 * The index with `manifest` in it under `tag`, or without a name. What the tag named before stays,
 * without a name, as it does in a registry.
 */
export function withEntry(index: LayoutIndex, manifest: Descriptor, tag?: Tag): LayoutIndex {
  const isListed = (digest: Digest, entries: readonly Descriptor[]): boolean =>
    entries.some((entry) => entry.digest === digest);
  if (tag === undefined) {
    if (isListed(manifest.digest, index.entries)) return index;
    return { ...index, entries: [...index.entries, bare(manifest)] };
  }
  if (findsAlready(index, manifest, tag)) return index;
  const untagged = withoutTag(index, tag).entries.filter(
    (entry) => entry.digest !== manifest.digest || nameOfEntry(entry) !== undefined,
  );
  const entry = { ...bare(manifest), annotations: { ...manifest.annotations, [REF_NAME]: tag } };
  return { ...index, entries: [...untagged, entry] };
}

function findsAlready(index: LayoutIndex, manifest: Descriptor, tag: Tag): boolean {
  const named = index.entries.filter((entry) => nameOfEntry(entry) === tag);
  return named.length === 1 && named[0]?.digest === manifest.digest;
}

function bare(descriptor: Descriptor): Descriptor {
  const { mediaType, digest, size } = descriptor;
  return { mediaType, digest, size };
}

/** The index without a tag; what it named stays, without a name where it has no other. */
export function withoutTag(index: LayoutIndex, tag: string): LayoutIndex {
  const entries: Descriptor[] = [];
  for (const entry of index.entries) {
    if (nameOfEntry(entry) !== tag) entries.push(entry);
    else if (!index.entries.some((other) => other.digest === entry.digest && nameOfEntry(other) !== tag)) {
      entries.push(withoutName(entry));
    }
  }
  return { ...index, entries };
}

function withoutName(entry: Descriptor): Descriptor {
  const { annotations, ...rest } = entry;
  const others = Object.entries(annotations ?? {}).filter(([key]) => key !== REF_NAME);
  return others.length === 0 ? rest : { ...rest, annotations: Object.fromEntries(others) };
}

/** The index without every entry, named or not, of these digests. */
export function withoutDigests(index: LayoutIndex, digests: ReadonlySet<Digest>): LayoutIndex {
  return { ...index, entries: index.entries.filter((entry) => !digests.has(entry.digest)) };
}

/** The index without the nameless entries of these digests: those that an index lists already. */
export function withoutNameless(index: LayoutIndex, digests: ReadonlySet<Digest>): LayoutIndex {
  const stays = (entry: Descriptor): boolean =>
    nameOfEntry(entry) !== undefined || !digests.has(entry.digest);
  return index.entries.every(stays) ? index : { ...index, entries: index.entries.filter(stays) };
}
