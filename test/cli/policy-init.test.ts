import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { certifiedChain, DURING as NOW } from '../support/certificates.ts';
import { bulla, type CliResult } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { attach, statement } from '../support/forge.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';
import { SigstoreInstance } from '../support/sigstore/instance.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const instance = new SigstoreInstance();
const issuer = 'https://accounts.example.com';
const agent = 'bulla/test';
const PROVENANCE = 'https://slsa.dev/provenance/v1';

let registry: FaultyRegistry;
let home: string;
const digests = new Map<string, string>();

beforeAll(async () => {
  registry = await startRegistry();
  home = await mkdtemp(join(tmpdir(), 'bulla-policy-init-'));
  await writeFile(join(home, 'root.json'), instance.trustedRoot());
  await writeFile(join(home, 'release.pub'), publicKeyPem(publicKeyOf(poolKey(8).privateKey)));
  const push = async (
    name: string,
    sign: (target: ReturnType<typeof openRepository>, image: ManifestContent) => Promise<unknown>,
  ): Promise<void> => {
    const target = openRepository(parseReference(`${registry.host}/${name}`) as RegistryReference);
    const image = await pushImage(target, name, 'v1');
    digests.set(name, image.descriptor.digest);
    await sign(target, image);
    await target.close();
  };
  const tag = { tag: tagOf('v1') };
  const keyless = (image: ManifestContent, more: object = {}, subject = 'alice@example.com') =>
    instance.sign(utf8(JSON.stringify(statement(image.descriptor, more))), {
      owner: { kind: 'email', subject, issuer },
    });
  await push('keyed', (target) => {
    const signer = createSigner(poolKey(8).privateKey, algorithm('ES256'));
    return signImage(target, tag, { name: 'keyed', signer, now: NOW, agent });
  });
  await push('legacy', async () => undefined);
  await storePlainKeys(home, 'own');
  await push('certified', async (target) => {
    const { leaf, chain } = await certifiedChain();
    await signImage(target, tag, { name: 'certified', signer: leaf.signer, chain, now: NOW, agent });
  });
  await push('keyless', async (target, image) => {
    await attach(target, image.descriptor, { envelope: keyless(image) });
    const provenance = { predicateType: PROVENANCE, predicate: { buildDefinition: {} } };
    await attach(target, image.descriptor, { envelope: keyless(image, provenance, 'ci@example.com') });
  });
  await push('forged', async (target, image) => {
    // Of another instance: anyone can write any identity into a certificate of their own.
    const other = new SigstoreInstance();
    const envelope = other.sign(utf8(JSON.stringify(statement(image.descriptor))), {
      owner: { kind: 'email', subject: 'alice@example.com', issuer },
    });
    await attach(target, image.descriptor, { envelope });
    await attach(target, image.descriptor, { envelope: '{"not":"a bundle"}' });
  });
  await push('named', async (target) => pushHead(target, await newCollection(`${registry.host}/named`, NOW)));
  await push('plain', async () => undefined);
});
afterAll(async () => {
  await registry.close();
  await rm(home, { recursive: true, force: true });
});

const run = (argv: readonly string[], stdin?: string): Promise<CliResult> =>
  bulla(argv, { now: NOW, cwd: home, env: { BULLA_HOME: home }, ...(stdin !== undefined && { stdin }) });
const init = (...argv: readonly string[]): Promise<CliResult> =>
  run(['policy', 'init', '--trusted-root', 'root.json', ...argv]);
const image = (name: string): string => `${registry.host}/${name}:v1`;

