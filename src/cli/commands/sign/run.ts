import {
  fetchToSign,
  type SignedImage,
  type SignOptions,
  signManifest,
} from '../../../actions/sign/signature.ts';
import type { Signer } from '../../../crypto/signer.ts';
import { BullaError } from '../../../errors.ts';
import { type Digest, isDigest } from '../../../oci/digest.ts';
import { formatRepository, type Tag } from '../../../oci/reference.ts';
import type { Target } from '../../../oci/target.ts';
import { isReservedTag } from '../../../trust/format/vocabulary.ts';
import type { NamingFlags } from '../../flags/naming-flags.ts';
import { type NamedReference, readReferences } from '../../flags/reference-list.ts';
import { describeSigned, type SignFlags, signedJson, signOptionsOf } from '../../flags/sign-flags.ts';
import { type Naming, noCollection, openNaming } from '../../naming.ts';
import type { Context } from '../../shell/context.ts';
import { namesOf, type Subject, signNames } from '../../signing-names.ts';

export interface SignCommandFlags extends SignFlags, Omit<NamingFlags, 'key' | keyof SignFlags> {
  readonly from?: string;
  readonly name: boolean;
  readonly nameOnly?: true;
  readonly proof: boolean;
}

/** What `bulla sign` does: first looks whether all of it can be done, then signs images, then names. */
export async function sign(
  context: Context,
  texts: readonly string[],
  flags: SignCommandFlags,
): Promise<void> {
  const references = await readReferences(context, texts, flags.from, flags);
  checkFlags(references, flags);
  const [{ text, reference }] = references;
  const options = flags.nameOnly === true ? undefined : await signOptionsOf(context, text, flags);
  const image = await context.openImage(text, { write: true });
  const naming = await namingOf(context, references, flags, options?.signer);
  const subjects = await fetchAll(context, references, image.source, image.version);
  // What can't be named is found out before anything is signed.
  const hasNames = naming !== undefined && namesOf(subjects).size > 0;
  const signatures = options === undefined ? [] : await signAll(image.source, subjects, options);
  for (const signed of signatures) context.output.info(describeSigned(signed, options?.signer.keyId ?? ''));
  const { proof } = flags;
  const named = hasNames ? await signNames(context, naming, image.source, subjects, { proof }, flags) : null;
  if (naming === undefined) noteUnsigned(context, references, flags);
  const repository = formatRepository(reference);
  const json = subjects.map(({ tag, content: { descriptor } }) => ({
    reference: `${repository}@${descriptor.digest}`,
    digest: descriptor.digest,
    tag: tag ?? null,
  }));
  context.output.result([...new Set(json.map((one) => one.reference))], {
    ...(json.length === 1 && json[0]),
    images: json,
    key: options?.signer.keyId ?? null,
    expires: options?.expiry?.toISOString() ?? null,
    signatures: signedJson(signatures),
    collection: named,
  });
}

/** @throws BullaError usage */
function checkFlags(references: readonly NamedReference[], flags: SignCommandFlags): void {
  if (!flags.name && (flags.nameOnly === true || flags.signer !== undefined)) {
    throw new BullaError(
      'usage',
      `--no-name is given along with ${flags.nameOnly ? '--name-only' : '--signer'}`,
      {
        hint: 'leave one of them out',
      },
    );
  }
  for (const { text, reference } of references) {
    if (reference.tag !== undefined && isReservedTag(reference.tag)) {
      throw new BullaError('usage', `${text} is part of the trust collection, and no image`, {
        hint: 'tags that begin with _trust are kept for it',
      });
    }
    if (flags.nameOnly === true && reference.tag === undefined) {
      throw new BullaError('usage', `${text} has no tag, and --name-only signs nothing else`, {
        hint: 'add the tag that is to be signed: REPO:v1, or REPO:v1@sha256:…',
      });
    }
  }
}

/** The collection, where a name is to be signed and there is one. @throws BullaError not-found with --name-only */
async function namingOf(
  context: Context,
  references: readonly [NamedReference, ...NamedReference[]],
  flags: SignCommandFlags,
  unlocked: Signer | undefined,
): Promise<Naming | undefined> {
  const hasNames = references.some(({ reference }) => reference.tag !== undefined);
  if (!flags.name || !hasNames) return undefined;
  const [{ reference }] = references;
  const naming = await openNaming(context, reference, flags, unlocked);
  if (
    naming === undefined &&
    (flags.nameOnly === true || flags.signer !== undefined || flags.at !== undefined)
  )
    throw noCollection(reference);
  return naming;
}

/** Each reference is resolved once. @throws BullaError usage where one names no image; those of the target */
async function fetchAll(
  context: Context,
  references: readonly NamedReference[],
  target: Target,
  only: Tag | Digest,
): Promise<readonly Subject[]> {
  const { mapConcurrently } = await import('../../../actions/copy/concurrency.ts');
  const { signal, settings } = context;
  return await mapConcurrently(references, settings.concurrency, async ({ text, reference }) => {
    const { tag } = reference;
    const digest =
      reference.digest ?? (references.length === 1 && tag === undefined && isDigest(only) ? only : undefined);
    return { tag, content: await fetchToSign(target, { tag, digest }, { name: text, signal }) };
  });
}

/** Each image once, however many names it has. */
async function signAll(
  target: Target,
  subjects: readonly Subject[],
  options: SignOptions,
): Promise<readonly SignedImage[]> {
  const images = new Map(subjects.map(({ content }) => [content.descriptor.digest, content]));
  const signatures: SignedImage[] = [];
  for (const content of images.values())
    signatures.push(...(await signManifest(target, content, options)).signatures);
  return signatures;
}

function noteUnsigned(
  { output }: Context,
  references: readonly [NamedReference, ...NamedReference[]],
  { name }: SignCommandFlags,
): void {
  const tags = references.flatMap(({ reference }) => reference.tag ?? []);
  if (!name || tags.length === 0) return;
  const repository = formatRepository(references[0].reference);
  const which = tags.length === 1 ? `the tag ${tags[0]} is` : `the tags ${tags.slice(0, 5).join(', ')} are`;
  output.info(
    `${which} not signed: whoever may push can move or roll back what no trust collection holds (bulla init ${repository})`,
  );
}
