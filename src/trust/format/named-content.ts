import { parseJsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import { algorithmOf, hexOf } from '../../oci/digest.ts';
import { MAX_MANIFEST_BYTES, type ManifestContent, parseManifest } from '../../oci/manifest.ts';
import type { NamedContent } from './log.ts';

/**
 * What is signed about the name of a manifest (spec/trust-copying.md, "Signing names"): its size and
 * SHA-256, and its media type only where it does not say that itself.
 * @throws BullaError content-invalid if it is ambiguous; usage if its digest is not a SHA-256
 */
export function namedContentOf(content: ManifestContent): NamedContent {
  const { digest, mediaType, size } = content.descriptor;
  parseManifest(content);
  if (algorithmOf(digest) !== 'sha256') {
    throw new BullaError('usage', `${digest} cannot be named: a name needs a SHA-256 digest`, {
      hint: 'push the image under its SHA-256 digest, as almost every registry does',
      details: { digest },
    });
  }
  const json = parseJsonObject(content.bytes, {
    what: `manifest ${digest}`,
    maxBytes: MAX_MANIFEST_BYTES,
    floats: true,
  });
  return { length: size, sha256: hexOf(digest), ...(json['mediaType'] === undefined && { mediaType }) };
}
