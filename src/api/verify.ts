import { join } from 'node:path';
import { eachOf, type Outcome } from '../actions/copy/many.ts';
import type { DriftRule } from '../actions/verify/drift.ts';
import { Shared } from '../actions/verify/shared.ts';
import { type Demands, verify as decide, type Verified, type VerifyPorts } from '../actions/verify/verify.ts';
import { type Certificate, parseCertificates } from '../crypto/certificate.ts';
import { parseIdentity } from '../crypto/identity.ts';
import { type PublicKey, parsePublicKeyPem } from '../crypto/public-key.ts';
import { throwIfAborted } from '../errors.ts';
import { Keystore } from '../keystore/store.ts';
import { parsePlatform } from '../oci/platform.ts';
import { formatReference, parseReference, type Reference } from '../oci/reference.ts';
import { identityRule } from '../policy/file/policy.ts';
import type { KeylessDocument } from '../policy/file/schema.ts';
import { type Requirements, requirements } from '../policy/requirements.ts';
import type { PinnedTrust } from '../trust/read/pin.ts';
import { type Call, type Config, call } from './config.ts';
import type { Image } from './places.ts';
import { trustedRootFor } from './sigstore.ts';

/** What {@link verify} demands of an image, and what it works with. */
export interface VerifyOptions extends Config {
  /**
   * Public keys that are trusted, or PEM with one. If neither keys nor authorities are given, the default key of the
   * key store; an empty list trusts no key.
   */
  readonly keys?: readonly (PublicKey | string)[] | undefined;
  /** Certificates of authorities that are trusted, or PEM with some. */
  readonly authorities?: readonly (Certificate | string)[] | undefined;
  /** Who is trusted among those they certify: `x509.subject: C=DE, O=Acme, CN=release`, or `*`. */
  readonly identities?: readonly string[] | undefined;
  /** Whose keyless signatures are trusted: `{ identity, issuer }`, or either as an expression for the whole value. */
  readonly keyless?: readonly KeylessDocument[] | undefined;
  /** For `keyless`: the trusted root of the Sigstore instance, JSON or `tuf+https://…`; the public-good one if left out. */
  readonly trustedRoot?: Uint8Array | string | undefined;
  /** How many different signers must have signed; 1 if left out. */
  readonly threshold?: number | undefined;
  /** Predicate types, one of which a signature must have. */
  readonly purposes?: readonly string[] | undefined;
  /** Annotations that must be signed. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** Where the trust collection lies, if neither in the repository nor where a pin says. */
  readonly at?: string | undefined;
  /** `HOST/REPOSITORY` that the collection was made for, if this is a copy. */
  readonly collection?: string | undefined;
  /** Whose root keys are trusted, instead of a pin. */
  readonly trust?: PinnedTrust | undefined;
  /** How long after expiry trust metadata still counts, in milliseconds; 0 if left out. */
  readonly maxStaleness?: number | undefined;
  /** Roles that must all have signed the name; `names` if left out. */
  readonly signers?: readonly string[] | undefined;
  /** Any role of the collection may have signed the name. */
  readonly anySigner?: boolean | undefined;
  /** `false`: detached signatures alone decide. */
  readonly name?: false | undefined;
  /** What to do where the registry's tag is not what was signed; `warn` if left out: it is in the result. */
  readonly drift?: DriftRule | undefined;
  /** Of an index: the image for this platform, `linux/arm64`. */
  readonly platform?: string | undefined;
  /** Also accept an index that is not signed itself where every platform's image is. */
  readonly eachPlatform?: boolean | undefined;
}

/**
 * Verifies an image as `bulla verify` does: its name where a trust collection is pinned, was seen before or is
 * demanded, and its detached signatures where no name is looked up or keys, authorities or anything else about
 * signatures is given (spec/trust-names.md, spec/signatures.md). Run `runnable` of the result, never the tag.
 * @param reference `registry.example.com/team/app:v1`, `oci:DIR:v1`, …; with a tag, a digest, or both
 * @throws BullaError trust-unpinned where nothing says whose signatures to trust; unsigned, signature-mismatch,
 *   threshold-not-met, untrusted-identity, certificate-…, trust-…, name-not-signed, digest-mismatch, image-missing;
 *   usage; registry-… where nothing is known about the image
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { isBullaError, verify } from 'bulla';
 *
 * try {
 *   const { runnable, evidence } = await verify('registry.example.com/team/app:v1', {
 *     keys: [await readFile('release.pub', 'utf8')],
 *   });
 *   console.log(`run ${runnable}, signed by ${evidence.length} key`);
 * } catch (error) {
 *   if (!isBullaError(error)) throw error;
 *   console.error(`do not run it: ${error.code}: ${error.message}`);
 * }
 * ```
 */
