import { BullaError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { ManifestContent } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import type { Target } from '../oci/target.ts';
import type { NamedContent } from '../trust/format/log.ts';
import { namedContentOf } from '../trust/format/named-content.ts';
import type { NamingFlags } from './flags/naming-flags.ts';
import { type Naming, publishedJson, publishNaming, versionText, writeProofs } from './naming.ts';
import type { Context } from './shell/context.ts';

/** An image that a reference stood for at the moment of signing. */
export interface Subject {
  readonly tag: Tag | undefined;
  readonly content: ManifestContent;
}

/** What is to be signed about the tags of images. @throws BullaError usage where one tag was given two digests; content-invalid */
export function namesOf(subjects: readonly Subject[]): ReadonlyMap<Tag, NamedContent> {
  const names = new Map<Tag, NamedContent>();
  for (const { tag, content } of subjects) {
    if (tag === undefined) continue;
    const named = namedContentOf(content);
    const before = names.get(tag);
    if (before !== undefined && before.sha256 !== named.sha256) {
      throw new BullaError('usage', `${tag} was to stand for two images at once`, {
        hint: 'the tag moved meanwhile, or was given with two digests: run the command again',
      });
    }
    names.set(tag, named);
  }
  return names;
}

/** With what names are signed. */
export interface SignNamesOptions {
  /** Attach proofs to the images. */
  readonly proof: boolean;
  /** Reference that the names were copied from. */
  readonly origin?: string | undefined;
}

/**
 * Publishes names, attaches proofs to their images, and tells people.
 * @param target where the images are
 * @returns what was published, for `-o json`
 * @throws BullaError staged, conflict; what publishing throws
 */
export async function signNames(
  context: Context,
  naming: Naming,
  target: Target,
  subjects: readonly Subject[],
  { proof, origin }: SignNamesOptions,
  flags: NamingFlags,
): Promise<Readonly<Record<string, unknown>>> {
  const names = namesOf(subjects);
  const change = { role: naming.role, set: names, ...(origin !== undefined && { origin }) };
  const published = await publishNaming(context, naming, [change], flags);
  const { output } = context;
  const version = await versionText(published.collection);
  for (const [tag, { sha256 }] of names)
    output.info(`${published.collection.name}:${tag} stands for sha256:${sha256} from version ${version} on`);
  const proofs = proof ? await writeProofs(context, target, published, byImage(subjects)) : [];
  const listed = [...names].map(([tag, { sha256 }]) => ({ tag, digest: `sha256:${sha256}` }));
  return { ...(await publishedJson(naming, published)), names: listed, proofs };
}

function byImage(subjects: readonly Subject[]): ReadonlyMap<Descriptor, readonly Tag[]> {
  const images = new Map<Digest, { readonly descriptor: Descriptor; readonly tags: Tag[] }>();
  for (const { tag, content } of subjects) {
    if (tag === undefined) continue;
    const { descriptor } = content;
    const image = images.get(descriptor.digest) ?? { descriptor, tags: [] };
    image.tags.push(tag);
    images.set(descriptor.digest, image);
  }
  return new Map([...images.values()].map(({ descriptor, tags }) => [descriptor, tags]));
}
