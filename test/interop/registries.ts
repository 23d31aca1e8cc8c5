import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { type Server, startServer } from '../support/process.ts';
import type { TokenServer } from '../support/token-server.ts';
import { BULLA, cleanEnvironment, peer } from './peers.ts';

/** A registry in a directory of its own, which goes with it. */
export interface Registry extends Server {
  readonly kind: RegistryKind;
  /** Where it keeps its content. */
  readonly directory: string;
}

export type RegistryKind = 'docker-registry' | 'registry3' | 'olareg' | 'embedded';

/** Whether a registry answers the referrers API, or leaves it to the fallback index of its clients. */
export const HAS_REFERRERS_API: Readonly<Record<RegistryKind, boolean>> = {
  'docker-registry': false,
  registry3: false,
  olareg: true,
  embedded: true,
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
}

/** Starts a registry of any kind, without authentication. */
export function startRegistry(kind: RegistryKind): Promise<Registry> {
  switch (kind) {
    case 'docker-registry':
    case 'registry3':
      return startDistribution(kind);
    case 'olareg':
      return startOlareg();
    case 'embedded':
      return startEmbedded();
  }
}

/** distribution 2.8.2 (`docker-registry`) or 3 (`registry3`). */
export function startDistribution(
  kind: 'docker-registry' | 'registry3',
  options: DistributionOptions = {},
): Promise<Registry> {
  return inDirectory(kind, (directory) => {
    const file = join(directory, 'config.json');
    const config = {
      version: 0.1,
      log: { level: 'info', accesslog: { disabled: true } },
      storage: {
        filesystem: { rootdirectory: join(directory, 'data') },
        delete: { enabled: options.deletion ?? true },
        maintenance: { uploadpurging: { enabled: false } },
      },
      http: { addr: '127.0.0.1:0', secret: 'of one test' },
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
  });
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
