import { isJsonObject, type JsonObject, type JsonValue } from '../../encoding/json.ts';
import type { CollectionEdit } from '../../trust/change/collection-edit.ts';
import { BINDING } from '../../trust/format/binding.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';

/** Member of `bulla` in targets that remembers what `docker-trust` made (spec/docker-trust.md, "In targets"). */
const MEMBER = 'docker';

/** What targets remembers for `docker-trust`; the lists hold ids of keys. */
export interface DockerKeys {
  /** Keys of `names` that are there because they are a signer's: docker's `targets/releases`. */
  readonly releases: ReadonlySet<string>;
  /** Keys that signed the empty first file of a signer, and do not exist any more. */
  readonly starters: ReadonlySet<string>;
}

/** What the targets of a verified collection say. */
export function dockerKeysIn(copy: WorkingCopy): DockerKeys {
  return dockerKeysOf(copy.files.roles.get('targets')?.signed[BINDING]);
}

/** Writes it into the targets of a change; nothing where there is nothing to remember. */
export function writeDockerKeys(edit: CollectionEdit, { releases, starters }: DockerKeys): void {
  const { json } = edit.edit.targets('targets');
  const { [MEMBER]: _, ...rest } = (json[BINDING] ?? {}) as JsonObject;
  const kept: JsonObject = {
    ...(releases.size > 0 && { releases: [...releases].sort() }),
    ...(starters.size > 0 && { starters: [...starters].sort() }),
  };
  json[BINDING] = Object.keys(kept).length === 0 ? rest : { ...rest, [MEMBER]: kept };
}

function dockerKeysOf(binding: JsonValue | undefined): DockerKeys {
  const member = isJsonObject(binding) ? binding[MEMBER] : undefined;
  const list = (name: string): ReadonlySet<string> => {
    const value = isJsonObject(member) ? member[name] : undefined;
    return new Set(Array.isArray(value) ? value.filter((id) => typeof id === 'string') : []);
  };
  return { releases: list('releases'), starters: list('starters') };
}
