import type { Signer } from '../../crypto/signer.ts';
import { BullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { type ImageManifest, parseCarried, parseManifest } from '../../oci/manifest.ts';
import { platformEntries } from '../../oci/platform.ts';
import { pushBlobs } from '../../oci/push-blobs.ts';
import { cosignTags, type Tag } from '../../oci/reference.ts';
import type { CallOptions, Target } from '../../oci/target.ts';
import { hasSignature, signSimply, withSignatures } from '../../signatures/simple-signing.ts';
import { fetchLegacyManifest } from '../verify/signature-search.ts';
import type { Subject } from './sign.ts';

/** How often a list that others write as well is written again. */
const MAX_TRIES = 5;

/** What simple signatures are made with. */
export interface SimpleSigningOptions extends CallOptions {
  readonly signer: Signer;
  /** `HOST/REPOSITORY`, which podman compares with what it pulls. */
  readonly repository: string;
  readonly annotations?: ReadonlyMap<string, string> | undefined;
}

/** A `.sig` tag that has the signatures now. */
export interface SimplySigned {
  readonly image: Digest;
  readonly tag: Tag;
  /** Whether it had them before. */
  readonly already: boolean;
}

/**
 * Writes simple signatures for podman and CRI-O to cosign's `.sig` tags: of each image, and of each platform of an index,
 * because they verify what they run. A signature names the tag that the image was signed by.
 * @throws BullaError key-invalid; conflict where a tag holds something else, or others keep changing it; what the target throws
 */
export async function signForPodman(
  target: Target,
  subjects: readonly Subject[],
  options: SimpleSigningOptions,
): Promise<readonly SimplySigned[]> {
  const names = new Map<Digest, Set<string>>();
  for (const { tag, content } of subjects) {
    const name = tag === undefined ? options.repository : `${options.repository}:${tag}`;
    const manifest = parseCarried(content);
    const platforms = manifest.kind === 'index' ? platformEntries(manifest).map(({ digest }) => digest) : [];
    for (const digest of [...platforms, content.descriptor.digest])
      names.set(digest, new Set([...(names.get(digest) ?? []), name]));
  }
  const signed: SimplySigned[] = [];
  for (const [image, references] of names) signed.push(await signOne(target, image, references, options));
  return signed;
}

async function signOne(
  target: Target,
  image: Digest,
  references: ReadonlySet<string>,
  { signer, annotations = new Map(), signal }: SimpleSigningOptions,
): Promise<SimplySigned> {
  const tag = cosignTags(image).find((one) => one.endsWith('.sig'));
  if (tag === undefined) {
    throw new BullaError('usage', `${image} cannot have simple signatures`, {
      hint: 'podman looks them up at a tag that is made of a sha256 digest',
    });
  }
  const wanted = await Promise.all(
    [...references].map((reference) => signSimply(image, reference, annotations, signer)),
  );
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const existing = await existingAt(target, image, signal);
    const missing = wanted.filter(
      (one) => existing === undefined || !hasSignature(existing, one, signer.publicKey),
    );
    if (missing.length === 0) return { image, tag, already: tries === 0 };
    const { manifest, blobs } = withSignatures(existing, missing, `the tag ${tag}`);
    await pushBlobs(target, blobs, { signal });
    await target.pushManifest(manifest, { signal, tag });
    // Read back: a registry has no way to add to a tag, and others may have replaced it meanwhile.
  }
  throw new BullaError('conflict', `the tag ${tag} keeps being replaced by others`, {
    hint: 'run the command again when no one else signs the image',
  });
}

async function existingAt(
  target: Target,
  image: Digest,
  signal: AbortSignal | undefined,
): Promise<ImageManifest | undefined> {
  const content = await fetchLegacyManifest(target, image, { signal });
  if (content === undefined) return undefined;
  const manifest = parseManifest(content);
  if (manifest.kind === 'manifest') return manifest;
  throw new BullaError('conflict', `the .sig tag of ${image} holds an index`, {
    hint: 'it was not written by cosign: find out what it is, and remove it',
  });
}
