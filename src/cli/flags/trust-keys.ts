import { KeysAtHand } from '../../actions/sign/keys-at-hand.ts';
import { findKnownKey, storedKeys } from '../../keystore/known-keys.ts';
import type { Context } from '../shell/context.ts';
import type { KeyFlags } from './key-flags.ts';
import { keySources } from './keys.ts';

/**
 * The keys by which a command signs for roles of a collection: those of `--key` first, then BULLA_KEY (`key` of
 * config.yaml), then the key store's.
 */
export function keysAtHand(
  context: Context,
  { key = [], ...flags }: Omit<KeyFlags, 'key'> & { readonly key?: string | readonly string[] | undefined },
): KeysAtHand {
  const sources = keySources(context, flags);
  const places = {
    find: (spec: string) => findKnownKey(spec, sources),
    all: () =>
      storedKeys(sources, ({ name, problem }) =>
        context.output.warn(`the key ${name} cannot be read: ${problem.message}`),
      ),
  };
  return new KeysAtHand(places, typeof key === 'string' ? [key] : key, context.settings.defaultKey);
}
