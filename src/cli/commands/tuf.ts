import { basename, join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { readFileBounded } from '../../disk/atomic.ts';
import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { HttpPool } from '../../http/pool.ts';
import { DirectoryMirror } from '../../mirror/directory.ts';
import { HttpMirror } from '../../mirror/http.ts';
import { saveTarget } from '../../mirror/save-target.ts';
import { tufStateDirectory } from '../../sigstore-client/tuf-targets.ts';
import { TrustedDirectory } from '../../state/trusted-directory.ts';
import { refresh, type TufClient } from '../../tuf/client.ts';
import { keyIdWarnings } from '../../tuf/key-warnings.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import type { MetadataFetcher, TargetFetcher } from '../../tuf/ports.ts';
import { assertRelativePath } from '../../tuf/role-name.ts';
import { TrustedMetadata } from '../../tuf/trusted-metadata.ts';
import type { Cli, Context } from '../shell/context.ts';

interface TufOptions {
  readonly state?: string;
  readonly targets?: string;
  readonly dir?: string;
  readonly through?: string;
  readonly hashPrefix?: boolean;
  readonly force?: true;
}

/** A repository as the command line names it. */
interface Place {
  /** URL or absolute path of the metadata. */
  readonly metadata: string;
  readonly targets: string;
  readonly isUrl: boolean;
}

export function register(program: Command, cli: Cli): void {
  const tuf = program
    .command('tuf')
    .summary('read any TUF repository on a web server or in a directory')
    .description(
      'Reads TUF repositories: <repository> is the URL or the directory of their metadata.\n' +
        'Trusted metadata is kept between runs, so that a rollback to an older state is detected.',
    );
  withState(tuf.command('init'))
    .summary('start to trust a repository by its root.json')
    .argument('<repository>', 'URL or directory of the metadata')
    .argument('<root.json>', 'a root that you got from a source you trust')
    .option('--force', 'forget the trusted state of before')
    .action(async (repository: string, root: string, options: TufOptions, command: Command) => {
      await init(await cli.open(command), repository, root, options);
    });
  withState(tuf.command('refresh'))
    .summary('update the trusted metadata')
    .argument('<repository>', 'URL or directory of the metadata')
    .action(async (repository: string, options: TufOptions, command: Command) => {
      const context = await cli.open(command);
      const place = placeOf(context, repository, options.targets);
      const { client } = await openRepository(context, place, options);
      printRefreshed(context, place, client);
    });
  withState(tuf.command('get'))
    .summary('download and verify target files')
    .argument('<repository>', 'URL or directory of the metadata')
    .argument('<target...>', 'target paths')
    .option(
      '--targets <place>',
      'URL or directory of the target files (default: targets, beside or in the metadata)',
    )
    .option('-d, --dir <directory>', 'where to put them (default: here)')
    .option('--through <role>', 'search only this delegation of the top-level targets')
    .option('--no-hash-prefix', 'the target files are named without their hashes, as those of PyPI')
    .action(async (repository: string, names: string[], options: TufOptions, command: Command) => {
      await get(await cli.open(command), repository, names, options);
    });
}

function withState(command: Command): Command {
  return command.addOption(
    new Option('--state <directory>', 'directory of the trusted metadata (default: one per repository)'),
  );
}

async function init(
  context: Context,
  repository: string,
  rootFile: string,
  options: TufOptions,
): Promise<void> {
  const place = placeOf(context, repository, undefined);
  const bytes = await readFileBounded(context.path(rootFile), DEFAULT_LIMITS.rootBytes, { pipes: true });
  const { content } = new TrustedMetadata(bytes, context.io.now()).root;
  for (const warning of keyIdWarnings(content)) context.output.warn(warning);
  const store = await TrustedDirectory.open(statePath(context, place, options));
  if (options.force === true) await store.forget();
  if (!(await store.replace([{ role: 'root', expected: undefined, bytes }]))) {
    throw new BullaError('conflict', `another root is trusted for ${place.metadata} already`, {
      hint: 'bulla tuf refresh follows its changes of keys; --force forgets it, and with it the protection against going back',
    });
  }
  context.output.result(`trusting root version ${content.version} for ${place.metadata}`, {
    repository: place.metadata,
    root: content.version,
  });
}

async function get(
  context: Context,
  repository: string,
  names: readonly string[],
  options: TufOptions,
): Promise<void> {
  for (const name of names) assertRelativePath(name);
  const place = placeOf(context, repository, options.targets);
  const { client, mirror } = await openRepository(context, place, options);
  const directory = context.path(options.dir ?? '.');
  const saved = [];
  for (const name of names) {
    const search = options.through === undefined ? {} : { through: options.through };
    const found = await client.findTarget(name, search);
    const file = join(directory, name);
    const fetched = await saveTarget(client, mirror, found, file, {
      directory,
      hashPrefix: options.hashPrefix,
    });
    if (!fetched) context.output.info(`${file} is there already`);
    const { length, hashes } = found.target;
    saved.push({ target: name, file, role: found.role, length, hashes: Object.fromEntries(hashes), fetched });
  }
  context.output.result(
    saved.map(({ file }) => file),
    { repository: place.metadata, targets: saved },
  );
}

async function openRepository(
  context: Context,
  place: Place,
  options: TufOptions,
): Promise<{ readonly client: TufClient; readonly mirror: MetadataFetcher & TargetFetcher }> {
  const mirror = await openMirror(context, place);
  const store = await TrustedDirectory.open(statePath(context, place, options));
  const client = await refresh(mirror, store, context.io.now(), {
    repair: `restore it from a backup, or begin anew with a root that you have compared: bulla tuf init ${place.metadata} ROOT.json --force`,
    onWarning: (line) => context.output.warn(line),
  });
  return { client, mirror };
}

async function openMirror(context: Context, place: Place): Promise<MetadataFetcher & TargetFetcher> {
  if (!place.isUrl) return new DirectoryMirror(place.metadata, place.targets);
  const url = new URL(place.metadata);
  if (context.settings.offline) throw offline(url);
  const { http } = await (await context.connections()).reach(url.host);
  const pool = new HttpPool(http);
  context.defer(() => pool.close());
  return new HttpMirror({
    pool,
    metadataUrl: url,
    targetsUrl: new URL(place.targets),
    signal: context.signal,
  });
}

function offline(url: URL): BullaError {
  return new BullaError('registry-unreachable', `${url.host} was not asked: --offline opens no socket`, {
    hint: 'leave --offline out, or name a directory that holds the repository',
  });
}

function printRefreshed(context: Context, place: Place, client: TufClient): void {
  const { root, timestamp, snapshot } = client.trusted;
  const targets = snapshot.content.meta.get('targets.json')?.version;
  context.output.result(
    `root ${root.content.version}, timestamp ${timestamp.content.version}, snapshot ${snapshot.content.version}, targets ${targets}; fresh until ${formatTime(timestamp.content.expires)}`,
    {
      repository: place.metadata,
      versions: {
        root: root.content.version,
        timestamp: timestamp.content.version,
        snapshot: snapshot.content.version,
        targets,
      },
      expires: formatTime(timestamp.content.expires),
    },
  );
}

/** Target files are beside a folder called metadata, else in a folder of the metadata's. */
function placeOf(context: Context, repository: string, targets: string | undefined): Place {
  const isUrl = /^https?:\/\//.test(repository);
  const metadata = isUrl ? urlOf(repository) : resolve(context.path(repository));
  const isBeside = basename(isUrl ? new URL(metadata).pathname : metadata) === 'metadata';
  const usual = isUrl
    ? new URL(isBeside ? '../targets/' : 'targets/', metadata).href
    : join(metadata, isBeside ? '../targets' : 'targets');
  if (targets === undefined) return { metadata, targets: usual, isUrl };
  return { metadata, targets: isUrl ? urlOf(targets) : context.path(targets), isUrl };
}

function urlOf(text: string): string {
  if (!URL.canParse(text) || !/^https?:\/\//.test(text)) {
    throw new BullaError('usage', `${JSON.stringify(text)} is not an http or https URL`, {
      hint: 'the metadata and the target files are both on a web server, or both in directories',
    });
  }
  const url = new URL(text);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url.href;
}

/** A directory of its own for each repository, so that the state of one never counts for another. */
function statePath(context: Context, place: Place, options: TufOptions): string {
  if (options.state !== undefined) return context.path(options.state);
  return tufStateDirectory(context.directories.state, place.metadata);
}
