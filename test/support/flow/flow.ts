import { randomBytes } from 'node:crypto';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { generatePrivateKey, privateKeyPem } from '../../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../../src/crypto/public-key.ts';
import { tufKeyOf } from '../../../src/tuf/keys.ts';
import { type Images, makeImages } from './images.ts';

/** What a command did. */
export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs bulla, in this process or as users run it. */
export type RunBulla = (
  args: readonly string[],
  options: { readonly env: Readonly<Record<string, string>>; readonly cwd: string },
) => Promise<Ended>;

/** Where the flow goes, and what can be had there. */
export interface Place {
  /** `HOST/REPOSITORY`, nothing in it */
  readonly repository: string;
  /** Another one, which need not be on the same registry. */
  readonly elsewhere: string;
  /** For every command. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where collections lie, if not in the repository itself. */
  readonly at?: string;
  /** Detached signatures cannot be listed there (GitLab): only names are signed. */
  readonly namesOnly?: boolean;
  /** Manifests are not removed there. */
  readonly keeps?: boolean;
  /** `host:port` of the same registry for tools that speak plain HTTP only. */
  readonly behind?: string;
  /** For how long reads may show what was before a write, in milliseconds: so long is waited after each command. */
  readonly settleMs?: number;
  /** How many sign at the same time; 8, if left out. */
  readonly crowd?: number;
}

type Who = 'founder' | 'second' | 'reader';
const KEYS = ['root', 'publisher', 'online', 'next'] as const;
const HELD: Readonly<Record<Who, readonly (typeof KEYS)[number][]>> = {
  founder: ['root', 'publisher', 'online'],
  second: ['publisher'],
  reader: [],
};

/** What is done one after the other; each step is one thing that users do. */
export interface Step {
  readonly name: string;
  run(flow: Flow): Promise<void>;
}

/** People, images and a place. */
export class Flow {
  readonly place: Place;
  readonly images: Images;
  readonly directory: string;
  rootKeyId = '';
  private readonly runBulla: RunBulla;

  private constructor(place: Place, directory: string, images: Images, runBulla: RunBulla) {
    this.place = place;
    this.directory = directory;
    this.images = images;
    this.runBulla = runBulla;
  }

  /** @param directory for homes, layouts and keys */
  static async make(place: Place, directory: string, runBulla: RunBulla): Promise<Flow> {
    const images = await makeImages(join(directory, 'images'), 'v1', 'v2', 'v3');
    const flow = new Flow(place, directory, images, runBulla);
    await flow.makeKeys();
    return flow;
  }

