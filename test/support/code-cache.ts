import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import { startServer } from './process.ts';

/** Settings of whoever builds: none may decide what is compiled, or be changed by it. */
const FOREIGN = /^(BULLA_.*|NODE_.*|.*_proxy)$/i;

/**
 * Stores beside the bundled program what V8 makes of it: the functions that reading and verifying commands
 * call. Without them, the code of a cold `verify` is parsed and compiled while its first requests could be
 * under way.
 * @param nodes executables of the versions of Node that this is for
 */
export async function makeCodeCache(directory: string, nodes: readonly string[]): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'bulla-build-'));
  const home = join(work, 'home');
  const env: NodeJS.ProcessEnv = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !FOREIGN.test(name))),
    BULLA_HOME: home,
    BULLA_PASSPHRASE: 'of a build',
    DOCKER_CONFIG: join(work, 'docker'),
    REGISTRY_AUTH_FILE: join(work, 'auth.json'),
  };
  const bulla = resolve(directory, 'bulla.js');
  // RSA, as Notation makes them: what verifies them is another part than for our own.
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(join(work, 'maker.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
    mode: 0o600,
  });
  const start = (node: string, ...args: readonly string[]): void => {
    execFileSync(node, args, { cwd: work, env, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  const registry = await startServer({
    file: process.execPath,
    args: () => [bulla, 'serve', 'registry', '--dir', join(work, 'registry'), '--addr', '127.0.0.1:0'],
    env,
    announces: /127\.0\.0\.1:(\d+)/,
  });
  try {
    writeImage(join(work, 'image'));
    const image = `${registry.host}/image:v1`;
    const named = `${registry.host}/named:v1`;
    const run = (line: string): void => start(process.execPath, bulla, ...line.split(' '));
    run('key cert ./maker.pem --self-signed --subject C=DE,ST=Berlin,O=Example,CN=maker --out maker.crt');
    run('key generate plain');
    run(`push oci:image:v1 ${image}`);
    run(`sign ${image} --key ./maker.pem --cert-chain maker.crt`);
    run(`sign ${image} --key plain`);
    run(`push oci:image:v1 ${named}`);
    run(`init ${named.replace(':v1', '')}`);
    run(`sign ${named}`);
    nodes.forEach((_, index) => {
      run(`push oci:image:v1 ${registry.host}/sign-${index}:v1`);
    });
    const policy = `version: 1\nrules: [{ scope: "${registry.host}/*", signatures: [{ keys: [home/keys/plain.pub] }] }]\n`;
    writeFileSync(join(work, 'policy.yaml'), policy);
    const program = join(work, 'warm-up.cjs');
    buildSync({
      entryPoints: [new URL('warm-up.ts', import.meta.url).pathname],
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'cjs',
    });
    for (const [index, node] of nodes.entries()) {
      const everyday = [
        `verify ${image} --ca maker.crt`,
        `verify ${image} --key plain -o json`,
        `verify ${named}`,
        `tree ${named.replace(':v1', '')}`,
        `copy ${image} ${registry.host}/copy-${index}:v1`,
        `sign ${registry.host}/sign-${index}:v1 --key plain`,
        `sign ${registry.host}/sign-${index}:v1 --key ./maker.pem --cert-chain maker.crt`,
      ];
      const others = [`verify ${image} --policy policy.yaml`];
      start(node, program, resolve(directory), JSON.stringify(everyday), JSON.stringify(others));
    }
  } finally {
    await registry.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

/** The smallest image that there is, as an OCI layout. */
function writeImage(path: string): void {
  mkdirSync(join(path, 'blobs/sha256'), { recursive: true });
  const put = (content: object, mediaType: string): object => {
    const bytes = JSON.stringify(content);
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(path, 'blobs/sha256', hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const type = 'application/vnd.oci.image';
  const config = put({ architecture: 'amd64', os: 'linux' }, `${type}.config.v1+json`);
  const layer = put({}, `${type}.layer.v1.tar`);
  const head = { schemaVersion: 2, mediaType: `${type}.manifest.v1+json` };
  const manifest = put({ ...head, config, layers: [layer] }, `${type}.manifest.v1+json`);
  const annotations = { 'org.opencontainers.image.ref.name': 'v1' };
  writeFileSync(join(path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(path, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
}
