import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { GITHUB_REPOSITORY, GITHUB_TUF_ROOT } from '../../src/sigstore/github-tuf-root.ts';
import { PUBLIC_GOOD_TUF_ROOT } from '../../src/sigstore/public-good-tuf-root.ts';
import { TrustedMetadata } from '../../src/tuf/trusted-metadata.ts';
import { type CliResult, bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { attach, statement } from '../support/forge.ts';
import { listen } from '../support/listen.ts';
import { SigstoreInstance } from '../support/sigstore/instance.ts';
import { NOW, RepositorySimulator } from '../support/tuf/repository.ts';

const HOUR = 3_600_000;
const issuer = 'https://accounts.example.com';
const instance = new SigstoreInstance();

let cwd: string;
let repository: RepositorySimulator;
let url: string;
let asked: string[];
let fault: number | undefined;
beforeEach(async () => {
  cwd = await temporaryDirectory();
  repository = new RepositorySimulator();
  asked = [];
  fault = undefined;
  repository.addTarget('targets', 'trusted_root.json', instance.trustedRoot());
  repository.publishAll('targets');
  const server: Server = createServer(({ url: path = '' }, response) => {
    asked.push(path);
    const [, folder, name = ''] = /^\/tuf\/(metadata|targets)\/(.*)$/.exec(path) ?? [];
    const bytes = (folder === 'metadata' ? repository.files : repository.content).get(name);
    response.writeHead(fault ?? (bytes === undefined ? 404 : 200)).end(fault === undefined ? bytes : '');
  });
  const { host, stop } = await listen(server);
  onTestFinished(stop);
  url = `http://${host}/tuf/metadata`;
  const store = new LayoutStore(await DirectoryFiles.open(join(cwd, 'img'), { create: true }));
  const { descriptor } = await pushImage(store, 'app', 'v1');
  const envelope = instance.sign(utf8(JSON.stringify(statement(descriptor))), {});
  await attach(store, descriptor, { envelope });
  await store.close();
  await writeFile(join(cwd, 'root.json'), repository.files.get('1.root.json') ?? '');
});

const bulla = (line: string, now = NOW): Promise<CliResult> =>
  run(line.split(' '), { cwd, now, env: { BULLA_HOME: join(cwd, 'home') } });
const trust = (): Promise<CliResult> => bulla(`tuf init ${url} root.json`);
const verify = (more = '', hours = 0): Promise<CliResult> =>
  bulla(
    `verify oci:img:v1 --trusted-root tuf+${url} --certificate-identity alice@example.com --certificate-oidc-issuer ${issuer}${more}`,
    new Date(NOW.getTime() + hours * HOUR),
  );

describe('a trusted root from a TUF repository', () => {
  it('is read once a day, and counts offline until its metadata expires', async () => {
    await trust();
    expect(await verify()).toMatchObject({ code: 0 });
    expect(asked).not.toEqual([]);
    asked.length = 0;
    expect(await verify('', 23)).toMatchObject({ code: 0 });
    expect(await verify(' --offline', 25)).toMatchObject({ code: 0 });
    expect(asked).toEqual([]);
    expect(await verify('', 25)).toMatchObject({ code: 0 });
    expect(asked).not.toEqual([]);
    asked.length = 0;
    expect(await verify(' --offline', 24 * 400)).toMatchObject({ code: 20, stdout: '' });
    expect(asked).toEqual([]);
  });

  it.each([500, 429, 302, 403])('counts with a warning where the repository answers %d', async (status) => {
    await trust();
    expect(await verify()).toMatchObject({ code: 0 });
    fault = status;
    const verified = await verify('', 25);
    if (status === 403) return expect(verified).toMatchObject({ code: 4, stdout: '' });
    expect(verified).toMatchObject({ code: 0 });
    expect(verified.stderr).toContain('trusted_root.json of 2026-06-01T12:00:00Z is used');
    if (status === 500) expect(await verify('', 24 * 400)).toMatchObject({ code: 3, stdout: '' });
  });

  it('is used by a policy', async () => {
    await trust();
    const identity = { identity: 'alice@example.com', issuer };
    const rules = [{ scope: '*', signatures: [{ keyless: [identity], trustedRoot: `tuf+${url}` }] }];
    await writeFile(join(cwd, 'policy.json'), JSON.stringify({ version: 1, rules }));
    expect(await bulla('verify oci:img:v1 --policy policy.json')).toMatchObject({ code: 0 });
  });

  it('attack: that was withdrawn does not stay in a policy that seems to be the same', async () => {
    await trust();
    const identity = { identity: 'alice@example.com', issuer };
    const rules = [{ scope: '*', signatures: [{ keyless: [identity], trustedRoot: `tuf+${url}` }] }];
    await writeFile(join(cwd, 'policy.json'), JSON.stringify({ version: 1, rules }));
    const sum = async (hours: number): Promise<unknown> => {
      const at = new Date(NOW.getTime() + hours * HOUR);
      const { stdout } = await bulla('policy check policy.json -o json', at);
      return (JSON.parse(stdout) as { sha256: string }).sha256;
    };
    const first = await sum(0);
    expect(await sum(25)).toBe(first);
    repository.addTarget('targets', 'trusted_root.json', new SigstoreInstance().trustedRoot());
    repository.publishAll('targets');
    expect(await sum(26)).toBe(first);
    expect(await sum(50)).not.toBe(first);
  });

  it.each<[string, () => unknown, number]>([
    ['of which no root is trusted', forget, 25],
    ['that names no such file', () => repository.publishAll('targets'), 23],
    ['whose file was altered', alterTarget, 24],
    ['whose timestamp is not one', () => repository.files.set('timestamp.json', utf8('{}')), 40],
    ['whose metadata expired', expire, 20],
    ['that went back', goBack, 21],
  ])('from a repository %s is refused', async (what, change, code) => {
    await trust();
    if (what === 'that names no such file') removeTarget();
    await change();
    expect(await verify('', 25)).toMatchObject({ code, stdout: '' });
  });

  it.each([
    ['tuf+ftp://example.com/', 2],
    ['tuf+/some/path', 2],
    ['tuf+https://', 2],
  ])('--trusted-root %s: %d', async (place, code) => {
    const line = `verify oci:img:v1 --trusted-root ${place} --certificate-identity a --certificate-oidc-issuer b`;
    expect(await bulla(line)).toMatchObject({ code });
  });

  it('is not asked for with --offline, if it was never read', async () => {
    await trust();
    expect(await verify(' --offline')).toMatchObject({ code: 3, stdout: '' });
    expect(asked).toEqual([]);
  });

  it('is read again where what was kept is damaged', async () => {
    await trust();
    await verify();
    const [name = ''] = await readdir(join(cwd, 'home/state/tuf'));
    const kept = join(cwd, 'home/state/tuf', name, 'sigstore/trusted_root.json');
    expect(String(await readFile(kept))).toContain('"expires"');
    await writeFile(kept, '{"checked":');
    expect(await verify()).toMatchObject({ code: 0 });
  });

  it('begins with a root of the public-good instance that meets its own threshold', () => {
    const { root } = new TrustedMetadata(utf8(PUBLIC_GOOD_TUF_ROOT), NOW);
    expect(root.content.version).toBe(15);
  });

  it("begins with a root of GitHub's instance that meets its own threshold, at its own place", () => {
    const { root } = new TrustedMetadata(utf8(GITHUB_TUF_ROOT), NOW);
    expect(root.content.version).toBe(3);
    expect(GITHUB_REPOSITORY).toBe('https://tuf-repo.github.com/');
  });
});

function removeTarget(): void {
  const targets = repository.of('targets') as Record<string, unknown>;
  targets['targets'] = {};
}

function forget(): Promise<void> {
  return rm(join(cwd, 'home'), { recursive: true });
}

function alterTarget(): void {
  for (const [name, bytes] of repository.content)
    repository.content.set(name, utf8(String(Buffer.from(bytes)).replace('rekor.test', 'rekor.evil')));
}

function expire(): void {
  const timestamp = repository.of('timestamp') as Record<string, unknown>;
  timestamp['expires'] = '2026-05-01T00:00:00Z';
  repository.publish('timestamp');
}

async function goBack(): Promise<void> {
  const old = new Map(repository.files);
  repository.publishAll('targets');
  await verify();
  for (const [name, bytes] of old) repository.files.set(name, bytes);
}
