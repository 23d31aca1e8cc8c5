import { BullaError } from '../../errors.ts';
import { formatRepository, type Reference } from '../../oci/reference.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { makeAt } from '../flags/init-flags.ts';
import type { Context } from '../shell/context.ts';
import { DockerPassphrases } from './passphrases.ts';
import { type DockerTrustFlags, type OpenedTrust, openTrust } from './place.ts';

/**
 * Makes the collection of a repository that has none, as docker initialises one: with the keys of the key
 * store, or with new ones.
 * @throws BullaError staged where the private online key is elsewhere; as makeAt
 */
export async function makeTrust(
  context: Context,
  reference: Reference,
  flags: DockerTrustFlags,
): Promise<OpenedTrust & { readonly copy: WorkingCopy }> {
  const { signWith: _, ...rest } = flags;
  const { variables } = new DockerPassphrases();
  const { made } = await makeAt(context, reference, { ...rest, variables });
  const repository = formatRepository(reference);
  if (made.stage !== undefined)
    throw new BullaError(
      'staged',
      `the first head of ${repository} waits for the online key as ${made.stage}`,
      {
        hint: `where that key is: bulla init ${repository} --complete --root-key-id KEYID`,
        details: { stage: made.stage },
      },
    );
  context.output.info(
    `others pin the root key before they verify: bulla pin ${repository} (shows it); keep a copy of it elsewhere`,
  );
  for (const sentence of made.shortcomings) context.output.warn(`${repository}: ${sentence}`);
  const opened = await openTrust(context, reference, flags);
  if (opened.copy !== undefined) return { ...opened, copy: opened.copy };
  throw new BullaError('registry-error', `the collection of ${repository} was written, and is not there`, {
    hint: 'run the command again; if it stays so, the registry loses what it acknowledges',
  });
}
