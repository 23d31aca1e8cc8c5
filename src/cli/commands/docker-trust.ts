import type { Command } from 'commander';
import { addCollectionOptions } from '../flags/collection-flags.ts';
import { addPassphraseOptions } from '../flags/key-flags.ts';
import { collect } from '../flags/values.ts';
import type { Cli, Context } from '../shell/context.ts';
import type { InspectFlags, RevokeFlags, SignFlags } from './docker-trust/images.ts';
import type { GenerateFlags, LoadFlags } from './docker-trust/keys.ts';
import type { InstallFlags } from './docker-trust/plugin.ts';
import type { AddFlags, RemoveFlags } from './docker-trust/signers.ts';

export function register(program: Command, cli: Cli): void {
  const trust = program
    .command('docker-trust')
    .summary('the commands of docker trust, on trust collections')
    .description(
      'Does what docker trust does, with the same arguments and output, on trust collections in the registry instead of a notary server: signers are roles of the collection, the repository key is that of names.\n' +
        'sign signs what is in the registry: it does not contact a docker daemon, and pushes nothing (docker push first).\n' +
        'Instead of DOCKER_CONTENT_TRUST=1 docker pull: bulla pull IMAGE, or docker run "$(bulla verify IMAGE)".\n' +
        'From docker 29, install-plugin makes it available as docker trust. Older versions have their own docker trust, which hides a plug-in.\n' +
        'For trust data on a notary server: bulla import notary, bulla verify --notary, bulla export notary-dump.',
    );
  registerKeys(trust, cli);
  registerSigners(trust, cli);
  registerImages(trust, cli);
  trust
    .command('install-plugin')
    .summary('make docker trust call these commands (docker 29 and later)')
    .option(
      '--dir <dir>',
      'where docker looks for plug-ins (default: cli-plugins in DOCKER_CONFIG or ~/.docker)',
    )
    .option('--force', 'replace an existing plug-in')
    .action(async (flags: InstallFlags, command: Command) => {
      const context = await cli.open(command);
      const { install } = await import('./docker-trust/plugin.ts');
      await install(context, flags);
    });
}

function registerKeys(trust: Command, cli: Cli): void {
  const key = trust.command('key').summary('manage keys for signing Docker images');
  addPassphraseOptions(key.command('generate'))
    .summary('generate and load a signing key-pair')
    .argument('<name>', 'name of the key')
    .option('--dir <dir>', 'directory to write NAME.pub to (default: the current directory)')
    .action(async (name: string, flags: GenerateFlags, command: Command) => {
      const context = await cli.open(command);
      const { generate } = await import('./docker-trust/keys.ts');
      await generate(context, name, flags);
    });
  addPassphraseOptions(key.command('load'))
    .summary('load a private key file for signing')
    .description(
      "Imports a private key of docker, notary, openssl or cosign into the key store; an encrypted one keeps its passphrase. The file's mode must be 0600 or less.",
    )
    .argument('<keyfile>', 'private key in PEM')
    .option('--name <name>', 'name for the loaded key (default: the role in the file, or signer)')
    .action(async (file: string, flags: LoadFlags, command: Command) => {
      const context = await cli.open(command);
      const { load } = await import('./docker-trust/keys.ts');
      await load(context, file, flags);
    });
}

function registerSigners(trust: Command, cli: Cli): void {
  const signer = trust.command('signer').summary('manage entities who can sign Docker images');
  changing(signer.command('add'))
    .summary('add a signer')
    .description(
      'Creates the collection of a repository without one, with the keys root, publisher and online of the key store.',
    )
    .argument('<name>', 'name of the signer')
    .argument('<repository...>', 'HOST/REPOSITORY')
    .option('--key <file>', "path to the signer's public key or certificate; repeatable", collect)
    .action(async (name: string, repositories: readonly string[], flags: AddFlags, command: Command) => {
      const context = await cli.open(command);
      const { add } = await import('./docker-trust/signers.ts');
      await add(context, name, repositories, flags);
    });
  changing(signer.command('remove'))
    .summary('remove a signer, and the tags that only this signer has signed')
    .argument('<name>', 'name of the signer')
    .argument('<repository...>', 'HOST/REPOSITORY')
    .option('-f, --force', 'do not ask before tags are removed with the signer')
    .action(async (name: string, repositories: readonly string[], flags: RemoveFlags, command: Command) => {
      const context = await cli.open(command);
      const { remove } = await import('./docker-trust/signers.ts');
      await remove(context, name, repositories, flags);
    });
}

function registerImages(trust: Command, cli: Cli): void {
  type Part = typeof import('./docker-trust/images.ts');
  const run =
    <Image, Flags>(call: (part: Part, context: Context, image: Image, flags: Flags) => Promise<void>) =>
    async (image: Image, flags: Flags, command: Command): Promise<void> => {
      const context = await cli.open(command);
      await call(await import('./docker-trust/images.ts'), context, image, flags);
    };
  changing(trust.command('sign'))
    .summary('sign an image, in every role with an available key')
    .argument('<image:tag>', 'HOST/REPOSITORY:TAG')
    .option(
      '--local',
      'accepted for compatibility with docker, without effect: the image in the registry is signed',
    )
    .action(run((part, context, image: string, flags: SignFlags) => part.sign(context, image, flags)));
  changing(trust.command('revoke'))
    .summary('remove trust for an image')
    .argument('<image[:tag]>', 'without a tag: all of them')
    .option('-y, --yes', 'do not prompt for confirmation')
    .action(run((part, context, image: string, flags: RevokeFlags) => part.revoke(context, image, flags)));
  addCollectionOptions(trust.command('inspect'))
    .summary('return low-level information about keys and signatures')
    .argument('<image[:tag]...>', 'HOST/REPOSITORY, or with a tag')
    .option('--pretty', 'print the information in a human friendly format')
    .action(
      run((part, context, images: readonly string[], flags: InspectFlags) =>
        part.inspect(context, images, flags),
      ),
    );
}

/** Flags of a command that signs a change of a collection. */
function changing(command: Command): Command {
  return addPassphraseOptions(addCollectionOptions(command))
    .option(
      '--sign-with <key>',
      'key to sign with: NAME of the key store, PATH, or env://VARIABLE; repeatable; keys of the key store are found automatically',
      collect,
    )
    .option('--wait <duration>', 'how long to wait until a staged change is published (default: 60s)');
}
