import { type Naming, noCollection, openNaming, publishNaming } from '../../../actions/sign/names.ts';
import { BullaError } from '../../../errors.ts';
import { formatRepository, type Tag } from '../../../oci/reference.ts';
import { openChangePlace } from '../../flags/change-flags.ts';
import type { NamingFlags } from '../../flags/naming-flags.ts';
import { type NamedReference, readReferences } from '../../flags/reference-list.ts';
import { shellWord } from '../../render/shell-word.ts';
import { publishedJson, versionText } from '../../render/sign-text.ts';
import type { Context } from '../../shell/context.ts';

export interface RevokeFlags extends NamingFlags {
  readonly from?: string;
}

/** What `bulla revoke` does: takes names out, also such as are not there, so that nothing brings them back. */
export async function revoke(context: Context, texts: readonly string[], flags: RevokeFlags): Promise<void> {
  const references = await readReferences(context, texts, flags.from, flags);
  const tags = new Set(references.map(tagOf));
  const [{ reference }] = references;
  const place = await openChangePlace(context, reference, flags, flags);
  const naming = await openNaming(place, flags.signer);
  if (naming === undefined) throw noCollection(reference);
  const present = await presentIn(naming, tags);
  const published = await publishNaming(naming, [{ role: naming.role, unset: tags }]);
  const { output } = context;
  const version = versionText(published.collection);
  const repository = formatRepository(reference);
  for (const tag of tags) {
    if (present.has(tag)) output.info(`${repository}:${tag} is revoked as of version ${version}`);
    else output.warn(`${naming.role} did not name ${tag}; the revocation is logged anyway`);
    for (const other of await otherRoles(published.collection, naming.role, tag))
      output.warn(
        `${tag} is still named by ${other}: bulla revoke --signer ${shellWord(other)} ${repository}:${tag}`,
      );
  }
  output.result(
    [...tags].map((tag) => `${repository}:${tag}`),
    {
      names: [...tags].map((tag) => ({ tag, wasNamed: present.has(tag) })),
      collection: publishedJson({
        place: place.place,
        role: naming.role,
        ...published,
        changes: published.ids,
      }),
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

/** Those of the tags that the role names now. */
async function presentIn({ collection, role }: Naming, tags: Iterable<Tag>): Promise<ReadonlySet<Tag>> {
  const present = new Set<Tag>();
  for (const tag of tags)
    for await (const _ of collection.client.findTargets(tag, { through: role })) {
      present.add(tag);
      break;
    }
  return present;
}

/** Other roles that still name a tag. */
async function otherRoles(
  { client }: Naming['collection'],
  role: string,
  tag: Tag,
): Promise<readonly string[]> {
  const { trusted } = client;
  const targets = trusted.knownRole('targets', trusted.targetsDelegator());
  const roles = (targets?.content.delegations?.roles ?? []).map(({ name }) => name);
  const naming: string[] = [];
  for (const other of roles.filter((name) => name !== role)) {
    for await (const _ of client.findTargets(tag, { through: other })) {
      naming.push(other);
      break;
    }
  }
  return naming;
}
