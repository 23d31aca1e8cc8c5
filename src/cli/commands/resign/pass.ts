import { dirname } from 'node:path';
import type { Command } from 'commander';
import type { PassOptions, PassReport } from '../../../actions/renew/pass.ts';
import { parseShard } from '../../../actions/renew/shard.ts';
import { BullaError, EXIT_CODES } from '../../../errors.ts';
import { formatRepository, parseReference, type Reference } from '../../../oci/reference.ts';
import { type CollectionFlags, openCollection } from '../../flags/collection-flags.ts';
import type { TrustKeyFlags } from '../../flags/key-flags.ts';
import { publishPortsOf, servedHeadOf } from '../../flags/publish-flags.ts';
import { complaintsOf, jsonOf, lineOf } from '../../render/resign-text.ts';
import type { Context } from '../../shell/context.ts';

export interface ResignFlags extends CollectionFlags, TrustKeyFlags {
  readonly config?: string;
  readonly all?: true;
  readonly shard?: string;
  readonly renew?: true;
  readonly trustServedHead?: string;
}

/** @returns the exit status: 0 where all are fresh, else that of the worst outcome */
export async function resign(
  context: Context,
  command: Command,
  repositories: readonly string[],
  flags: ResignFlags,
): Promise<number> {
  checkFlags(repositories, flags);
  const { output, signal } = context;
  const how: HowToPass = {
    ...{ renew: flags.renew, signal },
    onResult: (result) => {
      for (const line of complaintsOf(result)) output.warn(line);
    },
  };
  const report =
    flags.config === undefined
      ? await ownPass(context, repositories, flags, how)
      : await configuredPass(context, command, repositories, flags, flags.config, how);
  output.result(report.results.map(lineOf), jsonOf(report));
  return report.worst === undefined ? 0 : EXIT_CODES[report.worst];
}

type HowToPass = Pick<PassOptions, 'renew' | 'signal' | 'onResult'>;

function checkFlags(repositories: readonly string[], flags: ResignFlags): void {
  const { config, all, shard, trustServedHead } = flags;
  const refuse = (message: string, hint: string): never => {
    throw new BullaError('usage', message, { hint });
  };
  if (all === true && config === undefined)
    refuse('--all needs a configuration', 'give --config FILE, or name the repositories');
  if (all === true && repositories.length > 0)
    refuse('--all and single repositories are mutually exclusive', 'leave one of them out');
  if (all !== true && repositories.length === 0)
    refuse('no repository given', 'name HOST/REPOSITORY, or give --config FILE --all');
  if (shard !== undefined && all !== true) refuse('--shard requires --all', 'add --config FILE --all');
  if (trustServedHead !== undefined && repositories.length !== 1)
    refuse('--trust-served-head applies to one collection', 'give only that repository');
  const ignored = config === undefined ? undefined : OWN_FLAGS.find((name) => flags[name] !== undefined);
  if (ignored !== undefined)
    refuse(
      'with --config, the file says where collections lie and which root keys are trusted',
      'leave those flags out',
    );
}

/** Flags that are about the collections of the person who runs it. */
const OWN_FLAGS = ['at', 'collection', 'root', 'rootKeyId', 'rootCa', 'tofu', 'maxStaleness'] as const;

/** Collections of this user: by pins and memory of the command line, with the keys that the roots list. */
async function ownPass(
  context: Context,
  repositories: readonly string[],
  flags: ResignFlags,
  how: HowToPass,
): Promise<PassReport> {
  const [{ resignOwn }, { keysAtHand }] = await Promise.all([
    import('../../../actions/renew/own.ts'),
    import('../../flags/trust-keys.ts'),
  ]);
  const keys = keysAtHand(context, flags);
  const own = {
    open: (place: string) => openCollection(context, parseReference(place), flags, { write: true }),
    keys,
    // The old key and the new one: the change that replaces one by the other needs both.
    named: async () => await Promise.all((flags.key ?? []).map((spec) => keys.signer(spec))),
    publish: await publishPortsOf(context, flags),
  };
  const { concurrency } = context.settings;
  return await resignOwn(placesOf(await named(context, repositories)), own, { ...how, concurrency });
}

/** The repositories of a command line, in which `HOST/PREFIX/*` means all below that have a collection. */
async function named(context: Context, texts: readonly string[]): Promise<readonly string[]> {
  if (!texts.some((text) => text.endsWith('/*'))) return texts;
  const { collectionsOf } = await import('../../flags/repositories.ts');
  const found: string[] = [];
  for (const text of texts)
    found.push(...(text.endsWith('/*') ? await collectionsOf(context, text, {}) : [text]));
  return found;
}

/** `HOST/REPOSITORY` of references of the command line, to be connected to: a port stays. */
function placesOf(texts: readonly string[]): readonly string[] {
  const places = texts.map((text) => {
    const { tag: _, digest: __, ...place } = parseReference(text);
    return formatRepository(place as Reference);
  });
  return [...new Set(places)];
}

async function configuredPass(
  context: Context,
  command: Command,
  repositories: readonly string[],
  flags: ResignFlags,
  file: string,
  how: HowToPass,
): Promise<PassReport> {
  const [{ readResignerConfig }, { resignConfigured }, { wireResigner }] = await Promise.all([
    import('../../../servers/resigner/config.ts'),
    import('../../../servers/resigner/pass.ts'),
    import('../serve/wiring.ts'),
  ]);
  const path = context.path(file);
  const config = await readResignerConfig(path);
  const { key, ...rest } = flags;
  const [first] = key ?? [];
  const wiring = wireResigner(context, command, { ...rest, ...(first !== undefined && { key: first }) });
  const signers = await (key === undefined
    ? wiring.openSigners(config.keys, dirname(path))
    : wiring.openSigners(key));
  const pass = {
    ...{ ...how, config, signers },
    places: flags.all === true ? undefined : placesOf(repositories),
    shard: flags.shard === undefined ? undefined : parseShard(flags.shard),
    trustServedHead: servedHeadOf(flags.trustServedHead),
    onWarning: (message: string) => context.output.warn(message),
  };
  return await resignConfigured(pass, wiring);
}
