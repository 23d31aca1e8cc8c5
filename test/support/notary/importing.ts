import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { privateKeyPem } from '../../../src/crypto/private-key.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import type { JsonObject } from '../../../src/encoding/json.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import type { Target } from '../../../src/oci/target.ts';
import { bulla, type CliResult, temporaryDirectory } from '../cli.ts';
import { pushImage } from '../content.ts';
import { storePlainKeys } from '../plain-keys.ts';
import { registryFor, repositoryOf } from '../registry/open.ts';
import type { FaultyRegistry } from '../registry/server.ts';
import {
  type ForgedFiles,
  type ForgedKey,
  type ForgedRepository,
  forgeKey,
  forgeRepository,
  publish,
} from './forge.ts';
import { type NotarySimulator, type NotarySimulatorOptions, startNotary } from './server.ts';

export const NOW: Date = new Date('2026-11-30T12:00:00Z');
export const PASSPHRASE = 'correct horse battery staple';

export function signedOf({ descriptor }: ManifestContent): JsonObject {
  const sha256 = Buffer.from(descriptor.digest.slice('sha256:'.length), 'hex').toString('base64');
  return { length: descriptor.size, hashes: { sha256 } };
}

/** A repository of a registry with trust data on a server, and a home from which it is imported. */
export interface ImportGround {
  readonly registry: FaultyRegistry;
  readonly images: Target;
  readonly one: ManifestContent;
  readonly two: ManifestContent;
  /** `HOST/team/app`. */
  readonly name: string;
  readonly notary: NotarySimulator;
  readonly repository: ForgedRepository;
  readonly alice: ForgedKey;
  readonly bob: ForgedKey;
  /** Signs and serves the repository, changed. */
  serve(change?: Partial<ForgedRepository>): ForgedFiles;
  readonly home: string;
  readonly env: Readonly<Record<string, string>>;
  run(argv: readonly string[], more?: Record<string, string>, now?: Date): Promise<CliResult>;
  importIt(...flags: string[]): Promise<CliResult>;
  /** Flags that pin the root key. */
  readonly rootKey: readonly string[];
  tags(): Promise<readonly string[]>;
}

/** What `docker trust` leaves: `v1` by the administrator, `v2` released by alice and bob, `v3` by alice alone. */
export async function ground(
  options: NotarySimulatorOptions & { readonly keys?: false } = {},
): Promise<ImportGround> {
  const { keys = true } = options;
  const registry = await registryFor();
  const images = repositoryOf(registry);
  const [one, two] = [await pushImage(images, 'one', 'v1'), await pushImage(images, 'two', 'v2')];
  const name = `${registry.host}/team/app`;
  const notary = await startNotary(options);
  const repository = await forgeRepository(name);
  repository.targets.targets = { v1: signedOf(one), v2: signedOf(one) };
  const [alice, bob] = [await forgeKey('P-256', { cn: 'alice' }), await forgeKey('Ed25519')];
  repository.delegations.set('targets/releases', { keys: [alice, bob], targets: { v2: signedOf(two) } });
  repository.delegations.set('targets/alice', {
    keys: [alice],
    targets: { v2: signedOf(two), v3: signedOf(two) },
  });
  repository.delegations.set('targets/bob', {
    keys: [bob],
    paths: ['v'],
    targets: { v2: signedOf(two), hidden: signedOf(one) },
  });
  const serve = (change: Partial<ForgedRepository> = {}): ForgedFiles => {
    Object.assign(repository, change);
    const files = publish(repository, notary.repositories.get(name));
    notary.repositories.set(name, files);
    return files;
  };
  serve();
  const home = await temporaryDirectory();
  if (keys) await storePlainKeys(join(home, 'bulla'), 'publisher', 'root', 'online');
  const env = { BULLA_HOME: join(home, 'bulla'), BULLA_PASSPHRASE: PASSPHRASE };
  const run = (argv: readonly string[], more: Record<string, string> = {}, now: Date = NOW) =>
    bulla(argv, { now, cwd: home, env: { ...env, ...more } });
  const rootKey = ['--root-key-id', repository.root[0]!.id];
  const importIt = (...flags: string[]) =>
    run(['import', 'notary', name, '--server', notary.url, ...rootKey, ...flags]);
  const tags = async (): Promise<readonly string[]> => [...(await images.listTags())].sort();
  return {
    registry,
    images,
    one,
    two,
    name,
    notary,
    repository,
    alice,
    bob,
    serve,
    home,
    env,
    run,
    importIt,
    rootKey,
    tags,
  };
}

/** Private keys as docker keeps them: PKCS#8 with a passphrase, `role` and `gun` as headers. */
export async function writeDockerKeys(
  directory: string,
  gun: string,
  keys: readonly (readonly [key: ForgedKey, role: string])[],
  passphrase: string = PASSPHRASE,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const [{ keystoreId, privateKey }, role] of keys) {
    const pem = privateKeyPem(privateKey, utf8(passphrase));
    const headers = role === 'root' ? 'role: root' : `role: ${role}\ngun: ${gun}`;
    await writeFile(
      join(directory, `${keystoreId}.key`),
      pem.replace('PRIVATE KEY-----\n', `PRIVATE KEY-----\n${headers}\n\n`),
      { mode: 0o600 },
    );
  }
}
