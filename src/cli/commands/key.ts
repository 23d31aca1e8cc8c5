import type { Command } from 'commander';
import { addCollectionOptions } from '../flags/collection-flags.ts';
import { addKeyOptions, addPassphraseOptions, type KeyFlags } from '../flags/key-flags.ts';
import { collect } from '../flags/values.ts';
import type { Cli, Context } from '../shell/context.ts';
import type { ReportFlags } from './report/run.ts';

const KEY = 'NAME of the key store, PATH of a file, or a URI (docs/keys.md); without it the default key';

export function register(program: Command, cli: Cli): void {
  const key = program
    .command('key')
    .alias('keys')
    .summary('generate and manage signing keys')
    .description(
      'Keys are stored under a name in the key store (keys/ in the configuration directory), or anywhere as a file.\n' +
        'The file format is that of cosign: bulla reads a cosign.key unchanged, and cosign reads bulla’s keys.',
    );
  registerMaking(key, cli);
  registerLooking(key, cli);
  registerMoving(key, cli);
  registerCertificates(key, cli);
  registerReport(key, cli);
}

/** Opens the run and loads the part of the command that is asked for. */
function action<Part, Arguments extends readonly unknown[]>(
  cli: Cli,
  load: () => Promise<Part>,
  call: (part: Part, context: Context, ...rest: Arguments) => Promise<void>,
): (...args: [...Arguments, Command]) => Promise<void> {
  return async (...args) => {
    const command = args.at(-1) as Command;
    const context = await cli.open(command);
    await call(await load(), context, ...(args.slice(0, -1) as unknown as Arguments));
  };
}

const making = (): Promise<typeof import('./key/make.ts')> => import('./key/make.ts');
const looking = (): Promise<typeof import('./key/look.ts')> => import('./key/look.ts');
const moving = (): Promise<typeof import('./key/move.ts')> => import('./key/move.ts');
const certifying = (): Promise<typeof import('./key/certify.ts')> => import('./key/certify.ts');

function registerMaking(key: Command, cli: Cli): void {
  addPassphraseOptions(key.command('generate'))
    .summary('make a key')
    .argument('[name]', 'name in the key store (default: "default")')
    .option('--type <type>', 'p256, p384, p521 or ed25519; experimental: ml-dsa-65 and -87', 'p256')
    .option('--at <uri>', 'make it there and keep it there: openbao://KEY, awskms:///alias/NAME, pkcs11:…')
    .option('--output-key-prefix <prefix>', 'write PREFIX.key and PREFIX.pub instead of storing it')
    .option('--force', 'replace an existing key')
    .action(
      action(cli, making, (part, context, name: string | undefined, flags: KeyFlags) =>
        part.generate(context, name, flags),
      ),
    );
  addPassphraseOptions(key.command('passwd'))
    .summary('change the passphrase of a key')
    .argument('[name]', 'name in the key store')
    .option('--new-passphrase-fd <n>', 'read the new passphrase from this file descriptor')
    .action(
      action(cli, making, (part, context, name: string | undefined, flags: KeyFlags) =>
        part.passwd(context, name, flags),
      ),
    );
  key
    .command('default')
    .summary('show or set the default key')
    .argument('[name]', 'name in the key store')
    .action(
      action(cli, making, (part, context, name: string | undefined, _flags: unknown) =>
        part.makeDefault(context, name),
      ),
    );
  key
    .command('rm')
    .summary('remove keys with their certificates')
    .argument('<name...>', 'names in the key store')
    .option('--force', 'confirm it: a removed private key cannot be recovered')
    .action(
      action(cli, making, (part, context, names: string[], flags: { force?: boolean }) =>
        part.remove(context, names, flags),
      ),
    );
}

function registerLooking(key: Command, cli: Cli): void {
  key
    .command('ls')
    .summary('list the keys of the key store')
    .option('--tokens [module]', 'instead those of the SSH agent and of the tokens of a PKCS #11 module')
    .action(
      action(cli, looking, (part, context, flags: { tokens?: string | boolean }) =>
        part.list(context, flags),
      ),
    );
  key
    .command('show')
    .summary('show a key or certificate without decrypting it')
    .argument(
      '[key]',
      'NAME of the key store, PATH of a private key, public key or certificate, or a URI (docs/keys.md)',
    )
    .action(
      action(cli, looking, (part, context, name: string | undefined, _flags: unknown) =>
        part.show(context, name),
      ),
    );
}

