import type { Command } from 'commander';
import { addCollectionOptions } from '../flags/collection-flags.ts';
import { addTrustKeyOptions } from '../flags/key-flags.ts';
import { addPublishOptions } from '../flags/publish-flags.ts';
import type { Cli } from '../shell/context.ts';
import type { ApproveFlags } from './approve/flags.ts';

export function register(program: Command, cli: Cli): void {
  const approve = addTrustKeyOptions(addCollectionOptions(program.command('approve')))
    .summary('sign a change that waits for signatures: a file, or a staged one')
    .description(
      'Shows a change, and signs it after confirmation. bulla approve FILE signs what --export-unsigned wrote, ' +
        'offline, and adds the signature to the file. bulla approve REPOSITORY ID signs a change that ' +
        'bulla pending lists, and publishes it with the last signature that it needs.',
    )
    .argument('<what>', 'FILE of a change; or HOST/REPOSITORY, with an id')
    .argument('[id]', 'id of a staged change')
    .option('--out <file>', 'write the signed file there instead')
    .option('--dry-run', 'show what would be signed, but do not sign')
    .option('--change <id>', 'sign only the change with this id, all of its digits')
    .option('-y, --yes', 'do not ask; a staged change must then be given by all digits of its id');
  addPublishOptions(approve).action(
    async (what: string, id: string | undefined, flags: ApproveFlags, command: Command) => {
      const context = await cli.open(command);
      if (id === undefined) {
        const { approveFile } = await import('./approve/file.ts');
        return await approveFile(context, what, flags);
      }
      const { approveAt } = await import('./approve/staged.ts');
      await approveAt(context, what, id, flags);
    },
  );
}
