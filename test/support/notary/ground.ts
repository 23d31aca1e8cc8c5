import { join } from 'node:path';
import type { JsonObject } from '../../../src/encoding/json.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { bulla, type CliResult, temporaryDirectory } from '../cli.ts';
import { pushImage } from '../content.ts';
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

/** When its metadata holds. */
export const now: Date = new Date('2026-11-30T12:00:00Z');

/** What is signed of a manifest that a registry has. */
export function signedOf({ descriptor }: ManifestContent): JsonObject {
  const sha256 = Buffer.from(descriptor.digest.slice('sha256:'.length), 'hex').toString('base64');
  return { length: descriptor.size, hashes: { sha256 } };
}

type Run = (
  argv: readonly string[],
  more?: { readonly now?: Date; readonly env?: Record<string, string>; readonly stdin?: string },
) => Promise<CliResult>;

/** What there is to be verified, or imported. */
export interface NotaryScene {
  readonly registry: FaultyRegistry;
  readonly images: ReturnType<typeof repositoryOf>;
  readonly one: ManifestContent;
  readonly two: ManifestContent;
  readonly name: string;
  readonly notary: NotarySimulator;
  readonly repository: ForgedRepository;
  readonly alice: ForgedKey;
  readonly bob: ForgedKey;
  /** Signs everything anew, after a change. */
  readonly serve: (change?: Partial<ForgedRepository>, before?: ForgedFiles) => ForgedFiles;
}

export interface NotaryGround extends NotaryScene {
  readonly home: string;
  readonly run: Run;
  readonly verify: (tag: string, ...flags: string[]) => Promise<CliResult>;
  readonly rootKey: string[];
}

/**
 * A registry with images, and a Notary server that has names of them signed by targets, releases, alice and bob.
 * @param alicesOwn a name that only alice signs
 */
export async function scene(options: NotarySimulatorOptions, alicesOwn: string): Promise<NotaryScene> {
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
    targets: { v2: signedOf(two), [alicesOwn]: signedOf(two) },
  });
  repository.delegations.set('targets/bob', {
    keys: [bob],
    paths: ['v'],
    targets: { v2: signedOf(two), hidden: signedOf(one) },
  });
  const serve = (change: Partial<ForgedRepository> = {}, before?: ForgedFiles): ForgedFiles => {
    Object.assign(repository, change);
    const files = publish(repository, before ?? notary.repositories.get(name));
    notary.repositories.set(name, files);
    return files;
  };
  serve();
  return { registry, images, one, two, name, notary, repository, alice, bob, serve };
}

/** A {@link scene}, and a user who verifies names of it. */
export async function ground(options: NotarySimulatorOptions = {}): Promise<NotaryGround> {
  const found = await scene(options, 'own');
  const { name, notary, repository } = found;
  const home = await temporaryDirectory();
  const run: Run = (argv, more = {}) =>
    bulla(argv, { now, cwd: home, ...more, env: { BULLA_HOME: join(home, 'bulla'), ...more.env } });
  const verify = (tag: string, ...flags: string[]) =>
    run(['verify', `${name}:${tag}`, '--notary', notary.url, ...flags]);
  const rootKey = ['--root-key-id', repository.root[0]!.id];
  return { ...found, home, run, verify, rootKey };
}
