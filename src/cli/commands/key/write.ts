import { resolve } from 'node:path';
import { writeFileAtomic } from '../../../disk/atomic.ts';
import { utf8 } from '../../../encoding/bytes.ts';
import type { Context } from '../../shell/context.ts';

export interface OutFlags {
  readonly out?: string;
  readonly force?: boolean;
}

/**
 * Puts PEM text where it is wanted: into `--out`, which is not replaced without `--force`, or to
 * standard output.
 * @param secret whether only the owner may read the file
 */
export async function writePem(
  context: Context,
  pem: string,
  flags: OutFlags,
  json: Readonly<Record<string, unknown>> = {},
  secret = false,
): Promise<void> {
  if (flags.out === undefined) {
    context.output.result(pem.trimEnd().split('\n'), { ...json, pem });
    return;
  }
  const path = resolve(context.io.cwd, flags.out);
  await writeFileAtomic(path, utf8(pem), { mode: secret ? 0o600 : 0o644, exclusive: flags.force !== true });
  context.output.result(flags.out, { ...json, file: path });
}
