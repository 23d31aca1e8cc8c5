import type { Command } from 'commander';
import { addPlaceOptions } from '../flags/collection-flags.ts';
import { addPassphraseOptions } from '../flags/key-flags.ts';
import { collect, collectKeyIds } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';
import type { ImportFlags } from './import/notary.ts';

const SPEC = 'NAME of the key store, PATH, or env://VARIABLE; repeatable';

export function register(program: Command, cli: Cli): void {
  const group = program.command('import').summary('import trust data of other systems');
  addPassphraseOptions(addPlaceOptions(group.command('notary')))
    .summary('import the trust data of Docker Content Trust into a collection')
    .description(
      'Verifies all metadata of a Notary v1 repository, and creates a trust collection from it: the tags that docker accepts become ' +
        'names, delegations become signers. The old files are kept with it as evidence. What cannot be carried over is listed. ' +
        'Everything is verified before anything is published, and then published in one write.',
    )
    .argument('<repository>', 'HOST/REPOSITORY that has the images, and gets the collection')
    .option(
      '--server <url>',
      'Notary server (default: $DOCKER_CONTENT_TRUST_SERVER, else that of the registry)',
    )
    .option('--from <dir>', 'saved trust data instead: a dump, or docker’s ~/.docker/trust')
    .option('--gun <name>', 'name of the repository on the Notary server, if it is another one')
    .option('--root <file>', 'trusted root metadata of Notary (instead of a pin)')
    .option('--root-key-id <id>', 'trusted root key of Notary (instead of a pin); repeatable', collectKeyIds)
    .option('--root-ca, --ca <file>', 'CA that certifies root keys of Notary (instead of a pin)')
    .option('--notary-root-key <file>', 'trusted public root key of Notary, in PEM (instead of a pin)')
    .option('--tofu', 'trust the root keys that the server has now, if none are pinned or known')
    .option(
      '--keys <dir>',
      'private keys of docker, ~/.docker/trust/private: used if the old roles list them',
    )
    .option('--root-key <key>', `key of root and targets: ${SPEC}`, collect)
    .option('--publisher-key <key>', `key of names: ${SPEC}`, collect)
    .option('--online-key <key>', `private key of snapshot and timestamp: ${SPEC}`, collect)
    .option('--allow-expired', 'accept expired metadata, as of its expiry')
    .option('--check', 'change nothing: compare the collection with the old trust data, name by name')
    .option('--update', 'take over what has changed on the old server since the import')
    .option('--dry-run', 'change nothing: verify, look up the images, and show what would be created')
    .action(async (repository: string, flags: ImportFlags, command: Command) => {
      const context = await cli.open(command);
      const { importFromNotary } = await import('./import/notary.ts');
      await importFromNotary(context, repository, flags);
    });
}
