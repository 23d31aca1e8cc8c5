import { type Command, InvalidArgumentError } from 'commander';
import type { Demands, VerifyPorts } from '../../actions/verify/verify.ts';
import { BullaError } from '../../errors.ts';
import { parsePlatform } from '../../oci/platform.ts';
import type { Source } from '../../oci/target.ts';
import type { Context } from '../shell/context.ts';
import {
  addCollectionOptions,
  type CollectionFlags,
  collectionDemands,
  collectionPorts,
} from './collection-flags.ts';
import {
  addSignatureOptions,
  asksForSignatures,
  requirementsOf,
  type SignatureFlags,
} from './signature-flags.ts';
import { collect } from './values.ts';

/** Flags that say what an image must be like to be run: for `verify`, and for `pull`, which verifies first. */
export interface VerifyFlags extends SignatureFlags, CollectionFlags {
  readonly platform?: string;
  readonly eachPlatform?: true;
  readonly signer?: readonly string[];
  readonly anySigner?: true;
  /** False with `--no-drift`. */
  readonly drift?: 'warn' | 'reject' | false;
  /** False with `--no-name`. */
  readonly name?: boolean;
}

/** Adds the flags of {@link VerifyFlags} to a command. */
export function addVerifyOptions(command: Command): Command {
  addSignatureOptions(command)
    .option('--platform <os/arch>', 'of an index: the image for this platform; a signed index covers it')
    .option('--each-platform', "also accept an unsigned index if every platform's image is signed");
  return addCollectionOptions(command)
    .option('--signer <role>', 'role that must have signed the name (default: names); repeatable', collect)
    .option('--any-signer', 'accept a name that any role of the collection has signed')
    .option('--drift <rule>', 'if the tag is not what was signed: warn or reject', driftRule)
    .option('--no-drift', 'do not check where the tag points')
    .option('--no-name', 'check only detached signatures, as if there were no trust collection');
}

function driftRule(text: string): 'warn' | 'reject' {
  if (text === 'warn' || text === 'reject') return text;
  throw new InvalidArgumentError('It must be warn or reject.');
}

/** What flags demand of an image. @throws BullaError usage, not-found, content-invalid, certificate-invalid */
export async function demandsOf(context: Context, flags: VerifyFlags): Promise<Demands> {
  return {
    ...(await collectionDemands(context, flags)),
    ...commonDemands(context, flags),
    signers: flags.signer,
    anySigner: flags.anySigner,
    name: flags.name === false ? false : undefined,
    signatures: asksForSignatures(flags),
    eachPlatform: flags.eachPlatform,
  };
}

/** What flags demand of a name in Notary v1. @throws BullaError usage */
export function notaryDemandsOf(context: Context, flags: VerifyFlags & NotaryVerifyFlags): Demands {
  const { delegation = [], signer = [] } = flags;
  return { ...commonDemands(context, flags), signers: [...delegation, ...signer] };
}

function commonDemands(
  { settings }: Context,
  { drift, platform }: VerifyFlags,
): Pick<Demands, 'drift' | 'platform' | 'offline'> {
  return {
    drift: drift === false ? 'ignore' : drift,
    platform: platform === undefined ? undefined : parsePlatform(platform),
    offline: settings.offline,
  };
}

/** What an image is verified with: the stores of this user, and the places that a command can reach. */
export async function verifyPorts(
  context: Context,
  flags: VerifyFlags,
  image: () => Promise<Source>,
): Promise<VerifyPorts> {
  return {
    ...(await collectionPorts(context)),
    image,
    requirements: () => requirementsOf(context, flags),
  };
}

/** Flags of `verify` beside {@link VerifyFlags}: about Notary v1. */
export interface NotaryVerifyFlags {
  /** URL of a server, `auto`, or a directory. */
  readonly notary?: string;
  readonly notaryRootKey?: string;
  readonly delegation?: readonly string[];
}

/** All flags of `verify`. */
export interface VerifyCommandFlags extends VerifyFlags, NotaryVerifyFlags {
  readonly policy?: string;
  /** A `trustpolicy.json` of Notation, and its trust stores. */
  readonly trustPolicy?: string;
  readonly trustStore?: string;
  /** A list of references. */
  readonly from?: string;
}

/** Adds the flags of {@link NotaryVerifyFlags} to a command. */
export function addNotaryVerifyOptions(command: Command): Command {
  return command
    .option('--notary <url>', 'look the tag up in Notary v1: URL of a server, auto, or a directory')
    .option('--notary-root-key <file>', 'public root key of the Notary repository (PEM)')
    .option('--delegation <role>', 'with --notary: delegation that must have signed; repeatable', collect);
}

/** @throws BullaError usage where flags are about Notary and there is no --notary, or the other way round */
export function checkNotaryFlags(flags: VerifyFlags & NotaryVerifyFlags): void {
  if (flags.notary !== undefined) refuseOthers(flags);
  else if (flags.notaryRootKey !== undefined || flags.delegation !== undefined) throw withoutNotary(flags);
}

function withoutNotary({ delegation }: NotaryVerifyFlags): BullaError {
  const flag = delegation === undefined ? '--notary-root-key' : '--delegation';
  return new BullaError('usage', `${flag} needs --notary`, {
    hint: 'add --notary URL, or --notary auto for the server that docker would ask',
  });
}

function refuseOthers(flags: VerifyFlags): void {
  const { key, certificateIdentity, threshold, purpose, type, annotation } = flags;
  const { at, anySigner, maxStaleness, eachPlatform } = flags;
  const signatures = { key, certificateIdentity, threshold, purpose, type, annotation };
  const others = { ...signatures, at, anySigner, maxStaleness, eachPlatform };
  const [given] = Object.entries(others).filter(([, value]) => value !== undefined);
  if (given === undefined && flags.name !== false) return;
  const flag =
    given === undefined ? 'no-name' : given[0].replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new BullaError('usage', `--${flag} does not apply to trust data of Notary`, {
    hint: 'run bulla verify once with --notary and once without it',
  });
}

/** With --notary an authority is one of root keys; --ca says it as docker's own configuration does. */
export function notaryAuthority({ ca, rootCa }: VerifyFlags): { readonly rootCa?: string } {
  const [only, ...others] = [...(ca ?? []), ...(rootCa === undefined ? [] : [rootCa])];
  if (others.length > 0)
    throw new BullaError('usage', 'several authorities were given', {
      hint: 'put their certificates into one file: --root-ca FILE',
    });
  return only === undefined ? {} : { rootCa: only };
}
