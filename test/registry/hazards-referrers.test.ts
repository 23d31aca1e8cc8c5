import { describe, expect, it } from 'vitest';
import { describe as descriptorOf } from '../../src/oci/descriptor.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { buildArtifact, buildIndex, type ManifestContent } from '../../src/oci/manifest.ts';
import { fallbackTag } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import type { DialectStore } from '../../src/registry/dialect.ts';
import { blobOf, pushImage, pushReferrer, SIGNATURE_TYPE, tagOf } from '../support/content.ts';
import { codeOf, registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry } from '../support/registry/server.ts';

const FALLBACK = /\/manifests\/sha256-/;
const REFERRERS = /\/referrers\//;
const INDEX = 'application/vnd.oci.image.index.v1+json';

async function listed(target: Target, subject: ManifestContent): Promise<readonly Digest[]> {
  return (await target.listReferrers(subject.descriptor.digest)).map(({ digest }) => digest).sort();
}

/** What somebody else, who knows nothing of us, puts at the fallback tag. */
function overwrite(
  registry: FaultyRegistry,
  subject: ManifestContent,
  entries: readonly ManifestContent[],
): void {
  const index = buildIndex({
    manifests: entries.map(({ descriptor }) => ({ ...descriptor, artifactType: SIGNATURE_TYPE })),
  });
  registry.repository('team/app').putManifest(index.bytes, INDEX, fallbackTag(subject.descriptor.digest));
}

/** A signature that is stored in the registry without being pushed through a client. */
async function rivalOf(
  registry: FaultyRegistry,
  subject: ManifestContent,
  text: string,
): Promise<ManifestContent> {
  const store = registry.repository('team/app');
  const layer = blobOf(text);
  store.putBlob(layer.bytes);
  store.putBlob(Buffer.from('{}'));
  const content = buildArtifact({
    artifactType: SIGNATURE_TYPE,
    layers: [layer.descriptor],
    subject: descriptorOf(subject.descriptor.mediaType, subject.bytes),
  });
  store.putManifest(content.bytes, content.descriptor.mediaType);
  return content;
}

