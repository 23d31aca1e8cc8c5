import type { Command } from 'commander';
import { formatRepository, parseReference } from '../../oci/reference.ts';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import type { Cli, Context } from '../shell/context.ts';
import type { DumpFlags } from './export/notary-dump.ts';

interface ExportFlags extends CollectionFlags {
  readonly targets?: true;
}

export function register(program: Command, cli: Cli): void {
  const group = program
    .command('export')
    .summary('write a trust collection for other tools, or save trust data of Notary v1');
  addCollectionOptions(group.command('tuf'))
    .summary('write a trust collection as a TUF repository in a directory')
    .description(
      'Writes metadata that any TUF client reads to DIRECTORY/metadata. Run it again to update the directory, also while it is served: the timestamp is written last.',
    )
    .argument('<repository>', 'repository, oci:DIR or oci-archive:FILE')
    .argument('<directory>', 'where to write it; created if missing')
    .option('--targets', 'also the manifests, as DIRECTORY/targets/SHA256.TAG')
    .action(async (text: string, directory: string, flags: ExportFlags, command: Command) => {
      await exportTufTo(await cli.open(command), text, directory, flags);
    });
  group
    .command('notary-dump')
    .summary('save trust data of Docker Content Trust before its server is shut down')
    .description(
      'Saves all metadata of repositories as their Notary server serves it, byte for byte, below DIRECTORY/v2/REPOSITORY/_trust/tuf. ' +
        'Run it again to resume after a failure, or to save later changes. bulla verify --notary DIRECTORY and any web server can read the result.',
    )
    .argument('<directory>', 'where to save it; created if missing')
    .argument('[repository...]', 'repositories, such as docker.io/library/alpine')
    .option('--from <file>', 'list of repositories, one per line (- for standard input)')
    .option(
      '--server <url>',
      'Notary server (default: $DOCKER_CONTENT_TRUST_SERVER, else that of each registry)',
    )
    .action(async (directory: string, texts: string[], flags: DumpFlags, command: Command) => {
      const context = await cli.open(command);
      const { dumpNotary } = await import('./export/notary-dump.ts');
      await dumpNotary(context, directory, texts, flags);
    });
}

async function exportTufTo(
  context: Context,
  text: string,
  directory: string,
  flags: ExportFlags,
): Promise<void> {
  const [{ exportTuf }, { DirectoryWriter }, { readToHandOn }, { openCollection }] = await Promise.all([
    import('../../actions/export/tuf.ts'),
    import('../../mirror/directory-writer.ts'),
    import('../../actions/inspect/collection.ts'),
    import('../flags/collection-flags.ts'),
  ]);
  const reference = parseReference(text);
  const copy = await readToHandOn(await openCollection(context, reference, flags), {
    signal: context.signal,
  });
  const path = context.path(directory);
  const { metadata, targets, missing } = await exportTuf(copy, new DirectoryWriter(path), {
    concurrency: context.settings.concurrency,
    signal: context.signal,
    ...(flags.targets === true && { images: await context.openSource(reference) }),
  });
  for (const { name, digest } of missing)
    context.output.warn(`${name} is signed, and its manifest ${digest} is not there: no target was written`);
  context.output.info(
    `${metadata} metadata files${targets === undefined ? '' : ` and ${targets} targets`}; clients begin with ${path}/metadata/1.root.json`,
  );
  context.output.result(directory, {
    repository: formatRepository(reference),
    collection: copy.collection.id,
    directory: path,
    metadata,
    targets: targets ?? null,
    missing: missing.map(({ name, digest }) => ({ tag: name, digest })),
  });
}
