import type { Attendee, CeremonyWork } from '../../../actions/change/ceremony.ts';
import { KeysAtHand } from '../../../actions/sign/keys-at-hand.ts';
import { BullaError } from '../../../errors.ts';
import type { KeyBackEnd, KeySources } from '../../../keystore/back-end.ts';
import { findKnownKey, storedKeys } from '../../../keystore/known-keys.ts';
import type { TufSigner } from '../../../tuf/edit/signing.ts';
import type { TrustKeyFlags } from '../../flags/key-flags.ts';
import { keySources } from '../../flags/keys.ts';
import { typedLine } from '../../shell/confirm.ts';
import type { Context } from '../../shell/context.ts';
import { printable } from '../../shell/output.ts';

export interface CeremonyFlags extends TrustKeyFlags {
  readonly person?: readonly string[];
  readonly record?: string;
  readonly yes?: true;
  readonly change?: string;
}

/** Someone at the ceremony. */
export interface Present extends Attendee {
  readonly spec: string;
}

export type SignersOf = (attendee: Present, work: CeremonyWork) => Promise<readonly TufSigner[]>;

/**
 * Who signs next: the keys of the command line in turn, as often as they have something to sign; without them, those
 * that the key store has; without `--yes`, the people at the terminal are asked for their keys.
 */
export function attendeesOf(
  context: Context,
  flags: CeremonyFlags,
  signersOf: SignersOf,
): (work: CeremonyWork) => Promise<Present | undefined> {
  const { key = [], person = [], yes } = flags;
  const named: Present[] = [];
  const present = async (work: CeremonyWork, spec: string, name: string | undefined): Promise<Present> => {
    const shown = shownKey(spec);
    return {
      spec,
      key: shown,
      person: printable(name ?? (yes === true ? '' : await nameOf(context, shown, work))),
    };
  };
  return async (work) => {
    const spec = key[named.length];
    if (spec !== undefined) {
      named.push(await present(work, spec, person[named.length]));
      return named.at(-1);
    }
    if (work.missing().length === 0) return undefined;
    // Root is complete now, and those who signed it first have targets to sign.
    for (const again of named) if ((await signersOf(again, work)).length > 0) return again;
    if (named.length > 0) return undefined;
    if (yes !== true) {
      const next = await nextKey(context, work);
      return next === '' ? undefined : await present(work, next, undefined);
    }
    const stored = { spec: '', key: 'keys of the key store', person: printable(person[0] ?? '') };
    return (await signersOf(stored, work)).length > 0 ? stored : undefined;
  };
}

async function nextKey({ io, output }: Context, work: CeremonyWork): Promise<string> {
  for (const { role, threshold, valid, open } of work.missing())
    output.told([
      `${role} has ${valid.length} of ${threshold} signatures; keys that may: ${open.map((id) => id.slice(0, 12)).join(', ')}`,
    ]);
  return await typedLine(
    io,
    'Key of the next person (NAME, PATH or URI; Enter to stop): ',
    withoutTerminal(work),
  );
}

async function nameOf({ io }: Context, key: string, work: CeremonyWork): Promise<string> {
  return await typedLine(io, `Who signs with ${key}? Name for the record: `, withoutTerminal(work));
}

/** `begin` has written its file by then, so that `sign` goes on. */
function withoutTerminal({ digest }: CeremonyWork): string {
  return `without a terminal: bulla ceremony sign FILE --key KEY --person NAME --change ${digest} --yes`;
}

/** What of a URI says which key it is, and not how it is opened. */
function shownKey(spec: string): string {
  return printable(spec.split('?')[0] ?? '');
}

/** The keys of one attendee that may sign now. A key is looked for once: an agreed PIN is not asked for again. */
export function offlineSigners(context: Context, flags: CeremonyFlags): SignersOf {
  const found = new Map<string, KeysAtHand>();
  return async ({ spec }, work) => {
    const keys =
      found.get(spec) ?? offlineKeys(context, { ...flags, key: spec === '' ? [] : [spec] }, spec === '');
    const signers: TufSigner[] = [];
    for (const [at, demand] of work.allDemands().entries()) {
      const { valid = [] } = work.progress()[at] ?? {};
      for (const signer of await keys.signersFor([demand], new Set(valid)))
        if (!signers.some(({ key }) => key.keyid === signer.key.keyid)) signers.push(signer);
    }
    found.set(spec, keys);
    return signers;
  };
}

/** The keys of a machine without a network. @param isStore whether keys that are not named are looked for */
export function offlineKeys(
  context: Context,
  { key = [], ...flags }: Omit<TrustKeyFlags, 'key'> & { readonly key?: readonly string[] | undefined },
  isStore = true,
): KeysAtHand {
  const sources: KeySources = { ...keySources(context, flags), backEnds: SERVICES };
  const places = {
    find: (spec: string) => findKnownKey(spec, sources),
    all: async () => (isStore ? await storedKeys(sources, () => undefined) : []),
  };
  return new KeysAtHand(places, key);
}

/** Services are reached over a network, which a ceremony does without. */
const SERVICES: ReadonlyMap<string, () => Promise<KeyBackEnd>> = new Map(
  ['hashivault://', 'openbao://', 'awskms://', 'gcpkms://', 'azurekms://', 'k8s://'].map((scheme) => [
    scheme,
    async () => ({
      find: async () => {
        throw new BullaError(
          'usage',
          `a key at ${scheme} needs a network, and a ceremony opens no connection`,
          {
            hint: 'sign with bulla approve FILE on a machine that reaches the service',
          },
        );
      },
    }),
  ]),
);
