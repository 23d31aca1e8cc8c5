import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { parseReference, type RegistryReference } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { type RegistryServer, serveRegistry } from '../../../src/servers/registry/server.ts';
import { bulla, type CliResult, temporaryDirectory } from '../cli.ts';
import { pushImage, tagOf } from '../content.ts';
import { storePlainKeys } from '../plain-keys.ts';

/** Runs one command of a recovery on a machine. */
export type Execute = (
  argv: readonly string[],
  machine: Machine,
) => Promise<Pick<CliResult, 'code' | 'stdout' | 'stderr'>>;

/** A machine of its own: keys, pins, memory, and a working directory. */
export interface Machine {
  readonly home: string;
  readonly env: Readonly<Record<string, string>>;
  /** Runs a command line, in which REPO is the repository; at another time than now, if one is given. */
  run(line: string, now?: Date): Promise<CliResult>;
  /** As {@link run}, which must end well. */
  do(line: string, now?: Date): Promise<CliResult>;
}

/** A step as `bulla recover -o json` has it. */
export interface Step {
  readonly command: string;
  readonly argv: readonly string[];
  readonly where: string | null;
  readonly exits: readonly number[];
}

/** What `bulla recover -o json` answers. */
export interface Recovery {
  readonly steps: readonly Step[];
  readonly over: readonly Step[];
  readonly readers: readonly string[];
  readonly unsaved: readonly string[];
  readonly keys: readonly string[];
  readonly source: string;
}

/** A repository with two signed images, its owner with all keys, and a reader who has pinned it and seen it. */
export class Lab {
  readonly repository: string;
  readonly target: Target;
  private registry: RegistryServer;
  private readonly directory: string;
  private readonly execute: Execute;
  /** Digests of the images, by tag. */
  readonly images: Map<string, string> = new Map();
  owner!: Machine;
  reader!: Machine;

  private constructor(registry: RegistryServer, directory: string, execute: Execute) {
    this.registry = registry;
    this.directory = directory;
    this.execute = execute;
    this.repository = `${registry.address}/team/app`;
    this.target = openRepository(parseReference(this.repository) as RegistryReference);
  }

  /** @param init flags of `bulla init` @param keys of the owner @param made what the clock says, where it is wrong */
  static async open(
    execute: Execute,
    {
      init = '',
      keys = ['publisher', 'root', 'online'],
      rootKeys = ['root'],
      made,
    }: {
      readonly init?: string;
      readonly keys?: string[];
      /** Those that the reader pins. */
      readonly rootKeys?: string[];
      readonly made?: Date;
    } = {},
  ): Promise<Lab> {
    const directory = join(await temporaryDirectory(), 'registry');
    const lab = new Lab(await serveRegistry({ dir: directory }), directory, execute);
    onTestFinished(async () => {
      await lab.target.close();
      await lab.registry.close();
    });
    lab.owner = await lab.machine(...keys);
    lab.reader = await lab.machine();
    await lab.push('v1', 'one');
    await lab.push('v2', 'two');
    await lab.owner.do(`init REPO ${init}`.trim(), made);
    await lab.owner.do('sign REPO:v1 REPO:v2 --name-only --no-proof', made);
    const ids = await Promise.all(rootKeys.map((name) => lab.keyId(name)));
    await lab.reader.do(`pin REPO ${ids.map((id) => `--root-key-id ${id}`).join(' ')}`);
    await lab.reader.do('verify REPO:v1', made);
    return lab;
  }

