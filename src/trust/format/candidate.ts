import { canonicalRfc8785 } from '../../encoding/canonical.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../encoding/json.ts';
import { bareDescriptor, type Descriptor, describe } from '../../oci/descriptor.ts';
import { buildArtifact, MAX_MANIFEST_BYTES, type ManifestContent } from '../../oci/manifest.ts';
import type { Assembly } from './assemble.ts';
import { describeFolded } from './folded.ts';
import { CANDIDATE_MARK, FILE_TITLE, TRUST_LAYERS, TRUST_TYPES } from './vocabulary.ts';

/**
 * The candidate by which a head is announced (spec/trust.md, "Candidate"): the same with a mark, and with
 * the list of what was folded, which only those who publish have a use for.
 */
export function announceHead(head: Assembly, folded: Uint8Array | undefined): Assembly {
  if (folded === undefined) return { ...head, top: candidateOf(head.top) };
  const descriptor = describeFolded(folded);
  const carrier = isLarge(head.top) ? [carrierOf(descriptor)] : [];
  return {
    blobs: [...head.blobs, { descriptor, bytes: folded }],
    children: [...head.children, ...carrier],
    top: candidateOf(head.top, descriptor),
  };
}

/**
 * The manifest of the candidate that announced a head.
 * @param folded the list that its snapshot names
 */
export function candidateOf(head: ManifestContent, folded?: Descriptor): ManifestContent {
  const json = parse(head);
  const annotations = { ...(json['annotations'] as JsonObject | undefined), [CANDIDATE_MARK]: 'true' };
  if (folded === undefined) return compose(head, { ...json, annotations });
  if (!isLarge(head)) {
    const layer = { ...bare(folded), annotations: { [FILE_TITLE]: 'folded.json' } };
    return compose(head, { ...json, annotations, layers: [...listIn(json, 'layers'), layer] });
  }
  const entry = { ...bare(carrierOf(folded).descriptor), artifactType: TRUST_TYPES.folded };
  return compose(head, { ...json, annotations, manifests: [...listIn(json, 'manifests'), entry] });
}

/** The head that a candidate announces; undefined if it is not a candidate. @throws BullaError content-invalid */
export function headOf(candidate: ManifestContent): ManifestContent | undefined {
  const { annotations, ...rest } = parse(candidate);
  if (!isJsonObject(annotations) || annotations[CANDIDATE_MARK] === undefined) return undefined;
  const { [CANDIDATE_MARK]: _, ...others } = annotations;
  const without = (list: string, member: string, value: string) =>
    list in rest ? { [list]: listIn(rest, list).filter((one) => one[member] !== value) } : {};
  return compose(candidate, {
    ...rest,
    ...without('layers', 'mediaType', TRUST_LAYERS.folded),
    ...without('manifests', 'artifactType', TRUST_TYPES.folded),
    ...(Object.keys(others).length > 0 && { annotations: others }),
  });
}

/** An index can only list manifests: this one holds the list. */
function carrierOf(folded: Descriptor): ManifestContent {
  return buildArtifact({ artifactType: TRUST_TYPES.folded, layers: [bareDescriptor(folded)] });
}

function bare({ mediaType, digest, size }: Descriptor): JsonObject {
  return { mediaType, digest, size };
}

function isLarge({ bytes, descriptor }: ManifestContent): boolean {
  return 'manifests' in parse({ bytes, descriptor });
}

function listIn(json: JsonObject, name: string): readonly JsonObject[] {
  const list = json[name];
  return Array.isArray(list) ? list.filter((one) => isJsonObject(one)) : [];
}

function parse({ descriptor, bytes }: ManifestContent): JsonObject {
  return parseJsonObject(bytes, { what: descriptor.digest, maxBytes: MAX_MANIFEST_BYTES, floats: true });
}

function compose({ descriptor }: ManifestContent, json: JsonObject): ManifestContent {
  const bytes = canonicalRfc8785(json);
  return { descriptor: describe(descriptor.mediaType, bytes), bytes };
}