describe('hazard 1: lost updates on the fallback tag', () => {
  it('is written again when a rival overwrote it, and keeps what the rival wrote', async () => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const rival = await rivalOf(registry, image, 'rival');
    let overwritten = 0;
    registry.behaviour.afterTagPut = () => {
      // The rival read before us and writes after us, three times, and is told that all is well.
      if (overwritten++ < 3) overwrite(registry, image, [rival]);
    };
    const mine = await pushReferrer(target, image.descriptor, 'mine');
    expect(overwritten).toBeGreaterThanOrEqual(4);
    expect(await listed(target, image)).toEqual([mine.descriptor.digest, rival.descriptor.digest].sort());
  });

  it('is noticed when the rival writes only after the first look', async () => {
    const registry = await registryFor({ referrersApi: false });
    const image = await pushImage(repositoryOf(registry), 'signed', 'v1');
    const rival = await rivalOf(registry, image, 'slow rival');
    let slept = 0;
    const target = repositoryOf(registry, {
      timing: {
        now: () => slept,
        random: () => 0.5,
        async sleep(ms) {
          slept += ms;
          if (slept === ms) overwrite(registry, image, [rival]);
        },
      },
    });
    const mine = await pushReferrer(target, image.descriptor, 'mine');
    expect(await listed(target, image)).toEqual([mine.descriptor.digest, rival.descriptor.digest].sort());
  });

  it('is noticed while others are still writing, however long that lasts', async () => {
    const registry = await registryFor({ referrersApi: false });
    const image = await pushImage(repositoryOf(registry), 'signed', 'v1');
    const [rival, slow] = [await rivalOf(registry, image, 'rival'), await rivalOf(registry, image, 'slow')];
    const mine: ManifestContent[] = [];
    let waits = 0;
    const target = repositoryOf(registry, {
      timing: {
        now: () => 0,
        random: () => 0.5,
        async sleep() {
          waits++;
          // First somebody adds to what we wrote; then one who read before all of us writes.
          if (waits === 1) overwrite(registry, image, [...mine, rival]);
          if (waits === 2) overwrite(registry, image, [slow]);
        },
      },
    });
    mine.push(await rivalOf(registry, image, 'mine'));
    await target.pushManifest(mine[0] as ManifestContent);
    expect(await listed(target, image)).toEqual(
      [...mine, rival, slow].map(({ descriptor }) => descriptor.digest).sort(),
    );
  });

  it('is mended for others too: what was seen listed and disappeared comes back', async () => {
    const registry = await registryFor({ referrersApi: false });
    const image = await pushImage(repositoryOf(registry), 'signed', 'v1');
    const [older, rival] = [await rivalOf(registry, image, 'older'), await rivalOf(registry, image, 'rival')];
    overwrite(registry, image, [older]);
    let writes = 0;
    registry.behaviour.afterTagPut = () => {
      if (writes++ === 0) overwrite(registry, image, [rival]);
    };
    const mine = await pushReferrer(repositoryOf(registry), image.descriptor, 'mine');
    expect(await listed(repositoryOf(registry), image)).toEqual(
      [mine, older, rival].map(({ descriptor }) => descriptor.digest).sort(),
    );
  });

  it('does not bring back what was removed meanwhile', async () => {
    const registry = await registryFor({ referrersApi: false, checkParts: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const removed = await rivalOf(registry, image, 'removed');
    overwrite(registry, image, [removed]);
    registry.behaviour.afterTagPut = () => {
      registry.behaviour.afterTagPut = undefined;
      registry.repository('team/app').deleteManifest(removed.descriptor.digest);
      overwrite(registry, image, []);
    };
    const mine = await pushReferrer(target, image.descriptor, 'mine');
    expect(await listed(target, image)).toEqual([mine.descriptor.digest]);
  });

  it('ends as a conflict, and not as a success, where the rival never stops', async () => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const rival = await rivalOf(registry, image, 'rival');
    registry.behaviour.afterTagPut = () => overwrite(registry, image, [rival]);
    expect(await codeOf(pushReferrer(target, image.descriptor, 'mine'))).toBe('conflict');
  });

  it('sends a condition, and merges again where a registry honours it', async () => {
    const registry = await registryFor({ referrersApi: false, conditionalPut: true });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const first = await pushReferrer(target, image.descriptor, 'first');
    const rival = await rivalOf(registry, image, 'rival');
    registry.fault({
      method: 'PUT',
      path: FALLBACK,
      action: {
        answer: (_, response) => {
          overwrite(registry, image, [first, rival]);
          response.writeHead(412).end();
        },
      },
    });
    const second = await pushReferrer(target, image.descriptor, 'second');
    expect(await listed(target, image)).toEqual(
      [first, rival, second].map(({ descriptor }) => descriptor.digest).sort(),
    );
    const puts = registry.log.filter(({ method, path }) => method === 'PUT' && FALLBACK.test(path));
    expect(puts[0]?.headers['if-none-match']).toBe('*');
    expect(puts.at(-1)?.headers['if-match']).toMatch(/^"sha256:/);
  });

  it('costs one write for all that one process pushes at once', async () => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const pushed = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((at) => rivalOf(registry, image, `signer ${at}`)),
    );
    await Promise.all(pushed.map((content) => target.pushManifest(content)));
    expect(await listed(target, image)).toHaveLength(6);
    expect(registry.requests(FALLBACK).filter((line) => line.startsWith('PUT')).length).toBeLessThanOrEqual(
      3,
    );
  });
});

