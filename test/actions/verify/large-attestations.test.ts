import { describe, expect, it } from 'vitest';
import { listSignatures } from '../../../src/actions/inspect/signatures.ts';
import { searchSignatures } from '../../../src/actions/verify/signature-search.ts';
import { publicKeyOf } from '../../../src/crypto/public-key.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { isBullaError } from '../../../src/errors.ts';
import { decorated } from '../../../src/oci/decorated.ts';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { MAX_ENVELOPE_BYTES, RELEASE_PURPOSE } from '../../../src/signatures/formats.ts';
import { buildBundle } from '../../../src/signatures/sigstore-bundle.ts';
import { readStatement } from '../../../src/signatures/statement.ts';
import { parseBundle } from '../../../src/sigstore/bundle.ts';
import { pushImage, tagOf } from '../../support/content.ts';
import { attach } from '../../support/forge.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const TYPE = 'https://spdx.dev/Document';
const signer = createSigner(poolKey(8).privateKey);
const key = publicKeyOf(poolKey(8).privateKey);

/** An SBOM of about so many bytes: some as SPDX has it, the rest as one text, which is cheap to make. */
function sbom(bytes: number): Uint8Array {
  const checksums = [{ algorithm: 'SHA256', checksumValue: 'a'.repeat(64) }];
  const files = Array.from({ length: 10_000 }, () => ({ SPDXID: 'SPDXRef-File-usr-lib', checksums }));
  return utf8(JSON.stringify({ spdxVersion: 'SPDX-2.3', files, comment: 'x'.repeat(bytes - 2_000_000) }));
}

async function attested(store: MemoryStore, image: Descriptor, bytes: number): Promise<void> {
  const parts = { digest: image.digest, annotations: new Map(), purpose: TYPE, predicate: sbom(bytes) };
  await attach(store, image, { envelope: await buildBundle(parts, signer) });
}

function search(store: MemoryStore, image: Descriptor, purpose: string) {
  const running = { now: 0, most: 0, count: 0 };
  const source = decorated(store, {
    fetchBlob: async (descriptor, ...rest) => {
      const isLarge = descriptor.size > MAX_ENVELOPE_BYTES;
      running.now += isLarge ? 1 : 0;
      running.count += isLarge ? 1 : 0;
      running.most = Math.max(running.most, running.now);
      try {
        return await store.fetchBlob(descriptor, ...rest);
      } finally {
        running.now -= isLarge ? 1 : 0;
      }
    },
  });
  const options = { keys: [key], roots: [], purposes: [purpose], enough: () => false };
  return searchSignatures(source, image, options).then((found) => ({ found, running }));
}

describe('an attestation that is larger than a signature', () => {
  it('is read where attestations are asked for, one at a time, and within the budget of a search', async () => {
    const store = new MemoryStore();
    const image = (await pushImage(store, 'app', 'v1')).descriptor;
    for (const megabytes of [7, 15, 15.2, 15.4, 15.6]) await attested(store, image, megabytes * 1024 * 1024);
    const { found, running } = await search(store, image, TYPE);
    const outcomes = found.findings.map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === 'verified').length).toBeGreaterThanOrEqual(3);
    // 64 MiB, and the one that was begun before.
    expect(outcomes).toContain('refused');
    expect(running.most).toBe(1);
    const [first] = found.findings.filter((finding) => finding.outcome === 'verified');
    expect(first?.evidence.predicate?.['spdxVersion']).toBe('SPDX-2.3');
  });

  it('is not fetched where signatures are asked for', async () => {
    const store = new MemoryStore();
    const image = (await pushImage(store, 'app', 'v1')).descriptor;
    await attested(store, image, 5 * 1024 * 1024);
    const { found, running } = await search(store, image, RELEASE_PURPOSE);
    expect(running.count).toBe(0);
    expect(found.findings).toMatchObject([{ outcome: 'refused', refusal: { code: 'content-invalid' } }]);
    const listed = await listSignatures(store, { tag: tagOf('v1'), digest: undefined }, { name: 'app' });
    expect(listed.signatures).toMatchObject([{ purpose: TYPE, problem: null }]);
  });

  it.each([
    ['a bundle', (text: string) => parseBundle(utf8(`{"mediaType":${text}}`), 'it')],
    ['a statement', (text: string) => readStatement(utf8(`{"_type":${text}}`), 'it')],
  ])('does not become many times its size in memory: %s of empty objects', (_, read) => {
    const many = `[${'{},'.repeat(400_000)}{}]`;
    const error = ((): unknown => {
      try {
        return read(many);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(isBullaError(error, 'content-invalid') && error.message).toMatch(/too many values/);
  });
});