/** The policy, as a person leaves it who confirms all that is proposed. */
function confirm(text: string): string {
  return text.replace(/^ {4}deny: .*\n/gm, '').replace(/^ {4}# /gm, '    ');
}

describe('bulla policy init', () => {
  it.each([
    ['keyed', ['--key', 'release.pub'], [/signatures:\n.*keys:/]],
    ['certified', [], [/authorities:/, /x509\.subject: C=DE, ST=Berlin, O=Acme, CN=release/]],
    ['keyless', [], [/identity: "alice@example\.com"/, /type: "https:\/\/slsa\.dev\/provenance\/v1"/]],
  ])('denies a %s image, until what it proposes is confirmed', async (name, flags, proposals) => {
    const file = `${name}.yaml`;
    expect(await init(image(name), '--write', file, ...flags)).toMatchObject({ code: 0, stdout: '' });
    const verify = (policy: string) => run(['verify', image(name), '--policy', policy]);
    expect(await run(['policy', 'check', file])).toMatchObject({ code: 0 });
    expect(await verify(file)).toMatchObject({ code: 12, stdout: '' });
    const written = await readFile(join(home, file), 'utf8');
    for (const proposal of proposals) expect(written).toMatch(proposal);
    // Paths in it are relative to it, so it stays where it was written.
    await writeFile(join(home, `confirmed-${file}`), confirm(written));
    const verified = await verify(`confirmed-${file}`);
    expect(verified, verified.stderr).toMatchObject({
      code: 0,
      stdout: `${registry.host}/${name}@${digests.get(name)}\n`,
    });
  });

  it('reads the .sig tags of older tools', async () => {
    const signed = await run(['sign', image('legacy'), '--no-name', '--also', 'simplesigning']);
    expect(signed, signed.stderr).toMatchObject({ code: 0 });
    const { stdout } = await init(image('legacy'), '--key', 'keys/own.pub');
    expect(stdout).toMatch(/# {3}cosign \.sig by key/);
    expect(stdout.match(/BEGIN PUBLIC KEY/g)).toHaveLength(1);
  });

  it('names no signer whose signature does not verify', async () => {
    const { code, stdout } = await init(image('forged'), image('keyed'));
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/identity:|keys:/);
    expect(stdout).toMatch(/stays unverified: Sigstore bundle that says it is by alice@example\.com .*\[/);
    expect(stdout).toMatch(/stays unverified: something \[unsupported-signature\]/);
    expect(stdout).toMatch(/stays unverified: Sigstore bundle that says it is by key [0-9a-f]{12} \[/);
    expect(stdout.match(/no signature verifies/g)).toHaveLength(2);
  });

  it('proposes the root keys of a trust collection, and remembers nothing of it', async () => {
    const { stdout, code } = await init(image('named'));
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`# trust:\\n.*root:\\n.*keyIds:\\n.*"${poolKey(ROOT).key.keyid}"`));
    const unpinned = await run(['verify', image('named'), '--signer', 'names']);
    expect(unpinned).toMatchObject({ code: 25 });
  });

  it('reads manifests, and standard input', async () => {
    const manifest = `kind: Pod\napiVersion: v1\nspec:\n  containers:\n    - image: ${image('plain')}\n`;
    await writeFile(join(home, 'compose.yaml'), `services:\n  a: { image: "${image('keyless')}" }\n`);
    const both = await run(
      ['policy', 'init', '--k8s', '-', '--k8s', 'compose.yaml', '-o', 'json'],
      `${manifest}---\n${manifest}`,
    );
    expect(both.code).toBe(0);
    expect(both.json()).toMatchObject({
      file: null,
      policy: expect.stringContaining('it has no signature'),
      images: [
        { given: image('plain'), scope: `${registry.host}/plain`, digest: digests.get('plain'), signers: [] },
        { given: image('keyless'), signers: [], unverified: [{ code: expect.any(String) }, {}] },
      ],
    });
    expect((await run(['policy', 'init', '--from', '-'], `${image('plain')}\n`)).code).toBe(0);
  });

  it('denies what it could not look at, says so, and fails', async () => {
    const unreachable = '127.0.0.1:1/team/app:v1';
    const { code, stdout, stderr } = await init(image('plain'), unreachable, image('gone'));
    expect(code).toBe(11);
    expect(stderr).toContain('[registry-unreachable]');
    expect(stdout).toMatch(/could not be looked at \[registry-unreachable\]/);
    expect(stdout).toMatch(/could not be looked at \[not-found\]/);
    await writeFile(join(home, 'part.yaml'), stdout);
    expect(await run(['policy', 'check', 'part.yaml'])).toMatchObject({ code: 0 });
    const json = await init(unreachable, '-o', 'json');
    expect(json.code).toBe(3);
    expect(json.json()).toMatchObject({ ok: false, details: { images: [{ digest: null }] } });
  });

  it('overwrites a file only if it is told to', async () => {
    await writeFile(join(home, 'mine.yaml'), 'precious');
    expect(await init(image('plain'), '--write', 'mine.yaml')).toMatchObject({ code: 30 });
    expect(await readFile(join(home, 'mine.yaml'), 'utf8')).toBe('precious');
    expect(await init(image('plain'), '--write', 'mine.yaml', '--force')).toMatchObject({ code: 0 });
    expect(await readFile(join(home, 'mine.yaml'), 'utf8')).toContain('not confirmed');
  });

  it.each([
    ['nothing to look at', []],
    ['a layout', ['oci:img:v1']],
    ['two readers of standard input', ['--k8s', '-', '--from', '-']],
    ['an image path without manifests', ['r.example/a:b', '--image-path', 'spec.image']],
  ])('refuses %s', async (_, argv) => {
    expect([2, 40]).toContain((await init(...argv)).code);
  });
});
