import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listSignatures, MAX_LISTED_BYTES, removeSignatures } from '../../src/actions/inspect/signatures.ts';
import { readTree } from '../../src/actions/inspect/tree.ts';
import { signImage } from '../../src/actions/sign/signature.ts';
import { verifyImage } from '../../src/actions/verify/image.ts';
import { MAX_SEARCH_BYTES } from '../../src/actions/verify/signature-search.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import type { BullaError } from '../../src/errors.ts';
import { type Digest, isDigest } from '../../src/oci/digest.ts';
import { MemoryStore } from '../../src/oci/memory.ts';
import { MAX_REFERRERS_BYTES } from '../../src/oci/referrers.ts';
import type { Target } from '../../src/oci/target.ts';
import { requirements } from '../../src/policy/requirements.ts';
import { openRepository, RegistryClient } from '../../src/registry/client.ts';
import { MAX_LIST_BYTES } from '../../src/registry/pages.ts';
import { SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import { pushImage, tagOf } from '../support/content.ts';
import {
  type HostileOptions,
  type HostileRegistry,
  LARGEST,
  startHostile,
} from '../support/registry/hostile.ts';
import { codeOf } from '../support/registry/open.ts';

const MIB = 1024 * 1024;
const now = new Date('2026-12-01T00:00:00Z');
const key = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);

interface Opened {
  readonly registry: HostileRegistry;
  readonly target: Target;
  readonly image: Digest;
}

async function open(
  options: HostileOptions = {},
  client: { searchTimeoutMs?: number } = {},
): Promise<Opened> {
  const registry = await startHostile(options);
  const target = openRepository({ registry: registry.host, repository: 'app' }, client);
  onTestFinished(async () => {
    await target.close();
    await registry.close();
  });
  if (!isDigest(registry.image)) throw new Error('no digest');
  return { registry, target, image: registry.image };
}

function verify({ target, image }: Opened): Promise<unknown> {
  const required = requirements({ now, keys: [key.publicKey] });
  return verifyImage(target, { digest: image }, { name: 'app', required });
}

/** An image with one honest signature, and what a registry needs to serve both. */
async function honest(): Promise<Required<Pick<HostileOptions, 'manifests' | 'honest'>> & { image: Digest }> {
  const store = new MemoryStore();
  const image = await pushImage(store, 'honest', 'v1');
  await signImage(store, { tag: tagOf('v1') }, { name: 'app:v1', now, agent: 'bulla/test', signer: key });
  const [signature] = await store.listReferrers(image.descriptor.digest);
  if (signature === undefined) throw new Error('not signed');
  const content = await store.fetchManifest(signature.digest);
  const { mediaType, digest, size } = content.descriptor;
  const serve = ({ bytes, descriptor }: typeof content) =>
    [descriptor.digest, { bytes, mediaType: descriptor.mediaType }] as const;
  return {
    image: image.descriptor.digest,
    manifests: new Map([serve(image), serve(content)]),
    honest: { mediaType, digest, size },
  };
}

describe('hazard: lists of referrers without an end', () => {
  it.each([
    ['of one large signature a page', {}],
    ['of thousands of small ones', { entries: 2_000 }],
    ['with a great many annotations', { annotations: 'many' }],
    ['of what is not asked for', { entries: 100, artifactType: 'application/spdx+json' }],
    ['of types that are not told', { entries: 100, artifactType: 'application/vnd.oci.empty.v1+json' }],
  ] as const)('are left after a bounded number of bytes: %s', async (_, options) => {
    const { registry, target, image } = await open(options);
    expect(await codeOf(target.listReferrers(image))).toBe('content-invalid');
    expect(registry.sent()).toBeLessThan(MAX_REFERRERS_BYTES + 3 * LARGEST);
  });

  it('give what was read to whoever can do with a part, and say why it is one', async () => {
    const { target, image } = await open({ entries: 100 });
    const reasons: BullaError[] = [];
    const listed = await target.listReferrers(image, { onCut: (reason) => void reasons.push(reason) });
    expect(reasons.map(({ code, details }) => [code, details['reason']])).toEqual([
      ['content-invalid', 'budget'],
    ]);
    expect(listed.length).toBeGreaterThan(700);
  });

  it('keep nothing of what the reader has no use for', async () => {
    const some = await honest();
    const { target } = await open({
      ...some,
      entries: 15_000,
      artifactType: 'application/spdx+json',
      pages: 2,
    });
    const listed = await target.listReferrers(some.image, {
      keep: ({ digest }) => digest === some.honest.digest,
    });
    expect(listed.map(({ digest }) => digest)).toEqual([some.honest.digest]);
    expect(await codeOf(target.listReferrers(some.image))).toBe('content-invalid');
  });

  it('are not waited for longer than a search may take', async () => {
    const { target, image } = await open({ delayMs: 100, entries: 10 }, { searchTimeoutMs: 250 });
    expect(await codeOf(target.listReferrers(image))).toBe('timeout');
  });
});

