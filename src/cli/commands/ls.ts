import type { Command } from 'commander';
import { mapConcurrently } from '../../actions/concurrency.ts';
import { BullaError } from '../../errors.ts';
import { formatRepository, parseReference, type Tag } from '../../oci/reference.ts';
import type { Cli } from '../context.ts';
import { sizeText } from '../tree-text.ts';

interface LsOptions {
  readonly all?: true;
  readonly long?: true;
}

export function register(program: Command, cli: Cli): void {
  program
    .command('ls')
    .summary('list the tags of a repository, a layout or an archive')
    .description(
      'Lists tags, in byte order. Tags that tools make for signatures (sha256-…) and trust metadata (_trust…) are left out.',
    )
    .argument('<repository>', 'repository, oci:DIR or oci-archive:FILE')
    .option('-a, --all', 'also the tags that hold signatures and trust metadata')
    .option('-l, --long', 'with digest, media type and size of each (one request a tag)')
    .action(async (text: string, options: LsOptions, command: Command) => {
      const context = await cli.open(command);
      const reference = parseReference(text);
      const source = await context.openSource(reference);
      const tags = [...(await source.listTags({ signal: context.signal }))].sort(byBytes);
      if (tags.length === 0) {
        // Registries answer alike for a repository without tags and for one that was never pushed to.
        throw new BullaError('not-found', `${formatRepository(reference)} has no tags, or is not there`, {
          hint: 'check the name; what was pushed by digest only has no tag',
        });
      }
      const shown = options.all === true ? tags : tags.filter((tag) => !isMachineTag(tag));
      const repository = formatRepository(reference);
      if (options.long !== true) {
        context.output.result(shown, { repository, tags: shown.map((tag) => ({ tag })) });
        return;
      }
      const described = await mapConcurrently(shown, context.settings.concurrency, async (tag) => ({
        tag,
        ...(await source.resolve(tag, { signal: context.signal })),
      }));
      const width = Math.max(0, ...shown.map((tag) => tag.length));
      context.output.result(
        described.map(
          ({ tag, digest, mediaType, size }) =>
            `${tag.padEnd(width)}  ${digest}  ${sizeText(size).padStart(10)}  ${mediaType}`,
        ),
        { repository, tags: described },
      );
    });
}

/** Tags that no person gave: the fallback index and cosign's (`sha256-…`), and ours (`_trust…`). */
function isMachineTag(tag: Tag): boolean {
  return /^sha(?:256|512)-[0-9a-f]{64,}/.test(tag) || tag === '_trust' || tag.startsWith('_trust.');
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
