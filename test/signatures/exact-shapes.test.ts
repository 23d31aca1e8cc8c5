import { describe, expect, it } from 'vitest';
import { base64, utf8 } from '../../src/encoding/bytes.ts';
import { isBullaError } from '../../src/errors.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import { readLegacySignature } from '../../src/signatures/cosign-legacy.ts';
import { SIGNATURE_ANNOTATIONS, SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import { readNotationPayload } from '../../src/signatures/notation-payload.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const IMAGE = { 'docker-manifest-digest': DIGEST };
const CRITICAL = {
  identity: { 'docker-reference': 'registry.example.com/team/app' },
  image: IMAGE,
  type: 'cosign container image signature',
};
/** What a role of a trust collection signs, but for what is strange in it. */
const TUF = {
  _type: 'targets',
  spec_version: '1.0.34',
  version: 1,
  expires: '2030-01-01T00:00:00Z',
  targets: {},
};

function codeOf(read: () => unknown): string {
  try {
    read();
    return 'read';
  } catch (error) {
    return isBullaError(error) ? error.code : String(error);
  }
}

function legacy(payload: string | object): () => unknown {
  const bytes = utf8(typeof payload === 'string' ? payload : JSON.stringify(payload));
  const layer = describeBytes(SIGNATURE_TYPES.simpleSigning, bytes, {
    annotations: { [SIGNATURE_ANNOTATIONS.legacySignature]: base64(utf8('any')) },
  });
  return () => readLegacySignature(layer, bytes, 'a signature').claims();
}

describe('the payload of a cosign .sig signature', () => {
  it.each<[string, string | object]>([
    ['as cosign writes it', { critical: CRITICAL, optional: null }],
    ['with annotations', { critical: CRITICAL, optional: { build: '17' } }],
    [
      'as podman writes it',
      { critical: CRITICAL, optional: { creator: 'containers/image 5.36', timestamp: 1796083200 } },
    ],
    ['without what is optional', { critical: CRITICAL }],
    ['for no reference', { critical: { ...CRITICAL, identity: { 'docker-reference': '' } }, optional: {} }],
  ])('is read %s', (_, payload) => {
    expect(codeOf(legacy(payload))).toBe('read');
  });

  it.each<[string, string | object]>([
    ['a file of TUF with a member called critical', { ...TUF, critical: CRITICAL }],
    ['a file of TUF with both members', { ...TUF, critical: CRITICAL, optional: {} }],
    ['a binding of a collection', { critical: CRITICAL, optional: null, bulla: { role: 'names' } }],
    ['the same member in capitals', { Critical: CRITICAL, optional: null }],
    ['a second spelling of the member', { critical: CRITICAL, Optional: {} }],
    ['a member without a name', { critical: CRITICAL, optional: null, '': 0 }],
    ['__proto__', `{"critical":${JSON.stringify(CRITICAL)},"__proto__":{"optional":null}}`],
    ['another member of critical', { critical: { ...CRITICAL, version: 1 }, optional: null }],
    ['no identity', { critical: { image: IMAGE, type: CRITICAL.type }, optional: null }],
    ['an identity that is text', { critical: { ...CRITICAL, identity: 'app' }, optional: null }],
    ['an identity of another kind', { critical: { ...CRITICAL, identity: { uri: 'app' } }, optional: null }],
    [
      'an identity with more',
      { critical: { ...CRITICAL, identity: { ...CRITICAL.identity, tag: 'v1' } }, optional: null },
    ],
    [
      'an image with more',
      { critical: { ...CRITICAL, image: { ...IMAGE, expires: 'never' } }, optional: null },
    ],
    ['an image in a list', { critical: { ...CRITICAL, image: [IMAGE] }, optional: null }],
    ['no image', { critical: { ...CRITICAL, image: {} }, optional: null }],
    ['another type', { critical: { ...CRITICAL, type: 'atomic container signature' }, optional: null }],
    ['no type', { critical: { identity: CRITICAL.identity, image: IMAGE }, optional: null }],
    ['critical in a list', { critical: [CRITICAL], optional: null }],
    ['optional members in a list', { critical: CRITICAL, optional: [{ a: 'b' }] }],
    ['optional members that are text', { critical: CRITICAL, optional: 'a=b' }],
    ['a list of documents', [{ critical: CRITICAL, optional: null }]],
    ['an in-toto statement', { _type: 'https://in-toto.io/Statement/v1', subject: [], critical: CRITICAL }],
    ['a payload of Notation', { targetArtifact: { digest: DIGEST }, critical: CRITICAL }],
  ])('is refused with %s', (_, payload) => {
    expect(codeOf(legacy(payload))).toBe('content-invalid');
  });
});

describe('the payload of a Notation signature', () => {
  const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: DIGEST, size: 7 };
  const notation = (payload: object) => () =>
    readNotationPayload(
      utf8(JSON.stringify(payload)),
      {
        contentType: SIGNATURE_TYPES.notationPayload,
        scheme: undefined,
        critical: [],
        names: new Set(),
        signingTime: undefined,
        expiry: undefined,
      },
      'a signature',
    );

  it.each<[string, object]>([
    ['as notation writes it', { targetArtifact: target }],
    ['with annotations', { targetArtifact: { ...target, annotations: { build: '17' } } }],
    ['with the type of an artifact', { targetArtifact: { ...target, artifactType: 'application/x' } }],
  ])('is read %s', (_, payload) => {
    expect(codeOf(notation(payload))).toBe('read');
  });

  it.each<[string, object]>([
    ['a file of TUF around it', { ...TUF, targetArtifact: target }],
    ['critical members of cosign', { critical: CRITICAL, targetArtifact: target }],
    ['a second target', { targetArtifact: target, TargetArtifact: target }],
    ['data in the descriptor', { targetArtifact: { ...target, data: 'AAAA' } }],
    ['URLs in the descriptor', { targetArtifact: { ...target, urls: ['https://example.com'] } }],
    ['a second digest', { targetArtifact: { ...target, Digest: DIGEST } }],
    ['a list of targets', { targetArtifact: [target] }],
  ])('is refused with %s', (_, payload) => {
    expect(codeOf(notation(payload))).toBe('content-invalid');
  });
});
