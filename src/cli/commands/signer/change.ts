import { parseDuration } from '../../../encoding/time.ts';
import { BullaError } from '../../../errors.ts';
import { addSigner, removeSigner } from '../../../trust/change/role-changes.ts';
import { type ChangeFlags, changeCollection } from '../../changing.ts';
import type { Context } from '../../shell/context.ts';

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
  const lifetime = durationOf('--expires', flags.expires);
  const specs = flags.key ?? [];
  await changeCollection(context, repository, flags, {
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
  await changeCollection(context, repository, flags, { make: async () => removeSigner(named(name)) });
}

function named(name: string | undefined): string {
  if (name !== undefined) return name;
  throw new BullaError('usage', 'the name of the signer is missing', {
    hint: 'bulla signer add REPOSITORY NAME --key KEY; only with --import-signed there is none to give',
  });
}

/** A number of signatures. @throws BullaError usage */
export function countOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined || /^[1-9][0-9]?$/.test(text)) return text === undefined ? undefined : Number(text);
  throw new BullaError('usage', `${flag} ${JSON.stringify(text)} is no number from 1 to 99`, {
    hint: 'say how many keys have to sign together',
  });
}

/** Milliseconds. @throws BullaError usage */
export function durationOf(flag: string, text: string | undefined): number | undefined {
  const milliseconds = text === undefined ? undefined : parseDuration(text);
  if (text === undefined || (milliseconds !== undefined && milliseconds >= 1000)) return milliseconds;
  throw new BullaError('usage', `${flag} ${JSON.stringify(text)} is no duration`, {
    hint: 'write 90d, 1y, 12h',
  });
}
