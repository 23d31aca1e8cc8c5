import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { NONROOT, type RootEntry, withDirectories } from './root-files.ts';

/** What is said of an image, or of other content, beside its bytes. */
export interface Labels {
  readonly version: string;
  /** The time of everything in it, in seconds since 1970: SOURCE_DATE_EPOCH. */
  readonly sourceDate: number;
  /** The commit, if it is known. */
  readonly revision?: string | undefined;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * Assembles a container image as an OCI layout, without a base image: the system files are one layer, and the command is
 * another. The same files and labels make the same bytes anywhere: entries are sorted, times are the source date, owners
 * are numbers, and nothing of the machine is recorded.
 * @returns its digest
 */
export async function assembleImage(
  directory: string,
  layers: readonly (readonly RootEntry[])[],
  labels: Labels,
  architecture: string,
): Promise<string> {
  const put = blobsOf(directory);
  const descriptors: Descriptor[] = [];
  const diffIds: string[] = [];
  for (const entries of layers) {
    const tar = await tarOf(entries, labels.sourceDate);
    diffIds.push(sha256(tar));
    descriptors.push(
      put(withoutSystem(gzipSync(tar, { level: 6 })), 'application/vnd.oci.image.layer.v1.tar+gzip'),
    );
  }
  const created = new Date(labels.sourceDate * 1000).toISOString().replace('.000', '');
  const config = {
    architecture,
    os: 'linux',
    created,
    config: {
      User: `${NONROOT}:${NONROOT}`,
      // All that it writes is below BULLA_HOME, so the image may be mounted read-only with a volume there or at /tmp.
      Env: ['PATH=/usr/bin', 'HOME=/home/nonroot', 'BULLA_HOME=/tmp/bulla'],
      Entrypoint: ['/usr/bin/bulla'],
      Cmd: ['--help'],
      WorkingDir: '/home/nonroot',
      Labels: annotationsOf(labels),
    },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: layers.map(() => ({ created, created_by: 'bulla make release' })),
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: put(json(config), 'application/vnd.oci.image.config.v1+json'),
    layers: descriptors,
    annotations: { ...annotationsOf(labels), 'org.opencontainers.image.created': created },
  };
  return finish(directory, put(json(manifest), manifest.mediaType), labels.version);
}

/** Files as one OCI artifact, which `oras pull` writes back under their names. @returns its digest */
export function assembleFiles(
  directory: string,
  files: readonly string[],
  from: string,
  labels: Labels,
): string {
  const put = blobsOf(directory);
  const layers = files.map((name) => ({
    ...put(readFileSync(join(from, name)), 'application/octet-stream'),
    annotations: { 'org.opencontainers.image.title': name },
  }));
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType: 'application/vnd.bulla.release.v1',
    config: put(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json'),
    layers,
    annotations: annotationsOf(labels),
  };
  return finish(directory, put(json(manifest), manifest.mediaType), labels.version);
}

function annotationsOf({ version, revision }: Labels): Record<string, string> {
  return {
    'org.opencontainers.image.title': 'bulla',
    'org.opencontainers.image.version': version,
    'org.opencontainers.image.licenses': 'Apache-2.0',
    ...(revision !== undefined && { 'org.opencontainers.image.revision': revision }),
  };
}

/** A layer as a tar. */
async function tarOf(entries: readonly RootEntry[], sourceDate: number): Promise<Buffer> {
  const tar = pack();
  const mtime = new Date(sourceDate * 1000);
  for (const entry of withDirectories(entries)) {
    const owner = 'owner' in entry ? entry.owner : 0;
    const common = { mtime, uid: owner ?? 0, gid: owner ?? 0, uname: '', gname: '' };
    if ('link' in entry)
      tar.entry({ ...common, name: entry.path, type: 'symlink', linkname: entry.link, mode: 0o777 });
    else if ('bytes' in entry) tar.entry({ ...common, name: entry.path, mode: entry.mode }, entry.bytes);
    else tar.entry({ ...common, name: `${entry.path}/`, type: 'directory', mode: entry.mode });
  }
  tar.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of tar) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

/** gzip records the system that compressed; 255 says that it is not known (RFC 1952, section 2.3.1). */
function withoutSystem(compressed: Buffer): Buffer {
  compressed[9] = 255;
  return compressed;
}

function blobsOf(directory: string): (bytes: Buffer, mediaType: string) => Descriptor {
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true });
  return (bytes, mediaType) => {
    const digest = sha256(bytes);
    writeFileSync(join(directory, 'blobs', digest.replace(':', '/')), bytes);
    return { mediaType, digest, size: bytes.length };
  };
}

function finish(directory: string, manifest: Descriptor, tag: string): string {
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  return manifest.digest;
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** The digest of bytes, as OCI writes it. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
