import { generateKeyPairSync } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mapConcurrently } from '../../../src/actions/copy/concurrency.ts';
import { streamOf } from '../../../src/oci/content.ts';
import { EMPTY_BYTES, EMPTY_DESCRIPTOR } from '../../../src/oci/descriptor.ts';
import { buildArtifact } from '../../../src/oci/manifest.ts';
import { parseReference, type RegistryReference, type Tag } from '../../../src/oci/reference.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { listNames } from '../../../src/trust/report/listing.ts';
import { readAny } from '../../support/trust/changing.ts';
import { bulla, cleanEnvironment, type Outcome, type RunOptions } from '../peers.ts';

const ROLES = ['root', 'publisher', 'online'] as const;
type Role = (typeof ROLES)[number];

/**
 * A repository with a collection and a manifest at each tag, and what its publishers need: keys in plain
 * files, because unsealing them a hundred times would be most of the work, and a home that has seen the
 * collection.
 */
export class Ground {
  /** `HOST/REPOSITORY` */
  readonly name: string;
  /** Digest of the manifest at each tag. */
  readonly digests: ReadonlyMap<string, string>;
  private readonly directory: string;
  private homes = 0;

  private constructor(name: string, directory: string, digests: ReadonlyMap<string, string>) {
    this.name = name;
    this.directory = directory;
    this.digests = digests;
  }

  /**
   * @param tags each gets a manifest of its own; none is signed yet
   * @param flags more of them for `bulla init`
   */
  static async make(name: string, tags: readonly string[], flags: readonly string[] = []): Promise<Ground> {
    const directory = mkdtempSync(join(tmpdir(), 'bulla-crowd-'));
    try {
      for (const role of ROLES) {
        const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
        writeFileSync(join(directory, `${role}.pem`), pem, { mode: 0o600 });
      }
      mkdirSync(join(directory, 'home'));
      const ground = new Ground(name, directory, await pushManifests(name, tags));
      await ground.succeed(['init', name, ...ground.keyFlags(), ...flags]);
      return ground;
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Runs bulla as whoever made the collection, with the keys of publisher and online. */
  run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const [command = '', ...rest] = args;
    const signs = ['sign', 'revoke', 'signer', 'rotate', 'resign'].includes(command);
    const keys = signs ? ['--key', this.key('publisher')] : [];
    const env = { ...this.env('home'), BULLA_KEY: this.key('online'), ...options.env };
    return bulla([command, ...keys, ...rest], { ...options, env });
  }

  /** As {@link run}. @returns what it printed; throws where it fails */
  async succeed(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(args, options);
    if (status === 0) return stdout;
    throw new Error(`bulla ${args.join(' ')}: status ${status}\n${stderr}`);
  }

  /** What `bulla init` is told of the keys. */
  keyFlags(): readonly string[] {
    return ROLES.flatMap((role) => [`--${role}-key`, this.key(role)]);
  }

  /** Path of a key. */
  key(role: Role): string {
    return join(this.directory, `${role}.pem`);
  }

  /** Environment of somebody who shares the home of `init`, or has a copy of it as it is now. */
  environment(shared: boolean): NodeJS.ProcessEnv {
    if (shared) return { ...cleanEnvironment(), ...this.env('home') };
    this.homes += 1;
    const home = `home-${this.homes}`;
    cpSync(join(this.directory, 'home'), join(this.directory, home), { recursive: true });
    return { ...cleanEnvironment(), ...this.env(home) };
  }

  /** What the head says, to somebody who sees it for the first time: digests by name. */
  async signedNames(): Promise<ReadonlyMap<string, string>> {
    const target = openRepository(parseReference(this.name) as RegistryReference);
    try {
      const collection = await readAny(target, { place: this.name, now: new Date() });
      const names = new Map<string, string>();
      for await (const some of listNames(await WorkingCopy.open(collection)))
        for (const { name, digest } of some) names.set(name, digest);
      return names;
    } finally {
      await target.close();
    }
  }

  /** Tags of candidates and stages that lie beside the head. */
  async leftovers(): Promise<readonly string[]> {
    const target = openRepository(parseReference(this.name) as RegistryReference);
    try {
      return (await target.listTags()).filter((tag) => tag.startsWith(HEAD_TAG) && tag !== HEAD_TAG);
    } finally {
      await target.close();
    }
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  private env(home: string): Readonly<Record<string, string>> {
    return { BULLA_HOME: join(this.directory, home), HOME: this.directory };
  }
}

async function pushManifests(name: string, tags: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const target = openRepository(parseReference(name) as RegistryReference);
  try {
    await target.pushBlob(EMPTY_DESCRIPTOR, async () => streamOf(EMPTY_BYTES));
    const pushed = await mapConcurrently(tags, 8, async (tag): Promise<[string, string]> => {
      const manifest = buildArtifact({
        artifactType: 'application/vnd.example.release',
        layers: [],
        annotations: { 'org.opencontainers.image.version': tag },
      });
      await target.pushManifest(manifest, { tag: tag as Tag });
      return [tag, manifest.descriptor.digest];
    });
    return new Map(pushed);
  } finally {
    await target.close();
  }
}
