import type { Command } from 'commander';
import { BullaError } from '../../errors.ts';
import { completionScript, SHELLS } from '../shell/completion.ts';
import type { Cli } from '../shell/context.ts';

export function register(program: Command, cli: Cli): void {
  program
    .command('completion')
    .summary('print the completion script of a shell')
    .description(
      'Prints a script that completes commands and options, and the names of keys, pinned repositories and tags.',
    )
    .argument('<shell>', SHELLS.join(', '))
    .action(async (shell: string, _options: unknown, command: Command) => {
      const { output } = await cli.open(command);
      const script = completionScript(shell, program);
      if (script === undefined) {
        throw new BullaError('usage', `there is no completion for ${JSON.stringify(shell)}`, {
          hint: `choose one of ${SHELLS.join(', ')}`,
        });
      }
      output.result(script.trimEnd().split('\n'), { shell, script });
    });
}
