import { execFile, execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { copy } from '../../src/actions/copy/copy.ts';
import { signImage } from '../../src/actions/sign/signature.ts';
import { publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { openLayout } from '../../src/layout/open.ts';
import { parseReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { temporaryDirectory } from './cli.ts';
import { examples } from './examples.ts';

const root = new URL('../..', import.meta.url).pathname;
const run = promisify(execFile);

/**
 * Makes a strict TypeScript project that has installed the package as it is published, with every example in it.
 * @returns its directory, for the caller to remove
 */
export async function packedProject(): Promise<string> {
  const project = await mkdtemp(join(tmpdir(), 'bulla-package-'));
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', project], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
  await mkdir(join(project, 'node_modules'));
  execFileSync('tar', ['-xzf', filename], { cwd: project });
  await cp(join(project, 'package'), join(project, 'node_modules/bulla'), { recursive: true });
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    dependencies: Readonly<Record<string, string>>;
  };
  for (const name of [...Object.keys(manifest.dependencies), '@types/node', 'undici-types', 'typescript']) {
    await mkdir(dirname(join(project, 'node_modules', name)), { recursive: true });
    await symlink(join(root, 'node_modules', name), join(project, 'node_modules', name));
  }
  await writeFile(join(project, 'package.json'), '{ "type": "module" }\n');
  await writeFile(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: STRICT, include: ['*.ts'] }),
  );
  for (const { of, source } of examples()) await writeFile(join(project, `${of}.ts`), source);
  await writeFile(join(project, 'every-path.ts'), EVERY_PATH);
  return project;
}

/** Compiles a project; its examples are then in `out`. @returns what the compiler said */
export async function compile(project: string): Promise<string> {
  const { stdout } = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc')], {
    cwd: project,
  }).catch((error: { stdout: string }) => error);
  return stdout;
}

/** Runs a compiled example by this Node, with a registry of its own. */
export async function runExample(
  project: string,
  of: string,
  node: string,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const cwd = await temporaryDirectory();
  const { host, close } = await world(cwd);
  try {
    await symlink(join(project, 'node_modules'), join(cwd, 'node_modules'));
    await writeFile(join(cwd, 'package.json'), '{ "type": "module" }\n');
    const compiled = await readFile(join(project, 'out', `${of}.js`), 'utf8');
    await writeFile(join(cwd, `${of}.js`), compiled.replaceAll('registry.example.com', host));
    const env = { PATH: process.env['PATH'], BULLA_HOME: join(cwd, 'home'), HOME: cwd };
    return await run(node, [`${of}.js`], { cwd, env });
  } finally {
    await close();
  }
}

/** What the examples find: a registry with a signed image, its public key, and a user who has nothing yet. */
async function world(cwd: string): Promise<{ readonly host: string; close(): Promise<void> }> {
  const server = await serveRegistry({ dir: join(cwd, 'registry') });
  const reference = parseReference(`${server.address}/team/app:v1`);
  if (reference.kind !== 'registry' || reference.tag === undefined) throw new Error('not an image');
  const { tag } = reference;
  const repository = openRepository(reference);
  const layout = await openLayout({ kind: 'layout', path: join(root, 'testdata/demo-image/layout') });
  const image = await layout.onlyImage();
  await copy({ source: layout, reference: image.digest, destination: repository, tag });
  await layout.close();
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = createSigner(privateKey);
  await writeFile(join(cwd, 'release.pub'), publicKeyPem(signer.publicKey));
  await signImage(repository, { tag }, { name: 'app', signer, now: new Date(), agent: 'test' });
  await repository.close();
  return { host: server.address, close: () => server.close() };
}

const STRICT = {
  target: 'ES2022',
  lib: ['ES2023'],
  module: 'NodeNext',
  moduleResolution: 'NodeNext',
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noUnusedLocals: true,
  verbatimModuleSyntax: true,
  skipLibCheck: false,
  declaration: true,
  outDir: 'out',
};

