import type { Command } from 'commander';
import type { Cli } from '../shell/context.ts';
import type { HookFlags } from './gate/containerd.ts';

export function register(program: Command, cli: Cli): void {
  const gate = program.command('gate').summary('let nodes run only what a policy allows');
  gate
    .command('containerd')
    .summary('answer containerd whether an image may be pulled')
    .description(
      'The image verifier of containerd 2: exit status 0 lets the image be pulled, anything else does not, and standard output says why.\n' +
        'With --install, writes the program that containerd runs (docs/nodes.md).',
    )
    .argument('[question...]', 'after --: -name REF -digest DIGEST -stdin-media-type TYPE')
    .option('--policy <file>', 'policy file that decides')
    .option('--socket <path>', 'ask the gate that listens there; --policy decides where none does')
    .option(
      '--within <duration>',
      'how long a decision may take: less than per_verifier_timeout of containerd',
      '8s',
    )
    .option('--install <directory>', "write a program for containerd's bin_dir there, instead of answering")
    .option('--home <directory>', 'with --install: BULLA_HOME of that program', '/var/lib/bulla')
    .action(async (question: readonly string[], flags: HookFlags, command: Command) => {
      const { answer, install } = await import('./gate/containerd.ts');
      const context = await cli.open(command);
      await (flags.install === undefined
        ? answer(context, question, flags)
        : install(context, { ...flags, install: flags.install }));
    });
}
