import { noTrustData } from '../../../actions/verify/notary.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import type { NotaryPin } from '../../../notary/pin.ts';
import { verifyNotaryRepository } from '../../../notary/repository.ts';
import { rootKeysOf } from '../../../notary/root-chain.ts';
import { checkGun } from '../../../notary-client/gun.ts';
import {
  gunOf,
  type NotaryFlags,
  notaryMemory,
  notaryPinOf,
  notaryPins,
  openNotarySource,
  parseGun,
  showNotary,
} from '../../flags/notary-flags.ts';
import { rootKeyJson } from '../../render/notary-text.ts';
import type { Context } from '../../shell/context.ts';

type Flags = NotaryFlags & { readonly notary: string };

/**
 * Shows the root keys of a Notary repository, or pins what the flags say; a pin must fit what is served.
 * `--tofu` pins the root keys that are there now.
 */
export async function pinNotary(context: Context, text: string, flags: Flags): Promise<void> {
  const given = await notaryPinOf(context, flags);
  if (text.endsWith('/*')) return await pinPrefix(context, text, given);
  if (given === undefined) return await showRootKeys(context, text, flags);
  const reference = parseGun(text);
  const gun = gunOf(reference, flags.collection);
  const source = await openNotarySource(context, reference, gun, flags.notary);
  const options = {
    gun,
    now: context.io.now(),
    pin: given,
    allowExpired: true,
    wanted: () => false,
  } as const;
  const repository = await verifyNotaryRepository(source, options);
  if (repository === undefined) throw noTrustData(gun, source.place);
  const keyIds = rootKeysOf(repository.root.content).map(({ keyid }) => keyid);
  const pin: NotaryPin = given.kind === 'tofu' ? { kind: 'key-ids', keyIds } : given;
  await (await notaryPins(context)).set(gun, pin);
  // Whatever was seen there before is not what counts any more.
  await (await notaryMemory(context, source)).forget();
  context.output.info(`pinned ${gun}  ${describeNotaryPin(pin)}`);
  context.output.result([], {
    gun,
    place: source.place,
    keys: rootKeyJson(repository),
    pin: notaryPinJson(gun, pin),
  });
}

/** Every repository below a prefix: there is none to be asked whether the pin fits. */
async function pinPrefix(context: Context, text: string, pin: NotaryPin | undefined): Promise<void> {
  const scope = `${checkGun(text.slice(0, -2))}/*`;
  if (pin === undefined || pin.kind === 'tofu' || pin.kind === 'root')
    throw new BullaError('usage', `${scope} is pinned by root key ids, a public root key or an authority`, {
      hint: 'a root is of one repository: pin that by it',
    });
  await (await notaryPins(context)).set(scope, pin);
  context.output.info(`pinned ${scope}  ${describeNotaryPin(pin)}`);
  context.output.result([], { gun: null, place: null, keys: [], pin: notaryPinJson(scope, pin) });
}

async function showRootKeys(context: Context, text: string, flags: Flags): Promise<void> {
  const { repository, untrusted } = await showNotary(context, text, flags);
  const { gun, place, root } = repository;
  const keys = rootKeyJson(repository);
  context.output.result(
    keys.flatMap(({ keyid, pem }) =>
      [`KeyID: ${keyid}`, `Key: ${String(pem).trimEnd()}`].flatMap((part) => part.split('\n')),
    ),
    { gun, place, rootVersion: root.content.version, trusted: untrusted === undefined, keys, pin: null },
  );
  if (untrusted === undefined) return;
  const ids = keys.map(({ keyid }) => `--root-key-id ${keyid}`).join(' ');
  context.output.info(`to trust them: bulla pin ${gun} --notary ${flags.notary} ${ids}`);
}

/** Pins of Notary repositories, for `bulla pin ls`. */
export async function listNotaryPins(
  context: Context,
): Promise<{ readonly lines: readonly string[]; readonly json: readonly Record<string, unknown>[] }> {
  const pins = [...(await (await notaryPins(context)).list())];
  return {
    lines: pins.map(([gun, pin]) => `${gun}  notary: ${describeNotaryPin(pin)}`),
    json: pins.map(([gun, pin]) => notaryPinJson(gun, pin)),
  };
}

/** Removes the pin of a repository, and what was seen of it at a place; or the pin of a prefix. */
export async function removeNotaryPin(context: Context, text: string, flags: Flags): Promise<void> {
  const scope = text.endsWith('/*') ? text : gunOf(parseGun(text), flags.collection);
  const removed = await (await notaryPins(context)).remove(scope);
  const wasSeen = !text.endsWith('/*') && (await forget(context, text, flags));
  if (removed === undefined && !wasSeen)
    throw new BullaError('not-found', `there is no pin of ${scope} for Notary`, {
      hint: 'bulla pin ls lists them',
    });
  context.output.info(
    removed === undefined
      ? `forgot what was seen of ${scope}`
      : `removed ${scope}  ${describeNotaryPin(removed)}`,
  );
  context.output.result([], { scope, removed: removed === undefined ? null : notaryPinJson(scope, removed) });
}

/** @returns whether something was remembered of the repository at the place */
async function forget(context: Context, text: string, flags: Flags): Promise<boolean> {
  const reference = parseGun(text);
  try {
    const source = await openNotarySource(
      context,
      reference,
      gunOf(reference, flags.collection),
      flags.notary,
    );
    return await (await notaryMemory(context, source)).forget();
  } catch (error) {
    if (isBullaError(error, 'not-found', 'registry-unreachable')) return false;
    throw error;
  }
}

function describeNotaryPin(pin: NotaryPin): string {
  if (pin.kind === 'key-ids') return `root keys ${pin.keyIds.join(' ')}`;
  if (pin.kind === 'ca') return 'root keys certified by a CA';
  return pin.kind === 'root' ? 'a root file' : 'a public root key';
}

function notaryPinJson(scope: string, pin: NotaryPin): Record<string, unknown> {
  return {
    scope,
    kind: pin.kind,
    ...(pin.kind === 'key-ids' && { keyIds: pin.keyIds }),
    ...(pin.kind === 'root' && { root: Buffer.from(pin.bytes).toString('base64') }),
    ...((pin.kind === 'ca' || pin.kind === 'public-key') && { pem: pin.pem }),
  };
}
