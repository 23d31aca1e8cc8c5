import type { Root } from './root.ts';

/**
 * What is odd about the keys of a root and does not make it invalid: ids that are not their key's hash
 * (TUF 1.0.34 §4.3 wants them checked; a public root of sigstore's has one that is not), and keys that
 * cannot be used here.
 */
export function* keyIdWarnings(root: Root): Generator<string> {
  const used = new Set([...root.roles.values()].flatMap(({ keyids }) => keyids));
  for (const keyid of used) {
    const key = root.keys.get(keyid);
    const name = JSON.stringify(keyid.slice(0, 80));
    if (key === undefined) yield `root gives a role the key ${name} and does not list it`;
    else if (!key.hasCorrectId) yield `root lists a key under ${name}, and its id is ${key.computedId}`;
  }
}