  /** Another machine, with new keys of these names. */
  async machine(...keys: string[]): Promise<Machine> {
    const home = await temporaryDirectory();
    if (keys.length > 0) await storePlainKeys(home, ...keys);
    const env = { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' };
    const run = async (line: string, now?: Date): Promise<CliResult> =>
      await bulla(line.replaceAll('REPO', this.repository).split(' '), {
        ...{ env, cwd: home },
        ...(now !== undefined && { now }),
      });
    return {
      ...{ home, env, run },
      do: async (line, now) => {
        const result = await run(line, now);
        if (result.code !== 0) throw new Error(`${line}: ${result.code} ${result.stdout}${result.stderr}`);
        return result;
      },
    };
  }

  /** Moves keys of the owner to a machine that has no others. */
  async moveKeys(to: Machine, ...names: string[]): Promise<void> {
    await mkdir(join(to.home, 'keys'), { recursive: true, mode: 0o700 });
    for (const name of names)
      for (const ending of ['key', 'pub']) {
        const file = join('keys', `${name}.${ending}`);
        await cp(join(this.owner.home, file), join(to.home, file));
        await rm(join(this.owner.home, file));
      }
  }

  /** As {@link moveKeys}, and the owner keeps them: a thief. */
  async copyKeys(to: Machine, ...names: string[]): Promise<void> {
    await mkdir(join(to.home, 'keys'), { recursive: true, mode: 0o700 });
    for (const name of names)
      for (const ending of ['key', 'pub'])
        await cp(
          join(this.owner.home, 'keys', `${name}.${ending}`),
          join(to.home, 'keys', `${name}.${ending}`),
        );
  }

  async push(tag: string, content: string): Promise<void> {
    const { descriptor } = await pushImage(this.target, content, tag);
    this.images.set(tag, descriptor.digest);
  }

  async removeTag(tag: string): Promise<void> {
    await this.target.deleteTag(tagOf(tag));
  }

  async keyId(name: string, machine: Machine = this.owner): Promise<string> {
    return String((await machine.do(`key show ${name} -o json`)).json()['keyid']);
  }

  /** Takes a backup of the registry, which rests meanwhile. @returns puts it back */
  async backUp(): Promise<() => Promise<void>> {
    const backup = `${this.directory}.backup`;
    await this.#whileClosed(() =>
      cp(this.directory, backup, {
        recursive: true,
        filter: (path) => !/\.bulla\/(?:lock|control\.sock)$/.test(path),
      }),
    );
    return () =>
      this.#whileClosed(async () => {
        await rm(this.directory, { recursive: true });
        await cp(backup, this.directory, { recursive: true });
      });
  }

  async #whileClosed(work: () => Promise<void>): Promise<void> {
    const port = Number(this.registry.address.split(':').at(-1));
    await this.registry.close();
    await work();
    this.registry = await serveRegistry({ dir: this.directory, port });
  }

  /** What `bulla recover` prints on the machine of the owner. */
  async recover(flags: string, machine: Machine = this.owner): Promise<Recovery> {
    const result = await machine.run(`recover REPO ${flags} -o json`);
    if (result.code !== 0) throw new Error(result.stdout);
    return result.json() as unknown as Recovery;
  }

  /**
   * Does exactly what a recovery says, in order, each on the machine that it is for.
   * @returns the commands
   */
  async follow({ steps, over }: Recovery, machines: readonly Machine[] = []): Promise<readonly string[]> {
    let keyId = 'KEY_ID';
    for (const { command, argv, where, exits } of [...steps, ...over]) {
      if (argv[0] !== 'bulla') continue;
      const machine = await this.machineFor(where, machines);
      const words = argv.slice(1).map((word) => (word === 'KEY_ID' ? keyId : word));
      const carried = argv.find((word) => /^recover-.*\.json$/.test(word));
      if (carried !== undefined && machine !== this.owner) await copyFile(this.owner, machine, carried);
      const result = await this.execute(words, machine);
      if (carried !== undefined && machine !== this.owner) await copyFile(machine, this.owner, carried);
      if (!exits.includes(result.code))
        throw new Error(`${command} ended with ${result.code}:\n${result.stdout}${result.stderr}`);
      keyId = /key id +([0-9a-f]{64})/.exec(result.stdout)?.[1] ?? keyId;
    }
    return [...steps, ...over].map(({ command }) => command);
  }

  /** The machine that a step is for: that of the reader, or the one that has the key which it names. */
  private async machineFor(where: string | null, machines: readonly Machine[]): Promise<Machine> {
    if (where === null) return this.owner;
    if (/verifies|reader/.test(where)) return this.reader;
    const id = /[0-9a-f]{12}/.exec(where)?.[0] ?? '';
    for (const machine of [...machines, this.owner]) {
      const { keys } = (await machine.run('key ls -o json')).json() as { keys: { keyid: string }[] };
      if (keys.some(({ keyid }) => keyid.startsWith(id))) return machine;
    }
    throw new Error(`no machine is ${where}`);
  }
}

/** A file that a person carries from one machine to another. */
async function copyFile(from: Machine, to: Machine, name: string): Promise<void> {
  await cp(join(from.home, name), join(to.home, name), { force: true });
}

/** In this process, by a person who answers every question with yes. */
export const inProcess: Execute = async (argv, { home, env }) =>
  await bulla(argv, { cwd: home, env, ...(argv[0] === 'approve' && { typed: true, stdin: 'y\n' }) });
