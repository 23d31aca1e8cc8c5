import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { encode as encodeCbor } from 'cborg';
import { openEvidence } from '../../../src/actions/import-notary/evidence.ts';
import { parseConfigFile } from '../../../src/cli/shell/config-schema.ts';
import { parseCertificate, parseCertificates } from '../../../src/crypto/certificate.ts';
import {
  checkSignatureAlgorithm,
  checkSigningChain,
  checkValidAt,
} from '../../../src/crypto/certificate-profile.ts';
import { readDer } from '../../../src/crypto/der.ts';
import { parseIdentity } from '../../../src/crypto/identity.ts';
import { parseName } from '../../../src/crypto/name.ts';
import { parsePem } from '../../../src/crypto/pem.ts';
import { parsePrivateKey } from '../../../src/crypto/private-key.ts';
import { parsePublicKeyPem, parsePublicKeysPem, publicKeyFromSpki } from '../../../src/crypto/public-key.ts';
import { ecdsaFromDer } from '../../../src/crypto/signature.ts';
import { parseSealedKey } from '../../../src/crypto/sigstore-key.ts';
import { fromBase64, fromBase64url, fromHex, utf8 } from '../../../src/encoding/bytes.ts';
import { canonicalOlpc, canonicalRfc8785 } from '../../../src/encoding/canonical.ts';
import { parseJson, parseJsonObject } from '../../../src/encoding/json.ts';
import { parseDuration, parseTime } from '../../../src/encoding/time.ts';
import { isBullaError, shown } from '../../../src/errors.ts';
import { quoted, redactHeader, redactUrl } from '../../../src/http/redact.ts';
import { parseRetryAfter } from '../../../src/http/retry.ts';
import { placeInMemory } from '../../../src/layout/byte-source.ts';
import { parseDockerManifest } from '../../../src/layout/docker-archive.ts';
import { parseLayoutIndex } from '../../../src/layout/index-file.ts';
import { indexTar, placeOf } from '../../../src/layout/tar-index.ts';
import { compactJson, parseNotaryTargets } from '../../../src/notary/content.ts';
import { parseNotaryFile } from '../../../src/notary/file.ts';
import { parseNotaryKey } from '../../../src/notary/keys.ts';
import { readRoot } from '../../../src/notary/root-chain.ts';
import { describe as describeBytes } from '../../../src/oci/descriptor.ts';
import { parseDigest } from '../../../src/oci/digest.ts';
import { canonicalHost, splitHost } from '../../../src/oci/host.ts';
import { parseManifest } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-types.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { placeNamed } from '../../../src/oci/place.ts';
import { parsePlatform } from '../../../src/oci/platform.ts';
import { parseReference, type Tag } from '../../../src/oci/reference.ts';
import { parseReferrersIndex } from '../../../src/oci/referrers.ts';
import { parseCondition } from '../../../src/policy/conditions.ts';
import { parseChallenges } from '../../../src/registry/challenge.ts';
import { nextLink } from '../../../src/registry/link.ts';
import { listPages } from '../../../src/registry/pages.ts';
import { parseToken } from '../../../src/registry/token.ts';
import { parseWarning } from '../../../src/registry/warnings.ts';
import { parseCbor } from '../../../src/signatures/cbor.ts';
import { readLegacyAttestation, readLegacySignature } from '../../../src/signatures/cosign-legacy.ts';
import { readNotationCose } from '../../../src/signatures/notation-cose.ts';
import { readNotationJws } from '../../../src/signatures/notation-jws.ts';
import { checkPredicate } from '../../../src/signatures/predicates.ts';
import { readBundle } from '../../../src/signatures/sigstore-bundle.ts';
import { readStatement } from '../../../src/signatures/statement.ts';
import { PUBLIC_GOOD_ROOT } from '../../../src/sigstore/public-good-root.ts';
import { PUBLIC_GOOD_SIGNING_CONFIG } from '../../../src/sigstore/public-good-signing-config.ts';
import { issuedCertificate, logEntry1, logEntry2 } from '../../../src/sigstore/service-messages.ts';
import { parseSigningConfig } from '../../../src/sigstore/signing-config.ts';
import { parseTimeStamp } from '../../../src/sigstore/time-stamp.ts';
import { parseTrustedRoot } from '../../../src/sigstore/trusted-root.ts';
import { readPins } from '../../../src/state/pins.ts';
import { encodeChangeFile, parseChangeFile } from '../../../src/trust/approve/change-file.ts';
import { PendingChange } from '../../../src/trust/approve/pending-change.ts';
import { describeChange } from '../../../src/trust/change/describe-change.ts';
import { planFold } from '../../../src/trust/change/fold.ts';
import { type CollectionId, rootBindingOf } from '../../../src/trust/format/binding.ts';
import { namesIn } from '../../../src/trust/format/bins.ts';
import {
  encodeFolded,
  foldedDescriptorOf,
  MAX_FOLDED,
  parseFolded,
} from '../../../src/trust/format/folded.ts';
import { encodeLog, logDescriptorOf, parseLog } from '../../../src/trust/format/log.ts';
import { openTrustObject } from '../../../src/trust/format/object.ts';
import { assertSignableFile } from '../../../src/trust/format/signable.ts';
import { kindOfTag, objectOfTag, TRUST_TYPES, tagOfObject } from '../../../src/trust/format/vocabulary.ts';
import { encodeRecord, parseRecord } from '../../../src/trust/publish/signer-record.ts';
import { certificatesOf } from '../../../src/trust/read/certified-root.ts';
import { rootsOf } from '../../../src/trust/read/root-chain.ts';
import { readRepositoryFiles } from '../../../src/tuf/edit/repository.ts';
import { TufKey } from '../../../src/tuf/keys.ts';
import { parseMetadataFile } from '../../../src/tuf/metadata-file.ts';
import { matchesPathPattern } from '../../../src/tuf/path-pattern.ts';
import { assertRelativePath, decodeRoleName } from '../../../src/tuf/role-name.ts';
import { parseRoot, topLevelKeys } from '../../../src/tuf/root.ts';
import { parseSnapshot, parseTimestamp } from '../../../src/tuf/snapshot.ts';
import { parseTargets } from '../../../src/tuf/targets.ts';
import { countSignatures } from '../../../src/tuf/threshold.ts';

