import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/**
 * The tools of others that tests and measurements run against. `peers.sh` installs them; a tool that
 * merely happens to be on PATH counts only where Debian packages it.
 */
const DEBIAN = [
  'chromium',
  'docker-registry',
  'faketime',
  'notary',
  'notary-server',
  'notary-signer',
  'pkcs11-tool',
  'podman',
  'skopeo',
  'softhsm2-util',
  'ssh-agent',
] as const;
const BUILT = [
  'actionlint',
  'containerd',
  'ctr',
  'bao',
  'cosign',
  'crane',
  'docker',
  'etcd',
  'fulcio',
  'go-tuf-client',
  'gofakes3',
  'helm-template',
  'kube-apiserver',
  'kustomize-build',
  'local-kms',
  'nginx',
  'node22',
  'node24',
  'notation',
  'oci-conformance',
  'ocimem',
  'olareg',
  'oras',
  'pkcs11js',
  'postject',
  'python',
  'regctl',
  'registry3',
  'rekor-server',
  'skopeo-sigstore',
  'tesseract',
] as const;

export type PeerName = (typeof DEBIAN)[number] | (typeof BUILT)[number];

const cache =
  process.env['BULLA_PEERS'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'bulla-peers');

/**
 * Path of a peer's executable.
 * @throws Error naming the peer and how to install it
 */
export function peer(name: PeerName): string {
  const found = find(name);
  if (found === undefined) throw new Error(`${name} is not installed: run test/interop/peers.sh ${name}`);
  return found;
}

/**
 * Whether these peers are there, for `describe.runIf(...)`. In CI they must be: there it is always
 * true, so that a missing one fails the tests by name instead of skipping them.
 */
export function havePeers(...names: PeerName[]): boolean {
  const missing = names.filter((name) => find(name) === undefined);
  if (missing.length === 0 || process.env['CI'] === 'true') return true;
  process.stderr.write(`skipped for want of ${missing.join(', ')}: run test/interop/peers.sh\n`);
  return false;
}

function find(name: PeerName): string | undefined {
  const directories = (BUILT as readonly string[]).includes(name)
    ? [join(cache, 'bin')]
    : (process.env['PATH'] ?? '').split(delimiter);
  return directories.map((directory) => join(directory, name)).find(executable);
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What a finished program left. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment, from which BULLA_*, COSIGN_* and proxies were taken out. */
  readonly env?: Readonly<Record<string, string>>;
  /** What it reads on its standard input; nothing by default. */
  readonly input?: string;
  /** Milliseconds until it is killed; 120,000 by default. */
  readonly timeout?: number;
}

/** Runs a program to its end; a status that is not 0 is an outcome, not an error. */
export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      args,
      {
        cwd: options.cwd,
        env: { ...cleanEnvironment(), ...options.env },
        encoding: 'utf8',
        maxBuffer: 64 * 1024 * 1024,
        timeout: options.timeout ?? 120_000,
        killSignal: 'SIGKILL',
      },
      (error, stdout, stderr) => {
        if (error !== null && typeof error.code !== 'number') {
          reject(new Error(`${file} ${args.join(' ')}: ${error.message}\n${stderr}`));
          return;
        }
        resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
    // A program may end without having read its input.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

/**
 * Runs a program that has to succeed.
 * @returns what it printed on its standard output
 * @throws Error with all of its output, where its status is not 0
 */
export async function ok(file: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await run(file, args, options);
  if (outcome.status !== 0) {
    throw new Error(
      `${file} ${args.join(' ')}: status ${outcome.status}\n${outcome.stdout}${outcome.stderr}`,
    );
  }
  return outcome.stdout;
}

/** The environment of this process without what would steer the programs under test. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const steering = /^(CI$|BULLA_|COSIGN_|NOTATION_|DOCKER_|REGISTRY_|ORAS_|(https?|all|no)_proxy$)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !steering.test(name)));
}

/** The command under test, as `make build` made it. */
export const BULLA: string = new URL('../../dist/bulla.js', import.meta.url).pathname;

/** Runs bulla to its end. */
export function bulla(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return run(process.execPath, [BULLA, ...args], options);
}