function registerMoving(key: Command, cli: Cli): void {
  addPassphraseOptions(key.command('import'))
    .summary('import a key file into the key store')
    .description(
      "Reads sigstore's and cosign's keys, PKCS#8 (encrypted or not), SEC1, PKCS#1 and Docker Content Trust's\n" +
        'private/*.key. An encrypted key keeps its passphrase; another one gets a new passphrase.',
    )
    .argument('<file>', 'key file, env://VARIABLE, or the URI of a key that stays where it is (docs/keys.md)')
    .argument('[name]', 'name in the key store (default: that of the file)')
    .option('--cert-chain <file>', 'certificates of the key, the signing one first')
    .option('--force', 'replace an existing key')
    .action(
      action(cli, moving, (part, context, file: string, name: string | undefined, flags: KeyFlags) =>
        part.importKey(context, file, name, flags),
      ),
    );
  addPassphraseOptions(key.command('export'))
    .summary('export a key of the key store')
    .argument('[name]', 'name in the key store')
    .option('--public', 'the public key (default: the private key, encrypted as it is stored)')
    .option('--cert', 'the certificate chain')
    .option('--pkcs8', 'the private key in encrypted PKCS#8, for tools that do not read sigstore keys')
    .option('--unencrypted', 'with --pkcs8 and --out: without a passphrase')
    .option('--out <file>', 'file to write (default: standard output)')
    .option('--force', 'replace an existing file')
    .action(
      action(cli, moving, (part, context, name: string | undefined, flags: KeyFlags) =>
        part.exportKey(context, name, flags),
      ),
    );
}

function registerCertificates(key: Command, cli: Cli): void {
  addKeyOptions(key.command('csr'))
    .summary('write a certificate request for a key')
    .argument('[key]', KEY)
    .requiredOption('--subject <name>', 'such as "C=DE, ST=Berlin, O=Acme, CN=release"')
    .option(
      '--uri <uri>',
      'subject alternative name, such as oci://registry.example.com/team/app; repeatable',
      collect,
    )
    .option('--out <file>', 'file to write (default: standard output)')
    .option('--force', 'replace an existing file')
    .action(
      action(
        cli,
        certifying,
        (part, context, name: string | undefined, flags: KeyFlags & { subject: string }) =>
          part.request(context, name, flags),
      ),
    );
  addKeyOptions(key.command('cert'))
    .summary('give a key its certificate chain, or a self-signed certificate')
    .argument('[key]', KEY)
    .option(
      '--chain <file>',
      'certificate chain issued by the CA: PEM, from the signing certificate to the root',
    )
    .option('--self-signed', "make a certificate with Notation's profile, for trials")
    .option('--subject <name>', 'with --self-signed: such as "C=DE, ST=Berlin, O=Acme, CN=release"')
    .option('--days <n>', 'with --self-signed: how long it is valid', '365')
    .option('--out <file>', 'write it there instead of storing it with the key')
    .option('--force', 'replace an existing certificate')
    .action(
      action(cli, certifying, (part, context, name: string | undefined, flags: KeyFlags) =>
        part.certify(context, name, flags),
      ),
    );
}

function registerReport(key: Command, cli: Cli): void {
  addCollectionOptions(key.command('report'))
    .summary('show which key signs what in which collection, and what would be lost with it')
    .description(
      'Reads collections, and shows for each key that they list where it is kept, for which roles it signs, when the first ' +
        'of their files expires, and what it takes to go on without it. Also works as bulla keys report.',
    )
    .argument('[repository...]', 'HOST/REPOSITORY, oci:DIR or oci-archive:FILE')
    .option('--config <file>', 'also the collections in this configuration of the re-signer')
    .action(async (repositories: readonly string[], flags: ReportFlags, command: Command) => {
      const context = await cli.open(command);
      const { reportKeys } = await import('./key/report.ts');
      cli.exitStatus = await reportKeys(context, repositories, flags);
    });
}
