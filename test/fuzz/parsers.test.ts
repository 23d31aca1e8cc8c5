import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, describe as group, it } from 'vitest';
import { parseCertificates } from '../../src/crypto/certificate.ts';
import { parseIdentity } from '../../src/crypto/identity.ts';
import { parsePrivateKey } from '../../src/crypto/private-key.ts';
import { parsePublicKeysPem, publicKeyFromSpki } from '../../src/crypto/public-key.ts';
import { decodeUtf8 } from '../../src/encoding/bytes.ts';
import { parseJson } from '../../src/encoding/json.ts';
import { parseDuration, parseTime } from '../../src/encoding/time.ts';
import { readArchive } from '../../src/layout/archive-content.ts';
import { parseDockerManifest } from '../../src/layout/docker-archive.ts';
import { parseLayoutIndex } from '../../src/layout/index-file.ts';
import { parseHeader, parsePax } from '../../src/layout/tar-format.ts';
import { describe } from '../../src/oci/descriptor.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { parsePlatform } from '../../src/oci/platform.ts';
import { parseReference, parseTag } from '../../src/oci/reference.ts';
import { parseReferrersIndex } from '../../src/oci/referrers.ts';
import { readAuthFile } from '../../src/registry/auth-file.ts';
import { parseChallenges } from '../../src/registry/challenge.ts';
import { parseToken } from '../../src/registry/token.ts';
import { parseWarning } from '../../src/registry/warnings.ts';
import { Fault } from '../../src/servers/registry/faults.ts';
import { parsePushed } from '../../src/servers/registry/manifest-checks.ts';
import { parseCbor } from '../../src/signatures/cbor.ts';
import { readLegacySignature } from '../../src/signatures/cosign-legacy.ts';
import { readNotationCose } from '../../src/signatures/notation-cose.ts';
import { readNotationJws } from '../../src/signatures/notation-jws.ts';
import { readBundle } from '../../src/signatures/sigstore-bundle.ts';
import { readStatement } from '../../src/signatures/statement.ts';
import { parseMetadataFile } from '../../src/tuf/metadata-file.ts';
import { decodeRoleName } from '../../src/tuf/role-name.ts';
import { parseRoot } from '../../src/tuf/root.ts';
import { parseSnapshot, parseTimestamp } from '../../src/tuf/snapshot.ts';
import { parseTargets } from '../../src/tuf/targets.ts';
import { demoImage } from '../support/demo-image.ts';
import { fuzz, type Target } from './fuzz.ts';

