import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { attach, statement } from '../support/forge.ts';
import { type Making, SigstoreInstance } from '../support/sigstore/instance.ts';

const now = new Date('2026-12-01T00:00:00Z');
const instance = new SigstoreInstance();
const issuer = 'https://accounts.example.com';

let cwd: string;
let image: ManifestContent;
beforeEach(async () => {
  cwd = await temporaryDirectory();
  await withStore(async (store) => {
    image = await pushImage(store, 'app', 'v1');
  });
  await writeFile(join(cwd, 'root.json'), instance.trustedRoot());
});

async function withStore(use: (store: LayoutStore) => Promise<void>): Promise<void> {
  const store = new LayoutStore(await DirectoryFiles.open(join(cwd, 'img'), { create: true }));
  await use(store);
  await store.close();
}

/** Attaches keyless signatures of the image, one for each. */
async function sign(...makings: readonly Partial<Making>[]): Promise<void> {
  await withStore(async (store) => {
    for (const making of makings)
      await attach(store, image.descriptor, {
        envelope: instance.sign(utf8(JSON.stringify(statement(image.descriptor))), making),
      });
  });
}

const by = (subject: string): Partial<Making> => ({ owner: { kind: 'email', subject, issuer } });
const verify = (line: string) =>
  run(['verify', 'oci:img:v1', ...line.split(' ')], { cwd, now, env: { BULLA_HOME: join(cwd, 'home') } });
const trusted = `--trusted-root root.json --certificate-oidc-issuer ${issuer}`;
const alice = `${trusted} --certificate-identity alice@example.com`;

describe('bulla verify of keyless signatures', () => {
  it('accepts the identity that is trusted, months after the certificate expired', async () => {
    await sign({ rekor: 1 }, { rekor: 2 });
    const verified = await verify(alice);
    expect(verified).toMatchObject({ code: 0, stdout: `oci:img@${image.descriptor.digest}\n` });
    expect(verified.stderr).toContain(`signed by alice@example.com (${issuer})`);
    expect((await verify(`${alice} -o json`)).json()).toMatchObject({
      signatures: expect.arrayContaining([
        expect.objectContaining({ kind: 'sigstore-bundle', identity: 'alice@example.com', issuer }),
      ]),
    });
  });

  it.each([
    ['another identity', `${trusted} --certificate-identity bob@example.com`, 12],
    ['another issuer', alice.replace(issuer, 'https://evil.example.com'), 12],
    ['a matching expression', `${trusted} --certificate-identity-regexp .*@example[.]com`, 0],
    ['an expression that matches a part', `${trusted} --certificate-identity-regexp alice`, 12],
    ['an issuer by expression', alice.replace('issuer https', 'issuer-regexp https?'), 0],
    ["the public-good instance's root", alice.replace('--trusted-root root.json ', ''), 12],
    ['a purpose that was not signed', `${alice} --purpose https://example.com/scan/v1`, 12],
    ['two signers', `${alice} --certificate-identity bob@example.com --threshold 2`, 12],
    ['an issuer without an identity', trusted, 2],
    ['an identity without an issuer', '--certificate-identity alice@example.com', 2],
    ['two kinds of issuer', `${alice} --certificate-oidc-issuer-regexp .*`, 2],
    ['an expression that is not one', `${trusted} --certificate-identity-regexp (`, 2],
    ['a trusted root that is not there', alice.replace('root.json', 'none.json'), 11],
    ['a trusted root that is none', alice.replace('root.json', 'img/index.json'), 40],
  ])('%s', async (_, line, code) => {
    await sign({});
    expect(await verify(line)).toMatchObject({ code, ...(code !== 0 && { stdout: '' }) });
  });

  it('is no signature by a key, and says what to ask for', async () => {
    await sign({});
    await writeFile(
      join(cwd, 'k.pub'),
      generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }),
    );
    const refused = await verify('--key k.pub');
    expect(refused).toMatchObject({ code: 10, stdout: '' });
    expect(refused.stderr).toContain('--certificate-oidc-issuer');
  });

  it('counts an identity once, however many keys it used', async () => {
    const rules = `${alice} --certificate-identity bob@example.com --threshold 2`;
    await sign({}, {});
    expect(await verify(rules)).toMatchObject({ code: 12 });
    await sign(by('bob@example.com'));
    expect(await verify(rules)).toMatchObject({ code: 0 });
    const either = `${trusted} --certificate-identity-regexp .* --certificate-identity carol@example.com`;
    expect(await verify(`${either} --threshold 2`)).toMatchObject({ code: 12 });
  });

  it('accepts one of an instance without logs only under a policy that says so, and with a time stamp', async () => {
    const change = (root: Record<string, unknown>) => Object.assign(root, { tlogs: [], ctlogs: [] });
    await writeFile(join(cwd, 'unlogged.json'), instance.trustedRoot(change));
    const keyless = [{ identity: 'alice@example.com', issuer }];
    const under = async (more: object): Promise<number> => {
      const rule = { scope: '*', signatures: [{ keyless, trustedRoot: 'unlogged.json', ...more }] };
      await writeFile(join(cwd, 'policy.json'), JSON.stringify({ version: 1, rules: [rule] }));
      return (await run(['verify', 'oci:img:v1', '--policy', 'policy.json'], { cwd, now })).code;
    };
    await sign({ isLogged: false, isStamped: false, isPublished: false });
    expect(await under({ transparency: 'none' })).toBe(12);
    await sign({ rekor: 2, isLogged: false, isStamped: true, isPublished: false });
    expect(await under({})).toBe(12);
    expect(await under({ transparency: 'none' })).toBe(0);
    expect(await under({ transparency: 'none', keyless: [{ identity: 'bob@example.com', issuer }] })).toBe(
      12,
    );
  });

  it('refuses one that no log has, or that has no time', async () => {
    await sign({ isLogged: false }, { rekor: 2, isStamped: false });
    expect(await verify(alice)).toMatchObject({ code: 12, stdout: '' });
    await sign({ isPublished: false });
    expect(await verify(alice)).toMatchObject({ code: 13, stdout: '' });
  });
});
