import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { Labels } from './image.ts';
import type { DebianPackage } from './root-files.ts';

interface LockedPackage {
  readonly version: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** What package-lock.json says, as far as it is read. */
export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

/** What is in a release beside the packages of package-lock.json. */
export interface Contents {
  /** The executable of Node that is in the single executable. */
  readonly node: string;
  readonly debian: readonly DebianPackage[];
}

/** Parts of Node that have versions and advisories of their own; the others are parts of these, or numbers of interfaces. */
const PARTS_OF_NODE = [
  ...['acorn', 'ada', 'amaro', 'ares', 'brotli', 'cjs_module_lexer', 'icu', 'llhttp', 'nghttp2', 'openssl'],
  ...['simdjson', 'simdutf', 'sqlite', 'undici', 'uv', 'v8', 'zlib', 'zstd'],
];

/**
 * The software bill of materials of a release, SPDX 2.3 in JSON: the packages that are bundled, by package-lock.json; Node
 * and its parts, which are in the single executable; and the Debian packages of the image. The same contents make the same
 * bytes.
 */
export function billOfMaterials(lock: Lock, contents: Contents, labels: Labels): string {
  const { packages } = lock;
  const bundled = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  const main = spdxPackage('bulla', labels.version, `pkg:npm/bulla@${labels.version}`, packages['']?.license);
  const all = bundled.map(([path, { version, license, integrity }]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
    return { ...spdxPackage(name, version, purl, license), ...checksums(integrity) };
  });
  // The same version may be installed in several places.
  const npm = [...new Map(all.map((one) => [one.SPDXID, one])).values()];
  const versions = JSON.parse(
    execFileSync(contents.node, ['-p', 'JSON.stringify(process.versions)'], { encoding: 'utf8' }),
  ) as Readonly<Record<string, string>>;
  const generic = (name: string, version: string): SpdxPackage =>
    spdxPackage(name, version, `pkg:generic/${name}@${version}`, name === 'node' ? 'MIT' : undefined);
  const node = generic('node', versions['node'] ?? '');
  const parts = PARTS_OF_NODE.flatMap((name) =>
    versions[name] === undefined ? [] : generic(name, versions[name]),
  );
  const debian = contents.debian.map(({ name, version, architecture, distribution }) =>
    spdxPackage(
      name,
      version,
      `pkg:deb/${distribution}/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}`,
    ),
  );
  const relate = (from: SpdxPackage, to: SpdxPackage, how: string): object => ({
    spdxElementId: from.SPDXID,
    relationshipType: how,
    relatedSpdxElement: to.SPDXID,
  });
  const document = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `bulla-${labels.version}`,
    creationInfo: {
      created: new Date(labels.sourceDate * 1000).toISOString().replace('.000', ''),
      creators: [`Tool: bulla-make-release-${labels.version}`],
    },
    packages: [main, ...npm, node, ...parts, ...debian],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: main.SPDXID },
      ...[...npm, node, ...debian].map((one) => relate(main, one, 'DEPENDS_ON')),
      ...parts.map((one) => relate(node, one, 'CONTAINS')),
    ],
  };
  // A name for this document alone, which the same contents get again.
  const id = createHash('sha256').update(JSON.stringify(document)).digest('hex');
  const documentNamespace = `https://bulla.invalid/spdx/bulla-${labels.version}-${id.slice(0, 32)}`;
  return `${JSON.stringify({ ...document, documentNamespace }, null, 2)}\n`;
}

interface SpdxPackage {
  readonly SPDXID: string;
}

function spdxPackage(name: string, version: string, purl: string, license?: string): SpdxPackage {
  return {
    SPDXID: `SPDXRef-${purl.slice(4).replace(/[^A-Za-z0-9.]+/g, '-')}`,
    name,
    versionInfo: version,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseConcluded: 'NOASSERTION',
    licenseDeclared: license ?? 'NOASSERTION',
    copyrightText: 'NOASSERTION',
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }],
  } as SpdxPackage;
}

/** npm's integrity of a package as SPDX has it. */
function checksums(integrity: string | undefined): object {
  const [, base64] = /^sha512-(\S+)$/.exec(integrity ?? '') ?? [];
  if (base64 === undefined) return {};
  return {
    checksums: [{ algorithm: 'SHA512', checksumValue: Buffer.from(base64, 'base64').toString('hex') }],
  };
}
