import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Target } from '../../src/oci/target.ts';
import { publishNames } from '../../src/trust/publish/publish.ts';
import { type Collection, readCollection } from '../../src/trust/read/collection.ts';
import { type Server, startServer } from '../support/process.ts';
import { collectionIn, realPublisher } from '../support/resign/service.ts';
import { naming, reading } from '../support/trust/publishing.ts';
import { ONLINE, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { BULLA, cleanEnvironment } from './peers.ts';
import { type Registry, type RegistryKind, startRegistry } from './registries.ts';

export const DAY = 86_400_000;

export interface Ground {
  readonly registry: Registry;
  readonly place: string;
  readonly target: Target;
  /** Where key and configuration are, and what else a test puts there. */
  readonly dir: string;
  readonly config: string;
}

/** A collection in a registry, and the configuration of a re-signer for all of `team/`. */
export async function ground(
  kind: RegistryKind,
  state: string,
  repositories: readonly string[] = ['team/app'],
): Promise<Ground> {
  const registry = await startRegistry(kind);
  onTestFinished(() => registry.stop());
  const dir = mkdtempSync(join(tmpdir(), 'bulla-faults-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const key = join(dir, 'online.pem');
  writeFileSync(key, poolKey(ONLINE).privateKey.export({ type: 'pkcs8', format: 'pem' }));
  chmodSync(key, 0o600);
  const place = `${registry.host}/team/app`;
  const config = join(dir, 'resigner.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      collections: [
        {
          repositories: repositories.map((name) => `${registry.host}/${name}`),
          rootKeyIds: [poolKey(ROOT).key.keyid],
        },
      ],
      key,
      state: { directory: state },
      listen: '127.0.0.1:0',
      schedule: { poll: '200ms' },
    }),
  );
  return { registry, place, target: await collectionIn(registry, 'team/app'), dir, config };
}

export type Event = Readonly<Record<string, unknown>>;

/** Runs the service in some way, and reads what it logs. */
export async function serve(
  { config, dir }: Pick<Ground, 'config' | 'dir'>,
  before: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly server: Server; readonly events: () => Event[] }> {
  const [file, ...rest] = [...before, process.execPath, BULLA, 'serve', 'resigner', '--config', config];
  const server = await startServer({
    file: file as string,
    args: () => rest,
    env: { ...cleanEnvironment(), BULLA_HOME: join(dir, 'home'), ...env },
    announces: /http:\/\/127\.0\.0\.1:([0-9]+)/,
  });
  onTestFinished(() => server.stop());
  const events = (): Event[] =>
    server
      .log()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Event);
  return { server, events };
}

export const alarms = (events: readonly Event[], kind: string): unknown[] =>
  events.filter((one) => one['event'] === 'alarm' && one['kind'] === kind).map(({ state }) => state);

export async function read(
  { target, place }: Pick<Ground, 'target' | 'place'>,
  shiftMs = 0,
): Promise<Collection> {
  const now = new Date(Date.now() + shiftMs);
  const options = reading({ place, now, isNamed: (name) => name === place });
  const collection = await readCollection(target, options);
  if (collection === undefined) throw new Error(`nothing at ${place}`);
  return collection;
}

export const publish = (
  { target, place }: Pick<Ground, 'target' | 'place'>,
  name: string,
  wait = 20_000,
): ReturnType<typeof publishNames> =>
  publishNames(
    target,
    reading({ place, now: new Date(), isNamed: (other) => other === place }),
    naming({ [name]: name }),
    { ...realPublisher(), wait },
  );

/** Days that clients with a right clock may still use the head, all names being there; negative where they may not. */
export async function daysLeft(on: Ground, names: readonly string[]): Promise<number> {
  try {
    const { client } = await read(on);
    for (const name of names) await client.findTarget(name);
    return (client.trusted.timestamp.content.expires.getTime() - Date.now()) / DAY;
  } catch {
    return -1;
  }
}
