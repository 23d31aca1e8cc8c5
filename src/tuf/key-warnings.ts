import type { Root } from './root.ts';

/**
 * What is odd about the keys of a root and does not make it invalid: ids that are not their key's hash
 * (TUF 1.0.34 §4.3 wants them checked; a public root of sigstore's has one that is not), and keys that
 * cannot be used here.
 */
export function* keyIdWarnings(root: Root): Generator<string> {
  const used = [...new Set([...root.roles.values()].flatMap(({ keyids }) => keyids))];
  const unlisted = used.filter((keyid) => root.keys.get(keyid) === undefined);
  const other = used.filter((keyid) => root.keys.get(keyid)?.hasCorrectId === false);
  if (unlisted.length > 0)
    yield `root gives roles ${several(unlisted)} and does not list ${unlisted.length === 1 ? 'it' : 'them'}`;
  if (other.length > 0)
    yield `root lists ${several(other)} under ${other.length === 1 ? 'an id' : 'ids'} other than the hash; signatures by ${other.length === 1 ? 'it' : 'them'} count`;
}

/** Ids that are named in a warning; the rest are counted. */
const MAX_NAMED = 3;

function several(keyids: readonly string[]): string {
  const digits = keyids.length === 1 ? 64 : 12;
  const named = keyids
    .slice(0, MAX_NAMED)
    .map((keyid) => JSON.stringify(keyid.slice(0, digits)).slice(1, -1));
  const rest = keyids.length > MAX_NAMED ? `, and ${keyids.length - MAX_NAMED} more` : '';
  return `${keyids.length === 1 ? 'the key' : `${keyids.length} keys`} (${named.join(', ')}${rest})`;
}