describe('hazard 2: detection lies', () => {
  const store = (): DialectStore => ({ get: async () => undefined, set: async () => undefined });

  it.each([
    ['404 and a page for people', { status: 404, body: '<html>no such page</html>' }],
    [
      '200 and a page for people',
      { status: 200, body: '<html>welcome</html>', headers: { 'content-type': 'text/html' } },
    ],
    ['200 and JSON that is no index', { status: 200, body: '{"tags":[]}' }],
    [
      'a redirect to another host',
      { status: 303, headers: { location: 'http://127.0.0.1:1/v2/x/referrers/sha256:12' } },
    ],
    ['405', { status: 405 }],
    ['400 UNSUPPORTED', { status: 400, body: '{"errors":[{"code":"UNSUPPORTED"}]}' }],
  ])('takes %s for no referrers API, and reads the fallback tag', async (_, action) => {
    const registry = await registryFor({ referrersApi: false });
    const writer = repositoryOf(registry);
    const image = await pushImage(writer, 'signed', 'v1');
    const signature = await pushReferrer(writer, image.descriptor, 'signature');
    registry.fault({ path: REFERRERS, times: 9, action });
    expect(await listed(repositoryOf(registry, { dialects: store() }), image)).toEqual([
      signature.descriptor.digest,
    ]);
  });

  it.each([
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [429, 'registry-throttled'],
    [500, 'registry-error'],
    [503, 'registry-error'],
    [504, 'timeout'],
  ])('never reads a %i of the referrers API as "no signatures"', async (status, code) => {
    const registry = await registryFor();
    const image = await pushImage(repositoryOf(registry), 'signed', 'v1');
    registry.fault({ path: REFERRERS, times: 99, action: { status } });
    expect(await codeOf(listed(repositoryOf(registry), image))).toBe(code);
  });

  it.each([
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [429, 'registry-throttled'],
    [502, 'registry-error'],
  ])('never reads a %i of the fallback tag as "no signatures"', async (status, code) => {
    const registry = await registryFor({ referrersApi: false });
    const image = await pushImage(repositoryOf(registry), 'signed', 'v1');
    registry.fault({ path: FALLBACK, times: 99, action: { status } });
    expect(await codeOf(listed(repositoryOf(registry), image))).toBe(code);
  });

  it('never reads a cut connection as "no signatures"', async () => {
    const registry = await registryFor();
    const image = await pushImage(repositoryOf(registry), 'signed', 'v1');
    registry.fault({ path: REFERRERS, times: 99, action: { reset: true } });
    expect(await codeOf(listed(repositoryOf(registry), image))).toBe('registry-unreachable');
  });

  it('takes a 400 that is about the request for an error', async () => {
    const registry = await registryFor();
    const image = await pushImage(repositoryOf(registry), 'signed', 'v1');
    const body = '{"errors":[{"code":"DIGEST_INVALID"}]}';
    registry.fault({ path: REFERRERS, times: 9, action: { status: 400, body } });
    expect(await codeOf(listed(repositoryOf(registry), image))).toBe('registry-error');
  });

  it('learns nothing about the registry from a repository that it does not know', async () => {
    const registry = await registryFor();
    const image = await pushImage(repositoryOf(registry), 'signed', 'v1');
    const learnt: unknown[] = [];
    const dialects: DialectStore = {
      get: async () => undefined,
      set: async (_, dialect) => void learnt.push(dialect),
    };
    const body = '{"errors":[{"code":"NAME_UNKNOWN"}]}';
    registry.fault({ path: REFERRERS, action: { status: 404, body } });
    expect(await listed(repositoryOf(registry, { dialects, plainHttp: true }), image)).toEqual([]);
    expect(learnt).toEqual([]);
  });

  it('keeps the fallback index where OCI-Subject is sent and there is no list (Docker Hub, 2024)', async () => {
    const registry = await registryFor({ referrersApi: false, ociSubject: true });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const signature = await pushReferrer(target, image.descriptor, 'signature');
    expect(registry.requests(FALLBACK)).toContain(
      `PUT /v2/team/app/manifests/${fallbackTag(image.descriptor.digest)}`,
    );
    expect(await listed(repositoryOf(registry), image)).toEqual([signature.descriptor.digest]);
  });

  it('never writes the fallback tag where OCI-Subject is sent and the list is there (olareg loses it)', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const signature = await pushReferrer(target, image.descriptor, 'signature');
    expect(registry.requests(FALLBACK).filter((line) => line.startsWith('PUT'))).toEqual([]);
    await target.deleteManifest(signature.descriptor.digest);
    expect(registry.requests(FALLBACK).filter((line) => line.startsWith('PUT'))).toEqual([]);
  });

  it('pushes again what was stored and not listed', async () => {
    const registry = await registryFor({ forgetReferrers: 2 });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const signature = await pushReferrer(target, image.descriptor, 'signature');
    expect(await listed(target, image)).toEqual([signature.descriptor.digest]);
  });

  it('does not report success where the registry never lists it', async () => {
    const registry = await registryFor({ forgetReferrers: 1000 });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    expect(await codeOf(pushReferrer(target, image.descriptor, 'signature'))).toBe('registry-error');
  });

  it('asks the API before saying "none" where only memory says that there is no API', async () => {
    const registry = await registryFor();
    const writer = repositoryOf(registry);
    const image = await pushImage(writer, 'signed', 'v1');
    const signature = await pushReferrer(writer, image.descriptor, 'signature');
    const seen: unknown[] = [];
    const dialects: DialectStore = {
      get: async () => ({ referrers: 'fallback' }),
      set: async (_, dialect) => void seen.push(dialect),
    };
    expect(await listed(repositoryOf(registry, { dialects, plainHttp: true }), image)).toEqual([
      signature.descriptor.digest,
    ]);
    expect(seen).toEqual([{ referrers: 'api' }]);
  });

  it('turns to the fallback tag where memory says API and it is gone', async () => {
    const registry = await registryFor({ referrersApi: false });
    const writer = repositoryOf(registry);
    const image = await pushImage(writer, 'signed', 'v1');
    const signature = await pushReferrer(writer, image.descriptor, 'signature');
    const dialects: DialectStore = { get: async () => ({ referrers: 'api' }), set: async () => undefined };
    expect(await listed(repositoryOf(registry, { dialects, plainHttp: true }), image)).toEqual([
      signature.descriptor.digest,
    ]);
  });
});

