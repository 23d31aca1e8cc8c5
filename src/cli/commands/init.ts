import type { Command } from 'commander';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import type { InitFlags } from '../flags/init-flags.ts';
import { addInitKeyOptions } from '../flags/init-key-flags.ts';
import { addPassphraseOptions } from '../flags/key-flags.ts';
import { isManyRepositories } from '../flags/repositories.ts';
import type { Cli } from '../shell/context.ts';

export function register(program: Command, cli: Cli): void {
  addInitKeyOptions(addCollectionOptions(addPassphraseOptions(program.command('init'))))
    .summary('create the trust collection of a repository')
    .description(
      'Creates root, targets, names, snapshot and timestamp, signed with three keys: root (who may sign; keep it ' +
        'offline), publisher (which digest each name has) and online (freshness). Keys with these names are taken ' +
        'from the key store, or generated. With only the public online key, run --complete on the machine with the private one ' +
        'to create the first head.',
    )
    .argument('[repository]', 'HOST/REPOSITORY, oci:DIR, or HOST/PREFIX/* for all that the registry lists')
    .option('--from <file>', 'every repository of this list, one per line; - is standard input')
    .option(
      '--replace <id>',
      'begin again where the collection with this id is: it is replaced, and every reader must pin the new root',
    )
    .option(
      '--complete',
      'create the first head of a collection that was staged without the online key, where that key is; needs a pin',
    )
    .option(
      '--import-signed <file>',
      'publish the collection that bulla ceremony has signed; compare its root keys with the record: --root-key-id',
    )
    .action(async (repository: string | undefined, flags: InitFlags & CollectionFlags, command: Command) => {
      const context = await cli.open(command);
      if (flags.complete === true) {
        const { complete } = await import('./init/complete.ts');
        return await complete(context, repository ?? '', flags);
      }
      if (flags.importSigned !== undefined) {
        const { publishSigned } = await import('./init/signed.ts');
        cli.exitStatus = await publishSigned(context, repository ?? '', flags);
        return;
      }
      if (isManyRepositories(repository, flags)) {
        const { initAll } = await import('./init/many.ts');
        return await initAll(context, repository, flags);
      }
      const { init } = await import('./init/make.ts');
      cli.exitStatus = await init(context, repository ?? '', flags);
    });
}
