import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { DEFAULT_ALARMS } from '../../actions/renew/alarms.ts';
import { DEFAULT_TIMING } from '../../actions/renew/timing.ts';
import { RegistryClient } from '../../registry/client.ts';
import { fixedCredentials } from '../../registry/credentials.ts';
import { SignerStateDirectory } from '../../state/signer-state.ts';
import { TrustDirectory } from '../../state/trust-directory.ts';
import { kindOfTag } from '../../trust/format/vocabulary.ts';
import { checkPin, type Pin } from '../../trust/read/pin.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { LogSink } from '../log.ts';
import { type RegistryServer, type RegistryServerOptions, serveRegistry } from '../registry/server.ts';
import { SYSTEM_CHANCE, SYSTEM_CLOCK } from '../system.ts';
import { Resigner } from './resigner.ts';
import { coreOf } from './wiring.ts';

export interface HostedOptions {
  /** The online key. */
  readonly signer: TufSigner;
  /** Root keys that are trusted for every collection in it, instead of {@link pins}. */
  readonly rootKeyIds?: readonly string[] | undefined;
  readonly pins: () => Promise<Iterable<Pin>>;
  /** Other names of the registry, as they stand in the names of collections. */
  readonly hosts?: readonly string[] | undefined;
  readonly log: LogSink;
  readonly onWarning: (message: string) => void;
}

const GRACE_MS = 5_000;

/**
 * Starts a registry with a re-signer for its collections in the same process: it is notified of every push, and goes
 * in by the front door with a secret of its own.
 * @throws BullaError what serveRegistry throws; config-invalid where pins cannot be read
 */
export async function serveResigned(
  registry: RegistryServerOptions,
  hosted: HostedOptions,
): Promise<RegistryServer> {
  const insider = { user: 'bulla-resigner', password: randomBytes(32).toString('base64url') };
  let resigner: Resigner | undefined;
  const server = await serveRegistry({
    ...registry,
    insider,
    onEvent: ({ action, repository, tag }) => {
      const isOfInterest = tag === undefined ? action === 'delete' : kindOfTag(tag as never) !== undefined;
      if ((action === 'push' || action === 'delete') && isOfInterest) resigner?.notified(repository);
    },
  });
  const own = reachable(server.address);
  const client = new RegistryClient({
    // Only this process listens there.
    http: { tls: { insecure: registry.tls !== undefined } },
    plainHttp: registry.tls === undefined,
    credentials: fixedCredentials(own, {
      kind: 'basic',
      username: insider.user,
      password: insider.password,
    }),
  });
  const close = async (): Promise<void> => {
    await resigner?.close(GRACE_MS);
    await client.close();
    await server.close();
  };
  try {
    resigner = await resignerFor(registry.dir, hosted, own, client);
  } catch (error) {
    await close();
    throw error;
  }
  resigner.start();
  return { ...server, close };
}

async function resignerFor(
  dir: string,
  options: HostedOptions,
  own: string,
  client: RegistryClient,
): Promise<Resigner> {
  const hosts = new Set([own, ...namesOf(own), ...(options.hosts ?? [])]);
  const directory = join(dir, '.bulla', 'resigner');
  const memory = new TrustDirectory(join(directory, 'trust'));
  return new Resigner({
    config: {
      timing: { ...DEFAULT_TIMING, pollMs: 60_000 },
      catalogueMs: 60_000,
      concurrency: 4,
      listEveryMs: 10 * 60_000,
      alarms: DEFAULT_ALARMS,
    },
    material: {
      pins: await pinsOf(options, own, hosts),
      signers: [options.signer],
      state: new SignerStateDirectory(join(directory, 'signers')),
      memory: () => memory,
      isAlsoNamed: (place, collection) => {
        const at = collection.indexOf('/');
        return hosts.has(collection.slice(0, at)) && place.slice(own.length) === collection.slice(at);
      },
    },
    core: coreOf(DEFAULT_TIMING.renewAt),
    clock: SYSTEM_CLOCK,
    monotonic: () => performance.now(),
    fraction: SYSTEM_CHANCE.fraction,
    target: async (reference) => client.repository(reference, { access: 'write' }),
    list: (registry) => client.listRepositories(registry),
    log: options.log,
  });
}

/** The pins that are about this registry, by whichever of its names, said of the name that it is asked by. */
async function pinsOf(
  { rootKeyIds, pins: all, onWarning }: HostedOptions,
  own: string,
  hosts: ReadonlySet<string>,
): Promise<readonly Pin[]> {
  if (rootKeyIds !== undefined)
    return [checkPin({ scope: `${own}/*`, trust: { kind: 'key-ids', keyIds: rootKeyIds } })];
  const pins = [...(await all())].filter(
    ({ scope, trust }) => trust.kind !== 'tofu' && hosts.has(scope.slice(0, scope.indexOf('/'))),
  );
  if (pins.length === 0)
    onWarning(
      `no pin is about ${[...hosts].join(', ')}, so nothing is signed: bulla pin, or --resign-root-key-id`,
    );
  const moved = new Map(
    pins.map(({ collection: _, ...pin }) => {
      const scope = `${own}${pin.scope.slice(pin.scope.indexOf('/'))}`;
      return [scope, { ...pin, scope }];
    }),
  );
  return [...moved.values()];
}

/** Where this machine reaches an address that is listened on. */
function reachable(address: string): string {
  return address.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
}

/** Names by which this machine reaches the same port. */
function namesOf(own: string): readonly string[] {
  const port = own.slice(own.lastIndexOf(':'));
  return /^(127\.0\.0\.1|\[::1\]):/.test(own) ? [`127.0.0.1${port}`, `localhost${port}`, `[::1]${port}`] : [];
}
