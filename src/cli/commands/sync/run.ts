import type { Command } from 'commander';
import { type SyncOptions, syncAll } from '../../../actions/sync/sync.ts';
import { syncPlaces } from '../../../api/sync-places.ts';
import { BullaError } from '../../../errors.ts';
import { formatReference } from '../../../oci/reference.ts';
import { credentialsOf, readSyncConfig, type SyncConfig } from '../../../servers/sync/config.ts';
import type { SyncGeneration } from '../../../servers/sync/serve.ts';
import { durationOf } from '../../flags/values.ts';
import { reportJson, repositoryJson, repositoryLine, summaryText } from '../../render/sync-text.ts';
import { Connections } from '../../shell/connections.ts';
import type { Context } from '../../shell/context.ts';
import { stay } from '../serve/stay.ts';

export interface SyncFlags {
  readonly config?: string;
  readonly once?: true;
  readonly every?: string;
  readonly policy?: string;
  readonly dryRun?: true;
  readonly listen?: string;
  readonly host?: readonly string[];
}

/** @throws BullaError the worst failure of a single run; config-invalid, usage */
export async function runSync(context: Context, command: Command, flags: SyncFlags): Promise<void> {
  if (flags.config === undefined)
    throw new BullaError('usage', 'no configuration is given', {
      hint: 'add --config FILE; spec/sync.md has an example',
    });
  const everyMs = durationOf('--every', flags.every, '10m, 1h');
  if (everyMs !== undefined && everyMs < 1000)
    throw new BullaError('usage', '--every is shorter than a second', { hint: 'write 10m, 1h' });
  const path = context.path(flags.config);
  const config = await readSyncConfig(path, context.io.env);
  const isTimed = config.plan.entries.some(
    ({ intervalMs, schedule }) => intervalMs !== undefined || schedule !== undefined,
  );
  const stays = flags.once !== true && (everyMs !== undefined || isTimed);
  checkFlags(flags, stays);
  const { syncVerifier } = await import('./verify.ts');
  const verify = await syncVerifier(context, flags.policy);
  if (stays) await serve(context, command, flags, path, everyMs, verify);
  else await runOnce(context, command, config, flags.dryRun === true, verify);
}

function checkFlags({ once, every, dryRun, listen, host }: SyncFlags, stays: boolean): void {
  const refuse = (message: string, hint: string): never => {
    throw new BullaError('usage', message, { hint });
  };
  if (once === true && every !== undefined)
    refuse('--once and --every are mutually exclusive', 'leave one of them out');
  if (stays && dryRun === true) refuse('--dry-run is for a single run', 'add --once');
  if (!stays && (listen !== undefined || host !== undefined))
    refuse('--listen and --host are for a sync that stays', 'add --every 10m');
}

async function runOnce(
  context: Context,
  command: Command,
  config: SyncConfig,
  dryRun: boolean,
  verify: SyncOptions['verify'],
): Promise<void> {
  const { output, settings, signal } = context;
  for (const warning of config.warnings) output.warn(warning);
  const { places, close } = connect(context, command, config, dryRun);
  context.defer(close);
  output.inLines();
  const report = await context.untimed(() =>
    syncAll(config.plan, places, {
      ...{ concurrency: settings.concurrency, dryRun, signal, verify },
      onTag: (tag, to) => {
        if (tag.outcome === 'copied') output.verbose(`${formatReference({ ...to, tag: tag.tag })}: copied`);
      },
      onRepository: (repository) => {
        for (const warning of repository.warnings) output.warn(`${repository.target}: ${warning}`);
        // In JSON they are part of the line about the repository.
        if (!settings.json)
          for (const { reference, error } of repository.failures) output.referenceFailed(reference, error);
        output.result(repositoryLine(repository, dryRun), repositoryJson(repository, dryRun));
      },
    }),
  );
  const summary = summaryText(report, dryRun);
  const { worst } = report;
  if (worst !== undefined)
    throw new BullaError(worst.code, summary, {
      cause: worst,
      ...(worst.hint !== undefined && { hint: worst.hint }),
      details: reportJson(report, dryRun),
    });
  output.info(summary);
  output.result([], { details: reportJson(report, dryRun) });
}

async function serve(
  context: Context,
  command: Command,
  { listen, host }: SyncFlags,
  path: string,
  everyMs: number | undefined,
  verify: SyncOptions['verify'],
): Promise<void> {
  const { io, settings } = context;
  const [{ serveSync }, { parseListenAddress }, { SYSTEM_CLOCK }] = await Promise.all([
    import('../../../servers/sync/serve.ts'),
    import('../../../servers/listener.ts'),
    import('../../../servers/system.ts'),
  ]);
  const server = await serveSync({
    where: path,
    read: async () => {
      const config = await readSyncConfig(path, io.env);
      return { config, ...connect(context, command, config, false) };
    },
    concurrency: settings.concurrency,
    verify,
    everyMs,
    listen: parseListenAddress(listen ?? '127.0.0.1:8090', '--listen'),
    hosts: host,
    clock: SYSTEM_CLOCK,
    monotonic: () => performance.now(),
    log: (entry) => io.stderr.write(`${JSON.stringify(entry)}\n`),
  });
  await stay(context, server, `syncing, ${server.url}`);
}

/** Connections as the file and the settings of the command ask for them; the file comes first. */
function connect(
  context: Context,
  command: Command,
  config: SyncConfig,
  dryRun: boolean,
): Omit<SyncGeneration, 'config'> {
  const { io, settings, directories, output, signal } = context;
  const registries = new Map(settings.registries);
  for (const [registry, { plainHttp, insecure, caFile }] of config.access) {
    const given = { plainHttp, caFile, ...(insecure && { insecure }) };
    const known = Object.entries(given).filter(([, value]) => value !== undefined);
    registries.set(registry, { ...registries.get(registry), ...Object.fromEntries(known) });
  }
  const connections = new Connections({
    ...{ io, directories, output, flags: command.optsWithGlobals() },
    settings: { ...settings, registries },
    credentials: (stored) => credentialsOf(config.access, stored),
  });
  const ports = {
    signal,
    client: (registry: string) => connections.client(registry, undefined),
    path: (path: string) => context.path(path),
    untimed: <T>(work: () => Promise<T>) => work(),
  };
  return { places: syncPlaces(ports, dryRun), close: () => connections.close() };
}
