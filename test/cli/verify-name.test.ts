import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { pushImage, pushIndex, tagOf } from '../support/content.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';
import { changeHead, setting } from '../support/trust/changing.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import { anyOf, daysLater, NOW, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

let registry: FaultyRegistry;
let place: Served;
let one: ManifestContent;
beforeEach(async () => {
  registry = await startRegistry();
  place = await servedCollection(registry);
  one = await pushImage(place.target, 'one', 'v1');
  await sign('v1', one);
});
afterEach(() => registry.close());

async function sign(tag: string, image: ManifestContent, role: string = NAMES_ROLE): Promise<void> {
  const { digest, size } = image.descriptor;
  const set = new Map([[tag, { length: size, sha256: digest.slice(7) }]]);
  await changeHead(place.target, (edit) => edit.apply(role, [{ ...setting([]), set }]));
}

const rootKey = () => ['--root-key-id', poolKey(ROOT).key.keyid];
const verify = (tag: string, ...flags: string[]) => place.run(['verify', `${place.name}${tag}`, ...flags]);
const printed = (image: ManifestContent) => `${place.name}@${image.descriptor.digest}\n`;
const manifestRequests = () =>
  registry
    .requests(/manifests|blobs|referrers|tags/)
    .map((line) => line.replace('/v2/team/app/', ''))
    .toSorted();

