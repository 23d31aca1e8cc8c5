import { BullaError, EXIT_CODES } from '../../../errors.ts';
import { formatRepository, parseReference } from '../../../oci/reference.ts';
import { type InitFlags, makeAt } from '../../flags/init-flags.ts';
import { printInit } from '../../render/init-text.ts';
import type { Context } from '../../shell/context.ts';

/** `bulla init` @returns the exit status */
export async function init(context: Context, text: string, flags: InitFlags): Promise<number> {
  const reference = parseReference(text);
  if (reference.tag !== undefined || reference.digest !== undefined)
    throw new BullaError('usage', `${text} names an image, and a repository was expected`, {
      hint: `a collection is made for all names of a repository: bulla init ${formatRepository(reference)}`,
    });
  const { made, place, generated } = await makeAt(context, reference, flags);
  await printInit(context.output, place, made, generated);
  return made.stage === undefined && made.handOver === undefined ? 0 : EXIT_CODES.staged;
}