describe('hazard 3: poisoned fallback index', () => {
  it('does not take the image itself for its list of referrers (GitLab), and says so when writing', async () => {
    const registry = await registryFor({ referrersApi: false, gitlabTags: true });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    expect(await listed(target, image)).toEqual([]);
    expect(await codeOf(pushReferrer(target, image.descriptor, 'signature'))).toBe('registry-error');
  });

  it('neither reads nor overwrites something else at the tag', async () => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const other = await pushImage(target, 'other', fallbackTag(image.descriptor.digest));
    expect(await codeOf(listed(target, image))).toBe('content-invalid');
    expect(await codeOf(pushReferrer(target, image.descriptor, 'signature'))).toBe('content-invalid');
    const tag = tagOf(fallbackTag(image.descriptor.digest));
    expect((await target.resolve(tag)).digest).toBe(other.descriptor.digest);
  });

  it('prunes entries whose manifest is gone, which make distribution refuse the whole index', async () => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const gone = await rivalOf(registry, image, 'gone');
    const stays = await rivalOf(registry, image, 'stays');
    overwrite(registry, image, [gone, stays]);
    registry.repository('team/app').deleteManifest(gone.descriptor.digest);
    const mine = await pushReferrer(target, image.descriptor, 'mine');
    expect(await listed(target, image)).toEqual([mine.descriptor.digest, stays.descriptor.digest].sort());
  });

  it.each([
    ['11,000 entries', () => Array.from({ length: 11_000 }, (_, at) => entryOf(`${at}`))],
    [
      'an entry with a digest that climbs out',
      () => [{ ...entryOf('x'), digest: 'sha256:../../etc/passwd' }],
    ],
    ['an entry without a size', () => [{ mediaType: INDEX, digest: entryOf('x').digest }]],
  ])('refuses an index with %s', async (_, entries) => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: entries() }));
    registry.repository('team/app').putManifest(bytes, INDEX, fallbackTag(image.descriptor.digest));
    expect(await codeOf(listed(target, image))).toBe('content-invalid');
  });

  it('reads the type of an entry that lost it from its manifest', async () => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const signature = await rivalOf(registry, image, 'typeless');
    const index = buildIndex({ manifests: [signature.descriptor] });
    registry.repository('team/app').putManifest(index.bytes, INDEX, fallbackTag(image.descriptor.digest));
    const find = (artifactType: string) => target.listReferrers(image.descriptor.digest, { artifactType });
    expect((await find(SIGNATURE_TYPE)).map(({ digest }) => digest)).toEqual([signature.descriptor.digest]);
    expect(await find('application/spdx+json')).toEqual([]);
  });

  it('follows the pages of the referrers API, but not to where they lead astray', async () => {
    const registry = await registryFor({ referrersPage: 2 });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const pushed = [];
    for (const text of ['a', 'b', 'c', 'd', 'e'])
      pushed.push(await pushReferrer(target, image.descriptor, text));
    expect(await listed(target, image)).toEqual(pushed.map(({ descriptor }) => descriptor.digest).sort());
    const link = '<http://127.0.0.1:1/v2/other/referrers/sha256:1?page=2>; rel="next"';
    registry.fault({ path: REFERRERS, action: { addHeaders: { link } } });
    expect(await codeOf(listed(target, image))).toBe('registry-error');
  });

  it.each([
    ['404', { status: 404 }],
    ['a page for people', { status: 200, body: '<html>welcome</html>' }],
    ['a redirect to another host', { status: 303, headers: { location: 'http://127.0.0.1:1/' } }],
    ['NAME_UNKNOWN', { status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' }],
  ])('never reads %s in place of the second page as "no signatures"', async (_, action) => {
    const registry = await registryFor({ referrersPage: 1 });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    for (const text of ['a', 'b']) await pushReferrer(target, image.descriptor, text);
    registry.fault({ path: REFERRERS, after: 1, times: 9, action });
    expect(await codeOf(listed(target, image))).toBe('registry-error');
  });

  it('never reads a list that is too long as "no signatures"', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const manifests = Array.from({ length: 10_001 }, () => entryOf('flood'));
    const body = JSON.stringify({ schemaVersion: 2, manifests });
    const headers = { 'content-type': INDEX };
    registry.fault({ path: REFERRERS, times: 9, action: { status: 200, body, headers } });
    expect(await codeOf(listed(target, image))).toBe('content-invalid');
  });

  it('lists what is there beside an entry that says impossible things', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const odd = { ...entryOf('odd'), artifactType: 'no type', annotations: { count: 1 } };
    const body = JSON.stringify({ schemaVersion: 2, manifests: [odd, entryOf('good')] });
    const headers = { 'content-type': INDEX };
    registry.fault({ path: REFERRERS, action: { status: 200, body, headers } });
    expect(await listed(target, image)).toEqual([odd.digest, entryOf('good').digest].sort());
  });

  it('leaves a registry whose list of referrers never ends', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    const path = `/v2/team/app/referrers/${image.descriptor.digest}`;
    const body = JSON.stringify({
      schemaVersion: 2,
      manifests: Array.from({ length: 500 }, (_, at) => entryOf(`${at}`)),
    });
    registry.fault({
      path: REFERRERS,
      times: 1000,
      action: { status: 200, body, headers: { link: `<${path}?page=1>; rel="next"` } },
    });
    expect(await codeOf(listed(target, image))).toBe('content-invalid');
    expect(registry.requests(REFERRERS).length).toBeLessThan(100);
  });
});

