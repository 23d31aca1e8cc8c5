import { utf8 } from '../../../src/encoding/bytes.ts';
import { type Descriptor, describe } from '../../../src/oci/descriptor.ts';
import { decide } from '../../../src/policy/decision.ts';
import { requirements } from '../../../src/policy/requirements.ts';
import { examineEnvelope, type Finding, refusalOf } from '../../../src/signatures/evidence.ts';
import { readBundle } from '../../../src/signatures/sigstore-bundle.ts';
import { parseTrustedRoot } from '../../../src/sigstore/trusted-root.ts';
import type { SigstoreInstance } from './instance.ts';

/** An image that signatures may be about. */
export const IMAGE: Descriptor = describe('application/vnd.oci.image.manifest.v1+json', utf8('{}'));

/** What a bundle comes to as a signature of that image by alice: the code of the refusal, or `verified`. */
export async function outcomeOfImage(
  instance: SigstoreInstance,
  bundle: Uint8Array,
  purpose: string,
): Promise<string> {
  const root = parseTrustedRoot(instance.trustedRoot(), 'the root');
  const identities = [{ subject: 'alice@example.com', issuer: 'https://accounts.example.com' }];
  const required = requirements({ now: new Date(), keyless: { root, identities }, purposes: [purpose] });
  let finding: Finding;
  try {
    const envelope = readBundle(bundle, 'the bundle');
    finding = await examineEnvelope(envelope, IMAGE.digest, IMAGE, []);
  } catch (error) {
    finding = refusalOf(IMAGE.digest, error);
  }
  const decision = decide('the image', { findings: [finding], unexamined: 0 }, required);
  return decision.accepted ? 'verified' : decision.error.code;
}
