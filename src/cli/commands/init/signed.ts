import { initSigned } from '../../../actions/change/init.ts';
import { readFileBounded } from '../../../disk/atomic.ts';
import { EXIT_CODES } from '../../../errors.ts';
import { Beginning, MAX_BEGINNING_BYTES } from '../../../trust/approve/beginning.ts';
import { openChangePlace, repositoryIn } from '../../flags/change-flags.ts';
import type { CollectionFlags } from '../../flags/collection-flags.ts';
import { type InitFlags, pinOwnRoot } from '../../flags/init-flags.ts';
import { printInit } from '../../render/init-text.ts';
import { confirmTyped } from '../../shell/confirm.ts';
import type { Context } from '../../shell/context.ts';

/** `bulla init --import-signed FILE` @returns the exit status */
export async function publishSigned(
  context: Context,
  text: string,
  flags: InitFlags & CollectionFlags,
): Promise<number> {
  const { io, output } = context;
  const path = flags.importSigned ?? '';
  const bytes = await readFileBounded(context.path(path), MAX_BEGINNING_BYTES, { pipes: true });
  const beginning = Beginning.parse(bytes, path, io.now());
  const reference = repositoryIn(text);
  const key = [...(flags.publisherKey ?? []), ...(flags.namesKey ?? []), ...(flags.onlineKey ?? [])];
  const place = await openChangePlace(context, reference, flags, { ...flags, key });
  const known = flags.rootKeyId ?? (await agreedKeys(context, beginning));
  const made = await initSigned(place, beginning, known, flags.replace);
  await pinOwnRoot(context, reference, flags, { place, made });
  await printInit(output, place, made, new Set());
  return made.stage === undefined ? 0 : EXIT_CODES.staged;
}

/** The root keys that a person has compared with the record of the ceremony. @throws BullaError usage, interrupted */
async function agreedKeys(context: Context, beginning: Beginning): Promise<readonly string[]> {
  const { id } = beginning;
  if (id === undefined) return [];
  const signers = beginning.rootSigners();
  context.output.told([
    `${beginning.name}  collection ${id}`,
    ...signers.map((keyid) => `  root is signed by ${keyid}`),
  ]);
  await confirmTyped(
    context.io,
    'Compare it with the record, and type the first 16 digits of the collection: ',
    {
      expected: id.slice(0, 16),
      isAgreed: false,
      hint: 'give the root keys of the record: --root-key-id, once for each',
    },
  );
  return signers;
}
