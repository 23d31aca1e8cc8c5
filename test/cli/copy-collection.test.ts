import { describe, expect, it, onTestFinished } from 'vitest';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { changeHead, setting } from '../support/trust/changing.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';

async function registry(): Promise<string> {
  const server = await serveRegistry({ dir: await temporaryDirectory() });
  onTestFinished(() => server.close());
  return server.address;
}

/** A repository with the image `v1`. */
async function repository(name: string): Promise<Target> {
  const target = openRepository(parseReference(name) as RegistryReference);
  onTestFinished(() => target.close());
  await pushImage(target, 'app', 'v1');
  return target;
}

/** One with a collection of its own, too. */
async function collected(name: string): Promise<Target> {
  const target = await repository(name);
  await pushHead(target, await newCollection(name));
  return target;
}

async function headOf(target: Target): Promise<string> {
  return (await target.resolve(HEAD_TAG)).digest;
}

const publish = (target: Target, ...names: string[]): Promise<void> =>
  changeHead(target, (edit) => edit.apply(NAMES_ROLE, [setting(names)]));

describe('copying an image of a repository with a collection', () => {
  it('brings it along, between registries, layouts and archives, and says how to verify there', async () => {
    const host = await registry();
    const [name, cwd] = [`${host}/app`, await temporaryDirectory()];
    const source = await collected(name);
    await publish(source, 'v1');
    const head = await headOf(source);
    for (const [argv, to] of [
      [['copy', `${name}:v1`, `${host}/mirror:v1`], `${host}/mirror`],
      [['pull', `${name}:v1`, 'oci:here', '--no-verify'], 'oci:here'],
      [['copy', 'oci:here', 'oci-archive:image.tar:v1'], 'oci-archive:image.tar'],
      [['push', 'oci-archive:image.tar', `${host}/third:v1`], `${host}/third`],
    ] as const) {
      const copied = await bulla(argv, { cwd });
      expect(copied, copied.stderr).toMatchObject({ code: 0 });
      expect(copied.stderr).toContain(`signed names of ${name} along; there they verify with --collection`);
      const raw = await bulla(['copy', `${to}:_trust`, 'oci:heads', '-o', 'json'], { cwd });
      expect(raw.json(), raw.stderr).toMatchObject({ reference: `oci:heads@${head}` });
    }
    expect(await headOf(openThere(`${host}/third`))).toBe(head);
  });

  function openThere(name: string): Target {
    const target = openRepository(parseReference(name) as RegistryReference);
    onTestFinished(() => target.close());
    return target;
  }

  it('brings a mirror up to date, and leaves one that is newer', async () => {
    const host = await registry();
    const [source, mirror] = [await collected(`${host}/app`), await repository(`${host}/mirror`)];
    const copy = ['copy', `${host}/app:v1`, `${host}/mirror:v1`, '-o', 'json'];
    expect((await bulla(copy)).json()).toMatchObject({ collection: { outcome: 'copied' } });
    await publish(source, 'v1');
    const alone = await bulla(['copy', `${host}/app:_trust`, `${host}/mirror`, '-o', 'json']);
    expect(alone.json()).toMatchObject({ ok: true, collection: { outcome: 'forwarded' } });
    expect(await headOf(mirror)).toBe(await headOf(source));
    await publish(mirror, 'v2');
    const newer = await headOf(mirror);
    expect((await bulla(copy)).json()).toMatchObject({ collection: { outcome: 'ahead', head: newer } });
    await publish(source, 'v3');
    await publish(source, 'v4');
    const apart = await bulla(copy);
    expect(apart.json()).toMatchObject({ ok: true, collection: { outcome: 'left' } });
    expect(apart.stderr).toContain('were left behind: the two have gone separate ways');
    expect(await bulla(['copy', `${host}/app:_trust`, `${host}/mirror`])).toMatchObject({ code: 30 });
    expect(await headOf(mirror)).toBe(newer);
  });

  it('leaves a collection of another name, and says so', async () => {
    const host = await registry();
    const other = await collected(`${host}/other`);
    await collected(`${host}/app`);
    const before = await headOf(other);
    const copied = await bulla(['copy', `${host}/app:v1`, `${host}/other:v2`]);
    expect(copied).toMatchObject({ code: 0 });
    expect(copied.stderr).toContain(`${host}/other has a trust collection of its own`);
    expect(await headOf(other)).toBe(before);
    expect((await other.resolve(tagOf('v2'))).digest).toMatch(/^sha256:/);
  });

  it.each([
    ['without what refers to the image', ['--no-referrers']],
    ['on a dry run', ['--dry-run']],
  ])('leaves it where it is %s', async (_, flags) => {
    const host = await registry();
    await collected(`${host}/app`);
    const mirror = await repository(`${host}/mirror`);
    expect(await bulla(['copy', `${host}/app:v1`, `${host}/mirror:v1`, ...flags])).toMatchObject({ code: 0 });
    await expect(mirror.resolve(HEAD_TAG)).rejects.toMatchObject({ code: 'not-found' });
  });

  it.each([
    ['an image to a tag of the collection', 'app:v1', 'mirror:_trust'],
    ['the head to another tag', 'app:_trust', 'mirror:v1'],
    ['a candidate', 'app:_trust.next.0123456789ab', 'mirror'],
  ])('refuses to copy %s', async (_, from, to) => {
    const host = await registry();
    const copied = await bulla(['copy', `${host}/${from}`, `${host}/${to}`]);
    expect(copied).toMatchObject({ code: 2, stdout: '' });
    expect(copied.stderr).toContain('those of the trust collection');
  });
});
