import type { RecoveryKey } from './state.ts';
import type { RecoveryStep } from './steps.ts';

/** How a URI names a key, for the places where `bulla key generate --at` makes keys. */
const PLACES: readonly (readonly [
  pattern: RegExp,
  next: (head: string, name: string, tail: string) => string,
])[] = [
  // Of a token: its module and the rest stay; other attributes of the key go.
  [
    /^(pkcs11:[^?]*)(\?.*)?$/i,
    (head, name, tail) => {
      const kept = head
        .slice('pkcs11:'.length)
        .split(';')
        .filter((part) => !/^(?:object|id|type)=/i.test(part));
      return `pkcs11:${[...kept, `object=${name}`].filter((part) => part !== '').join(';')}${tail}`;
    },
  ],
  [/^((?:hashivault|openbao):\/\/(?:[^?]*\/)?)[^/?]*()(?:\?.*)?$/i, (head, name) => `${head}${name}`],
  [/^(awskms:\/\/[^/]*\/)[^?]*()$/i, (head, name) => `${head}alias/${name}`],
  [/^(gcpkms:\/\/.*\/cryptoKeys\/)[^/]+()(?:\/.*)?$/i, (head, name) => `${head}${name}`],
  [/^(azurekms:\/\/[^/]+\/)[^/]+()(?:\/.*)?$/i, (head, name) => `${head}${name}`],
];

/** Where a new key of that name would be kept beside a lost one; undefined where keys are made with other tools. */
export function placeBeside(uri: string, name: string): string | undefined {
  for (const [pattern, next] of PLACES) {
    const [, head, tail = ''] = pattern.exec(uri) ?? [];
    if (head !== undefined) return next(head, name, tail);
  }
  return undefined;
}

/**
 * The command that makes a new key where the lost one was kept.
 * @param name of the new key
 * @param why what it is for
 */
export function newKeyStep(
  name: string,
  why: string,
  lost: RecoveryKey | undefined,
  kept: ReadonlyMap<string, string> = new Map(),
): RecoveryStep {
  const uri = kept.get(lost?.name ?? '');
  const beside = uri === undefined ? undefined : placeBeside(uri, name);
  if (uri === undefined) return { command: ['bulla', 'key', 'generate', name], why };
  if (beside === undefined)
    return {
      command: ['bulla', 'key', 'generate', name],
      why: `${why}; or make it with other tools where the lost one was (${uri}), and run: bulla key import URI ${name}`,
    };
  return {
    command: ['bulla', 'key', 'generate', name, '--at', beside],
    why: `${why}, where the lost one was kept: first change the PIN or the credentials there`,
  };
}
