import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import type { Target } from '../../src/oci/target.ts';
import { HEAD_TAG, TRUST_TYPES } from '../../src/trust/format/vocabulary.ts';
import { findName } from '../../src/trust/read/names.ts';
import { WorkingCopy } from '../../src/trust/read/working-copy.ts';
import { type CliOptions, type CliResult, bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import { readAny } from '../support/trust/changing.ts';

const now = new Date('2030-01-01T00:00:00Z');

let home: string;
let host: string;
let source: Target;
let destination: Target;
let image: ManifestContent;
beforeEach(async () => {
  home = await temporaryDirectory();
  await storePlainKeys(home, 'publisher', 'root', 'online');
  const registry = await registryFor();
  host = registry.host;
  source = repositoryOf(registry, {}, 'team/app');
  destination = repositoryOf(registry, {}, 'prod/app');
  image = await pushImage(source, 'app', 'v1');
});
const bulla = (line: string, options: CliOptions = {}): Promise<CliResult> =>
  run(line.replaceAll('SRC', `${host}/team/app`).replaceAll('DST', `${host}/prod/app`).split(' '), {
    cwd: home,
    env: { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' },
    now,
    ...options,
  });

async function signedDigest(name: string): Promise<string> {
  return (await findName(await readAny(destination, { now }), tagOf(name))).digest;
}

describe('bulla copy --as', () => {
  it('signs the name in the collection of the destination, and keeps where it came from', async () => {
    await bulla('init DST');
    const { digest } = image.descriptor;
    const copied = await bulla('copy --as SRC:v1 DST:stable -o json');
    expect(copied, copied.stderr).toMatchObject({ code: 0 });
    expect(copied.json()).toMatchObject({
      tag: 'stable',
      collection: null,
      named: { name: `${host}/prod/app`, names: [{ tag: 'stable', digest }] },
    });
    expect(copied.stderr).toContain('was not verified');
    expect(await signedDigest('stable')).toBe(digest);
    const log = await (await WorkingCopy.open(await readAny(destination, { now }))).log('names');
    expect(log.entries.at(-1)?.origin).toBe(`${host}/team/app:v1@${digest}`);
    expect(await destination.listReferrers(digest, { artifactType: TRUST_TYPES.proof })).toHaveLength(1);
    expect(await bulla('verify DST:stable')).toMatchObject({ code: 0 });
  });

  it('takes what is signed at the source, not what its tag points to', async () => {
    for (const repository of ['SRC', 'DST']) await bulla(`init ${repository}`);
    await bulla('sign SRC:v1');
    await pushImage(source, 'moved', 'v1');
    const copied = await bulla('copy --as SRC:v1 DST');
    expect(copied, copied.stderr).toMatchObject({ code: 0 });
    expect(await signedDigest('v1')).toBe(image.descriptor.digest);
    await bulla('revoke SRC:v1');
    expect(await bulla('copy --as SRC:v1 DST:v2')).toMatchObject({ code: 23, stdout: '' });
    await expect(destination.resolve(tagOf('v2'))).rejects.toMatchObject({ code: 'not-found' });
  });

  it('copies nothing where the name cannot be signed', async () => {
    expect(await bulla('copy --as SRC:v1 DST')).toMatchObject({ code: 11, stdout: '' });
    expect(await bulla('copy SRC:v1 DST --signer names')).toMatchObject({ code: 2, stdout: '' });
    await bulla('init DST');
    expect(await bulla(`copy --as SRC@${image.descriptor.digest} DST`)).toMatchObject({ code: 2 });
    expect(await destination.listTags()).toEqual(['_trust']);
  });
});

describe('bulla push --sign to a repository with a collection', () => {
  it('signs image and name before the tag is there', async () => {
    await bulla('init DST');
    await bulla('copy SRC:v1 oci:here');
    const pushed = await bulla('push oci:here DST:v3 --sign -o json');
    expect(pushed, pushed.stderr).toMatchObject({ code: 0 });
    expect(pushed.json()).toMatchObject({
      signatures: [{ kind: 'sigstore-bundle' }],
      named: { names: [{ tag: 'v3', digest: image.descriptor.digest }] },
    });
    expect(await bulla('verify DST:v3 --key publisher')).toMatchObject({ code: 0 });
    const head = await destination.resolve(HEAD_TAG);
    expect(await bulla('push oci:here DST:v4 --sign --no-name')).toMatchObject({ code: 0 });
    expect(await destination.resolve(HEAD_TAG)).toEqual(head);
    expect(await bulla('verify DST:v4')).toMatchObject({ code: 23 });
  });

  it('sends nothing where no key here may sign the name', async () => {
    await bulla('init DST');
    await bulla('copy SRC:v1 oci:here');
    const { rename } = await import('node:fs/promises');
    await rename(join(home, 'keys'), join(home, 'away'));
    await storePlainKeys(home, 'other');
    expect(await bulla('push oci:here DST:v3 --sign')).toMatchObject({ code: 12, stdout: '' });
    expect(await destination.listTags()).toEqual(['_trust']);
  });
});
