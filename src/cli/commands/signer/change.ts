import { BullaError } from '../../../errors.ts';
import { addSigner, removeSigner } from '../../../trust/change/role-changes.ts';
import type { ChangeFlags } from '../../flags/change-flags.ts';
import { countOf, lifetimeOf } from '../../flags/values.ts';
import type { Context } from '../../shell/context.ts';
import { runChange } from '../change/run.ts';

export interface SignerFlags extends ChangeFlags {
  readonly key?: readonly string[];
  readonly threshold?: string;
  readonly path?: readonly string[];
  readonly expires?: string;
}

/** `bulla signer add` */
export async function add(
  context: Context,
  repository: string,
  name: string | undefined,
  flags: SignerFlags,
): Promise<void> {
  const threshold = countOf('--threshold', flags.threshold) ?? 1;
  const lifetime = lifetimeOf('--expires', flags.expires);
  const specs = flags.key ?? [];
  await runChange(context, repository, flags, {
    keys: specs,
    make: async (keys) => {
      if (specs.length === 0)
        throw new BullaError('usage', 'a signer needs a key', {
          hint: 'give its public key, as bulla key export --public writes it: --key alice.pub',
        });
      return addSigner({
        name: named(name),
        keys: await Promise.all(specs.map((spec) => keys.publicKey(spec))),
        threshold,
        paths: flags.path ?? ['*'],
        lifetime,
      });
    },
  });
}

/** `bulla signer rm` */
export async function remove(
  context: Context,
  repository: string,
  name: string | undefined,
  flags: SignerFlags,
): Promise<void> {
  await runChange(context, repository, flags, { make: async () => removeSigner(named(name)) });
}

function named(name: string | undefined): string {
  if (name !== undefined) return name;
  throw new BullaError('usage', 'the name of the signer is missing', {
    hint: 'bulla signer add REPOSITORY NAME --key KEY; only with --import-signed there is none to give',
  });
}
