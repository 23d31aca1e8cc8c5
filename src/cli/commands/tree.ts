import type { Command } from 'commander';
import { readTree } from '../../actions/tree.ts';
import { formatRepository } from '../../oci/reference.ts';
import type { Cli } from '../context.ts';
import { treeJson, treeLines } from '../tree-text.ts';

export function register(program: Command, cli: Cli): void {
  program
    .command('tree')
    .summary('draw an image, its platforms, and all that refers to them')
    .description(
      'Draws an image with its platforms, signatures, attestations, and whatever else refers to any of them.',
    )
    .argument('<reference>', 'image, by tag or digest')
    .action(async (text: string, _options: unknown, command: Command) => {
      const context = await cli.open(command);
      const { source, reference, version } = await context.openImage(text);
      const tree = await readTree(source, version, {
        concurrency: context.settings.concurrency,
        signal: context.signal,
      });
      const name = `${formatRepository(reference)}@${tree.descriptor.digest}`;
      context.output.result(treeLines(name, tree), { reference: name, ...treeJson(tree) });
    });
}