  /** `REPOSITORY:TAG` */
  image(tag: string, repository: string = this.place.repository): string {
    return `${repository}:${tag}`;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** What `verify` and `sign` print of a tag. */
  printed(tag: string, repository: string = this.place.repository): string {
    return `${repository}@${this.images.digests.get(tag)}\n`;
  }

  /** Runs a command, whatever comes of it. */
  async run(who: Who, ...args: readonly string[]): Promise<Ended> {
    const { flags = [], env = {}, settleMs = 0 } = this.place;
    const outcome = await this.runBulla([...args, ...flags], {
      cwd: this.directory,
      env: {
        HOME: this.path(who),
        BULLA_HOME: this.path(`${who}/bulla`),
        DOCKER_CONFIG: this.path(who),
        BULLA_PASSPHRASE: 'not sealed',
        ...env,
      },
    });
    // Not the one of node:timers/promises, in which tests may have time pass faster.
    if (settleMs > 0 && WRITES.has(args[0] ?? ''))
      await new Promise((resolve) => setTimeout(resolve, settleMs + 20));
    return outcome;
  }

  /** Runs a command about the collection, which may lie elsewhere. */
  trust(who: Who, ...args: readonly string[]): Promise<Ended> {
    const { at } = this.place;
    return this.run(who, ...args, ...(at === undefined ? [] : ['--at', at]));
  }

  /** A home with the memory of another. */
  async clone(who: Who, name: string): Promise<(...args: readonly string[]) => Promise<Ended>> {
    await cp(this.path(who), this.path(name), { recursive: true });
    return (...args) => this.trust(name as Who, ...args);
  }

  private async makeKeys(): Promise<void> {
    for (const name of KEYS) {
      const key = generatePrivateKey('P-256');
      const publicPem = publicKeyPem(publicKeyOf(key));
      await writeFile(this.path(`${name}.pub`), publicPem);
      // Not sealed: opening takes its time on purpose, and is tested elsewhere.
      await writeFile(this.path(`${name}.key`), privateKeyPem(key), { mode: 0o600 });
      if (name === 'root') this.rootKeyId = tufKeyOf(publicKeyOf(key), 'ES256').keyid;
    }
    for (const [who, held] of Object.entries(HELD)) {
      const store = this.path(`${who}/bulla/keys`);
      await mkdir(store, { recursive: true, mode: 0o700 });
      for (const name of held) {
        await cp(this.path(`${name}.key`), join(store, `${name}.key`));
        await cp(this.path(`${name}.pub`), join(store, `${name}.pub`));
      }
    }
  }
}

/** A command said that it could not ask the registry, or may not. */
export class NotAnswered extends Error {}

/** What a command has to come to. */
export function ended(outcome: Ended, status: number, stdout?: string | RegExp): void {
  const told = `${outcome.stdout}${outcome.stderr}`;
  if (outcome.status !== status && [3, 4].includes(outcome.status)) throw new NotAnswered(told);
  expect(outcome.status, told).toBe(status);
  if (typeof stdout === 'string') expect(outcome.stdout, told).toBe(stdout);
  else if (stdout !== undefined) expect(outcome.stdout, told).toMatch(stdout);
}

const WRITES: ReadonlySet<string> = new Set([
  'push',
  'init',
  'sign',
  'resign',
  'revoke',
  'rotate',
  'copy',
  'signature',
]);

export const STEPS: readonly Step[] = [
  {
    name: 'pushes images for two platforms, with an SBOM',
    async run(flow) {
      const push = (tag: string, ...flags: readonly string[]): Promise<Ended> =>
        flow.run('founder', 'push', `${flow.images.layout}:${tag}`, flow.image(tag), ...flags);
      if (flow.place.namesOnly === true) {
        // What refers to an image cannot be listed there, so it is not left behind silently.
        ended(await push('v1'), 3, '');
        ended(await push('v1', '--no-referrers'), 0);
        ended(await push('v2'), 0);
        ended(await push('v3'), 0);
      } else for (const tag of flow.images.digests.keys()) ended(await push(tag), 0);
      ended(await flow.run('reader', 'ls', '--tags', flow.place.repository), 0, 'v1\nv2\nv3\n');
    },
  },
  {
    name: 'makes a collection',
    async run(flow) {
      ended(await flow.trust('founder', 'init', flow.place.repository), 0);
    },
  },
  {
    name: 'signs an image and its name',
    async run(flow) {
      const flags = flow.place.namesOnly === true ? ['--name-only'] : ['--key', 'publisher'];
      ended(await flow.trust('founder', 'sign', flow.image('v1'), ...flags), 0, flow.printed('v1'));
    },
  },
  {
    name: 'verifies, cold and warm',
    async run(flow) {
      const { repository, namesOnly } = flow.place;
      ended(await flow.trust('reader', 'pin', repository, '--root-key-id', flow.rootKeyId), 0);
      const key = namesOnly === true ? [] : ['--key', flow.path('publisher.pub')];
      for (let n = 0; n < 3; n++)
        ended(await flow.trust('reader', 'verify', flow.image('v1'), ...key), 0, flow.printed('v1'));
      ended(await flow.trust('reader', 'verify', flow.image('v2')), 23, '');
    },
  },
  {
    name: 'stages what a second publisher signs, and folds it',
    async run(flow) {
      const pin = ['--root-key-id', flow.rootKeyId];
      const staged = await flow.trust(
        'second',
        'sign',
        flow.image('v2'),
        '--name-only',
        '--wait',
        '0s',
        ...pin,
      );
      ended(staged, 31, '');
      ended(await flow.trust('founder', 'pending', flow.place.repository), 0, /v2 is sha256:|v2/);
      ended(await flow.trust('founder', 'resign', flow.place.repository), 0);
      ended(await flow.trust('reader', 'verify', flow.image('v2')), 0, flow.printed('v2'));
    },
  },
  {
    name: 'signs many names at the same time',
    async run(flow) {
      const names = Array.from({ length: flow.place.crowd ?? 8 }, (_, at) => `crowd-${at}`);
      for (const name of names)
        ended(await flow.run('founder', 'copy', flow.image('v3'), flow.image(name), '--no-referrers'), 0);
      const signers = await Promise.all(names.map((name) => flow.clone('founder', `${name}-${tail()}`)));
      const signed = await Promise.all(
        names.map((name, at) => signers[at]?.('sign', flow.image(name), '--name-only')),
      );
      for (const one of signed) if (one !== undefined) ended(one, 0, flow.printed('v3'));
      const listed = await flow.trust('reader', 'ls', flow.place.repository);
      ended(listed, 0);
      for (const name of [...names, 'v1', 'v2']) expect(listed.stdout).toContain(name);
    },
  },
  {
    name: 'revokes a name',
    async run(flow) {
      ended(await flow.trust('founder', 'revoke', flow.image('v2')), 0);
      ended(await flow.trust('reader', 'verify', flow.image('v2')), 23, '');
      ended(await flow.trust('reader', 'verify', flow.image('v1')), 0, flow.printed('v1'));
    },
  },
  {
    name: 'rotates the key of a role',
    async run(flow) {
      const key = ['--key', flow.path('next.key')];
      ended(await flow.trust('founder', 'rotate', flow.place.repository, 'names', ...key, '--yes'), 0);
      ended(
        await flow.trust('founder', 'sign', flow.image('v3'), '--name-only', ...key),
        0,
        flow.printed('v3'),
      );
      for (const tag of ['v1', 'v3'])
        ended(await flow.trust('reader', 'verify', flow.image(tag)), 0, flow.printed(tag));
      ended(await flow.trust('second', 'sign', flow.image('v2'), '--name-only', '--wait', '0s'), 12, '');
    },
  },
  {
    name: 'copies away and back, with all that hangs from it',
    async run(flow) {
      const { elsewhere, namesOnly } = flow.place;
      const away = `oci:${flow.path('away')}:v1`;
      ended(await flow.run('founder', 'copy', flow.image('v1'), away), 0);
      ended(await flow.run('founder', 'copy', away, flow.image('v1', elsewhere)), 0);
      if (namesOnly === true) return;
      const key = ['--no-name', '--key', flow.path('publisher.pub')];
      for (const place of [away, flow.image('v1', elsewhere)])
        ended(await flow.run('reader', 'verify', place, ...key), 0, /@sha256:/);
      ended(await flow.run('reader', 'tree', flow.image('v1', elsewhere)), 0, /sbom/);
    },
  },
  {
    name: 'is looked at',
    async run(flow) {
      const { repository, namesOnly } = flow.place;
      const tree = await flow.run('reader', 'tree', flow.image('v1'));
      ended(tree, 0, /linux\/amd64.*linux\/arm64/s);
      if (namesOnly !== true) expect(tree.stdout).toContain('sbom');
      ended(await flow.trust('reader', 'tree', repository), 0, /names/);
      ended(await flow.trust('reader', 'ls', repository), 0, /v1.*v3/s);
      const status = await flow.trust('founder', 'status', repository, '--check', '-o', 'json');
      ended(status, 0);
      expect(JSON.parse(status.stdout)).toMatchObject({ ok: true });
      ended(await flow.trust('reader', 'log', repository), 0, /v2/);
    },
  },
  {
    name: 'pulls what is signed',
    async run(flow) {
      const pulled = `oci:${flow.path('pulled')}:v1`;
      ended(await flow.trust('reader', 'pull', flow.image('v1'), pulled), 0);
      ended(
        await flow.run('reader', 'inspect', pulled, '-o', 'json'),
        0,
        new RegExp(flow.images.digests.get('v1') ?? ''),
      );
    },
  },
  {
    name: 'removes a signature',
    async run(flow) {
      if (flow.place.namesOnly === true) return;
      const removed = await flow.run('founder', 'signature', 'rm', flow.image('v1'), '--all');
      const key = ['--no-name', '--key', flow.path('publisher.pub')];
      if (flow.place.keeps === true) {
        ended(removed, 3, '');
        ended(await flow.run('reader', 'verify', flow.image('v1'), ...key), 0, flow.printed('v1'));
        return;
      }
      ended(removed, 0);
      ended(await flow.run('reader', 'verify', flow.image('v1'), ...key), 10, '');
      ended(await flow.run('reader', 'tree', flow.image('v1')), 0, /sbom/);
    },
  },
  {
    name: 'notices that a signed image was deleted',
    async run(flow) {
      if (flow.place.keeps === true) return;
      const { repository, behind } = flow.place;
      const [host, ...path] = repository.split('/');
      const manifest = `manifests/${flow.images.digests.get('v1')}`;
      const deleted = await fetch(`http://${behind ?? host}/v2/${path.join('/')}/${manifest}`, {
        method: 'DELETE',
      });
      expect(deleted.status).toBe(202);
      ended(await flow.trust('reader', 'pull', flow.image('v1'), `oci:${flow.path('gone')}:v1`), 11, '');
      ended(await flow.trust('reader', 'verify', flow.image('v3')), 0, flow.printed('v3'));
    },
  },
];

function tail(): string {
  return randomBytes(3).toString('hex');
}