describe('verifying a name', () => {
  it('prints the signed digest, and takes two requests at the same time', async () => {
    registry.forget();
    const { stdout, stderr, code } = await verify(':v1', ...rootKey());
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(printed(one));
    expect(stderr).toContain(`v1 is signed by names (collection at ${place.name}, fresh until 2030-01-15`);
    expect(stderr).toContain('nothing was known of this collection before');
    expect(manifestRequests()).toEqual(['GET manifests/_trust', 'GET manifests/v1']);
  });

  it('takes one request where the collection is known and drift is not asked for', async () => {
    await verify(':v1', ...rootKey());
    registry.forget();
    const { stdout, stderr } = await verify(':v1', '--no-drift');
    expect(stdout).toBe(printed(one));
    expect(stderr).not.toContain('nothing was known');
    expect(registry.log.map(({ method, path, status }) => `${method} ${path} ${status}`)).toEqual([
      'GET /v2/team/app/manifests/_trust 304',
    ]);
  });

  it('takes at most three requests more for detached signatures', async () => {
    const signer = createSigner(poolKey(8).privateKey, algorithm('ES256'));
    await signImage(
      place.target,
      { tag: tagOf('v1') },
      { name: 'app', signer, now: NOW, agent: 'bulla/test' },
    );
    const pem = join(place.home, 'release.pub');
    await writeFile(pem, publicPem());
    await verify(':v1', ...rootKey(), '--key', pem);
    registry.forget();
    const { stdout, stderr, code } = await verify(':v1', '--key', pem);
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(printed(one));
    expect(stderr).toMatch(/v1 is signed by names .*\nsigned by key /);
    expect(manifestRequests().length).toBeLessThanOrEqual(5);
    expect(registry.requests(/manifests\/sha256:/)).toHaveLength(1);
  });

  it('believes the signed digest, not the tag, and says so', async () => {
    const two = await pushImage(place.target, 'two', 'v1');
    const { stdout, stderr, code } = await verify(':v1', ...rootKey());
    expect({ code, stdout }).toEqual({ code: 0, stdout: printed(one) });
    expect(stderr).toContain(`warning: the registry's tag v1 points to ${two.descriptor.digest}`);
    expect((await verify(':v1', '--no-drift')).stderr).not.toContain('warning');
    expect(await verify(':v1', '--drift', 'reject')).toMatchObject({ code: 24, stdout: '' });
    const json = (await verify(':v1', '-o', 'json')).json();
    expect(json).toMatchObject({
      signed: 'name',
      digest: one.descriptor.digest,
      size: one.descriptor.size,
      mediaType: null,
      name: { signers: ['names'], stale: false, drift: { kind: 'moved', points: two.descriptor.digest } },
      signatures: [],
    });
  });

  it('is not stopped by a tag that is gone or cannot be asked, unless drift is refused', async () => {
    await place.target.deleteTag(tagOf('v1'));
    expect(await verify(':v1', ...rootKey())).toMatchObject({ code: 0, stdout: printed(one) });
    expect(await verify(':v1', '--drift', 'reject')).toMatchObject({ code: 24, stdout: '' });
    registry.fault({ path: /manifests\/v1$/, times: 99, action: { status: 403 } });
    const { code, stderr } = await verify(':v1');
    expect(code).toBe(0);
    expect(stderr).toContain('could not be asked for the tag v1');
    expect(await verify(':v1', '--drift', 'reject')).toMatchObject({ code: 4, stdout: '' });
  });

  describe('of an image that the registry does not have', () => {
    /** The name is signed for what is not here; the tag is as it is said. */
    async function partial(tag: 'gone' | 'elsewhere'): Promise<ManifestContent> {
      const two = await pushImage(place.target, 'two', 'v1');
      await sign('v1', two);
      if (tag === 'gone') await place.target.deleteTag(tagOf('v1'));
      else await place.target.pushManifest(one, { tag: tagOf('v1') });
      registry.repository('team/app').manifests.delete(two.descriptor.digest);
      return two;
    }

    it.each(['gone', 'elsewhere'] as const)(
      'ends with a code of its own where the tag is %s',
      async (tag) => {
        const two = await partial(tag);
        const pem = join(place.home, 'release.pub');
        await writeFile(pem, publicPem());
        for (const flags of [
          [],
          ['--key', pem],
          ['--platform', 'linux/amd64'],
          ['--no-drift', '--platform', 'linux/amd64'],
        ]) {
          const result = await verify(':v1', ...rootKey(), ...flags, '-o', 'json');
          expect([flags, result.code]).toEqual([flags, 11]);
          expect(result.json()).toMatchObject({
            code: 'image-missing',
            hint: expect.stringContaining('bulla copy'),
            details: { missing: two.descriptor.digest },
          });
        }
        expect(await verify(':v1', '--drift', 'reject')).toMatchObject({ code: 24 });
      },
    );

    it('asks for nothing more where the tag points to it, and once where it does not', async () => {
      await verify(':v1', ...rootKey());
      registry.forget();
      expect((await verify(':v1', '-o', 'json')).json()['name']).toMatchObject({ isThere: true });
      expect(manifestRequests()).toEqual(['GET manifests/_trust', 'GET manifests/v1']);
      await pushImage(place.target, 'two', 'v1');
      registry.forget();
      expect((await verify(':v1', '-o', 'json')).json()['name']).toMatchObject({ isThere: true });
      expect(manifestRequests()).toEqual([
        'GET manifests/_trust',
        'GET manifests/v1',
        `HEAD manifests/${one.descriptor.digest}`,
      ]);
      expect((await verify(':v1', '--no-drift', '-o', 'json')).json()['name']).toMatchObject({
        isThere: null,
      });
    });

    it('says that it is not known where the registry cannot be asked', async () => {
      await verify(':v1', ...rootKey());
      registry.fault({ path: /manifests\/(v1|sha256)/, times: 99, action: { status: 403 } });
      const result = await verify(':v1', '-o', 'json');
      expect(result.json()['name']).toMatchObject({ isThere: null, drift: { kind: 'unknown' } });
      expect(result.stderr).toContain('nor whether it has the signed image');
    });

    it('is refused by a registry that says 404 of the digest, and has the tag of something else', async () => {
      registry.fault({ path: /manifests\/sha256/, times: 99, action: { status: 404 } });
      await pushImage(place.target, 'two', 'v1');
      expect(await verify(':v1', ...rootKey())).toMatchObject({ code: 11, stdout: '' });
    });

    it('is the image of a platform, if that is asked for', async () => {
      const { index, images } = await pushIndex(place.target, 'multi', 'multi');
      await sign('multi', index);
      const [amd64, arm64] = images as [ManifestContent, ManifestContent];
      registry.repository('team/app').manifests.delete(arm64.descriptor.digest);
      const of = (platform: string) => verify(':multi', ...rootKey(), '--platform', platform, '-o', 'json');
      expect((await of('linux/amd64')).json()).toMatchObject({ digest: amd64.descriptor.digest });
      const absent = await of('linux/arm64');
      expect([absent.code, absent.json()]).toEqual([
        11,
        expect.objectContaining({
          code: 'image-missing',
          details: { expected: index.descriptor.digest, missing: arm64.descriptor.digest },
        }),
      ]);
      expect(await verify(':multi', ...rootKey())).toMatchObject({ code: 0, stdout: printed(index) });
    });

    it('ends so in a layout as well', async () => {
      const layout = join(place.home, 'layout');
      const two = await pushImage(place.target, 'two', 'v1');
      await place.run(['copy', `${place.name}:v1`, `oci:${layout}:v1`]);
      const at = [`oci:${layout}:v1`, '--collection', place.name, ...rootKey()];
      expect(await place.run(['verify', ...at])).toMatchObject({ code: 11, stdout: '' });
      expect(await place.run(['verify', ...at, '--offline'])).toMatchObject({ code: 11, stdout: '' });
      await sign('v1', two);
      await place.run(['copy', `${place.name}:v1`, `oci:${layout}:v1`]);
      expect(await place.run(['verify', ...at])).toMatchObject({ code: 0 });
    });
  });

  it('wants a digest that is given to be the signed one', async () => {
    const other = describeBytes('x', Buffer.from('other')).digest;
    await verify(':v1', ...rootKey());
    expect((await verify(`:v1@${one.descriptor.digest}`)).stdout).toBe(printed(one));
    expect(await verify(`:v1@${other}`)).toMatchObject({ code: 24, stdout: '' });
    const two = await pushImage(place.target, 'two', 'v1');
    expect(await verify(`:v1@${two.descriptor.digest}`)).toMatchObject({ code: 24, stdout: '' });
  });

  it('refuses a tag that nobody signed', async () => {
    await pushImage(place.target, 'two', 'v2');
    expect(await verify(':v2', ...rootKey())).toMatchObject({ code: 23, stdout: '' });
    await changeHead(place.target, (edit) =>
      edit.apply(NAMES_ROLE, [{ ...setting([]), set: undefined, unset: new Set(['v1']) }]),
    );
    expect(await verify(':v1')).toMatchObject({ code: 23, stdout: '' });
    expect(await verify(':_trust')).toMatchObject({ code: 2, stdout: '' });
  });

  it('asks the signers that it is told to ask', async () => {
    await changeHead(place.target, (edit) => {
      edit.addSigner({ name: 'ci', ...anyOf(1, poolKey(7), poolKey(ROOT)), paths: ['*'] });
    });
    expect(await verify(':v1', ...rootKey(), '--signer', 'ci')).toMatchObject({ code: 23, stdout: '' });
    await sign('v1', one, 'ci');
    const both = await verify(':v1', '--signer', 'ci', '--signer', 'names');
    expect(both).toMatchObject({ code: 0, stdout: printed(one) });
    expect(both.stderr).toContain('v1 is signed by ci, names');
    await sign('v1', await pushImage(place.target, 'two'), 'ci');
    expect(await verify(':v1', '--any-signer')).toMatchObject({ code: 24, stdout: '' });
    expect(await verify(':v1', '--any-signer', '--signer', 'ci')).toMatchObject({ code: 2, stdout: '' });
  });

  it('speaks for the platforms of an index', async () => {
    const { index, images } = await pushIndex(place.target, 'multi', 'multi');
    await sign('multi', index);
    const { stdout, stderr } = await verify(':multi', ...rootKey(), '--platform', 'linux/arm64');
    expect(stdout, stderr).toBe(printed(images[1] as ManifestContent));
    expect(await verify(':multi', '--platform', 'linux/s390x')).toMatchObject({ code: 11, stdout: '' });
  });
});