const TESTDATA = new URL('../../testdata', import.meta.url).pathname;
const scratch = mkdtempSync(join(tmpdir(), 'bulla-fuzz-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** All files below a folder of testdata whose name fits. */
function files(folder: string, fits: RegExp = /./): Buffer[] {
  const directory = join(TESTDATA, folder);
  if (!existsSync(directory)) throw new Error(`testdata/${folder} is missing`);
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => fits.test(name) && statSync(join(directory, name)).isFile())
    .sort()
    .map((name) => readFileSync(join(directory, name)))
    .filter((content) => content.length < 32 * 1024);
}

const text = (parse: (input: string) => unknown) => (input: Buffer) => parse(decodeUtf8(input, 'the input'));

/** By way of a file, for what reads files. */
function viaFile(
  name: string,
  read: (path: string) => Promise<unknown>,
): (input: Buffer) => Promise<unknown> {
  const path = join(scratch, name);
  return (input) => {
    writeFileSync(path, input, { mode: 0o600 });
    return read(path);
  };
}

async function archive(path: string): Promise<void> {
  const content = await readArchive(path);
  await content.close();
}

/** A tar of the demo image's layout, as an uncompressed ustar without its big blobs. */
async function layoutTar(): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const [name, content] of await demoImage()) {
    const header = Buffer.alloc(512);
    header.write(name.slice(0, 100), 0);
    header.write('0000644\0', 100);
    header.write('0000000\0', 108);
    header.write('0000000\0', 116);
    header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('00000000000\0', 136);
    header.write('        ', 148);
    header.write('0', 156);
    header.write('ustar\u000000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    parts.push(header, content, Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

const blobs = files('signatures/stock/blobs');
const manifests = [...blobs, ...files('demo-image/layout/blobs')].filter((blob) => blob[0] === 0x7b);
const references = [
  'docker.io/library/alpine:3.20',
  'localhost:5000/team/app:v1@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  'oci:build/image:v1',
  'oci-archive:/a b/image.tar:latest',
  '[::1]:5000/x',
];
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';
const manifestOf = (mediaType: string) => (bytes: Buffer) =>
  parseManifest({ descriptor: describe(mediaType, bytes), bytes });
const tuf = files('tuf', /\.json$/);
const tufRole =
  (role: string, parse: (file: ReturnType<typeof parseMetadataFile>) => unknown) => (bytes: Buffer) =>
    parse(parseMetadataFile(bytes, role, 1_000_000));
const tar = await layoutTar();

const TARGETS: readonly Target[] = [
  { name: 'json', seeds: manifests, parse: (input) => parseJson(input, { what: 'x', floats: true }) },
  { name: 'reference', seeds: references, parse: text(parseReference) },
  {
    name: 'digest',
    seeds: [`sha512:${'0'.repeat(128)}`, `sha256:${'a'.repeat(64)}`],
    parse: text(parseDigest),
  },
  { name: 'tag', seeds: ['v1', 'sha256-abc.sig'], parse: text(parseTag) },
  { name: 'platform', seeds: ['linux/arm64/v8', 'windows(10.0)/amd64'], parse: text(parsePlatform) },
  {
    name: 'time',
    seeds: ['2026-04-06T07:01:20Z', '90d', '1h30m'],
    parse: text((input) => [parseTime(input), parseDuration(input)]),
  },
  { name: 'manifest', seeds: manifests, parse: manifestOf(MANIFEST_TYPE) },
  { name: 'index', seeds: manifests, parse: manifestOf(INDEX_TYPE) },
  {
    name: 'referrers',
    seeds: [...manifests, ...files('demo-image/layout', /^index/)],
    parse: (input) => parseReferrersIndex(input, 'x'),
  },
  {
    name: 'pushed-manifest',
    seeds: manifests,
    parse: (input) => parsePushed(input, MANIFEST_TYPE, describe(MANIFEST_TYPE, input).digest),
    refusal: (error) => error instanceof Fault && error.status < 500,
  },
  {
    name: 'layout-index',
    seeds: files('demo-image/layout', /^index/),
    parse: (input) => parseLayoutIndex(input, 'x'),
  },
  {
    name: 'docker-manifest',
    seeds: ['[{"Config":"a.json","RepoTags":["app:v1"],"Layers":["b/layer.tar"]}]'],
    parse: (input) => parseDockerManifest(input, 'x'),
  },
  {
    name: 'tar-header',
    seeds: [tar.subarray(0, 512)],
    parse: (input) => parseHeader(Buffer.concat([input, Buffer.alloc(512)]).subarray(0, 512), 'x'),
  },
  {
    name: 'pax',
    seeds: ['19 path=a/b/c/d/e/f\n', '12 size=123\n20 mtime=1.5'],
    parse: (input) => parsePax(input, 'x'),
  },
  { name: 'archive', seeds: [tar], parse: viaFile('archive.tar', archive) },
  { name: 'archive-gzip', seeds: [gzipSync(tar)], parse: viaFile('archive.tar.gz', archive) },
  {
    name: 'public-key',
    seeds: files('keys', /\.pub$/),
    parse: text((input) => parsePublicKeysPem(input, 'x')),
  },
  {
    // Node aborts on some keys that OpenSSL takes: a crash of the process is what this looks for.
    name: 'public-key-der',
    seeds: [
      ...files('keys', /\.pub$/).map(derOf),
      Buffer.from('301a301306072a8648ce3d020106082a8648ce3d03010703030000', 'hex'),
    ],
    parse: (input) => publicKeyFromSpki(input, 'x'),
  },
  {
    name: 'private-key',
    seeds: files('keys', /\.(key|pem)$/),
    parse: (input) => parsePrivateKey(input, 'x'),
  },
  {
    name: 'certificate',
    seeds: [...files('certificates', /crt$/), ...files('signatures', /crt$/)],
    parse: text((input) => parseCertificates(input, 'x')),
  },
  {
    name: 'certificate-der',
    seeds: files('certificates', /crt$/).map(derOf),
    parse: (input) => parseCertificates([input], 'x'),
  },
  {
    name: 'identity',
    seeds: ['x509.subject: C=DE, O=Acme, CN=release', 'x509.subject: CN="a\\,b"+OU=\\23x'],
    parse: text((input) => parseIdentity(input)),
  },
  { name: 'notation-jws', seeds: blobs, parse: (input) => readNotationJws(input, 'x') },
  { name: 'notation-cose', seeds: blobs, parse: (input) => readNotationCose(input, 'x') },
  { name: 'cbor', seeds: blobs, parse: (input) => parseCbor(input, 'x') },
  { name: 'sigstore-bundle', seeds: blobs, parse: (input) => readBundle(input, 'x') },
  {
    name: 'legacy-signature',
    seeds: blobs,
    parse: (input) =>
      readLegacySignature(
        {
          ...describe('application/vnd.dev.cosign.simplesigning.v1+json', input),
          annotations: { 'dev.cosignproject.cosign/signature': input.toString('latin1').slice(0, 64) },
        },
        input,
        'x',
      ),
  },
  { name: 'statement', seeds: blobs, parse: (input) => readStatement(input, 'x') },
  { name: 'tuf-root', seeds: tuf, parse: tufRole('root', parseRoot) },
  { name: 'tuf-timestamp', seeds: tuf, parse: tufRole('timestamp', parseTimestamp) },
  { name: 'tuf-snapshot', seeds: tuf, parse: tufRole('snapshot', parseSnapshot) },
  { name: 'tuf-targets', seeds: tuf, parse: tufRole('targets', parseTargets) },
  { name: 'tuf-role-name', seeds: ['a%2Fb', 'targets', '%C3%A9'], parse: text(decodeRoleName) },
  {
    name: 'auth-file',
    seeds: ['{"auths":{"a:5000":{"auth":"YTpi"}},"credHelpers":{"b":"x"},"credsStore":"y"}'],
    parse: viaFile('auth.json', readAuthFile),
  },
  {
    name: 'challenge',
    seeds: [
      'Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"',
      'Basic realm="x y", Bearer realm=a',
    ],
    parse: text((input) => parseChallenges([input])),
  },
  {
    name: 'token',
    seeds: ['{"token":"abc","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}', '{"access_token":"x"}'],
    parse: (input) => parseToken(input, 'x'),
  },
  {
    name: 'warning',
    seeds: ['299 - "this will \\"end\\" soon" "Tue, 15 Nov 1994 08:12:31 GMT"'],
    parse: text(parseWarning),
  },
];

function derOf(pem: Buffer): Buffer {
  return Buffer.from(pem.toString('latin1').replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
}

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 60);
const seed = process.env['FUZZ_SEED'] ?? String(Date.now());

group(`parsers, ${seconds} s in all, FUZZ_SEED=${seed}`, () => {
  it.each(TARGETS)('$name', async (target) => {
    const inputs = await fuzz(target, (seconds * 1000) / TARGETS.length, seed);
    expect(inputs).toBeGreaterThan(0);
    // Whatever a parser keeps for itself shows here; one input has at most 64 KiB.
    expect(process.memoryUsage().rss).toBeLessThan(2 ** 30);
  });
});
