import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { makeCodeCache } from '../support/code-cache.ts';
import { writeCertificate } from '../support/gate.ts';
import { type Server, startServer } from '../support/process.ts';
import { assembleImage, sha256 } from '../support/release/image.ts';
import { inPlace, installSections } from '../support/release/install-page.ts';
import { layersFrom, release } from '../support/release/release.ts';
import type { Lock } from '../support/release/sbom.ts';
import { havePeers, type Outcome, ok, peer, run } from './peers.ts';

const root = new URL('../..', import.meta.url).pathname;
const LAYOUT = join(root, 'testdata/demo-image/layout');
const SOURCE_DATE = 1_700_000_000;
const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so';

describe.runIf(
  havePeers('actionlint', 'node24', 'cosign', 'oras', 'crane', 'pkcs11js', 'postject', 'softhsm2-util'),
)('a release', () => {
  let directory: string;
  let out: string;
  let executable: string;
  let registry: Server;
  let published: { readonly image: string; readonly files: string };
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const named = (suffix: string): string => join(out, `bulla-${version}${suffix}`);

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'bulla-release-'));
    out = join(directory, 'release');
    const stage = join(directory, 'stage');
    for (const name of ['package.json', 'package-lock.json', 'LICENSE', 'README.md', 'CHANGELOG.md', 'dist'])
      cpSync(join(root, name), join(stage, name), { recursive: true });
    rmSync(join(stage, 'dist/release'), { recursive: true, force: true });
    await makeCodeCache(join(stage, 'dist'), [peer('node24')]);
    const made = await release({
      root: stage,
      node: peer('node24'),
      out,
      sourceDate: SOURCE_DATE,
      revision: 'c0ffee',
    });
    executable = named(`-${process.platform}-${process.arch}`);
    registry = await startServer({
      file: executable,
      args: () => ['serve', 'registry', '--dir', join(out, 'registry'), '--addr', '127.0.0.1:0'],
      env: { BULLA_HOME: join(directory, 'server') },
      announces: /127\.0\.0\.1:(\d+)/,
    });
    const here = (image: string): string => image.replace(/^[^/]+/, registry.host);
    published = { image: here(made.image), files: here(made.files) };
  }, 600_000);
  afterAll(async () => {
    await registry.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Runs the executable with nothing but what is given: no PATH, no HOME, no Node. */
  function alone(args: readonly string[], env: Record<string, string> = {}, file = executable): Outcome {
    try {
      const stdout = execFileSync(file, args, {
        ...{ cwd: directory, encoding: 'utf8', input: env['STDIN'] ?? '' },
        env: { BULLA_HOME: join(directory, 'home'), BULLA_PASSPHRASE: 'of a test', ...env },
        stdio: 'pipe',
      });
      return { status: 0, stdout, stderr: '' };
    } catch (error) {
      const { status, stdout, stderr } = error as { status: number | null; stdout: string; stderr: string };
      return { status: status ?? -1, stdout, stderr };
    }
  }
  function works(args: readonly string[], env?: Record<string, string>, file?: string): string {
    const outcome = alone(args, env, file);
    expect(outcome.status, `${args.join(' ')}\n${outcome.stdout}${outcome.stderr}`).toBe(0);
    return outcome.stdout;
  }

  /** Runs the command in the files of the image, which a test has unpacked. */
  function inRootfs(...args: readonly string[]): readonly string[] {
    const files = join(directory, 'rootfs');
    const enter =
      process.getuid?.() === 0 ? ['chroot', '--userspec=65532:65532'] : ['unshare', '-r', 'chroot'];
    const env = ['env', '-i', 'HOME=/home/nonroot', 'BULLA_HOME=/tmp/bulla', `PATH=${process.env['PATH']}`];
    return [...env, ...enter, files, '/usr/bin/bulla', ...args];
  }

  it('is the same, byte for byte, when it is made again from its package', async () => {
    const work = join(directory, 'again');
    mkdirSync(work);
    const umask = process.umask(0o077);
    const [zone, locale] = [process.env['TZ'], process.env['LC_ALL']];
    Object.assign(process.env, { TZ: 'Pacific/Kiritimati', LC_ALL: 'C' });
    try {
      const again = join(work, 'other-name');
      const { entries } = await layersFrom(named('.tgz'), peer('node24'), again, work);
      expect(sha256(readFileSync(again))).toBe(sha256(readFileSync(executable)));
      const labels = { version, sourceDate: SOURCE_DATE, revision: 'c0ffee' };
      const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
      const digest = await assembleImage(join(work, 'image'), entries, labels, architecture);
      expect(digest).toBe(published.image.replace(/.*@/, ''));
    } finally {
      process.umask(umask);
      for (const [name, value] of Object.entries({ TZ: zone, LC_ALL: locale }))
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      rmSync(work, { recursive: true });
    }
  });

  it('has sums of all its files, and a bill of materials of all that is in them', async () => {
    await ok('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: out });
    const sums = readFileSync(join(out, 'SHA256SUMS'), 'utf8');
    const files = readdirSync(out).filter((name) => name.startsWith('bulla-'));
    expect([...sums.matchAll(/ {2}(.+)$/gm)].map(([, name]) => name)).toEqual(files.sort());
    const bill = JSON.parse(readFileSync(named('.spdx.json'), 'utf8')) as Bill;
    const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
    const shipped = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
    const known = new Map(bill.packages.map(({ name, versionInfo }) => [name, versionInfo]));
    for (const [path, { version: locked }] of shipped)
      expect(known.get(path.replace('node_modules/', ''))).toBe(locked);
    for (const name of ['bulla', 'node', 'openssl', 'libc6', 'libstdc++6', 'ca-certificates'])
      expect(known.has(name), name).toBe(true);
    const ids = bill.packages.map(({ SPDXID }) => SPDXID);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { SPDXID } of bill.packages) expect(SPDXID).toMatch(/^SPDXRef-[A-Za-z0-9.-]+$/);
    for (const { spdxElementId, relatedSpdxElement } of bill.relationships)
      expect(['SPDXRef-DOCUMENT', ...ids]).toEqual(
        expect.arrayContaining([spdxElementId, relatedSpdxElement]),
      );
  });

  it('is signed and attested so that cosign, oras and crane take it', async () => {
    const { image, files } = published;
    const key = ['--key', join(out, 'release.pub'), '--insecure-ignore-tlog', '--allow-http-registry'];
    for (const one of [image, files]) {
      await ok(peer('cosign'), ['verify', ...key, one]);
      await ok(peer('cosign'), ['verify-attestation', ...key, '--type', 'spdxjson', one]);
    }
    const into = join(directory, 'pulled');
    await ok(peer('oras'), ['pull', '--plain-http', '--output', into, files]);
    await ok('sha256sum', ['--check', '--ignore-missing', 'SHA256SUMS'], { cwd: into });
    expect(readdirSync(into).sort()).toEqual(
      readdirSync(out)
        .filter((name) => /^bulla-(?!.*image)|SUMS/.test(name))
        .sort(),
    );
    await ok(peer('crane'), ['validate', '--insecure', '--remote', image]);
    expect(
      works(['verify', `oci-archive:${named('-image.tar')}`, '--key', join(out, 'release.pub')]),
    ).toContain(image.replace(/.*@/, ''));
  });

  it('runs without Node, an environment or a home: keys, signatures, collections, pages', () => {
    const image = `${registry.host}/team/app:v1`;
    works(['push', `oci:${LAYOUT}`, image]);
    works(['key', 'generate', 'release']);
    works(['sign', image, '--key', 'release']);
    works(['init', image.replace(':v1', ''), '--publisher-key', 'release']);
    works(['sign', image, '--name-only', '--key', 'release']);
    expect(works(['verify', image])).toMatch(/@sha256:[0-9a-f]{64}\n$/);
    works(['report', image.replace(':v1', ''), '--html', 'pages']);
    works(['export', 'tuf', image.replace(':v1', ''), 'tuf']);
    works(['copy', image, 'oci-archive:app.tar:v1']);
    expect(existsSync(join(directory, 'pages/index.html'))).toBe(true);
    expect(alone(['verify', `${registry.host}/team/other:v1`, '--key', 'release']).status).toBe(11);
    expect(alone(['no-such-command']).status).toBe(2);
    // A passphrase that was wrong: scrypt, which Node does in its threads.
    expect(alone(['sign', image, '--key', 'release', '--again'], { BULLA_PASSPHRASE: 'wrong' }).status).toBe(
      2,
    );
  });

  it('answers containerd, by itself, by the hook that it installs, and by a gate on the node', async () => {
    const digest = published.image.replace(/.*@/, '');
    const policy = `version: 1\nrules: [{ scope: ${registry.host}/*, signatures: [{ keys: [release.pub] }] }]\n`;
    cpSync(join(out, 'release.pub'), join(directory, 'release.pub'));
    writeFileSync(join(directory, 'policy.yaml'), policy);
    const type = 'application/vnd.oci.descriptor.v1+json';
    const ask = (image: string): string[] => ['-name', image, '-digest', digest, '-stdin-media-type', type];
    const STDIN = JSON.stringify({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest,
      size: 1,
    });
    const gate = ['gate', 'containerd', '--policy', 'policy.yaml'];
    expect(works([...gate, '--', ...ask(published.image)], { STDIN })).toContain('is allowed');
    const home = join(directory, 'hook-home');
    const hook = works([...gate, '--install', 'hooks', '--home', home]).trim();
    expect(readFileSync(hook, 'utf8').split(executable)).toHaveLength(2);
    expect(works(ask(published.image), { STDIN }, hook)).toContain('is allowed');
    const denied = alone(ask(`elsewhere.example/app@${digest}`), { STDIN }, hook);
    expect(denied).toMatchObject({ status: 12, stdout: expect.stringContaining('[policy-denied]') });
    // A gate on the node answers before the program is loaded; this hook has no policy of its own.
    const socket = join(directory, 'gate.sock');
    const install = ['gate', 'containerd', '--install', 'socket-hooks', '--socket', socket, '--home', home];
    const asking = works(install).trim();
    expect(alone(ask(published.image), { STDIN }, asking).status).not.toBe(0);
    await writeCertificate(directory);
    const own = ['--policy', join(directory, 'policy.yaml'), '--socket', socket, '--listen', '127.0.0.1:0'];
    const tls = ['--tls-cert', join(directory, 'tls.crt'), '--tls-key', join(directory, 'tls.key')];
    const server = await startServer({
      file: executable,
      args: () => ['serve', 'gate', ...own, ...tls, '--plain-listen', '127.0.0.1:0'],
      env: { BULLA_HOME: join(directory, 'gate') },
      announces: /127\.0\.0\.1:(\d+)/,
    });
    try {
      expect(works(ask(published.image), { STDIN }, asking)).toContain('is allowed');
    } finally {
      await server.stop();
    }
  });

  it('uses what was compiled for it, whichever script a command needs', () => {
    const probe = join(directory, 'probe.cjs');
    writeFileSync(
      probe,
      `const vm = require('node:vm');
      const { Script } = vm;
      vm.Script = class extends Script {
        constructor(...args) { super(...args); process.stdout.write('rejected: ' + this.cachedDataRejected + '\\n'); }
      };`,
    );
    const NODE_OPTIONS = `--require=${probe}`;
    const compiled = new Set<string>();
    for (const command of ['verify', 'gate', 'policy', 'export', 'serve', 'docker-trust']) {
      const said = works([command, '--help'], { NODE_OPTIONS }).match(/^rejected: .*$/gm) ?? [];
      expect(new Set(said), command).toEqual(new Set(['rejected: false']));
      compiled.add(String(said.length));
    }
    expect(compiled.size).toBeGreaterThan(1);
  });

  it('is a plug-in of docker under its name, and installs itself as one', () => {
    const link = join(directory, 'docker-trust');
    symlinkSync(executable, link);
    expect(JSON.parse(works(['docker-cli-plugin-metadata'], {}, link))).toMatchObject({ Version: version });
    expect(works(['trust', 'sign', '--help'], {}, link)).toContain('Usage:');
    const plugin = works(['docker-trust', 'install-plugin', '--dir', join(directory, 'plugins')]).trim();
    expect(JSON.parse(works(['docker-cli-plugin-metadata'], {}, plugin))).toMatchObject({
      Vendor: 'bulla',
    });
  });

  it('takes native code that is not in it from packages beside it, and says so where there are none', async () => {
    const conf = join(directory, 'softhsm.conf');
    mkdirSync(join(directory, 'tokens'));
    writeFileSync(conf, `directories.tokendir = ${join(directory, 'tokens')}\n`);
    const pin = ['--so-pin', '1234', '--pin', '1234'];
    await ok('softhsm2-util', ['--init-token', '--free', '--label', 'release', ...pin], {
      env: { SOFTHSM2_CONF: conf },
    });
    const tokens = ['key', 'ls', '--tokens', SOFTHSM];
    const without = alone(tokens, { SOFTHSM2_CONF: conf });
    expect(without).toMatchObject({ status: 2, stderr: expect.stringContaining('pkcs11js') });
    const beside = join(directory, 'beside');
    mkdirSync(beside);
    cpSync(executable, join(beside, 'bulla'));
    symlinkSync((await ok(peer('pkcs11js'), [])).trim(), join(beside, 'node_modules'));
    works(tokens, { SOFTHSM2_CONF: conf, BULLA_PKCS11_PIN: '1234' }, join(beside, 'bulla'));
    const NODE_PATH = (await ok(peer('pkcs11js'), [])).trim();
    works(tokens, { SOFTHSM2_CONF: conf, BULLA_PKCS11_PIN: '1234', NODE_PATH });
    rmSync(beside, { recursive: true });
  });

  it('has an image that runs with nothing else, not as root', async () => {
    const files = join(directory, 'rootfs');
    const layout = join(directory, 'image');
    mkdirSync(files);
    works(['copy', published.image, `oci:${layout}:v1`, '--no-referrers']);
    const blob = (digest: string): string => join(layout, 'blobs', digest.replace(':', '/'));
    const manifest = JSON.parse(readFileSync(blob(published.image.replace(/.*@/, '')), 'utf8')) as {
      layers: { digest: string }[];
    };
    for (const { digest } of manifest.layers) await ok('tar', ['-xzf', blob(digest), '-C', files]);
    expect(existsSync(join(files, 'bin/sh'))).toBe(false);
    const inside = (...args: string[]): Promise<Outcome> => run('env', inRootfs(...args).slice(1));
    expect(await inside('--version')).toMatchObject({ status: 0, stdout: `${version}\n` });
    cpSync(join(out, 'release.pub'), join(files, 'tmp/release.pub'));
    const verified = await inside('verify', published.image, '--key', '/tmp/release.pub');
    expect(verified, verified.stderr).toMatchObject({ status: 0, stdout: `${published.image}\n` });
    // The resolver of the C library works, and so do the certificates: the failure is another one.
    const elsewhere = await inside('verify', 'no-such-host.invalid/app:v1', '--key', '/tmp/release.pub');
    expect(elsewhere).toMatchObject({ status: 3 });
    expect(readFileSync(join(files, 'etc/ssl/certs/ca-certificates.crt'), 'utf8')).toContain(
      'BEGIN CERTIFICATE',
    );
  });

  /** Programs that the pages call, told what a test's registry is like. */
  function programs(): string {
    const bin = join(directory, 'programs');
    mkdirSync(bin, { recursive: true });
    const write = (name: string, text: string): void =>
      writeFileSync(join(bin, name), `#!/bin/bash\n${text}\n`, { mode: 0o755 });
    const cosign = `exec '${peer('cosign')}' "$1" --insecure-ignore-tlog --allow-http-registry "\${@:2}"`;
    write('cosign', cosign);
    write('oras', `exec '${peer('oras')}' "$1" --plain-http "\${@:2}"`);
    // Containers do not run everywhere; the files of the image do (see above).
    write('podman', `[[ $3 == '${published.image}' ]] && shift 3 && exec ${inRootfs('"$@"').join(' ')}`);
    return bin;
  }

  it.each(installSections())('is installed as docs/install.md says: $title', async ({ title, lines }) => {
    const here = join(directory, `install ${title}`);
    const bin = join(here, 'usr/local/bin');
    mkdirSync(bin, { recursive: true });
    for (const suffix of ['.tgz', '-image.tar'])
      symlinkSync(named(suffix), join(here, `bulla-${version}${suffix}`));
    if (title === 'Container image') symlinkSync(executable, join(bin, 'bulla'));
    const modules = (await ok(peer('pkcs11js'), [])).trim();
    const places = { out, version, registry: registry.host, root, directory: here, modules };
    const script = lines.map((line) => inPlace(line, places)).join('\n');
    const printed = await ok('bash', ['-euo', 'pipefail', '-c', `${script}\ncommand -v bulla || :`], {
      cwd: here,
      env: {
        PATH: [bin, join(here, 'npm/bin'), programs(), process.env['PATH']].join(':'),
        BULLA_HOME: join(here, 'home'),
        SOFTHSM2_CONF: join(directory, 'softhsm.conf'),
        BULLA_PKCS11_PIN: '1234',
        npm_config_prefix: join(here, 'npm'),
        npm_config_cache: (await ok('npm', ['config', 'get', 'cache'])).trim(),
        npm_config_prefer_offline: 'true',
      },
    });
    expect(printed).toMatch(new RegExp(`^(?:.* )?${version.replaceAll('.', '\\.')}$`, 'm'));
    if (title !== 'npx') expect(printed.trim().split('\n').at(-1)).toContain(here);
  });

  it('is installed by the action, which verifies and signs, and takes no other executable', async () => {
    const sums = readFileSync(join(out, 'SHA256SUMS'), 'utf8');
    const sha256 = new RegExp(`^([0-9a-f]+)  bulla-${version}-linux-x64$`, 'm').exec(sums)?.[1] ?? '';
    const served = join(directory, 'served');
    mkdirSync(served);
    symlinkSync(out, join(served, `v${version}`));
    const inputs = { version, sha256, url: `file://${served}` };
    writeFileSync(join(directory, 'release key.pem'), '');
    const image = `${registry.host}/team/action:v1`;
    works(['push', `oci:${LAYOUT}`, image]);
    expect((await action({ ...inputs, sign: image, 'sign-flags': '--key\n  release' })).outputs).toMatch(
      /signed<<.*\n.*@sha256:[0-9a-f]{64}\n/,
    );
    const verify = `${image}\n${published.image}`;
    const both = { ...inputs, verify, 'verify-flags': `--key release --key ${join(out, 'release.pub')}` };
    expect((await action(both)).outputs.match(/@sha256:/g)).toHaveLength(2);
    expect(
      await action({ ...inputs, verify: `${image}-other`, 'verify-flags': '--key release' }),
    ).toMatchObject({
      status: 11,
      outputs: '',
    });
    for (const wrong of [
      { sha256: sha256.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) },
      { sha256: '' },
      { version: '../1.0.0' },
    ])
      expect(await action({ ...inputs, ...wrong, verify })).toMatchObject({ status: 1, outputs: '' });
    // What inputs contain is not run.
    await action({
      ...inputs,
      verify: '$(touch hacked)',
      'verify-flags': '$(touch hacked) `touch hacked` ; touch hacked',
    });
    expect(existsSync(join(directory, 'action/hacked'))).toBe(false);
  });

  /** Runs the steps of action.yml as a runner does, up to the first that fails. */
  async function action(
    inputs: Readonly<Record<string, string>>,
  ): Promise<{ status: number; outputs: string }> {
    const { runs } = parse(readFileSync(join(root, 'action.yml'), 'utf8')) as {
      runs: { steps: { if?: string; run: string; env: Record<string, string> }[] };
    };
    const here = join(directory, 'action');
    rmSync(here, { recursive: true, force: true });
    mkdirSync(here);
    const [paths, outputs] = [join(here, 'path'), join(here, 'outputs')];
    for (const file of [paths, outputs]) writeFileSync(file, '');
    const input = (text: string): string => inputs[/inputs\.([a-z0-9-]+)/.exec(text)?.[1] ?? ''] ?? '';
    for (const step of runs.steps) {
      if (step.if !== undefined && input(step.if) === '') continue;
      const env = Object.fromEntries(Object.entries(step.env).map(([name, value]) => [name, input(value)]));
      const { status } = await run('bash', ['-e', '-o', 'pipefail', '-c', step.run], {
        cwd: here,
        env: {
          ...env,
          PATH: [...readFileSync(paths, 'utf8').split('\n').filter(Boolean), process.env['PATH']].join(':'),
          ...{ RUNNER_TEMP: here, GITHUB_PATH: paths, GITHUB_OUTPUT: outputs },
          ...{ BULLA_HOME: join(directory, 'home'), BULLA_PASSPHRASE: 'of a test' },
        },
      });
      if (status !== 0) return { status, outputs: readFileSync(outputs, 'utf8') };
    }
    return { status: 0, outputs: readFileSync(outputs, 'utf8') };
  }

  it('is made by a workflow that actionlint finds nothing wrong with; nor with those of the pages', async () => {
    const page = readFileSync(join(root, 'docs/ci/github-actions.md'), 'utf8');
    const [, snippet = ''] = /^```yaml\n(name:[\s\S]*?)^```/m.exec(page) ?? [];
    const file = join(directory, 'workflow.yml');
    writeFileSync(file, snippet);
    const files = [join(root, '.github/workflows/release.yml'), join(root, 'deploy/ci/scheduled.yml'), file];
    expect(await ok(peer('actionlint'), ['-no-color', '-shellcheck=', ...files])).toBe('');
  });
});

interface Bill {
  readonly packages: readonly {
    readonly SPDXID: string;
    readonly name: string;
    readonly versionInfo: string;
  }[];
  readonly relationships: readonly { readonly spdxElementId: string; readonly relatedSpdxElement: string }[];
}
