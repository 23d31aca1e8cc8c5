import { isWholeId } from '../../../trust/approve/change-id.ts';
import type { CollectionFlags } from '../../flags/collection-flags.ts';
import type { TrustKeyFlags } from '../../flags/key-flags.ts';
import type { PublishFlags } from '../../flags/publish-flags.ts';
import type { Output } from '../../shell/output.ts';

export interface ApproveFlags extends CollectionFlags, PublishFlags, TrustKeyFlags {
  readonly out?: string;
  readonly dryRun?: true;
  readonly yes?: true;
  /** Id of the one change that may be signed. */
  readonly change?: string;
}

/** Shows what is to be signed. A user who gave the whole id of the change may hide it (`-q`, JSON). */
export function tellWhole(output: Output, named: string | undefined, lines: readonly string[]): void {
  const isNamed = named !== undefined && isWholeId(named);
  if (!isNamed || !(output.options.quiet || output.options.json)) output.told(lines);
}