describe('whom to believe', () => {
  it('is nobody as long as nothing says it, and the root keys to compare are shown', async () => {
    const { code, stdout, stderr } = await verify(':v1');
    expect({ code, stdout }).toEqual({ code: 25, stdout: '' });
    expect(stderr).toContain(`bulla pin ${place.name} --root-key-id ${poolKey(ROOT).key.keyid}`);
  });

  it('is the one whose detached signatures were asked for, without a request for the collection', async () => {
    const signer = createSigner(poolKey(8).privateKey, algorithm('ES256'));
    await signImage(
      place.target,
      { tag: tagOf('v1') },
      { name: 'app', signer, now: NOW, agent: 'bulla/test' },
    );
    const pem = join(place.home, 'release.pub');
    await writeFile(pem, publicPem());
    registry.forget();
    const { stdout, stderr } = await verify(':v1', '--key', pem);
    expect(stdout, stderr).toBe(printed(one));
    expect(stderr).toContain('the tag v1 itself was not verified');
    expect(registry.requests(/_trust/)).toEqual([]);
    // Known or pinned, the collection counts as well; and can be left out only by saying so.
    await verify(':v1', ...rootKey());
    await changeHead(place.target, (edit) =>
      edit.apply(NAMES_ROLE, [{ ...setting([]), set: undefined, unset: new Set(['v1']) }]),
    );
    expect(await verify(':v1', '--key', pem)).toMatchObject({ code: 23, stdout: '' });
    expect(await verify(':v1', '--key', pem, '--no-name')).toMatchObject({ code: 0, stdout: printed(one) });
    expect(await verify(':v1', '--key', pem, '--no-name', '--signer', 'ci')).toMatchObject({ code: 2 });
  });

  it('stays the collection that was seen, also where it is gone, replaced or rolled back', async () => {
    const old = await place.target.fetchManifest(HEAD_TAG);
    await sign('v2', one);
    await verify(':v1', '--tofu');
    await place.target.pushManifest(old, { tag: HEAD_TAG });
    const later = (argv: string[]) => place.run(['verify', ...argv], { now: daysLater(1) });
    expect(await later([`${place.name}:v1`])).toMatchObject({ code: 21, stdout: '' });
    await pushHead(place.target, await newCollection(place.name, daysLater(1)));
    expect(await later([`${place.name}:v1`])).toMatchObject({ code: 22, stdout: '' });
    await place.target.deleteTag(HEAD_TAG);
    expect(await later([`${place.name}:v1`])).toMatchObject({ code: 22, stdout: '' });
    registry.fault({ path: /_trust/, times: 99, action: { status: 500 } });
    expect(await later([`${place.name}:v1`])).toMatchObject({ code: 3, stdout: '' });
  });

  it('wants a signed name where a signer is asked for, even if nothing was seen', async () => {
    await place.target.deleteTag(HEAD_TAG);
    expect(await verify(':v1', '--signer', 'ci')).toMatchObject({ code: 22, stdout: '' });
    expect(await verify(':v1', '--tofu')).toMatchObject({ code: 22, stdout: '' });
    // A digest is looked up among the names, as a tag is.
    expect(await verify(`@${one.descriptor.digest}`, '--signer', 'ci')).toMatchObject({ code: 22 });
  });

  it('does not accept what has expired', async () => {
    const late = { now: daysLater(20) };
    const at = `${place.name}:v1`;
    expect(await place.run(['verify', at, ...rootKey()], late)).toMatchObject({ code: 20, stdout: '' });
    const stale = await place.run(['verify', at, ...rootKey(), '--max-staleness', '10d'], late);
    expect(stale).toMatchObject({ code: 0, stdout: printed(one) });
    expect(stale.stderr).toMatch(/warning: .*expired 6 days ago: this is as of 2030-01-01/);
  });

  it('remembers nothing where the memory is gone', async () => {
    await verify(':v1', '--tofu');
    await rm(join(place.home, 'state'), { recursive: true });
    expect(await verify(':v1')).toMatchObject({ code: 25, stdout: '' });
  });
});

describe('a collection elsewhere', () => {
  it('is read there', async () => {
    const name = `${registry.host}/mirror/app`;
    const { descriptor } = await pushImage(place.target, 'one', 'v1');
    const mirrored = await place.run(['copy', `${place.name}:v1`, `${name}:v1`]);
    expect(mirrored.code, mirrored.stderr).toBe(0);
    const found = await place.run([
      'verify',
      `${name}:v1`,
      '--at',
      place.name,
      '--collection',
      place.name,
      ...rootKey(),
    ]);
    expect(found.stdout, found.stderr).toBe(`${name}@${descriptor.digest}\n`);
    expect(await place.run(['verify', `${name}:v1`, '--at', place.name, ...rootKey()])).toMatchObject({
      code: 22,
      stdout: '',
    });
  });
});

function publicPem(): string {
  return (poolKey(8).key.json['keyval'] as { public: string }).public;
}
