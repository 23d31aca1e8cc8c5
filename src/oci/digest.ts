import type { Hash } from 'node:crypto';
import { BullaError } from '../errors.ts';

declare const digestBrand: unique symbol;

/** `sha256:<64 hex>` or `sha512:<128 hex>`, checked. A string, so that it can be a Map key. */
export type Digest = string & { readonly [digestBrand]: true };

/** Hash algorithms that an OCI digest may name here (image-spec, descriptor.md). */
export type DigestAlgorithm = 'sha256' | 'sha512';

/** What {@link isDigest} accepts. */
export const DIGEST_PATTERN: RegExp = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** Whether `text` is a digest: lower-case, of a known algorithm, of its length. Safe as part of a path. */
export function isDigest(text: string): text is Digest {
  return DIGEST_PATTERN.test(text);
}

/**
 * @param where says in the message where the text came from
 * @throws BullaError content-invalid
 */
export function parseDigest(text: string, where = 'digest'): Digest {
  if (isDigest(text)) return text;
  throw new BullaError('content-invalid', `${where}: ${JSON.stringify(text.slice(0, 160))} is not a digest`, {
    hint: 'a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits',
  });
}

/** Digest of the given bytes. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return new Digester(algorithm).update(bytes).digest();
}

/** Algorithm that a digest names. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** Hexadecimal part of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice(7);
}

/** Digest of bytes that come in pieces. */
export class Digester {
  private readonly hash: Hash;
  private readonly algorithm: DigestAlgorithm;

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.algorithm = algorithm;
    // Loaded when something is hashed: parsing a digest, which begins every command, does without.
    this.hash = process.getBuiltinModule('node:crypto').createHash(algorithm);
  }

  update(bytes: Uint8Array): this {
    this.hash.update(bytes);
    return this;
  }

  /** Ends the digester: call once. */
  digest(): Digest {
    return `${this.algorithm}:${this.hash.digest('hex')}` as Digest;
  }
}
