import { type Command, InvalidArgumentError } from 'commander';
import { noCollection } from '../../actions/inspect/collection.ts';
import { BullaError } from '../../errors.ts';
import { isSamePlace, placeNamed } from '../../oci/place.ts';
import { formatRepository, parseReference, type Reference } from '../../oci/reference.ts';
import { bindingCheck, rootBindingOf } from '../../trust/format/binding.ts';
import { anchorFor } from '../../trust/read/bootstrap.ts';
import { readCollection } from '../../trust/read/collection.ts';
import { ProcessMemory } from '../../trust/read/memory.ts';
import { checkCollectionName, checkPin, type Pin, type PinnedTrust } from '../../trust/read/pin.ts';
import { TrustedMetadata } from '../../tuf/trusted-metadata.ts';
import { openCollection, trustFromFlags } from '../flags/collection-flags.ts';
import type { NotaryFlags } from '../flags/notary-flags.ts';
import { collectKeyIds } from '../flags/values.ts';
import type { Cli, Context } from '../shell/context.ts';
import { pinFile, repositoryOf, trustMemory } from '../shell/trust-stores.ts';

interface PinFlags {
  readonly root?: string;
  readonly rootKeyId?: readonly string[];
  readonly ca?: string;
  readonly tofu?: true;
  readonly collection?: string;
  readonly at?: string;
  readonly minRootVersion?: number;
  readonly notary?: string;
  readonly notaryRootKey?: string;
}

export function register(program: Command, cli: Cli): void {
  const pin = program
    .command('pin')
    .summary('configure the trust root of a repository')
    .description(
      'Pins the root of a trust collection: by a root file, by ids of root keys, by a CA that certifies them, ' +
        'or by trust on first use. HOST/PREFIX/* applies to every repository below a prefix. ' +
        'Without any of these, it shows the ids of the root keys found in the registry, for comparison and pinning. ' +
        'With --notary it pins the trust data in Notary v1, whose root keys are also shown in PEM; --tofu pins the current ones.',
    )
    .argument('<repository>', 'repository, or HOST/PREFIX/*')
    .option('--root <file>', 'root metadata, any version of the chain')
    .option('--root-key-id <id>', 'id of a root key; repeatable', collectKeyIds)
    .option('--ca <file>', 'certificates of CAs that certify the root keys (PEM)')
    .option('--tofu', 'trust on first use: pin the root keys that are found first')
    .option('--collection <name>', 'HOST/REPOSITORY that the collection was made for, if this is a copy')
    .option('--at <repository>', 'place of the trust collection, if not the repository itself')
    .option('--min-root-version <n>', 'refuse older roots, even without memory', rootVersion)
    .option('--notary <url>', 'root keys of Notary v1: URL of a server, auto, or a directory')
    .option('--notary-root-key <file>', 'public root key of the Notary repository (PEM)')
    .action(async (text: string, flags: PinFlags, command: Command) => {
      const context = await cli.open(command);
      if (flags.notary === undefined) return await add(context, text, flags);
      const { pinNotary } = await import('./pin/notary.ts');
      await pinNotary(context, text, notaryFlags(flags, flags.notary));
    });
  pin
    .command('ls')
    .summary('list the pins')
    .action(async (_flags: unknown, command: Command) => {
      await list(await cli.open(command));
    });
  pin
    .command('rm')
    .summary('remove a pin, and forget which collection was seen there')
    .argument('<scope>', 'repository, or HOST/PREFIX/*, as bulla pin ls shows it')
    .action(async (text: string, _flags: unknown, command: Command) => {
      const context = await cli.open(command);
      const { notary, ...flags } = command.optsWithGlobals<PinFlags>();
      if (notary === undefined) return await remove(context, text);
      const { removeNotaryPin } = await import('./pin/notary.ts');
      await removeNotaryPin(context, text, notaryFlags(flags, notary));
    });
}

function notaryFlags(
  { ca, at, minRootVersion, ...flags }: PinFlags,
  notary: string,
): NotaryFlags & { notary: string } {
  if (at === undefined && minRootVersion === undefined)
    return { ...flags, notary, ...(ca !== undefined && { rootCa: ca }) };
  throw new BullaError('usage', '--at and --min-root-version say nothing about trust data of Notary', {
    hint: 'leave them out, or pin the trust collection: leave --notary out',
  });
}

function rootVersion(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a positive integer.');
}

async function add(context: Context, text: string, flags: PinFlags): Promise<void> {
  const { ca, collection, minRootVersion } = flags;
  const scope = scopeOf(context, text);
  const trust = await trustFromFlags(context, { ...flags, ...(ca !== undefined && { rootCa: ca }) });
  if (trust === undefined) return await showRootKeys(context, text, flags);
  const at = flags.at === undefined ? undefined : connectable(context, parseReference(flags.at));
  const pin = checkPin({ scope, trust, minRootVersion, collection, at });
  if (trust.kind === 'root') checkRootFile(trust.bytes, collection ?? scope, context.io.now());
  await (await pinFile(context)).set(pin);
  // Whatever was seen there before is not what counts any more.
  await (await trustMemory(context)).forget(at ?? scope);
  context.output.info(`pinned ${describePin(pin)}`);
  context.output.result([], { pin: pinJson(pin) });
}

