import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { privateKeyPem } from '../../../src/crypto/private-key.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { bulla, type CliResult, temporaryDirectory } from '../cli.ts';
import { storePlainKeys } from '../plain-keys.ts';
import type { ForgedKey } from './forge.ts';
import { now as NOW, type NotaryScene, scene } from './ground.ts';
import type { NotarySimulatorOptions } from './server.ts';

export { now as NOW, signedOf } from './ground.ts';

export const PASSPHRASE = 'correct horse battery staple';

/** A repository of a registry with trust data on a server, and a home from which it is imported. */
export interface ImportGround extends NotaryScene {
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
  const found = await scene(options, 'v3');
  const { images, name, notary, repository } = found;
  const home = await temporaryDirectory();
  if (keys) await storePlainKeys(join(home, 'bulla'), 'publisher', 'root', 'online');
  const env = { BULLA_HOME: join(home, 'bulla'), BULLA_PASSPHRASE: PASSPHRASE };
  const run = (argv: readonly string[], more: Record<string, string> = {}, now: Date = NOW) =>
    bulla(argv, { now, cwd: home, env: { ...env, ...more } });
  const rootKey = ['--root-key-id', repository.root[0]!.id];
  const importIt = (...flags: string[]) =>
    run(['import', 'notary', name, '--server', notary.url, ...rootKey, ...flags]);
  const tags = async (): Promise<readonly string[]> => [...(await images.listTags())].sort();
  return { ...found, home, env, run, importIt, rootKey, tags };
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
