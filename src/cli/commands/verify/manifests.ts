import { realpath, stat } from 'node:fs/promises';
import { parseImagePath } from '../../../actions/verify/image-places.ts';
import {
  type ImageUse,
  imagesInManifests,
  type Manifests,
  pinned,
} from '../../../actions/verify/manifests.ts';
import { readFileBounded, writeFileAtomic } from '../../../disk/atomic.ts';
import { decodeUtf8, utf8 } from '../../../encoding/bytes.ts';
import { BullaError } from '../../../errors.ts';
import { formatReference, parseReference } from '../../../oci/reference.ts';
import type { VerifyCommandFlags as Flags } from '../../flags/verify-flags.ts';
import type { Context } from '../../shell/context.ts';
import { verifyAll } from './many.ts';

const MAX_MANIFEST_BYTES = 64 * 1024 * 1024;

/** Flags of `bulla verify --k8s`. */
export interface ManifestFlags extends Flags {
  readonly k8s: readonly string[];
  readonly imagePath?: readonly string[] | undefined;
  readonly write?: boolean | undefined;
}

/** A file with images. */
export interface ManifestFile extends Manifests {
  readonly path: string;
  readonly text: string;
}

/**
 * Verifies every image in Kubernetes manifests and compose files; with `--write` puts the verified digests in, once all
 * have passed.
 * @throws BullaError usage, content-invalid, storage-error; with the code of the worst failure
 */
export async function verifyManifests(
  context: Context,
  texts: readonly string[],
  flags: ManifestFlags,
): Promise<void> {
  const { k8s, imagePath = [], write = false, ...rest } = flags;
  if (write && k8s.includes('-'))
    throw new BullaError('usage', '--write needs a file, and - is standard input', {
      hint: 'write the manifests to a file first',
    });
  const files = await readManifests(context, k8s, imagePath);
  for (const { uses: own } of files) for (const { image } of own) identity(image);
  const { output } = context;
  const uses = files.flatMap((file) => file.uses);
  for (const { path, uses: own } of files)
    for (const { line, owner, written } of own) output.verbose(`${path}:${line}  ${owner}  ${written}`);
  if (uses.length === 0 && texts.length === 0) {
    output.info('there are no images in these manifests');
    output.result([], { details: { total: 0, done: 0, failed: 0, left: 0 } });
    return;
  }
  const digests = new Map<string, string>();
  await verifyAll(context, [...texts, ...uses.map(({ image }) => image)], rest, (text, runnable) => {
    digests.set(identity(text), runnable.slice(runnable.lastIndexOf('@') + 1));
  });
  if (!write) return;
  for (const file of files) await pin(context, file, (use) => digests.get(identity(use.image)));
}

/**
 * The images in Kubernetes manifests and compose files, with warnings about kinds that are not known.
 * @param paths of the files; `-` for standard input
 * @throws BullaError usage for an image path, content-invalid, not-found, storage-error
 */
export async function readManifests(
  context: Context,
  paths: readonly string[],
  imagePaths: readonly string[],
): Promise<readonly ManifestFile[]> {
  const { output } = context;
  const named = imagePaths.map(parseImagePath);
  const files: ManifestFile[] = [];
  for (const path of paths) {
    const text = await read(context, path);
    const found = imagesInManifests(text, path, named);
    files.push({ path, text, ...found });
    for (const kind of found.unseen)
      output.warn(`${path}: ${kind} names images that were not looked at (--image-path says where they are)`);
    for (const kind of found.guessed)
      output.warn(
        `${path}: ${kind} is not known; its images were looked for by what pods look like (--image-path names them)`,
      );
  }
  return files;
}

async function read(context: Context, path: string): Promise<string> {
  if (path !== '-') return decodeUtf8(await readFileBounded(context.path(path), MAX_MANIFEST_BYTES), path);
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of context.io.stdin) {
    size += piece.length;
    if (size > MAX_MANIFEST_BYTES)
      throw new BullaError('content-invalid', `standard input has more than ${MAX_MANIFEST_BYTES} bytes`, {
        hint: 'verify the manifests in parts',
      });
    pieces.push(Buffer.from(piece as Buffer | string));
  }
  return decodeUtf8(Buffer.concat(pieces), 'standard input');
}

/**
 * One spelling for each image: several manifests may write it differently.
 * @throws BullaError content-invalid for what a cluster would take for the name of a repository, and we for a file
 */
export function identity(text: string): string {
  const reference = parseReference(text);
  if (reference.kind === 'registry' && !text.startsWith('docker://')) return formatReference(reference);
  throw new BullaError('content-invalid', `${JSON.stringify(text)} is not an image that a cluster can pull`, {
    hint: 'write HOST/REPOSITORY:TAG',
  });
}

async function pin(
  context: Context,
  { path, text, uses }: ManifestFile,
  digestOf: (use: ImageUse) => string | undefined,
): Promise<void> {
  const result = pinned(text, uses, digestOf);
  const count = uses.filter((use) => !use.written.includes('@')).length;
  if (result !== text) {
    // A link stays one, and what only its owner may read stays so: manifests hold secrets too.
    const file = await realpath(context.path(path));
    const { mode } = await stat(file);
    if ((await read(context, path)) !== text)
      throw new BullaError('conflict', `${path} was changed while its images were verified`, {
        hint: 'nothing was written to it; run it again',
      });
    await writeFileAtomic(file, utf8(result), { mode: mode & 0o777 });
  }
  context.output.info(
    `${path}: ${count} images are pinned by digest now, ${uses.length - count} were already`,
  );
}
