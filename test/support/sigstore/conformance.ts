import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { parsePublicKeyPem } from '../../../src/crypto/public-key.ts';
import { isBullaError } from '../../../src/errors.ts';
import { parseTrustedRoot } from '../../../src/sigstore/trusted-root.ts';
import { type Artifact, type ExpectedSigner, verifyBundle } from '../../../src/sigstore/verify.ts';

/** Where the suite keeps its bundles: the copy in this repository. */
const DATA = new URL('../../../testdata/sigstore-conformance/', import.meta.url);

/** Bundles of sigstore-conformance: folders whose names end in `_fail` must be refused, the others accepted. */
export const BUNDLES: URL = new URL('bundle-verify/', DATA);

/** The folders of a directory of bundles. */
export function foldersIn(bundles: URL): readonly string[] {
  return readdirSync(bundles, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

const IDENTITY =
  'https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main';
const ISSUER = 'https://token.actions.githubusercontent.com';

interface Case {
  readonly bundle: Uint8Array;
  readonly artifact: Uint8Array;
  readonly root: Uint8Array;
  readonly signer: () => ExpectedSigner;
}

function caseOf(bundles: URL, folder: string): Case {
  const place = new URL(`${folder}/`, bundles);
  const read = (name: string): Uint8Array | undefined => {
    const file = new URL(name, place);
    return existsSync(file) ? readFileSync(file) : undefined;
  };
  const text = (name: string): string | undefined => {
    const bytes = read(name);
    return bytes && String(Buffer.from(bytes)).trim();
  };
  const key = text('key.pub');
  return {
    bundle: read('bundle.sigstore.json') ?? new Uint8Array(),
    artifact: read('artifact') ?? readFileSync(new URL('bundle-verify/a.txt', DATA)),
    root: read('trusted_root.json') ?? readFileSync(new URL('public-good.trusted_root.json', DATA)),
    signer: () =>
      key === undefined
        ? { identities: [{ subject: text('identity') ?? IDENTITY, issuer: text('issuer') ?? ISSUER }] }
        : { key: parsePublicKeyPem(key, 'key.pub') },
  };
}

/** How the artifact is given to the verifier. */
export type Given = 'path' | 'digest';

/** The code of the refusal of a folder's bundle; undefined where it is accepted. */
export function outcomeOf(bundles: URL, folder: string, given: Given): string | undefined {
  const { bundle, artifact: bytes, root, signer } = caseOf(bundles, folder);
  const value = new Uint8Array(createHash('sha256').update(bytes).digest());
  const artifact: Artifact = given === 'path' ? { bytes } : { digest: { algorithm: 'sha256', value } };
  try {
    verifyBundle(bundle, artifact, signer(), parseTrustedRoot(root, 'the trusted root'), 'the bundle');
    return undefined;
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return error.code;
  }
}
