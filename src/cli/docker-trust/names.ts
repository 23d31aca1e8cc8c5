import { BullaError } from '../../errors.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';

/** Names that docker takes for keys and signers; they become names of files here, so they are not longer. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/** @throws BullaError usage */
export function checkDockerKeyName(name: string): string {
  if (NAME.test(name)) return name;
  throw badName('key', name);
}

/** @throws BullaError usage */
export function checkSignerName(name: string): string {
  if (!NAME.test(name)) throw badName('signer', name);
  if (name === 'releases' || name === NAMES_ROLE || isTopLevelRole(name))
    throw new BullaError('usage', `${name} is a reserved keyword, use a different signer name`, {
      hint: 'choose the name of a person, a team or a machine, such as alice or ci',
    });
  return name;
}

function badName(what: 'key' | 'signer', name: string): BullaError {
  return new BullaError(
    'usage',
    `${what} name ${JSON.stringify(name.slice(0, 80))} must start with lowercase alphanumeric characters and can include "-" or "_" after the first character`,
    { hint: 'use up to 64 characters, such as alice or build-7' },
  );
}
