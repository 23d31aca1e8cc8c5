import { sign as signAll } from '../actions/sign/sign.ts';
import { utf8 } from '../encoding/bytes.ts';
import { formatReference, type Reference } from '../oci/reference.ts';
import { checkPredicate, predicateType } from '../signatures/predicates.ts';
import { call } from './config.ts';
import { type SignedImages, type SignOptions, signedImages, signPorts } from './sign.ts';
import { witnessFor } from './sigstore.ts';

/** What {@link attest} says about an image, and what it signs with. */
export interface AttestOptions
  extends Omit<
    SignOptions,
    'annotations' | 'chain' | 'envelope' | 'expires' | 'name' | 'proof' | 'purpose' | 'role'
  > {
  /** Predicate type: `slsaprovenance1`, `spdxjson`, `cyclonedx`, `vuln`, `vsa`, …, or a URI. */
  readonly type: string;
  /** The predicate: an object, or its JSON as it is to be signed. */
  readonly predicate: Readonly<Record<string, unknown>> | Uint8Array | string;
}

/** What {@link attest} has attached. */
export interface Attested extends SignedImages {
  /** URI of the predicate type. */
  readonly predicateType: string;
}

/**
 * Attaches an attestation to an image as `bulla attest` does: a signed statement that cosign verifies
 * (spec/signatures.md, "Attestations").
 * @param reference `registry.example.com/team/app:v1`, `oci:DIR:v1`, …; a tag is resolved once
 * @throws BullaError usage, content-invalid for a predicate that its type does not allow; as {@link sign}
 * @example
 * ```ts
 * import { generateKeyPairSync } from 'node:crypto';
 * import { attest, createSigner } from 'bulla';
 *
 * const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
 * const { references, predicateType } = await attest('registry.example.com/team/app:v1', {
 *   key: createSigner(privateKey),
 *   type: 'https://example.com/review/v1',
 *   predicate: { reviewer: 'alice', approved: true },
 * });
 * console.log(`attested ${predicateType} about ${references.join()}`);
 * ```
 */
export async function attest(reference: string | Reference, options: AttestOptions): Promise<Attested> {
  const text = typeof reference === 'string' ? reference : formatReference(reference);
  const type = predicateType(options.type);
  const predicate = checkPredicate(type, bytesOf(options.predicate), 'the given predicate');
  return await call(options, async (one) => {
    const witness = await witnessFor(one, options);
    const { reference: image, source } = await one.places.openImage(text, { write: true });
    const { recursive, again } = options;
    const signed = await signAll(
      [{ text, reference: image }],
      { signature: { envelope: 'bundle', purpose: type, predicate, witness, recursive }, name: false, again },
      signPorts(one, image, source, options),
    );
    return { ...signedImages(signed, image), predicateType: type };
  });
}

function bytesOf(predicate: AttestOptions['predicate']): Uint8Array {
  if (predicate instanceof Uint8Array) return predicate;
  return utf8(typeof predicate === 'string' ? predicate : JSON.stringify(predicate));
}