describe('hazard: a search through what somebody else pushed', () => {
  it('reads a bounded number of bytes, and never says that there is no signature', async () => {
    const opened = await open({ entries: 8 });
    const code = await codeOf(verify(opened));
    expect(code).not.toBe('unsigned');
    expect(code).toBe('content-invalid');
    // Two lists, the search with a last batch, and the image.
    const bound = 2 * (MAX_REFERRERS_BYTES + LARGEST) + MAX_SEARCH_BYTES + 8 * LARGEST;
    expect(opened.registry.sent()).toBeLessThan(bound + 4 * LARGEST);
  }, 60_000);

  it('says of signatures that were listed and not looked at that there are some', async () => {
    const opened = await open({ entries: 8, pages: 3 });
    const failure = await verify(opened).catch((error: unknown) => error as BullaError);
    expect(failure).toMatchObject({ code: 'signature-mismatch', details: { unexamined: 7 } });
  }, 60_000);

  it('finds an honest signature among them without reading them', async () => {
    const some = await honest();
    const opened = await open({ ...some, entries: 8 });
    await verify({ ...opened, image: some.image });
    expect(opened.registry.sent()).toBeLessThan(MAX_REFERRERS_BYTES + 3 * LARGEST);
  });

  it('does not take the list of others for all there is: "unsigned" is not said of a list that was cut', async () => {
    const some = await honest();
    const opened = await open({ manifests: some.manifests, entries: 100 });
    expect(await codeOf(verify({ ...opened, image: some.image }))).toBe('content-invalid');
    const other = await open({ manifests: some.manifests, entries: 100, artifactType: 'text/plain' });
    expect(await codeOf(verify({ ...other, image: some.image }))).toBe('content-invalid');
  }, 60_000);

  it('lists signatures beyond what is read, so that they can be removed', async () => {
    const { target, registry, image } = await open({ entries: 8, pages: 4 });
    const { signatures } = await listSignatures(target, { digest: image }, { name: 'app' });
    expect(signatures).toHaveLength(32);
    expect(signatures.at(-1)?.problem?.code).toBe('content-invalid');
    expect(registry.sent()).toBeLessThan(MAX_LISTED_BYTES + 8 * LARGEST + 8 * LARGEST);
  }, 60_000);

  it('removes from the beginning of a list that has no end', async () => {
    const { target, registry, image } = await open({ entries: 8 });
    expect(await codeOf(listSignatures(target, { digest: image }, { name: 'app' }))).toBe('content-invalid');
    // This registry lets nobody remove anything: that it was asked is what counts.
    const chosen = await listSignatures(target, { digest: image }, { name: 'app', part: true });
    expect(chosen.signatures.length).toBeGreaterThan(60);
    const signature = chosen.signatures[0]?.signature as Digest;
    await codeOf(removeSignatures(target, { digest: image }, [signature], { name: 'app' }));
    expect(registry.requests.some((line) => line.startsWith('DELETE'))).toBe(true);
  }, 60_000);

  it('ends a tree that has no end', async () => {
    const { target, image, registry } = await open({ entries: 100, artifactType: SIGNATURE_TYPES.bundle });
    // It is read up to its bound, and the rest is shown as what it is (decision 467).
    const tree = await readTree(target, image, { concurrency: 8 });
    expect(JSON.stringify(tree)).toMatch(/"unreadable":"[^"]+"/);
    expect(registry.sent()).toBeLessThan(2 * MAX_REFERRERS_BYTES + 100 * LARGEST);
  }, 60_000);
});

describe('hazard: lists of names without an end', () => {
  it('are left after a bounded number of bytes: tags, of which enough were read', async () => {
    const { target, registry } = await open();
    expect(await target.listTags()).toHaveLength(100_000);
    expect(registry.sent()).toBeLessThan(MAX_LIST_BYTES + 16 * MIB);
  });

  it('are left after a bounded number of bytes: repositories', async () => {
    const { registry } = await open();
    const client = new RegistryClient();
    onTestFinished(() => client.close());
    const all = (async () => {
      for await (const _ of client.listRepositories(registry.host));
    })();
    expect(await codeOf(all)).toBe('content-invalid');
    expect(registry.sent()).toBeLessThan(MAX_LIST_BYTES + 16 * MIB);
  }, 60_000);

  it('are not waited for longer than a search may take', async () => {
    const { target } = await open({ delayMs: 300 }, { searchTimeoutMs: 200 });
    expect(await codeOf(target.listTags())).toBe('timeout');
  });
});
