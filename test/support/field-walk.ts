import { type DerValue, derChildren, readDer } from '../../src/crypto/der.ts';
import { der } from '../../src/crypto/der-write.ts';
import { base64, base64url, fromBase64, fromBase64url } from '../../src/encoding/bytes.ts';

/** One way to change one field. */
export type Change = 'left out' | 'altered' | 'of another type' | 'twice';
export const CHANGES: readonly Change[] = ['left out', 'altered', 'of another type', 'twice'];

/** A document in which one field is another one. */
export interface Walked<T> {
  /** `header.x5c.0`, or places in DER: `0.1.2`. */
  readonly path: string;
  readonly change: Change;
  readonly made: T;
}

/** Plain data: JSON, or CBOR with its maps and byte strings. */
export type Data =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Data[]
  | { readonly [name: string]: Data }
  | ReadonlyMap<unknown, Data>;

/** Every field of a document, changed in every way that makes it another one. */
export function* walkData<T extends Data>(document: T, path: readonly string[] = []): Generator<Walked<T>> {
  for (const [name, value, replace] of fieldsOf(document)) {
    const here = [...path, name];
    const twice = Array.isArray(document) ? [value, value] : undefined;
    const made: readonly (readonly [Change, readonly Data[] | undefined])[] = [
      ['left out', []],
      ['altered', alteredData(value)],
      ['of another type', [typeof value === 'number' ? 'x' : 7]],
      ['twice', twice],
    ];
    for (const [change, values] of made)
      if (values !== undefined) yield { path: here.join('.'), change, made: replace(values) as T };
    for (const inner of walkData(value, here)) yield { ...inner, made: replace([inner.made]) as T };
  }
}

/** Name and value of each field, and the document with other values in its place: none, one, or in a list two. */
function fieldsOf(document: Data): (readonly [string, Data, (values: readonly Data[]) => Data])[] {
  if (Array.isArray(document))
    return document.map((value, at) => [`${at}`, value, (values) => document.toSpliced(at, 1, ...values)]);
  if (document instanceof Map) {
    return [...document].map(([name, value]) => [
      String(name),
      value,
      (values) =>
        new Map(
          [...document].flatMap(([key, old]) =>
            key === name ? values.map((one) => [key, one] as const) : [[key, old] as const],
          ),
        ),
    ]);
  }
  if (typeof document !== 'object' || document === null || document instanceof Uint8Array) return [];
  return Object.entries(document).map(([name, value]) => [
    name,
    value,
    (values) =>
      Object.fromEntries(
        Object.entries(document).flatMap(([key, old]) =>
          key === name ? values.map((one) => [key, one]) : [[key, old]],
        ),
      ),
  ]);
}

/** The same kind of value with other content; undefined where its fields are changed instead. */
function alteredData(value: Data): readonly Data[] | undefined {
  if (typeof value === 'number') return [value + 1];
  if (typeof value === 'boolean') return [!value];
  if (value instanceof Uint8Array) return [flipped(value)];
  if (typeof value !== 'string') return undefined;
  const bytes = value.length > 20 ? (fromBase64(value) ?? fromBase64url(value)) : undefined;
  if (bytes === undefined) return [`${value.slice(0, -1)}${value.endsWith('x') ? 'y' : 'x'}`];
  return [fromBase64(value) === undefined ? base64url(flipped(bytes)) : base64(flipped(bytes))];
}

function flipped(bytes: Uint8Array): Uint8Array {
  const at = bytes.byteLength >> 1;
  return bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
}

/** Every value of a DER structure, changed in every way; what is around it has the right length. */
export function* walkDer(bytes: Uint8Array, path: readonly number[] = []): Generator<Walked<Uint8Array>> {
  const value = readDer(bytes);
  const isConstructed = (value.tag & 0x20) !== 0;
  const children = isConstructed ? derChildren(value) : [];
  const around = (values: readonly Uint8Array[]): Uint8Array => der(value.tag, ...values);
  for (const [at, child] of children.entries()) {
    const others = (made: readonly Uint8Array[]): Uint8Array =>
      around(children.flatMap(({ raw }, index) => (index === at ? made : [raw])));
    const here = [...path, at];
    const name = here.join('.');
    yield { path: name, change: 'left out', made: others([]) };
    yield {
      path: name,
      change: 'of another type',
      made: others([der(child.tag === 0x05 ? 0x04 : child.tag ^ 0x01, child.content)]),
    };
    yield { path: name, change: 'twice', made: others([child.raw, child.raw]) };
    if ((child.tag & 0x20) === 0) {
      yield { path: name, change: 'altered', made: others([der(child.tag, alteredContent(child))]) };
      const inside = nested(child);
      if (inside !== undefined)
        for (const inner of walkDer(inside, here))
          yield { ...inner, made: others([der(child.tag, inner.made)]) };
    } else for (const inner of walkDer(child.raw, here)) yield { ...inner, made: others([inner.made]) };
  }
}

function alteredContent({ content }: DerValue): Uint8Array {
  return content.byteLength === 0 ? Uint8Array.of(1) : flipped(content);
}

/** DER in an OCTET STRING. */
function nested({ tag, content }: DerValue): Uint8Array | undefined {
  if (tag !== 0x04 || content.byteLength < 2 || (content[0] ?? 0) !== 0x30) return undefined;
  try {
    return readDer(content).raw;
  } catch {
    return undefined;
  }
}

/** Text of the changes of each field and their outcome: `altered signature-mismatch, left out content-invalid`. */
export function outcomesByPath(
  found: readonly (readonly [path: string, change: Change, outcome: string])[],
): Record<string, string> {
  const byPath = new Map<string, string[]>();
  for (const [path, change, outcome] of found)
    byPath.set(path, [...(byPath.get(path) ?? []), `${change}: ${outcome}`]);
  return Object.fromEntries([...byPath].map(([path, all]) => [path, all.join(', ')]));
}