/** A pin that could never fit is noticed where it is made. */
function checkRootFile(bytes: Uint8Array, name: string, now: Date): void {
  const { file } = new TrustedMetadata(bytes, now).root;
  bindingCheck(rootBindingOf(file).id, (collection) => isSamePlace(collection, name))(file);
}

async function showRootKeys(context: Context, text: string, flags: PinFlags): Promise<void> {
  const reference = parseReference(text);
  const { at, collection } = flags;
  const { target, read, repository, place } = await openCollection(context, reference, {
    ...(at !== undefined && { at }),
    ...(collection !== undefined && { collection: checkCollectionName(collection) }),
  });
  const { now, isNamed } = read;
  const unpinned = anchorFor({ repository, isNamed, now, isUnattended: true });
  await readCollection(target, { ...read, ...unpinned, memory: new ProcessMemory(), isDemanded: false });
  throw noCollection(place);
}

async function list(context: Context): Promise<void> {
  const pins = [...(await (await pinFile(context)).list()).values()];
  const { listNotaryPins } = await import('./pin/notary.ts');
  const notary = await listNotaryPins(context);
  context.output.result([...pins.map(describePin), ...notary.lines], {
    pins: pins.map(pinJson),
    notary: notary.json,
  });
}

async function remove(context: Context, text: string): Promise<void> {
  const scope = scopeOf(context, text);
  const removed = await (await pinFile(context)).remove(scope);
  const memory = await trustMemory(context);
  const place = removed?.at ?? scope;
  const wasSeen = (await memory.seen(place).catch(() => 'damaged')) !== undefined;
  if (removed === undefined && !wasSeen)
    throw new BullaError('not-found', `there is no pin of ${scope}`, {
      hint: 'bulla pin ls lists them; a repository below a pinned prefix has none of its own',
    });
  await memory.forget(place);
  context.output.info(
    removed === undefined ? `forgot what was seen at ${place}` : `removed ${describePin(removed)}`,
  );
  context.output.result([], { scope, removed: removed === undefined ? null : pinJson(removed) });
}

/** Where a collection lies, as it is to be connected to. */
function connectable(context: Context, reference: Reference): string {
  return reference.kind === 'registry' ? formatRepository(reference) : repositoryOf(context, reference);
}

/** `HOST/REPOSITORY` or `HOST/PREFIX/*` as the store has it. @throws BullaError usage */
function scopeOf(context: Context, text: string): string {
  const isPrefix = text.endsWith('/*');
  const bare = text.replace(/^docker:\/\//, '').slice(0, isPrefix ? -2 : undefined);
  // A host alone is a prefix too, and no reference.
  if (isPrefix && !bare.includes('/')) return placeNamed(`${bare}/*`);
  const reference = parseReference(bare);
  refuseOther(reference);
  return `${repositoryOf(context, reference)}${isPrefix ? '/*' : ''}`;
}

function refuseOther(reference: Reference): void {
  const { kind, tag, digest } = reference;
  if (kind === 'registry' && tag === undefined && digest === undefined) return;
  const what = kind === 'registry' ? 'an image' : 'a layout';
  throw new BullaError('usage', `${formatRepository(reference)}: pins are of repositories, not of ${what}`, {
    hint:
      kind === 'registry'
        ? 'leave the tag and the digest out'
        : 'pin the name of the collection, and read the copy with --collection HOST/REPOSITORY',
  });
}

function describePin(pin: Pin): string {
  const { scope, trust, minRootVersion, collection, at } = pin;
  return [
    `${scope}  ${describeTrust(trust)}`,
    ...(minRootVersion === undefined ? [] : [`root version at least ${minRootVersion}`]),
    ...(collection === undefined ? [] : [`collection ${collection}`]),
    ...(at === undefined ? [] : [`at ${at}`]),
  ].join('  ');
}

function describeTrust(trust: PinnedTrust): string {
  if (trust.kind === 'root') {
    const { file, content } = new TrustedMetadata(trust.bytes, new Date(0)).root;
    return `root file, version ${content.version} of collection ${rootBindingOf(file).id.slice(0, 12)}`;
  }
  if (trust.kind === 'key-ids') return `root keys ${trust.keyIds.join(' ')}`;
  return trust.kind === 'ca' ? 'root keys certified by a CA' : 'trust on first use';
}

function pinJson({ scope, trust, minRootVersion, collection, at }: Pin): Record<string, unknown> {
  return {
    scope,
    kind: trust.kind,
    ...(trust.kind === 'key-ids' && { keyIds: trust.keyIds }),
    ...(trust.kind === 'ca' && { ca: trust.pem }),
    ...(trust.kind === 'root' && { root: Buffer.from(trust.bytes).toString('base64') }),
    minRootVersion: minRootVersion ?? null,
    collection: collection ?? null,
    at: at ?? null,
  };
}
