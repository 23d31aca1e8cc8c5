import { importNotary } from '../../../actions/import-notary/import.ts';
import { type VerifiedNotary, verifySource } from '../../../actions/import-notary/verify-source.ts';
import { BullaError } from '../../../errors.ts';
import type { NotarySource } from '../../../notary/source.ts';
import type { RegistryReference } from '../../../oci/reference.ts';
import { DockerPassphrases } from '../../docker-trust/passphrases.ts';
import { openCollection } from '../../flags/collection-flags.ts';
import { makeMissingKeys, wishOf } from '../../flags/init-flags.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import {
  gunOf,
  type NotaryFlags,
  notaryTrust,
  openNotarySource,
  parseGun,
} from '../../flags/notary-flags.ts';
import { publishPortsOf } from '../../flags/publish-flags.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import { printImport } from '../../render/import-text.ts';
import type { Context } from '../../shell/context.ts';
import { type LoadedKeys, loadDockerKeys } from './docker-keys.ts';

/** Flags of `bulla import notary`. */
export interface ImportFlags extends Omit<NotaryFlags, 'notary' | 'collection'>, Omit<KeyFlags, 'key'> {
  readonly server?: string;
  readonly from?: string;
  readonly gun?: string;
  readonly at?: string;
  readonly collection?: string;
  readonly keys?: string;
  readonly rootKey?: readonly string[];
  readonly publisherKey?: readonly string[];
  readonly onlineKey?: readonly string[];
  readonly allowExpired?: true;
  readonly check?: true;
  readonly update?: true;
  readonly dryRun?: true;
}

/** `bulla import notary` */
export async function importFromNotary(context: Context, text: string, flags: ImportFlags): Promise<void> {
  refuseTogether(flags);
  const { check, update, dryRun, keys: directory, ...rest } = flags;
  const reference = parseGun(text);
  const verified = await verifiedBy(context, reference, flags);
  const where = placeFlags(flags);
  const write = check !== true && dryRun !== true;
  const { place, repository, name, target, read } = await openCollection(context, reference, where, {
    write,
  });
  let loaded: LoadedKeys | undefined;
  const result = await importNotary(
    {
      ...{ place, repository, name, target, read },
      publish: await publishPortsOf(context, {}),
      named: wishOf(flags).keys,
      concurrency: context.settings.concurrency,
      images: () => context.openSource(reference),
      pinned: (rootKeyId) => openCollection(context, reference, { ...where, rootKeyId }),
      oldKeys: async (plan) => {
        if (directory !== undefined) loaded = await loadDockerKeys(context, directory, plan, rest);
        return loaded;
      },
      keys: (specs, hasOld) => keysAtHand(context, { ...rest, ...variablesOf(hasOld), key: specs }),
      makeMissing: async (specs, hasOld) => {
        await makeMissingKeys(context, { ...rest, ...variablesOf(hasOld) }, specs);
      },
    },
    verified,
    { mode: check === true ? 'check' : update === true ? 'update' : 'import', dryRun },
  );
  printImport(context.output, verified, place, result, loaded);
}

/** Docker's keys have docker's variables for their passphrases. */
function variablesOf(hasOld: boolean): Pick<KeyFlags, 'variables'> {
  return hasOld ? { variables: new DockerPassphrases().variables } : {};
}

async function verifiedBy(
  context: Context,
  reference: RegistryReference,
  flags: ImportFlags,
): Promise<VerifiedNotary> {
  const gun = gunOf(reference, flags.gun);
  const source = await sourceOf(context, reference, gun, flags);
  return await verifySource(source, {
    gun,
    place: flags.from === undefined ? source.place : 'saved trust data',
    trust: await notaryTrust(context, gun, source, trustFlags(flags)),
    allowExpired: flags.allowExpired,
    onWarning: (message) => context.output.warn(message),
  });
}

async function sourceOf(
  context: Context,
  reference: RegistryReference,
  gun: string,
  { from, server }: ImportFlags,
): Promise<NotarySource> {
  if (from === undefined) return await openNotarySource(context, reference, gun, server ?? 'auto');
  const { findNotaryDirectory } = await import('../../../notary-client/directory.ts');
  return findNotaryDirectory(context.path(from), gun);
}

function trustFlags({ root, rootKeyId, rootCa, notaryRootKey, tofu }: ImportFlags): NotaryFlags {
  return {
    ...(root !== undefined && { root }),
    ...(rootKeyId !== undefined && { rootKeyId }),
    ...(rootCa !== undefined && { rootCa }),
    ...(notaryRootKey !== undefined && { notaryRootKey }),
    ...(tofu !== undefined && { tofu }),
  };
}

function placeFlags({ at, collection }: ImportFlags): { at?: string; collection?: string } {
  return { ...(at !== undefined && { at }), ...(collection !== undefined && { collection }) };
}

function refuseTogether({ check, update, dryRun, from, server }: ImportFlags): void {
  if (check === true && (update === true || dryRun === true))
    throw new BullaError('usage', '--check goes with neither --update nor --dry-run', {
      hint: 'it changes nothing; run it after the others',
    });
  if (from !== undefined && server !== undefined)
    throw new BullaError('usage', '--from and --server exclude each other', {
      hint: 'give the directory, or the server',
    });
}
