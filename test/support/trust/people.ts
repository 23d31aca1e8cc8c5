import type { KeyObject } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { algorithm } from '../../../src/crypto/algorithm.ts';
import { generatePrivateKey, privateKeyPem } from '../../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../../src/crypto/public-key.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { type TufSigner, tufSigner } from '../../../src/tuf/edit/signing.ts';
import { tufKeyOf } from '../../../src/tuf/keys.ts';
import { bulla, type CliOptions, type CliResult, temporaryDirectory } from '../cli.ts';

/** Somebody with a machine: keys, a memory and files of their own. */
export interface Person {
  readonly home: string;
  run(line: string, options?: CliOptions): Promise<CliResult>;
  /** Brings a file over to somebody else. */
  bring(file: string, to: Person, as?: string): Promise<void>;
}

const KEYS = ['root', 'publisher', 'online', 'alice', 'bob'] as const;
export type KeyName = (typeof KEYS)[number];

/** Keys that are made once for all tests of a file, and the people who hold them. */
export class People {
  readonly keyids: ReadonlyMap<KeyName, string>;
  private readonly keys: ReadonlyMap<KeyName, KeyObject>;

  constructor() {
    this.keys = new Map(KEYS.map((name) => [name, generatePrivateKey('P-256')]));
    this.keyids = new Map(
      [...this.keys].map(([name, key]) => [name, tufKeyOf(publicKeyOf(key), 'ES256').keyid]),
    );
  }

  /** What signs metadata with one of the keys, whatever that says. */
  signer(name: KeyName): TufSigner {
    return tufSigner(createSigner(this.keys.get(name)!, algorithm('ES256')));
  }

  /** Somebody with these private keys, and NAME.pub of everybody. */
  async person(now: Date, ...keys: readonly KeyName[]): Promise<Person> {
    const home = await temporaryDirectory();
    const store = join(home, 'bulla', 'keys');
    await mkdir(store, { recursive: true, mode: 0o700 });
    for (const [name, key] of this.keys) {
      const pem = publicKeyPem(publicKeyOf(key));
      await writeFile(join(home, `${name}.pub`), pem);
      if (!keys.includes(name)) continue;
      await writeFile(join(store, `${name}.pub`), pem);
      // Not sealed: opening takes its time on purpose, and is tested elsewhere.
      await writeFile(join(store, `${name}.key`), privateKeyPem(key), { mode: 0o600 });
    }
    const env = { BULLA_HOME: join(home, 'bulla'), BULLA_PASSPHRASE: 'x' };
    return {
      home,
      run: (line, options = {}) =>
        bulla(line.split(' '), { cwd: home, now, ...options, env: { ...env, ...options.env } }),
      bring: async (file, to, as = file) =>
        await writeFile(join(to.home, as), await readFile(join(home, file))),
    };
  }
}
