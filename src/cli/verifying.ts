import type { VerifiedName } from '../actions/verify/name.ts';
import { isBullaError } from '../errors.ts';
import { formatRepository } from '../oci/reference.ts';
import type { BegunName } from './begun-name.ts';
import type { NameFlags } from './flags/name-flags.ts';
import type { PlatformFlags } from './flags/platform-flags.ts';
import { asksForSignatures, requirementsOf, type TrustFlags } from './flags/signature-flags.ts';
import type { Context, Image } from './shell/context.ts';

/** An image that may be run: by its signed name, by its detached signatures, or by both. */
export interface VerifiedReference extends Pick<VerifiedName, 'image' | 'signed' | 'evidence' | 'refusals'> {
  /** For `-o json`: who says what the name stands for; null where no name was looked up. */
  readonly name: Readonly<Record<string, unknown>> | null;
}

/**
 * Verifies what a command line names: its tag in the trust collection, where that is pinned, was seen or
 * is asked for, and then detached signatures only if they are asked for too; else detached signatures.
 * @param begun from {@link beginName}
 * @throws BullaError trust-unpinned where nothing says whom to believe; as verifyName and verifyImage
 */
export async function verifyReference(
  context: Context,
  text: string,
  image: Image,
  flags: TrustFlags & PlatformFlags & NameFlags,
  begun: BegunName | undefined,
): Promise<VerifiedReference> {
  const { tag, digest } = image.reference;
  if (context.settings.offline && flags.maxStaleness !== undefined) {
    const { verifyByProof } = await import('./verifying-proof.ts');
    const proven = await verifyByProof(context, text, image, flags);
    if (proven !== undefined) return await withName(proven);
  }
  if (begun?.tag === undefined || tag === undefined) {
    const required = await requirementsOf(context, flags).catch((error: unknown) => refusal(error, begun));
    const { verifyNamed } = await import('./verifying-signatures.ts');
    return { ...(await verifyNamed(context, text, image, required, flags)), name: null };
  }
  const required = asksForSignatures(flags) ? await requirementsOf(context, flags) : undefined;
  const { verifyTag } = await import('./verifying-name.ts');
  const named = { text, source: image.source, tag, digest };
  const verified = await verifyTag(context, named, flags, begun, required);
  if (required !== undefined) {
    const { tellSignatures } = await import('./verifying-signatures.ts');
    tellSignatures(context, verified);
  }
  return await withName(verified);
}

async function withName(verified: VerifiedName): Promise<VerifiedReference> {
  const { nameJson } = await import('./verifying-name.ts');
  const { image, signed, evidence, refusals } = verified;
  return { image, signed, evidence, refusals, name: nameJson(verified) };
}

/** Where nothing says whom to believe, a collection that is there tells whom one could pin. */
async function refusal(error: unknown, begun: BegunName | undefined): Promise<never> {
  if (begun === undefined || !isBullaError(error, 'trust-unpinned')) throw error;
  const [{ readCollection }, { source, read }] = await Promise.all([
    import('../trust/read/collection.ts'),
    begun.open(),
  ]);
  await readCollection(source, read).catch((unpinned: unknown) => {
    if (isBullaError(unpinned, 'trust-unpinned')) throw unpinned;
  });
  throw error;
}

/**
 * What `bulla verify` does with an image.
 * @throws BullaError those of verifyReference
 */
export async function printVerified(
  context: Context,
  text: string,
  named: Image,
  flags: TrustFlags & PlatformFlags & NameFlags,
  begun: BegunName | undefined,
): Promise<void> {
  const verified = await verifyReference(context, text, named, flags, begun);
  const { image, signed } = verified;
  const name = `${formatRepository(named.reference)}@${image.digest}`;
  context.output.result(name, {
    reference: name,
    digest: image.digest,
    mediaType: image.mediaType ?? null,
    size: image.size,
    tag: named.reference.tag ?? null,
    signed,
    name: verified.name,
    ...(await signatures(context, verified)),
  });
}

/** Detached signatures for `-o json`; what tells of them is loaded only where it is asked for. */
async function signatures(
  { settings }: Context,
  verified: VerifiedReference,
): Promise<Record<string, unknown>> {
  if (!settings.json) return {};
  return (await import('./verifying-signatures.ts')).signaturesJson(verified);
}
