import { createCipheriv, createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const PIECE = 4 * 1024 * 1024;

/** Incompressible bytes, the same for the same seed, in pieces of at most 4 MiB. */
export function* noise(seed: number, size: number): Generator<Buffer> {
  const key = createHash('sha256').update(`seed ${seed}`).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  for (let left = size; left > 0; left -= PIECE) yield cipher.update(Buffer.alloc(Math.min(PIECE, left)));
}

/**
 * Writes an OCI layout with one image, tagged `v1`, of `layers` layers of `size` bytes each.
 * @returns the manifest's digest
 */
export async function writeImage(directory: string, layers: number, size: number): Promise<string> {
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true });
  const layerDescriptors: Descriptor[] = [];
  for (let seed = 0; seed < layers; seed += 1) layerDescriptors.push(await writeLayer(directory, seed, size));
  const config = writeJson(directory, 'application/vnd.oci.image.config.v1+json', {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: layerDescriptors.map(({ digest }) => digest) },
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = writeJson(directory, mediaType, {
    schemaVersion: 2,
    mediaType,
    config,
    layers: layerDescriptors,
  });
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const tagged = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'v1' } };
  writeFileSync(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [tagged] }));
  return manifest.digest;
}

async function writeLayer(directory: string, seed: number, size: number): Promise<Descriptor> {
  const hash = createHash('sha256');
  for (const piece of noise(seed, size)) hash.update(piece);
  const hex = hash.digest('hex');
  const file = await open(join(directory, 'blobs/sha256', hex), 'w');
  try {
    for (const piece of noise(seed, size)) await file.write(piece);
  } finally {
    await file.close();
  }
  return { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${hex}`, size };
}

function writeJson(directory: string, mediaType: string, value: unknown): Descriptor {
  const bytes = Buffer.from(JSON.stringify(value));
  const hex = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(join(directory, 'blobs/sha256', hex), bytes);
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}
