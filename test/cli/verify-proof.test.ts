import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import type { Target } from '../../src/oci/target.ts';
import { HEAD_TAG } from '../../src/trust/format/vocabulary.ts';
import { type CliOptions, type CliResult, bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import { daysLater } from '../support/tuf/editing.ts';

let home: string;
let repository: string;
let target: Target;
let image: ManifestContent;

const bulla = (line: string, days = 0, options: CliOptions = {}): Promise<CliResult> =>
  run(line.replaceAll('REPO', repository).split(' '), {
    cwd: home,
    env: { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' },
    now: daysLater(days),
    ...options,
  });

/** A layout with the image and what refers to it, but without the head, as `oras cp -r` leaves it. */
beforeEach(async () => {
  home = await temporaryDirectory();
  await storePlainKeys(home, 'publisher', 'root', 'online');
  const registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  image = await pushImage(target, 'app', 'v1');
  await bulla('init REPO');
  await bulla('sign REPO:v1');
  await bulla('copy REPO:v1 oci:here');
  const layout = new LayoutStore(await DirectoryFiles.open(join(home, 'here'), {}));
  await layout.deleteTag(HEAD_TAG);
  await layout.close();
});

const verify = (more: string, days = 0): Promise<CliResult> =>
  bulla(`verify ${more} --collection REPO --offline`, days);

describe('bulla verify by a proof', () => {
  it('says what an image is, and of when that is, to who opens no socket and allows for it', async () => {
    const answer = `oci:here@${image.descriptor.digest}\n`;
    const fresh = await verify('oci:here:v1 --max-staleness 0s');
    expect(fresh, fresh.stderr).toMatchObject({ code: 0, stdout: answer });
    expect(fresh.stderr).toContain('there is no head here');
    const stale = await verify('oci:here:v1 --max-staleness 7d', 20);
    expect(stale, stale.stderr).toMatchObject({ code: 0, stdout: answer });
    expect(stale.stderr).toContain('this is as of 2030-01-01T00:00:00Z');
    const digest = await verify(`oci:here@${image.descriptor.digest} --max-staleness 0s -o json`);
    expect(digest.json(), digest.stderr).toMatchObject({ name: { signers: ['names'], stale: false } });
    expect(await verify('oci:here:v1 --max-staleness 0s --key publisher')).toMatchObject({ code: 0 });
    expect(await verify('oci:here:v1 --max-staleness 0s --key root')).toMatchObject({ code: 12 });
  });

  it('does not, where nobody has said how stale it may be, or it is older', async () => {
    expect(await verify('oci:here:v1')).toMatchObject({ code: 22, stdout: '' });
    expect(await verify('oci:here:v1 --max-staleness 5d', 20)).toMatchObject({ code: 20, stdout: '' });
    const online = await bulla('verify oci:here:v1 --collection REPO --max-staleness 7d');
    expect(online).toMatchObject({ code: 22, stdout: '' });
  });

  it('does not where something newer was seen, or the name stood for another image', async () => {
    await bulla('revoke REPO:v1');
    expect(await verify('oci:here:v1 --max-staleness 7d')).toMatchObject({ code: 21, stdout: '' });
  });

  it('does not for another name, another image, or a role that does not name it', async () => {
    const layout = new LayoutStore(await DirectoryFiles.open(join(home, 'here'), {}));
    await layout.pushManifest(image, { tag: tagOf('v2') });
    const other = await pushImage(layout, 'other', 'v3');
    await layout.close();
    expect(await verify('oci:here:v2 --max-staleness 7d')).toMatchObject({ code: 23, stdout: '' });
    expect(await verify('oci:here:v1 --max-staleness 7d --signer ci')).toMatchObject({
      code: 23,
      stdout: '',
    });
    expect(await verify('oci:here:v3 --max-staleness 7d')).toMatchObject({ code: 22, stdout: '' });
    const digest = await verify(`oci:here@${other.descriptor.digest} --max-staleness 7d --key publisher`);
    expect(digest).toMatchObject({ code: 2, stdout: '' });
  });
});