function entryOf(text: string): { mediaType: string; digest: string; size: number } {
  const { digest, size } = blobOf(text).descriptor;
  return { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size };
}

describe('hazard 4: immutable tags', () => {
  it('names what to set when the second signature cannot be listed', async () => {
    const registry = await registryFor({ referrersApi: false, immutableTags: /^sha256-/ });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'signed', 'v1');
    await pushReferrer(target, image.descriptor, 'first');
    await expect(pushReferrer(target, image.descriptor, 'second')).rejects.toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('sha256-'),
      details: { reason: 'immutable-tag' },
    });
  });

  it('is told apart from other refusals for ordinary tags too', async () => {
    const registry = await registryFor({ immutableTags: /^v/ });
    const target = repositoryOf(registry);
    await pushImage(target, 'one', 'v1');
    await expect(pushImage(target, 'two', 'v1')).rejects.toMatchObject({
      details: { reason: 'immutable-tag' },
    });
    registry.fault({
      method: 'PUT',
      path: /manifests/,
      action: { status: 400, body: '{"errors":[{"code":"MANIFEST_INVALID"}]}' },
    });
    expect(await codeOf(pushImage(target, 'three', 'w1'))).toBe('registry-policy');
  });
});

describe('an index that its registry refuses for want of a manifest', () => {
  const refused = JSON.stringify({ errors: [{ code: 'MANIFEST_BLOB_UNKNOWN', message: 'unknown' }] });

  it.each([400, 401, 403, 404, 405, 501])('loses no entry where HEAD is answered %d', async (status) => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const subject = await pushImage(target, 'app', 'v1');
    const first = await pushReferrer(target, subject.descriptor, 'first');
    const gone = await pushReferrer(target, subject.descriptor, 'gone');
    registry.repository('team/app').deleteManifest(gone.descriptor.digest);
    registry.fault({ method: 'HEAD', path: /manifests\/sha256:/, times: 1_000, action: { status } });
    registry.fault({ method: 'PUT', path: FALLBACK, action: { status: 400, body: refused } });
    const writer = repositoryOf(registry);
    const second = await pushReferrer(writer, subject.descriptor, 'second');
    expect(await listed(repositoryOf(registry), subject)).toEqual(
      [first, second].map(({ descriptor }) => descriptor.digest).sort(),
    );
  });
});