/** Something that reads what strangers wrote. It may only return, or throw a BullaError. */
export interface FuzzedParser {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  readonly parse: (bytes: Uint8Array) => unknown;
}

const testdata = new URL('../../../testdata', import.meta.url).pathname;
const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');
const where = 'input';

/** Files below testdata; the largest are no use as seeds. */
function filesIn(folder: string, wanted: RegExp = /./): readonly Uint8Array[] {
  return readdirSync(join(testdata, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && wanted.test(entry.name))
    .map((entry) => new Uint8Array(readFileSync(join(entry.parentPath, entry.name))))
    .filter((bytes) => bytes.byteLength > 0 && bytes.byteLength < 20_000);
}

const words = (...list: string[]) => list.map(utf8);
const keys = filesIn('keys', /\.(key|pem|pub)$/);
const documents = [...filesIn('demo-image'), ...filesIn('signatures')];
const tufFiles = [...filesIn('tuf', /\.json$/), ...filesIn('notary-v1', /\.json$/)];
const certificates = [...filesIn('certificates', /\.crt$/), ...filesIn('signatures', /\.crt$/)];
const ders = [...certificates, ...keys].flatMap((pem) => {
  const block = /-----BEGIN [^-]+-----\s([A-Za-z0-9+/=\s]+)-----END/.exec(text(pem))?.[1];
  return block === undefined ? [] : [new Uint8Array(Buffer.from(block, 'base64'))];
});
const DIGEST = `sha256:${'a'.repeat(64)}`;
const cose = encodeCbor([
  encodeCbor(
    new Map<number | string, unknown>([
      [1, -7],
      [2, ['x']],
      [3, 'application/vnd.cncf.notary.payload.v1+json'],
    ]),
  ),
  new Map([[33, ders.slice(0, 1)]]),
  utf8('{"targetArtifact":{}}'),
  new Uint8Array(64),
]);

const tuf = (name: string, read: (bytes: Uint8Array) => unknown): FuzzedParser => ({
  name,
  seeds: tufFiles,
  parse: read,
});
const json = (bytes: Uint8Array) => parseJsonObject(bytes, { what: where });

/** A tar header with the checksum that belongs to it, and content. */
function tarFile(name: string, content: string, type = '0'): Uint8Array {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\x000000000\x000000000\x00', 100, 'latin1');
  header.write(`${content.length.toString(8).padStart(11, '0')}\x0000000000000\x00`, 124, 'latin1');
  header.write(`        ${type}`, 148);
  header.write('ustar\x0000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\x00 `, 148, 'latin1');
  return new Uint8Array(
    Buffer.concat([header, Buffer.from(content), Buffer.alloc((512 - (content.length % 512)) % 512)]),
  );
}
const END = new Uint8Array(1024);
const tar = (...files: Uint8Array[]) => new Uint8Array(Buffer.concat([...files, END]));
const pax = (record: string) => tarFile('PaxHeader', `${record.length + 3} ${record}\n`, 'x');

const trustObject = (artifactType: string) =>
  `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociManifest}","artifactType":"${artifactType}","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"${DIGEST}","size":2},"layers":[{"mediaType":"application/vnd.tuf.metadata+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30=","annotations":{"tuf.io/filename":"1.root.json"}},{"mediaType":"application/vnd.bulla.trust.log.v1+json","digest":"${DIGEST}","size":2,"annotations":{"tuf.io/filename":"names.log.json"}}]}`;
const TRUST_ROOT = `{"signatures":[],"signed":{"_type":"root","version":2,"bulla":{"collection":"a.example/x","root":"${'a'.repeat(64)}","certificates":{"a":[${ders
  .slice(0, 2)
  .map((der) => `"${Buffer.from(der).toString('base64')}"`)
  .join(',')}]}}}`;

const ID = 'a'.repeat(64) as CollectionId;
/** Files that delegate and name, in their canonical form: what changes between them must be told. */
const CHANGED = tufFiles.filter((bytes) => /"_type":\s?"targets"/.test(latin1(bytes))).slice(0, 6);
const PART = (name: string, bytes: Uint8Array) =>
  `{"name":"${name}","content":"${Buffer.from(bytes).toString('base64')}"}`;
const CHANGE_FILE = `{"format":"application/vnd.bulla.trust.change.v1+json","collection":"a.example/x","place":"a.example/x","id":"${ID}","made":"2030-01-01T00:00:00Z","summary":["names 1"],"base":[${PART('1.root.json', utf8(TRUST_ROOT))}],"files":[${CHANGED.slice(0, 1).map((bytes) => PART('targets', bytes))}],"logs":[]}`;

/** Every parser of outside data. A room that gets one adds it here. */
export const PARSERS: readonly FuzzedParser[] = [
  {
    name: 'json',
    seeds: [...documents, ...tufFiles, ...words('[1,-2.5e3,"\\ud83d\\ude00",{"a":[null,true]}]')],
    parse: (bytes) => {
      const value = parseJson(bytes, { what: where, floats: true });
      const again = parseJson(canonicalRfc8785(value), { what: where, floats: true });
      if (Buffer.compare(canonicalRfc8785(again), canonicalRfc8785(value)) !== 0)
        throw new Error('the canonical form is read as something else');
    },
  },
  {
    name: 'signable',
    seeds: [...tufFiles, utf8(TRUST_ROOT)],
    parse: (bytes) => {
      for (const role of ['root', 'targets', 'names', '-0', 'snapshot', 'timestamp']) {
        const file = parseMetadataFile(bytes, role, 1_000_000);
        try {
          assertSignableFile(file);
        } catch (error) {
          if (!isBullaError(error, 'trust-invalid')) throw error;
        }
      }
    },
  },
  {
    name: 'describe-change',
    seeds: [...tufFiles, utf8(TRUST_ROOT)],
    parse: (bytes) => {
      const type = /"_type":\s?"(root|snapshot|timestamp)"/.exec(latin1(bytes))?.[1] ?? 'names';
      const file = parseMetadataFile(bytes, type, 1_000_000);
      const lines = [...describeChange(undefined, file), ...describeChange(file, file)];
      if (lines.some((line) => /[^\x20-\x7e→]/.test(line)))
        throw new Error('a line holds more than plain text');
    },
  },
  { name: 'json-olpc', seeds: tufFiles, parse: (bytes) => canonicalOlpc(parseJson(bytes, { what: where })) },
  {
    name: 'encodings',
    seeds: words('2026-01-31T12:00:00.5+01:00', '1h30m', 'YWJj', 'deadbeef', '120'),
    parse: (bytes) =>
      [parseTime, parseDuration, fromBase64, fromBase64url, fromHex].map((read) => read(latin1(bytes))),
  },
  tuf('tuf-root', (bytes) => {
    const file = parseMetadataFile(bytes, 'root', 1_000_000);
    const root = parseRoot(file);
    return countSignatures(file, root.keys, topLevelKeys(root, 'root'));
  }),
  tuf('tuf-timestamp', (bytes) => parseTimestamp(parseMetadataFile(bytes, 'timestamp', 1_000_000))),
  tuf('tuf-snapshot', (bytes) => parseSnapshot(parseMetadataFile(bytes, 'snapshot', 1_000_000))),
  tuf('tuf-targets', (bytes) => parseTargets(parseMetadataFile(bytes, 'names', 1_000_000))),
  tuf('tuf-repository', (bytes) =>
    readRepositoryFiles(
      new Map(['1.root.json', '2.names.json', 'timestamp.json'].map((name) => [name, bytes])),
    ),
  ),
  {
    name: 'tuf-key',
    seeds: words(
      '{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"4e10fe156f07e6f6e1f6fb1579105b7d3e62790b6a62dbf7727b91f82d2bc9db"}}',
      '{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\\n-----END PUBLIC KEY-----\\n"}}',
    ),
    parse: (bytes) => [new TufKey('id', json(bytes)).problem, parseNotaryKey('id', json(bytes))],
  },
  {
    name: 'notary-metadata',
    seeds: words(
      '{"signed":{"_type":"Targets","version":1,"expires":"2029-11-19T23:51:18.682Z","targets":{"v1":{"length":1,"hashes":{"sha256":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}},"delegations":{"keys":{},"roles":[{"name":"targets/a","keyids":[],"threshold":1,"paths":[""]}]}},"signatures":[{"keyid":"a","method":"ecdsa","sig":"AAAA"}]}',
    ),
    parse: (bytes) => [compactJson(bytes), parseNotaryTargets(parseNotaryFile(bytes, 'targets', 1 << 20))],
  },
  {
    name: 'tuf-names',
    seeds: words('a%2Fb', '*/v?.*\nx/v1.2', 'dir/sub/file', 'a*b*c*d*e*f*\naaaaaaaaaaaaaaaaaaaaaaaa'),
    parse: (bytes) => {
      const [a = '', b = ''] = text(bytes).slice(0, 4096).split('\n');
      matchesPathPattern(a, b);
      decodeRoleName(a);
      assertRelativePath(a);
    },
  },
  {
    name: 'manifest',
    seeds: documents,
    parse: (bytes) =>
      parseManifest({ bytes, descriptor: describeBytes(json(bytes)['mediaType'] as string, bytes) }),
  },
  { name: 'referrers', seeds: documents, parse: (bytes) => parseReferrersIndex(bytes, where) },
  { name: 'layout-index', seeds: documents, parse: (bytes) => parseLayoutIndex(bytes, where) },
  {
    name: 'docker-manifest',
    seeds: words(`[{"Config":"${'a'.repeat(64)}.json","RepoTags":["app:v1"],"Layers":["b/layer.tar"]}]`),
    parse: (bytes) => parseDockerManifest(bytes, where),
  },
  {
    name: 'tar',
    seeds: [
      tar(tarFile('oci-layout', '{"imageLayoutVersion":"1.0.0"}'), tarFile('index.json', '{}')),
      tar(pax('path=blobs/sha256/x'), tarFile('y', 'z'), tarFile('link', '', '2')),
      tar(tarFile('././@LongLink', `${'a/'.repeat(90)}b`, 'L'), tarFile('short', 'z')),
    ],
    parse: async (bytes) => {
      const index = await indexTar(placeInMemory(bytes).source, where);
      for (const name of [...index.files.keys(), ...index.links.keys()]) placeOf(index, name);
    },
  },
  ...(['reference', 'digest', 'platform', 'identity', 'distinguished-name'] as const).map((name) => ({
    name,
    seeds: words(
      `registry.example.com:5000/team/app:v1@${DIGEST}`,
      'oci:build/image:v1',
      'docker://alpine',
      DIGEST,
      'linux/arm64/v8',
      'x509.subject: C=US, ST=WA, O="a, b", CN=x\\+y',
    ),
    parse: (bytes: Uint8Array) =>
      ({
        reference: parseReference,
        digest: parseDigest,
        platform: parsePlatform,
        identity: parseIdentity,
        'distinguished-name': parseName,
        // A person types these, or a document holds them in a line.
      })[name](text(bytes).slice(0, 1000)),
  })),
  { name: 'notation-jws', seeds: documents, parse: (bytes) => readNotationJws(bytes, where).claims() },
  {
    name: 'notation-cose',
    seeds: [...documents, cose],
    parse: (bytes) => readNotationCose(bytes, where).claims(),
  },
  {
    name: 'cbor',
    seeds: [cose, encodeCbor({ a: [1, -1, null, new Uint8Array(3)] })],
    parse: (bytes) => parseCbor(bytes, where),
  },
  { name: 'sigstore-bundle', seeds: documents, parse: (bytes) => readBundle(bytes, where).claims() },
  {
    name: 'cosign-attestation',
    seeds: [
      ...documents,
      ...words(
        '{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AAAA"}]}',
        '{"SignedEntryTimestamp":"AAAA","Payload":{"body":"e30=","integratedTime":1,"logIndex":1,"logID":"aa"}}',
      ),
    ],
    parse: (bytes) => {
      const annotations = {
        'dev.sigstore.cosign/certificate': latin1(bytes),
        'dev.sigstore.cosign/bundle': latin1(bytes),
        'dev.sigstore.cosign/rfc3161timestamp': latin1(bytes),
      };
      const layer = describeBytes('application/vnd.dsse.envelope.v1+json', bytes, { annotations });
      for (const described of [layer, { ...layer, annotations: {} }])
        readLegacyAttestation(described, bytes, where).claims();
    },
  },
  {
    name: 'signing-config',
    seeds: words(PUBLIC_GOOD_SIGNING_CONFIG),
    parse: (bytes) => parseSigningConfig(bytes, new Date('2026-06-01T00:00:00Z'), where),
  },
  { name: 'trusted-root', seeds: words(PUBLIC_GOOD_ROOT), parse: (bytes) => parseTrustedRoot(bytes, where) },
  ...(['fulcio-answer', 'rekor1-answer', 'rekor2-answer'] as const).map((name) => ({
    name,
    seeds: words(
      '{"signedCertificateEmbeddedSct":{"chain":{"certificates":["-----BEGIN CERTIFICATE-----\\n"]}}}',
      '{"u":{"body":"e30=","integratedTime":1,"logID":"aa","logIndex":1,"verification":{"inclusionProof":{"checkpoint":"x","hashes":["aa"],"logIndex":1,"rootHash":"aa","treeSize":2},"signedEntryTimestamp":"AA=="}}}',
      '{"logIndex":"1","logId":{"keyId":"AA=="},"kindVersion":{"kind":"hashedrekord","version":"0.0.2"},"canonicalizedBody":"e30="}',
    ),
    parse: (bytes: Uint8Array) =>
      ({ 'fulcio-answer': issuedCertificate, 'rekor1-answer': logEntry1, 'rekor2-answer': logEntry2 })[name](
        bytes,
        where,
      ),
  })),
  {
    name: 'time-stamp',
    seeds: words('0\u0003\u0002\u0001\u0000'),
    parse: (bytes) => parseTimeStamp(bytes, where),
  },
  {
    name: 'predicate',
    seeds: words('{"bomFormat":"CycloneDX","specVersion":"1.6"}', '{"_type":"x","predicateType":"y"}'),
    parse: (bytes) => checkPredicate('https://cyclonedx.org/bom', bytes, where),
  },
  {
    name: 'condition',
    seeds: words('a.b[0].c[*]["d.e"]', '$.a', 'a..b', 'a["\\u00"]'),
    parse: (bytes) =>
      parseCondition({ path: text(bytes).slice(0, 1000), exists: true }).unmet({}, new Date(0)),
  },
  {
    name: 'statement',
    seeds: [
      ...documents,
      ...words(
        `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"${'a'.repeat(64)}"}}],"predicateType":"x","predicate":{}}`,
      ),
    ],
    parse: (bytes) => readStatement(bytes, where),
  },
  {
    name: 'cosign-legacy',
    seeds: [
      ...documents,
      ...words(
        `{"critical":{"identity":{"docker-reference":"x"},"image":{"docker-manifest-digest":"${DIGEST}"},"type":"cosign container image signature"},"optional":null}`,
      ),
    ],
    parse: (bytes) => {
      const annotations = { 'dev.cosignproject.cosign/signature': latin1(bytes).slice(0, 100) };
      const layer = describeBytes('application/vnd.dev.cosign.simplesigning.v1+json', bytes, { annotations });
      return readLegacySignature(layer, bytes, where).claims();
    },
  },
  {
    name: 'private-key',
    seeds: keys,
    parse: async (bytes) => {
      const file = parsePrivateKey(bytes, where);
      // Those with a passphrase are slow on purpose.
      if (!file.encrypted) await file.unlock();
    },
  },
  {
    name: 'sealed-key',
    seeds: [
      ...keys,
      ...words(
        '{"kdf":{"name":"scrypt","params":{"N":32768,"r":8,"p":1},"salt":"AAAA"},"cipher":{"name":"nacl/secretbox","nonce":"AAAA"},"ciphertext":"AAAA"}',
      ),
    ],
    parse: (bytes) => parseSealedKey(bytes, where),
  },
  { name: 'public-key', seeds: keys, parse: (bytes) => parsePublicKeyPem(latin1(bytes), where) },
  { name: 'public-keys', seeds: keys, parse: (bytes) => parsePublicKeysPem(latin1(bytes), where) },
  { name: 'spki', seeds: ders, parse: (bytes) => publicKeyFromSpki(bytes, where) },
  {
    name: 'pem',
    seeds: [...keys, ...certificates],
    parse: (bytes) => parsePem(latin1(bytes), { where, code: 'key-invalid' }),
  },
  { name: 'der', seeds: ders, parse: (bytes) => [readDer(bytes), ecdsaFromDer(bytes, 32)] },
  { name: 'certificate', seeds: ders, parse: (bytes) => parseCertificate(bytes, where) },
  { name: 'certificates', seeds: certificates, parse: (bytes) => parseCertificates(latin1(bytes), where) },
  {
    name: 'registry-headers',
    seeds: words(
      'Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull"',
      'Basic realm="x", Negotiate, Bearer realm="\\"y"',
      '</v2/_catalog?last=a&n=2>; rel="next", <x>; rel=prev',
      '299 - "deprecated"',
      'Wed, 21 Oct 2026 07:28:00 GMT',
    ),
    parse: (bytes) => {
      const header = latin1(bytes);
      return [
        parseChallenges([header]),
        nextLink([header]),
        parseWarning(header),
        parseRetryAfter(header, 0),
      ];
    },
  },
  {
    name: 'shown-text',
    seeds: words(
      'call https://me:secret@proxy.example/x?sig=secret&n=1#token=secret said \u001b[2J no',
      'Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl, password=secret1',
      '</v2/_catalog?last=a&token=x>; rel="next"; title="y", <//u:p@h/z>; rel=prev',
      'Bearer realm="//u:secret@h/t?key=secret",service="s"',
    ),
    parse: (bytes) => {
      const text = latin1(bytes);
      const headers = ['location', 'link', 'www-authenticate', 'warning', 'x-other', 'authorization'];
      const all = [
        shown(text, 200),
        quoted(text, 200, ['secret']),
        redactUrl(text),
        ...headers.map((name) => redactHeader(name, text, ['secret'])),
      ];
      const harmful = all.find((one) => /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(one) || one.length > 9_000);
      if (harmful !== undefined) throw new Error(`shows ${JSON.stringify(harmful)}`);
      if (all[1]?.includes('secret') === true) throw new Error(`tells a secret: ${all[1]}`);
      return all;
    },
  },
  {
    name: 'place',
    seeds: words(
      'LocalHost:0443/a/b',
      '[::ffff:127.0.0.1]:80/a',
      'index.docker.io/library/x',
      'xn--bcher-kva.example:5000/x/*',
      '0x7f.1/a',
    ),
    parse: (bytes) => {
      const text = latin1(bytes);
      const host = canonicalHost(text);
      const place = placeNamed(text);
      if (host !== undefined && canonicalHost(host) !== host) throw new Error(`${host} has two spellings`);
      if (placeNamed(place) !== place) throw new Error(`${place} is two places`);
      return [host, place, host === undefined ? undefined : splitHost(host)];
    },
  },
  {
    name: 'certificate-profile',
    seeds: ders,
    parse: (bytes) => {
      const certificate = parseCertificate(bytes, where);
      const time = new Date(Date.UTC(2026, 0));
      for (const check of [
        () => checkSigningChain([certificate]),
        () => checkSigningChain([certificate, certificate]),
        () => checkValidAt([certificate], time),
        () => checkSignatureAlgorithm(certificate),
      ])
        try {
          check();
        } catch (error) {
          if (!isBullaError(error) || error.code === 'internal') throw error;
        }
      return certificate;
    },
  },
  {
    name: 'registry-token',
    seeds: words('{"token":"abc","access_token":"abc","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}'),
    parse: (bytes) => parseToken(bytes, 'registry.example.com'),
  },
  {
    name: 'trust-log',
    seeds: words(
      `{"entries":[{"at":"2030-01-01T00:00:00Z","id":"${'0'.repeat(32)}","set":{"v1":{"length":2,"sha256":"${'a'.repeat(64)}"}}},{"at":"2030-01-01T00:00:00Z","id":"${'1'.repeat(32)}","unset":["v2"]}],"since":"2030-01-01T00:00:00Z","version":1}`,
    ),
    parse: (bytes) => {
      const log = parseLog(bytes, 'names');
      planFold(log, log);
      if (Buffer.compare(encodeLog(parseLog(encodeLog(log), 'names')), encodeLog(log)) !== 0)
        throw new Error('a log is read back as something else');
    },
  },
  {
    name: 'trust-folded',
    seeds: words('{"next":{"0123456789ab":1796083200},"stage":{"ba9876543210":1796083200},"version":1}'),
    parse: (bytes) => {
      const list = parseFolded(bytes);
      if (list !== undefined && parseFolded(encodeFolded(list))?.size !== Math.min(list.size, MAX_FOLDED))
        throw new Error('a list is read back as something else');
    },
  },
  {
    name: 'trust-object',
    seeds: words(
      ...(['head', 'stage', 'proof', 'shard'] as const).map((kind) => trustObject(TRUST_TYPES[kind])),
      `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}","annotations":{"vnd.bulla.trust.bin-bits":"2"},"manifests":[${Array(3).fill(`{"mediaType":"${MEDIA_TYPES.ociManifest}","digest":"${DIGEST}","size":2}`).join(',')}]}`,
    ),
    parse: async (bytes) => {
      const content = { bytes, descriptor: describeBytes(json(bytes)['mediaType'] as string, bytes) };
      const source = new MemoryStore();
      const object = await openTrustObject(source, content);
      const roots = rootsOf(source, object, {});
      for (const version of roots.versions) await roots.load(version);
    },
  },
  {
    name: 'trust-binding',
    seeds: [...tufFiles, ...words(TRUST_ROOT)],
    parse: (bytes) => {
      const file = parseMetadataFile(bytes, 'root', 1_000_000);
      rootBindingOf(file);
      return certificatesOf(file, 'a');
    },
  },
  {
    name: 'describe-difference',
    seeds: CHANGED,
    parse: (bytes) => {
      const after = parseMetadataFile(bytes, 'targets', 1_000_000);
      for (const seed of CHANGED) {
        const before = parseMetadataFile(seed, 'targets', 1_000_000);
        const isSame = Buffer.compare(before.message, after.message) === 0;
        const told = describeChange(before, after).join('\n') === describeChange(before, before).join('\n');
        if (told !== isSame) throw new Error('two changes read the same, or one reads in two ways');
      }
    },
  },
  {
    name: 'change-file',
    seeds: words(CHANGE_FILE),
    parse: (bytes) => {
      const change = parseChangeFile(bytes, where);
      if (!isDeepStrictEqual(parseChangeFile(encodeChangeFile(change), where), change))
        throw new Error('the file of a change is read back as something else');
      return PendingChange.open(change, new Date('2030-01-01T00:00:00Z')).describe();
    },
  },
  {
    // A file of a stage, for everybody who looks at what lies beside a head.
    name: 'staged-file',
    seeds: CHANGED,
    parse: (bytes) => {
      const file = parseMetadataFile(bytes, 'names', 1_000_000);
      assertSignableFile(file);
      parseTargets(file);
      return [logDescriptorOf(file), namesIn(file.signed), foldedDescriptorOf(file)];
    },
  },
  {
    name: 'signer-record',
    seeds: words(
      `{"collection":"${ID}","served":{"digest":"${DIGEST}","keys":["a"],"root":1,"snapshot":2,"timestamp":3},"used":[{"role":"names","version":9007199254740991}],"version":1}`,
    ),
    parse: (bytes) => {
      const record = parseRecord(bytes, ID, where);
      if (!isDeepStrictEqual(parseRecord(encodeRecord(ID, record), ID, where), record))
        throw new Error('a record is read back as something else');
    },
  },
  {
    name: 'tag-list',
    seeds: words(
      '{"name":"team/app","tags":["v1","_trust","_trust.next.0123456789abcdef","_trust.stage.0123456789ab"]}',
      '{"tags":null}',
    ),
    parse: async (bytes) => {
      const answer = { headers: { all: () => [], get: () => undefined }, body: { read: async () => bytes } };
      const session = { registry: 'a.example', where: () => where, call: async () => answer };
      const call = { path: '/v2/x/tags/list', access: {}, member: 'tags', searchMs: 10_000 };
      for await (const page of listPages(session as never, call as never))
        for (const tag of page) {
          const object = objectOfTag(tag as Tag);
          if (object !== undefined && tagOfObject(object.kind, object.rest) !== tag)
            throw new Error('a tag names something else than it is');
          kindOfTag(tag as Tag);
        }
    },
  },
  {
    name: 'notary-root',
    seeds: tufFiles,
    parse: (bytes) => readRoot(bytes),
  },
  {
    name: 'notary-evidence',
    seeds: words(
      `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociManifest}","artifactType":"application/vnd.bulla.notary.evidence.v1","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"${DIGEST}","size":2},"layers":[{"mediaType":"application/json","digest":"${DIGEST}","size":2,"annotations":{"org.opencontainers.image.title":"targets.json"}},{"mediaType":"application/json","digest":"${DIGEST}","size":2,"annotations":{"org.opencontainers.image.title":"1.root.json"}}]}`,
    ),
    parse: async (bytes) => {
      const descriptor = describeBytes(MEDIA_TYPES.ociManifest, bytes);
      const source = new MemoryStore();
      const manifest = { descriptor, bytes };
      const reader = { ...source, fetchManifest: async () => manifest, fetchBlob: async () => bytes };
      const evidence = await openEvidence(reader as never, descriptor.digest, {});
      for (const role of ['root', 'targets', 'targets/releases', '../x', '__proto__'])
        await evidence.fetch({ role, version: role === 'root' ? 1 : undefined } as never, 1_000_000);
    },
  },
  {
    name: 'pins',
    seeds: words(
      `{"version":1,"pins":[{"scope":"a.example/x","keyIds":["${'a'.repeat(64)}"],"minRootVersion":2},{"scope":"a.example/*","tofu":true,"collection":"b.example/y/*"},{"scope":"a.example/z","root":"e30=","at":"c.example/x"}]}`,
    ),
    parse: (bytes) => readPins(bytes, where),
  },
  {
    name: 'config',
    seeds: words(
      'settings:\n  key: release\nregistries:\n  "registry.example.com:5000":\n    plainHttp: true\n',
      'a: &a [*a, *a]\n',
    ),
    parse: (bytes) => parseConfigFile(text(bytes).slice(0, 20_000), 'config.yaml'),
  },
];
