import {
  type ImageToSign,
  type Signed,
  type SigningWish,
  type SignPorts,
  sign as signAll,
} from '../actions/sign/sign.ts';
import type { SignatureWish } from '../actions/sign/signature.ts';
import { type Certificate, parseCertificates } from '../crypto/certificate.ts';
import type { Signer } from '../crypto/signer.ts';
import { openKey } from '../keystore/key-of.ts';
import { formatReference, formatRepository, parseReference, type Reference } from '../oci/reference.ts';
import type { Target } from '../oci/target.ts';
import type { Witness } from '../sigstore/witness.ts';
import { type Call, call } from './config.ts';
import { keySources } from './keys.ts';
import { type ChangeOptions, changePlace } from './publishing.ts';
import { type SigstoreSigning, witnessFor } from './sigstore.ts';

/** How {@link sign} signs images and their names, and what it works with. */
export interface SignOptions extends ChangeOptions, SigstoreSigning {
  /** The key: NAME of the key store, PATH, URI, or a signer of {@link keyOf}; the default key of the key store if left out. */
  readonly key?: string | Signer | undefined;
  /** Further keys for the roles of the collection, beside those of the key store that it lists. */
  readonly roleKeys?: readonly (string | Signer)[] | undefined;
  /** Certificates of the key, leaf first, root last, or PEM with them; those that are kept with the key if left out. */
  readonly chain?: readonly Certificate[] | string | undefined;
  /** `jws` with certificates, else `bundle`, if left out. */
  readonly envelope?: 'jws' | 'cose' | 'bundle' | undefined;
  /** Signed along with the image. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** When the signature expires; it has whole seconds. */
  readonly expires?: Date | undefined;
  /** A predicate type, for a signature that means something other than "released". Bare keys only. */
  readonly purpose?: string | undefined;
  /** Of an index: sign each platform's image as well. */
  readonly recursive?: boolean | undefined;
  /** `false`: images alone are signed. `only`: names alone, and there must be a collection. */
  readonly name?: false | 'only' | undefined;
  /** Role of the collection that names the images; `names` if left out. There must be a collection then. */
  readonly role?: string | undefined;
  /** `false`: no proof of the name is attached to the image. */
  readonly proof?: false | undefined;
  /** Sign also what is signed already by this key in this way, and is not near its expiry. */
  readonly again?: boolean | undefined;
  /** How many images are signed at the same time; 8 if left out. */
  readonly concurrency?: number | undefined;
}

/** What {@link sign} has signed. */
export interface SignedImages extends Signed {
  /** `REPOSITORY@DIGEST` of each image, in the order of the references. */
  readonly references: readonly string[];
}

/**
 * Signs images as `bulla sign` does: each with a detached signature, and all tags in one change of the trust
 * collection, where the repository has one (spec/signatures.md, "Signing"; spec/trust-publishing.md). A tag is resolved
 * once, and what is signed is the digest.
 * @param reference of one image, or several of one repository: `registry.example.com/team/app:v1`, `oci:DIR:v1`, …
 * @throws BullaError usage, not-found, key-invalid, certificate-…, digest-mismatch, untrusted-identity, trust-… before
 *   anything is signed; staged where another machine has to publish the names, conflict; registry-…
 * @example
 * ```ts
 * import { generateKeyPairSync } from 'node:crypto';
 * import { createSigner, sign } from 'bulla';
 *
 * const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
 * const { references, signatures, named } = await sign('registry.example.com/team/app:v1', {
 *   key: createSigner(privateKey),
 *   annotations: { build: '17' },
 * });
 * console.log(`signed ${references.join(', ')} with ${signatures.length} signature`);
 * if (named === undefined) console.log('the tag is not signed: the repository has no trust collection');
 * ```
 */
export async function sign(
  reference: string | Reference | readonly (string | Reference)[],
  options: SignOptions = {},
): Promise<SignedImages> {
  const given: readonly (string | Reference)[] = Array.isArray(reference) ? reference : [reference];
  const texts = given.map((one) => (typeof one === 'string' ? one : formatReference(one)));
  return await call(options, async (one) => {
    const [first = '', ...others] = texts;
    const { reference: single, source } = await one.places.openImage(first, { write: true });
    const images: readonly ImageToSign[] =
      others.length === 0
        ? [{ text: first, reference: single }]
        : texts.map((text) => ({ text, reference: parseReference(text) }));
    const wish = wishOf(options, await witnessFor(one, options));
    const signed = await signAll(images, wish, signPorts(one, single, source, options));
    return signedImages(signed, single);
  });
}

/** What was signed, with the digests that were. */
export function signedImages(signed: Signed, image: Reference): SignedImages {
  const repository = formatRepository(image);
  const references = signed.images.map(({ content }) => `${repository}@${content.descriptor.digest}`);
  return { ...signed, references };
}

/** What images and names are signed with. */
export function signPorts(one: Call, reference: Reference, images: Target, options: SignOptions): SignPorts {
  const { key, roleKeys = [], concurrency = 8 } = options;
  const keys = [...(key === undefined ? [] : [key]), ...roleKeys];
  return {
    images,
    signer: async () =>
      typeof key === 'object'
        ? key
        : await openKey(key, keySources({ ...options, directories: one.directories }), {
            signal: one.signal,
          }),
    collection: () => changePlace(one, reference, keys, options),
    now: one.now,
    agent: one.agent,
    concurrency,
    signal: one.signal,
  };
}

/** What is to be signed. */
export function wishOf(options: SignOptions, witness?: Witness): SigningWish {
  const { name, role, at, proof, again } = options;
  const isRequired = name === 'only' || role !== undefined || at !== undefined;
  return {
    signature: name === 'only' ? undefined : { ...signatureWishOf(options), witness },
    name: name === false ? false : { role, isRequired, proof },
    again,
  };
}

function signatureWishOf(options: SignOptions): SignatureWish {
  const { chain, envelope, annotations = {}, expires, purpose, recursive } = options;
  return {
    ...{ envelope, purpose, recursive },
    chain: typeof chain === 'string' ? parseCertificates(chain, 'the given certificate chain') : chain,
    annotations: new Map(Object.entries(annotations)),
    expiry: expires === undefined ? undefined : new Date(Math.floor(expires.getTime() / 1000) * 1000),
  };
}