/** Everything that package.json exports, with the types of what the functions take and give spelled out. */
const EVERY_PATH = `
import type { AttestOptions, Attested, ChangeOptions, Config, Copied, CopiedAll, CopyAllOptions, CopyAsOptions, CopyOptions, InitOptions, InitResult, KeylessDocument, KeyOptions, KeySigner, LoadedPolicy, NameEvidence, NameRule, PassReport, Policy, PolicyAnswer, PolicyExpectation, PolicyExplanation, PolicyMode, PolicyRule, PolicyTestResult, PolicyVerdict, Pulled, PullOptions, Pushed, PushOptions, Reference, ResignOptions, Revoked, RevokeOptions, SignatureRule, SignedImages, SignedNames, Signer, SignOptions, SigstoreInstance, SigstoreSigning, Status, StatusOptions, SyncDocument, SyncOptions, SyncReport, Verified, VerifyByPolicyOptions, VerifyManyByPolicyOptions, VerifyOptions } from 'bulla';
import { attest, copy, copyAll, explainPolicy, init, keyOf, pull, push, readPolicy, resign, revoke, sign, status, sync, testPolicy, verify, verifyByPolicy, verifyManyByPolicy } from 'bulla';
import { digestOf } from 'bulla/oci';
import { serveRegistry } from 'bulla/registry-server';
import { ProcessMemory } from 'bulla/trust';
import { refresh } from 'bulla/tuf';

const config: Config = { now: new Date(0), agent: 'example/1', memory: new ProcessMemory() };
const options: VerifyOptions = { ...config, drift: 'reject', signers: ['names'] };
export const check = async (reference: string | Reference): Promise<Verified> => await verify(reference, options);
export const inferred = async (reference: string) => await verify(reference);
export const by = ({ name }: { name: NameEvidence | undefined }): string => name?.by ?? 'signatures';
const keys: KeyOptions = { passphrase: 'secret', backEnds: new Map() };
export const key = async (): Promise<KeySigner> => await keyOf('release', keys);
export const own = async (signer: Signer): Promise<Uint8Array> => await signer.sign(new Uint8Array());
const signing: SignOptions = { ...config, ...keys, name: 'only', role: 'names', wait: 0 };
export const signAll = async (...references: string[]): Promise<SignedImages> => await sign(references, signing);
export const head = (named: SignedNames): string => named.head;
const some: CopyAllOptions = { ...config, tags: ['v1*'], newest: 3, prune: (tags) => tags.length < 9 };
export const all = async (from: string, to: string): Promise<CopiedAll> => await copyAll(from, to, some);
const once: SyncOptions = { ...config, dryRun: true };
export const mirror = async (document: SyncDocument): Promise<SyncReport> => await sync(document, once);
export const functions = [digestOf, serveRegistry, refresh];
const change: ChangeOptions = { ...config, ...keys, wait: 0 };
const to: CopyOptions & { as: CopyAsOptions } = { referrers: true, dryRun: true, as: { key: 'release', role: 'names' } };
export const made = async (repository: string, options: InitOptions): Promise<InitResult> =>
  await init(repository, { ...change, thresholds: { root: 2 }, ...options });
export const gone = async (tag: string, options: RevokeOptions = change): Promise<Revoked> => await revoke([tag], options);
export const copied = async (from: string): Promise<Copied> => await copy(from, 'registry.example.com/app', to);
export const pushed = async (options: PushOptions): Promise<Pushed> => await push('oci:app', 'registry.example.com/app:v1', options);
export const pulled = async (options: PullOptions): Promise<Pulled> => await pull('registry.example.com/app:v1', 'oci:app', options);
export const pass = async (options: ResignOptions): Promise<PassReport> => await resign(['registry.example.com/app'], options);
const instance: SigstoreInstance = { trustedRoot: 'tuf+https://sigstore.example.com' };
const keylessly: SigstoreSigning = { keyless: { token: () => 'secret' }, sigstore: instance };
export const signKeyless = async (): Promise<SignedImages> => await sign('registry.example.com/app:v1', { ...config, ...keylessly });
const identities: readonly KeylessDocument[] = [{ identity: 'ci@example.com', issuerRegexp: 'https://.*' }];
export const verifyKeyless = async (): Promise<Verified> => await verify('registry.example.com/app:v1', { keyless: identities });
const saying: AttestOptions = { ...config, type: 'vsa', predicate: { verificationResult: 'PASSED' } };
export const said = async (): Promise<Attested> => await attest('registry.example.com/app:v1', saying);
export const loaded = async (path: string): Promise<LoadedPolicy> => await readPolicy(path, config);
const under: VerifyByPolicyOptions = { ...config, platform: 'linux/arm64' };
export const decided = async (policy: Policy): Promise<PolicyAnswer> => await verifyByPolicy('registry.example.com/app:v1', policy, under);
export const explained = async (policy: Policy): Promise<PolicyExplanation> => await explainPolicy('registry.example.com/app:v1', policy);
const many: VerifyManyByPolicyOptions = { ...under, concurrency: 2 };
export const all2 = async (policy: Policy) => await verifyManyByPolicy(['registry.example.com/app:v1'], policy, many);
export const tested = async (policy: Policy, table: readonly PolicyExpectation[]): Promise<readonly PolicyTestResult[]> => await testPolicy(policy, table);
export const shownRule = ({ mode, verdict }: PolicyRule): [PolicyMode, PolicyVerdict['kind']] => [mode, verdict.kind];
export const demands = (verdict: PolicyVerdict): { name?: NameRule | undefined; signatures: readonly SignatureRule[] } | undefined => verdict.kind === 'verify' ? verdict : undefined;
export const state = async (options: StatusOptions): Promise<Status> => await status('registry.example.com/app', options);
`;
