import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parsePublicKeyPem } from '../../src/crypto/public-key.ts';
import { isBullaError } from '../../src/errors.ts';
import { parseTrustedRoot } from '../../src/sigstore/trusted-root.ts';
import { type Artifact, type ExpectedSigner, verifyBundle } from '../../src/sigstore/verify.ts';

/** Bundles of sigstore-conformance: folders whose names end in `_fail` must be refused, the others accepted. */
const DATA = new URL('../../testdata/sigstore-conformance/', import.meta.url);
const FOLDERS = readdirSync(new URL('bundle-verify/', DATA), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const IDENTITY =
  'https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main';
const ISSUER = 'https://token.actions.githubusercontent.com';

interface Case {
  readonly bundle: Uint8Array;
  readonly artifact: Uint8Array;
  readonly root: Uint8Array;
  readonly signer: () => ExpectedSigner;
}

function caseOf(folder: string): Case {
  const place = new URL(`bundle-verify/${folder}/`, DATA);
  const read = (name: string): Uint8Array | undefined => {
    const file = new URL(name, place);
    return existsSync(file) ? readFileSync(file) : undefined;
  };
  const text = (name: string): string | undefined =>
    read(name) && String(Buffer.from(read(name) ?? [])).trim();
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

/** The code of the refusal; undefined where the bundle is accepted. */
function outcome({ bundle, root, signer }: Case, artifact: Artifact): string | undefined {
  try {
    verifyBundle(bundle, artifact, signer(), parseTrustedRoot(root, 'the trusted root'), 'the bundle');
    return undefined;
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return error.code;
  }
}

describe('bundles of sigstore-conformance', () => {
  it('are all there', () => {
    expect(FOLDERS).toHaveLength(70);
  });

  it.each(FOLDERS)('%s', (folder) => {
    const given = caseOf(folder);
    const value = new Uint8Array(createHash('sha256').update(given.artifact).digest());
    const byPath = outcome(given, { bytes: given.artifact });
    const byDigest = outcome(given, { digest: { algorithm: 'sha256', value } });
    expect(byPath === undefined, byPath).toBe(!folder.endsWith('_fail'));
    expect(byDigest).toBe(byPath);
  });
});
