import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { type Server, startServer } from '../support/process.ts';
import type { TokenServer } from '../support/token-server.ts';
import { BULLA, cleanEnvironment, type PeerName, peer } from './peers.ts';

/** A registry in a directory of its own, which goes with it. */
export interface Registry extends Server {
  readonly kind: RegistryKind;
  /** Where it keeps its content. */
  readonly directory: string;
}

/** `registry3-s3`: distribution 3 on a bucket, to which it sends those who read blobs. */
export type RegistryKind =
  | 'docker-registry'
  | 'registry3'
  | 'registry3-s3'
  | 'olareg'
  | 'crane'
  | 'ocimem'
  | 'embedded';

/** Whether a registry answers the referrers API, or leaves it to the fallback index of its clients. */
export const HAS_REFERRERS_API: Readonly<Record<RegistryKind, boolean>> = {
  'docker-registry': false,
  registry3: false,
  'registry3-s3': false,
  olareg: true,
  crane: false,
  ocimem: true,
  embedded: true,
};

/** What has to be installed for it. */
export const NEEDS: Readonly<Record<RegistryKind, readonly PeerName[]>> = {
  'docker-registry': ['docker-registry'],
  registry3: ['registry3'],
  'registry3-s3': ['registry3', 'gofakes3'],
  olareg: ['olareg'],
  crane: ['crane'],
  ocimem: ['ocimem'],
  embedded: [],
};

export interface DistributionOptions {
  /** Names and passwords that it asks for (Basic). */
  readonly users?: Readonly<Record<string, string>>;
  /** The server whose tokens it asks for (Bearer). */
  readonly tokens?: TokenServer;
  /** Where it posts notifications to. */
  readonly notify?: string;
  /** Sent along with notifications, as a bearer. */
  readonly notifySecret?: string;
  /** Whether anything can be removed; it can if left out, other than with distribution's own settings. */
  readonly deletion?: boolean;
  /** Configuration of its storage, if not a directory. */
  readonly storage?: object;
  /** Address of the registry that it is a pull-through cache of. */
  readonly upstream?: string;
}

/** Starts a registry of any kind, without authentication. */
export function startRegistry(kind: RegistryKind): Promise<Registry> {
  switch (kind) {
    case 'docker-registry':
    case 'registry3':
      return startDistribution(kind);
    case 'registry3-s3':
      return startOnBucket();
    case 'olareg':
      return startOlareg();
    case 'crane':
      return inDirectory(kind, () =>
        startAnnounced(kind, ['registry', 'serve', '--address', '127.0.0.1:0'], /port (\d+)/),
      );
    case 'ocimem':
      return inDirectory(kind, () => startAnnounced(kind, [], /127\.0\.0\.1:(\d+)/));
    case 'embedded':
      return startEmbedded();
  }
}

/** distribution 2.8.2 (`docker-registry`) or 3 (`registry3`). */
export function startDistribution(
  kind: 'docker-registry' | 'registry3',
  options: DistributionOptions = {},
): Promise<Registry> {
  return inDirectory(kind, (directory) => distribution(kind, directory, options));
}

function distribution(
  kind: 'docker-registry' | 'registry3',
  directory: string,
  options: DistributionOptions,
): Promise<Server> {
  const file = join(directory, 'config.json');
  const config = {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: true } },
    storage: {
      ...(options.storage ?? { filesystem: { rootdirectory: join(directory, 'data') } }),
      delete: { enabled: options.deletion ?? true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: '127.0.0.1:0', secret: 'of one test' },
    ...(options.upstream !== undefined && { proxy: { remoteurl: options.upstream } }),
    auth: authentication(directory, options),
    notifications:
      options.notify === undefined
        ? undefined
        : {
            endpoints: [
              {
                name: 'test',
                url: options.notify,
                timeout: '1s',
                threshold: 3,
                backoff: '1s',
                ...(options.notifySecret !== undefined && {
                  headers: { Authorization: [`Bearer ${options.notifySecret}`] },
                }),
              },
            ],
          },
  };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config));
  return startServer({
    file: peer(kind),
    args: () => ['serve', file],
    env: cleanEnvironment(),
    announces: /listening on 127\.0\.0\.1:(\d+)/,
  });
}

/** The bucket is in memory; it takes any signature, and its addresses are signed all the same. */
function startOnBucket(): Promise<Registry> {
  return inDirectory('registry3-s3', async (directory) => {
    const bucket = await startServer({
      file: peer('gofakes3'),
      args: (port) => [
        '-backend',
        'memory',
        '-host',
        `127.0.0.1:${port}`,
        '-initialbucket',
        'registry',
        '-quiet',
      ],
      env: cleanEnvironment(),
      answers: '/',
    });
    try {
      const storage = {
        s3: {
          accesskey: 'name',
          secretkey: 'secret',
          region: 'us-east-1',
          regionendpoint: `http://${bucket.host}`,
          bucket: 'registry',
          secure: false,
          forcepathstyle: true,
        },
        redirect: { disable: false },
      };
      const server = await distribution('registry3', directory, { storage });
      const stop = async (): Promise<void> => {
        await server.stop();
        await bucket.stop();
      };
      return { ...server, stop };
    } catch (error) {
      await bucket.stop();
      throw error;
    }
  });
}

function startAnnounced(kind: PeerName, args: readonly string[], announces: RegExp): Promise<Server> {
  return startServer({ file: peer(kind), args: () => args, env: cleanEnvironment(), announces });
}

function authentication(directory: string, options: DistributionOptions): unknown {
  if (options.tokens !== undefined) {
    const bundle = join(directory, 'tokens.pem');
    writeFileSync(bundle, options.tokens.certificate);
    const { realm, service, issuer } = options.tokens;
    return { token: { realm, service, issuer, rootcertbundle: bundle } };
  }
  if (options.users === undefined) return undefined;
  const path = join(directory, 'htpasswd');
  const lines = Object.entries(options.users).map(([user, password]) => `${user}:${hashSync(password, 4)}\n`);
  writeFileSync(path, lines.join(''));
  return { htpasswd: { realm: 'test', path } };
}

function startOlareg(): Promise<Registry> {
  return inDirectory('olareg', (directory) =>
    startServer({
      file: peer('olareg'),
      args: (port) => [
        'serve',
        ...['--addr', '127.0.0.1', '--port', String(port)],
        ...['--dir', directory, '--gc-frequency', '-1s'],
        ...['--api-delete', '--api-blob-delete'],
      ],
      env: cleanEnvironment(),
      answers: '/v2/',
    }),
  );
}

function startEmbedded(): Promise<Registry> {
  return inDirectory('embedded', (directory) =>
    startServer({
      file: process.execPath,
      args: () => [
        BULLA,
        'serve',
        'registry',
        '--dir',
        join(directory, 'data'),
        '--addr',
        '127.0.0.1:0',
        '--no-access-log',
      ],
      env: cleanEnvironment(),
      announces: /127\.0\.0\.1:(\d+)/,
    }),
  );
}

async function inDirectory(
  kind: RegistryKind,
  start: (directory: string) => Promise<Server>,
): Promise<Registry> {
  const directory = mkdtempSync(join(tmpdir(), `bulla-${kind}-`));
  mkdirSync(join(directory, 'data'));
  try {
    const server = await start(directory);
    const stop = async (): Promise<void> => {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    };
    return { ...server, kind, directory, stop };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}
