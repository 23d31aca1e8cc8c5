import { subjectOf } from '../../crypto/certificate.ts';
import { parseIdentity } from '../../crypto/identity.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Reference } from '../../oci/reference.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import type {
  FoundCollection,
  FoundSigner,
  SignerIdentity,
  UnconfirmedSignature,
} from '../../policy/init/found.ts';
import { judge } from '../../policy/judgement.ts';
import { type Requirements, requirements } from '../../policy/requirements.ts';
import { type Evidence, examineEnvelope } from '../../signatures/evidence.ts';
import { hintText } from '../../signatures/sigstore-bundle.ts';
import { fulcioIdentityOf } from '../../sigstore/fulcio-identity.ts';
import type { TrustedRoot } from '../../sigstore/trusted-root.ts';
import { readCollection } from '../../trust/read/collection.ts';
import { ProcessMemory } from '../../trust/read/memory.ts';
import { type CollectionPorts, openCollection } from '../verify/collection.ts';
import type { ImageName } from '../verify/image.ts';
import type { OpenedSignature } from '../verify/signature-reading.ts';
import { MAX_EXAMINED } from '../verify/signature-search.ts';
import { eachSignature, resolveImage, signerOf } from './signatures.ts';

/** What signatures are tried with. */
export interface SignerOptions extends CallOptions {
  /** The image as it was named, for messages. */
  readonly name: string;
  /** Public keys that may have signed. */
  readonly keys: readonly PublicKey[];
  /** Trusted root of the Sigstore instance that may have certified keyless signers. */
  readonly root: TrustedRoot;
  readonly now: Date;
}

/** Who has signed an image, as far as that can be known without trusting any of them. */
export interface ImageSigners {
  readonly image: Descriptor;
  /** Signatures that verify: a policy that trusts their signer accepts the image today. */
  readonly signers: readonly FoundSigner[];
  /** Signatures that say little or nothing, and why. */
  readonly unconfirmed: readonly UnconfirmedSignature[];
  /** Signatures that were listed and not looked at. */
  readonly unexamined: number;
}

/**
 * Finds out who has signed an image, for a person to confirm. A signer is named only if a policy that trusts exactly
 * this signer would accept the signature; nothing says that he may be trusted.
 * @throws BullaError not-found, usage, digest-mismatch; what keeps the list from being read: that never means unsigned
 */
export async function findSigners(
  source: Source,
  reference: ImageName,
  options: SignerOptions,
): Promise<ImageSigners> {
  const { name, signal } = options;
  const image = await resolveImage(source, reference, name, { signal });
  const signers: FoundSigner[] = [];
  const unconfirmed: UnconfirmedSignature[] = [];
  let unexamined = 0;
  for await (const opened of eachSignature(source, image.digest, { signal, part: true })) {
    if (signers.length + unconfirmed.length >= MAX_EXAMINED) {
      unexamined++;
      continue;
    }
    const found = await examine(opened, image, options);
    if ('purpose' in found) signers.push(found);
    else unconfirmed.push(found);
  }
  return { image, signers, unconfirmed, unexamined };
}

/**
 * What a person would pin of the collection beside an image, from what it says itself. Nothing is remembered.
 * @returns undefined where there is no collection
 * @throws BullaError what keeps it from being asked for
 */
export async function findCollection(
  reference: Reference,
  ports: CollectionPorts,
): Promise<FoundCollection | undefined> {
  const unpinned = { ...ports, pins: async () => [], memory: new ProcessMemory(), cache: undefined };
  const { target, read } = await openCollection(reference, {}, unpinned);
  try {
    if ((await readCollection(target, read)) === undefined) return undefined;
    throw new BullaError('internal', `${read.place}: a collection was trusted without a pin`, {
      hint: 'please report this with the command that was run',
    });
  } catch (error) {
    if (!isBullaError(error, 'trust-unpinned', ...UNUSABLE)) throw error;
    const { code, message, details } = error;
    const ids = details['keyIds'];
    if (code === 'trust-unpinned' && Array.isArray(ids) && ids.length > 0)
      return { rootKeyIds: ids.filter((id) => typeof id === 'string') };
    return { failure: { code, message } };
  }
}

/** What is wrong with a collection itself, not with the way to it. */
const UNUSABLE = ['trust-invalid', 'trust-expired', 'trust-rollback', 'content-invalid'] as const;

async function examine(
  opened: OpenedSignature,
  image: Descriptor,
  options: SignerOptions,
): Promise<FoundSigner | UnconfirmedSignature> {
  const { manifest, envelope, problem } = opened;
  if (envelope === undefined) return unconfirmed(opened, problem);
  const finding = await examineEnvelope(envelope, manifest, image, options.keys);
  if (finding.outcome === 'refused') return unconfirmed(opened, finding.refusal);
  const { evidence } = finding;
  try {
    const { identity, trust } = trustIn(evidence, options);
    const { purpose, kind } = evidence;
    const refusal = judge(evidence, requirements({ ...trust, purposes: [purpose], now: options.now }));
    if (refusal === undefined) return { signature: manifest, kind, identity, purpose };
    return unconfirmed(opened, refusal);
  } catch (error) {
    if (isBullaError(error)) return unconfirmed(opened, error);
    throw error;
  }
}

interface Trust {
  readonly identity: SignerIdentity;
  readonly trust: Partial<Requirements>;
}

/** What a policy would have to trust for the signature to count. @throws BullaError where it cannot be said in a policy */
function trustIn({ key, certificates, bundle }: Evidence, { root }: SignerOptions): Trust {
  const [leaf] = certificates;
  const authority = certificates.at(-1);
  if (leaf === undefined || authority === undefined)
    return { identity: { kind: 'key', key }, trust: { keys: [key] } };
  if (bundle === undefined) {
    const identity = parseIdentity(`x509.subject: ${subjectOf(leaf)}`);
    return {
      identity: { kind: 'certificate', authority, subject: identity.text },
      trust: { roots: [authority], identities: [identity] },
    };
  }
  const { subject, issuer } = fulcioIdentityOf(leaf);
  return {
    identity: { kind: 'keyless', subject, issuer },
    trust: { keyless: { root, identities: [{ subject, issuer }] } },
  };
}

function unconfirmed(
  { manifest, envelope }: OpenedSignature,
  { code, message }: Pick<BullaError, 'code' | 'message'>,
): UnconfirmedSignature {
  const claimed = envelope === undefined ? null : signerOf(envelope);
  const isKey = claimed !== null && envelope?.certificates.length === 0;
  return {
    signature: manifest,
    kind: envelope?.kind ?? null,
    claims: isKey ? hintText(claimed) : claimed,
    code,
    message,
  };
}