export async function verify(reference: string | Reference, options: VerifyOptions = {}): Promise<Verified> {
  return await call(options, async (one) => {
    const text = typeof reference === 'string' ? reference : formatReference(reference);
    return await verifyImageAt(one, text, await one.places.openImage(text), options);
  });
}

/** How {@link verifyMany} verifies, beside what it demands of each image. */
export interface VerifyManyOptions extends VerifyOptions {
  /** How many images are verified at the same time; 8 if left out. */
  readonly concurrency?: number | undefined;
  /** Called with each outcome, in the order of the references. */
  readonly onOutcome?: ((outcome: Outcome<Verified>) => void) | undefined;
}

/**
 * Verifies several images as {@link verify} does, in one run: keys and pins are read once, each trust collection once
 * for all its names, and connections and tokens are shared. A failure of one does not end the others: look at `ok` of
 * each outcome. A reference that is given twice is verified once.
 * @returns outcomes in the order of the references
 * @throws BullaError interrupted, or with what the signal says, where it ends the run: `onOutcome` got what was done by then
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { verifyMany } from 'bulla';
 *
 * const keys = [await readFile('release.pub', 'utf8')];
 * const images = ['registry.example.com/team/app:v1', 'registry.example.com/team/app:v2'];
 * for (const outcome of await verifyMany(images, { keys }))
 *   if (outcome.ok) console.log(`run ${outcome.value.runnable}`);
 *   else console.log(`do not run ${outcome.text}: ${outcome.error.code}`);
 * ```
 */
export async function verifyMany(
  references: readonly (string | Reference)[],
  options: VerifyManyOptions = {},
): Promise<readonly Outcome<Verified>[]> {
  const { concurrency = 8, onOutcome, signal } = options;
  const texts = references.map((one) => (typeof one === 'string' ? one : formatReference(one)));
  return await call(options, async (one) => {
    const shared = new Shared();
    const { collections } = one;
    const outcomes: Outcome<Verified>[] = [];
    await eachOf(
      texts,
      { concurrency, signal },
      async (text) => {
        const image = await one.places.openImage(text);
        return await verifyImageAt(one, text, image, options, { ...collections, shared });
      },
      (outcome) => {
        outcomes.push(outcome);
        onOutcome?.(outcome);
      },
    );
    throwIfAborted(signal);
    return outcomes;
  });
}

/** Verifies an image that is open. */
export async function verifyImageAt(
  one: Call,
  text: string,
  { reference, source }: Image,
  options: VerifyOptions,
  ports: Omit<VerifyPorts, 'image' | 'requirements'> = one.collections,
): Promise<Verified> {
  const requirements = (): Promise<Requirements> => requirementsOf(one, options);
  return await decide({ text, reference }, demandsOf(options), {
    ...ports,
    image: async () => source,
    requirements: () => ports.shared?.once('requirements', requirements) ?? requirements(),
  });
}

function demandsOf(options: VerifyOptions): Demands {
  const { at, collection, trust, maxStaleness, signers, anySigner, name, drift, platform, eachPlatform } =
    options;
  return {
    ...{ collection, trust, maxStaleness, signers, anySigner, name, drift, eachPlatform },
    at: at === undefined ? undefined : parseReference(at),
    platform: platform === undefined ? undefined : parsePlatform(platform),
    signatures: isAboutSignatures(options),
  };
}

function isAboutSignatures(options: VerifyOptions): boolean {
  const { keys, authorities, identities, keyless, threshold, purposes, annotations } = options;
  return [keys, authorities, identities, keyless, threshold, purposes, annotations].some(
    (given) => given !== undefined,
  );
}

async function requirementsOf(one: Call, options: VerifyOptions): Promise<Requirements> {
  const { keys = [], authorities = [], identities = [], threshold, purposes, annotations = {} } = options;
  // A list that is given and empty means that no one is trusted.
  const isDefault = [options.keys, options.authorities, options.keyless].every(
    (given) => given === undefined,
  );
  const { keyless = [], trustedRoot } = options;
  return requirements({
    keys: isDefault
      ? await defaultKeys(one)
      : keys.map((key) => (typeof key === 'string' ? parsePublicKeyPem(key, 'the given key') : key)),
    roots: authorities.flatMap((given) =>
      typeof given === 'string' ? parseCertificates(given, 'the given authority') : given,
    ),
    identities: identities.map((text) => parseIdentity(text)),
    annotations: new Map(Object.entries(annotations)),
    ...(keyless.length > 0 && {
      keyless: { identities: keyless.map(identityRule), root: await trustedRootFor(one, trustedRoot) },
    }),
    now: one.now,
    ...(threshold !== undefined && { threshold }),
    ...(purposes !== undefined && { purposes }),
  });
}

async function defaultKeys({ directories }: Call): Promise<readonly PublicKey[]> {
  const keystore = new Keystore(join(directories.config, 'keys'));
  const name = await keystore.defaultName();
  return name === undefined ? [] : [(await keystore.get(name)).publicKey];
}
