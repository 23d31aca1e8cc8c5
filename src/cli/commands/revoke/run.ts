import { revoke as revokeNames } from '../../../actions/change/revoke.ts';
import { shellWord } from '../../../encoding/shell-word.ts';
import { BullaError } from '../../../errors.ts';
import { formatRepository, type Tag } from '../../../oci/reference.ts';
import { openChangePlace } from '../../flags/change-flags.ts';
import type { NamingFlags } from '../../flags/naming-flags.ts';
import { type NamedReference, readReferences } from '../../flags/reference-list.ts';
import { publishedJson, versionText } from '../../render/sign-text.ts';
import type { Context } from '../../shell/context.ts';

export interface RevokeFlags extends NamingFlags {
  readonly from?: string;
}

/** `bulla revoke` */
export async function revoke(context: Context, texts: readonly string[], flags: RevokeFlags): Promise<void> {
  const references = await readReferences(context, texts, flags.from, flags);
  const tags = new Set(references.map(tagOf));
  const [{ reference }] = references;
  const place = await openChangePlace(context, reference, flags, flags);
  const revoked = await revokeNames(place, reference, tags, flags.signer);
  const { output } = context;
  const version = versionText(revoked.collection);
  const repository = formatRepository(reference);
  for (const { tag, wasNamed, others } of revoked.names) {
    if (wasNamed) output.info(`${repository}:${tag} is revoked as of version ${version}`);
    else output.warn(`${revoked.role} did not name ${tag}; the revocation is logged anyway`);
    for (const other of others)
      output.warn(
        `${tag} is still named by ${other}: bulla revoke --signer ${shellWord(other)} ${repository}:${tag}`,
      );
  }
  output.result(
    revoked.names.map(({ tag }) => `${repository}:${tag}`),
    {
      names: revoked.names.map(({ tag, wasNamed }) => ({ tag, wasNamed })),
      collection: publishedJson({ ...revoked, changes: revoked.ids }),
    },
  );
}

/** @throws BullaError usage where a reference names no tag */
function tagOf({ text, reference }: NamedReference): Tag {
  if (reference.tag !== undefined && reference.digest === undefined) return reference.tag;
  throw new BullaError('usage', `${text} is not a name, and only names can be revoked`, {
    hint: 'give a tag: REPO:v1. Signatures of an image are removed by bulla signature rm',
  });
}
