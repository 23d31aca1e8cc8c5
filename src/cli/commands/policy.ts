import type { Command } from 'commander';
import { imagePathOption, listOption, manifestOption } from '../flags/reference-list.ts';
import { collect } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';
import type { InitFlags } from './policy/init.ts';

export function register(program: Command, cli: Cli): void {
  const policy = program.command('policy').summary('begin, check, explain and test policy files');
  policy
    .command('init')
    .summary('write a first policy for the images in use')
    .description(
      'Looks at who has signed images, and writes a policy that denies them all. The signers that were found stand in it as comments, ' +
        'for you to confirm: what lies beside an image, every account that can push may have put there.\n' +
        'Images that cannot be looked at are denied as well; the exit status is then that of the worst failure.',
    )
    .argument('[reference...]', 'images, by tag or digest')
    .addOption(listOption())
    .addOption(manifestOption())
    .addOption(imagePathOption())
    .option('--key <file>', 'public key that may have signed them; repeatable', collect)
    .option(
      '--trusted-root <place>',
      'trusted root of the Sigstore instance: FILE, or tuf+https://… (default: the public-good instance, as shipped)',
    )
    .option('--write <file>', 'write the policy to a file, which must not exist')
    .option('--force', 'with --write: overwrite the file')
    .action(async (texts: readonly string[], flags: InitFlags, command: Command) => {
      const { printInit } = await import('./policy/init.ts');
      await printInit(await cli.open(command), texts, flags);
    });
  policy
    .command('check')
    .summary('check a policy file and everything that it names')
    .description(
      'Checks a policy (YAML or JSON, spec/policy.md) and reads the keys, certificates and roots that it names. ' +
        'Mistakes are listed with line and column.',
    )
    .argument('<file>', 'policy file')
    .action(async (file: string, _flags: unknown, command: Command) => {
      const { printCheck } = await import('./policy/check.ts');
      await printCheck(await cli.open(command), file);
    });
  policy
    .command('explain')
    .summary('show which rule holds for an image, what it demands, and what is there')
    .argument('<reference>', 'image, by tag or digest')
    .requiredOption('--policy <file>', 'policy file')
    .action(async (text: string, flags: { readonly policy: string }, command: Command) => {
      const { printExplanation } = await import('./policy/explain.ts');
      await printExplanation(await cli.open(command), text, flags.policy);
    });
  policy
    .command('test')
    .summary('compare what a policy decides with what is expected')
    .description(
      'Reads lines "REFERENCE OUTCOME" from a file, or from standard input with "-". OUTCOME is verified, allowed, ' +
        'audited, or the code of a refusal, such as policy-denied or unsigned. Empty lines and # comments are ignored.\n' +
        'Exit status 0 means that every image has its expected outcome, 12 that one has another.',
    )
    .argument('<file>', 'table of references and outcomes')
    .requiredOption('--policy <file>', 'policy file')
    .action(async (file: string, flags: { readonly policy: string }, command: Command) => {
      const { printTest } = await import('./policy/test.ts');
      await printTest(await cli.open(command), file, flags.policy);
    });
  policy
    .command('import')
    .summary('make a policy file of a policy of another tool')
    .description(
      "Reads Notation's trustpolicy.json, policy.json of podman and CRI-O, Helm values of Connaisseur, ClusterImagePolicies, and " +
        'verifyImages of Kyverno, and prints a policy file. What differs stands in comments; what cannot be carried over is denied.',
    )
    .argument('<file>', 'policy of the other tool, YAML or JSON')
    .option(
      '--trust-store <directory>',
      'trust stores of Notation (default: truststore/x509 beside the file)',
    )
    .action(async (file: string, flags: { readonly trustStore?: string }, command: Command) => {
      const { printImport } = await import('./policy/import.ts');
      await printImport(await cli.open(command), file, flags);
    });
}
