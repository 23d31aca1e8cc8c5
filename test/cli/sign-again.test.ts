import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import type { Target } from '../../src/oci/target.ts';
import { HEAD_TAG, TRUST_TYPES } from '../../src/trust/format/vocabulary.ts';
import { type CliOptions, type CliResult, bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { issueChain } from '../support/issue.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry } from '../support/registry/server.ts';

const NOW = new Date('2026-12-01T00:00:00Z');
const acme = issueChain();
const other = issueChain();
const scan = 'https://example.com/scan/v1';

let home: string;
let registry: FaultyRegistry;
let repository: string;
let target: Target;
let image: ManifestContent;
let runs: number;
beforeEach(async () => {
  runs = 0;
  home = await temporaryDirectory();
  await storePlainKeys(home, 'publisher', 'root', 'online', 'second');
  registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  image = await pushImage(target, 'app', 'v1');
  for (const [name, { leaf, chain }] of Object.entries({ acme, other })) {
    const pem = leaf.privateKey.export({ type: 'pkcs8', format: 'pem' });
    await writeFile(join(home, `${name}.pem`), pem, { mode: 0o600 });
    await writeFile(join(home, `${name}.crt`), chain.map(({ x509 }) => x509.toString()).join(''));
  }
});

/** Each run is a second after the one before it, unless it says when: no two signatures have the same bytes by chance. */
const bulla = (line: string, options: CliOptions = {}): Promise<CliResult> =>
  run(line.replaceAll('REPO', repository).split(' '), {
    cwd: home,
    env: { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' },
    now: new Date(NOW.getTime() + 1000 * runs++),
    ...options,
  });

async function signed(line: string, options?: CliOptions): Promise<Record<string, unknown>> {
  const result = await bulla(`sign REPO:v1 -o json ${line}`.trim(), options);
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result.json();
}

async function signatures(): Promise<number> {
  const listed = await target.listReferrers(image.descriptor.digest);
  return listed.filter(({ artifactType }) => artifactType !== TRUST_TYPES.proof).length;
}

const days = (count: number): CliOptions => ({ now: new Date(NOW.getTime() + count * 86_400_000) });
const CERTIFIED = '--key acme.pem --cert-chain acme.crt';

describe('signing again what is signed already', () => {
  it.each([
    ['a bundle', ''],
    ['a Notation signature', CERTIFIED],
    ['a COSE signature', `${CERTIFIED} --signature-format cose`],
    ['with annotations', '-a build=17 -a team=web'],
    ['with a purpose', `--purpose ${scan}`],
    ['with an expiry', '--expires 90d'],
    ['a Notation signature with all of it', `${CERTIFIED} -a build=17 --expires 90d`],
  ])('leaves one of four: %s', async (_, flags) => {
    const first = await signed(flags);
    expect(first).toMatchObject({ signatures: [{ already: false }] });
    const [{ signature }] = first['signatures'] as [{ signature: string }];
    for (let again = 0; again < 3; again++)
      expect(await signed(flags)).toMatchObject({ signatures: [{ already: true, signature }] });
    expect(await signatures()).toBe(1);
    const { stderr } = await bulla(`sign REPO:v1 ${flags}`.trim());
    expect(stderr).toContain(`already signed ${image.descriptor.digest}`);
  });

  it.each([
    ['by another key', '', '--key second'],
    ['with an annotation', '', '-a build=17'],
    ['without an annotation', '-a build=17', ''],
    ['with another annotation', '-a build=17', '-a build=18'],
    ['with one annotation more', '-a build=17', '-a build=17 -a team=web'],
    ['for another purpose', '', `--purpose ${scan}`],
    ['in another format', CERTIFIED, `${CERTIFIED} --signature-format cose`],
    ['as a bundle', CERTIFIED, '--key acme.pem --signature-format bundle'],
    ['with an expiry', '', '--expires 90d'],
    ['without an expiry', '--expires 90d', ''],
    ['for much longer', '--expires 30d', '--expires 365d'],
    ['by another authority', CERTIFIED, '--key other.pem --cert-chain other.crt'],
  ])('is another signature %s', async (_, first, second) => {
    await signed(first);
    expect(await signed(second)).toMatchObject({ signatures: [{ already: false }] });
    expect(await signatures()).toBe(2);
  });

  it('is done with --again', async () => {
    await signed('');
    expect(await signed('--again')).toMatchObject({ signatures: [{ already: false }] });
    expect(await signatures()).toBe(2);
  });

  it('is done where less than a third of its life is left', async () => {
    await signed('--expires 90d', days(0));
    expect(await signed('--expires 90d', days(59))).toMatchObject({ signatures: [{ already: true }] });
    expect(await signed('--expires 90d', days(61))).toMatchObject({ signatures: [{ already: false }] });
    expect(await signed('--expires 90d', days(62))).toMatchObject({ signatures: [{ already: true }] });
  });

  it('is done where it has expired', async () => {
    await signed('--expires 1d', days(0));
    expect(await signed('--expires 1d', days(2))).toMatchObject({ signatures: [{ already: false }] });
  });

  it('is done where the signature that is listed is gone', async () => {
    await signed('');
    const [listed] = await target.listReferrers(image.descriptor.digest);
    registry.repository('team/app').manifests.delete(listed!.digest);
    expect(await signed('')).toMatchObject({ signatures: [{ already: false }] });
  });

  it('is done where the signature was made of another image, and moved here', async () => {
    const elsewhere = await pushImage(target, 'other', 'v2');
    await bulla('sign REPO:v2');
    const [moved] = await target.listReferrers(elsewhere.descriptor.digest);
    const content = await target.fetchManifest(moved!.digest);
    const json = JSON.parse(Buffer.from(content.bytes).toString()) as Record<string, unknown>;
    const { mediaType, digest, size } = image.descriptor;
    const bytes = Buffer.from(JSON.stringify({ ...json, subject: { mediaType, digest, size } }));
    const { describe: describeBytes } = await import('../../src/oci/descriptor.ts');
    const descriptor = describeBytes(content.descriptor.mediaType ?? '', bytes);
    await target.pushManifest({ descriptor, bytes });
    expect(await signed('')).toMatchObject({ signatures: [{ already: false }] });
    expect(await bulla('verify REPO:v1 --no-name')).toMatchObject({ code: 0 });
  });

  it('is done where the list cannot be read at first', async () => {
    await signed('');
    registry.fault({ method: 'GET', path: /referrers/, times: 1, action: { status: 404 } });
    expect((await bulla('sign REPO:v1')).code).toBe(0);
  });
});

describe('signing names again', () => {
  beforeEach(async () => {
    const made = await bulla('init REPO');
    expect(made, made.stderr).toMatchObject({ code: 0 });
  });

  const proofs = () => target.listReferrers(image.descriptor.digest, { artifactType: TRUST_TYPES.proof });

  it('leaves one signature, one change and one proof of four', async () => {
    const first = await signed('');
    expect(first).toMatchObject({ collection: { names: [{ tag: 'v1', already: false }] } });
    const head = (await target.resolve(HEAD_TAG)).digest;
    for (let again = 0; again < 3; again++) {
      expect(await signed('')).toMatchObject({
        collection: {
          head,
          changes: [],
          names: [{ tag: 'v1', already: true }],
          proofs: [expect.any(String)],
        },
      });
    }
    expect((await target.resolve(HEAD_TAG)).digest).toBe(head);
    expect(await proofs()).toHaveLength(1);
    expect(await signatures()).toBe(1);
    expect((await bulla('sign REPO:v1')).stderr).toMatch(/REPO|team\/app:v1 → .* \(already signed\)/);
  });

  it('publishes those that are new, and no others', async () => {
    await signed('');
    await pushImage(target, 'two', 'v2');
    const result = await bulla('sign REPO:v1 REPO:v2 -o json');
    expect(result.json(), result.stderr).toMatchObject({
      collection: {
        changes: [expect.any(String)],
        names: [
          { tag: 'v1', already: true },
          { tag: 'v2', already: false },
        ],
      },
    });
  });

  it('publishes a tag that was moved', async () => {
    await signed('');
    const moved = await pushImage(target, 'moved', 'v1');
    expect(await signed('')).toMatchObject({
      collection: { names: [{ tag: 'v1', digest: moved.descriptor.digest, already: false }] },
    });
  });

  it('publishes what is due for renewal, and with --again', async () => {
    await signed('--no-proof');
    const before = (await target.resolve(HEAD_TAG)).digest;
    expect(await signed('--no-proof', days(11))).toMatchObject({
      collection: { names: [{ already: false }] },
    });
    const head = (await target.resolve(HEAD_TAG)).digest;
    expect(head).not.toBe(before);
    expect(await signed('--no-proof --again', days(11))).toMatchObject({
      collection: { names: [{ already: false }] },
    });
  });

  it('attaches a proof that is missing', async () => {
    await signed('--no-proof');
    expect(await proofs()).toHaveLength(0);
    await signed('');
    expect(await proofs()).toHaveLength(1);
  });
});

describe('pushing and signing', () => {
  beforeEach(async () => {
    await bulla('init REPO');
    expect(await bulla('copy REPO:v1 oci:here --no-referrers')).toMatchObject({ code: 0 });
  });

  it('leaves one signature of two pushes', async () => {
    for (let again = 0; again < 2; again++) {
      const result = await bulla('push oci:here REPO:v2 --sign -o json');
      expect(result, result.stderr).toMatchObject({ code: 0 });
      expect(result.json()).toMatchObject({ named: { names: [{ tag: 'v2', already: again === 1 }] } });
    }
    expect(await signatures()).toBe(1);
  });

  it.each(['', ' -o json'])('moves the tag where the name has to wait, and says so%s', async (json) => {
    await rm(join(home, 'keys/online.key'));
    const result = await bulla(`push oci:here REPO:v2 --sign --wait 0s${json}`);
    expect(result.code, result.stderr).toBe(31);
    expect((await target.resolve(tagOf('v2'))).digest).toBe(image.descriptor.digest);
    const text = result.stdout + result.stderr;
    expect(text).toContain(`${repository}:v2 was pushed, and its name is not signed yet`);
    if (json === '') expect(result.stdout).toBe('');
    else expect(result.json()).toMatchObject({ ok: false, code: 'staged', details: { pushed: true } });
    expect(await bulla('verify REPO:v2')).toMatchObject({ code: 23 });
  });
});
