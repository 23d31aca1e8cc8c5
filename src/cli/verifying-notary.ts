import { type VerifiedNotaryName, verifyNotaryName } from '../actions/verify/notary.ts';
import { formatTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';
import { rootKeysOf } from '../notary/root-chain.ts';
import { parsePlatform } from '../oci/platform.ts';
import { formatRepository, parseReference } from '../oci/reference.ts';
import type { NameFlags } from './flags/name-flags.ts';
import { gunOf, notaryRepository, notaryTrust, openNotarySource } from './flags/notary-flags.ts';
import type { PlatformFlags } from './flags/platform-flags.ts';
import type { TrustFlags } from './flags/signature-flags.ts';
import type { Context } from './shell/context.ts';
import { driftJson, tellDrift } from './verifying-name.ts';

type Flags = TrustFlags & PlatformFlags & NameFlags & { readonly notary: string };

/**
 * What `bulla verify --notary` does.
 * @throws BullaError usage, not-found, trust-…, name-not-signed, digest-mismatch; those of server and registry
 */
export async function printVerifiedByNotary(context: Context, text: string, flags: Flags): Promise<void> {
  refuseOthers(flags);
  const reference = notaryRepository(parseReference(text));
  const { tag, digest } = reference;
  if (tag === undefined)
    throw new BullaError('usage', `${text} has no tag, and only tags are looked up in Notary`, {
      hint: 'give the tag, and the digest as well if it must be that: REPOSITORY:TAG@DIGEST',
    });
  const gun = gunOf(reference, flags.collection);
  const source = await openNotarySource(context, reference, gun, flags.notary);
  const trust = await notaryTrust(context, gun, source, { ...flags, ...authority(flags) });
  const isAlone = context.settings.offline || flags.drift === false;
  // Where neither the tag nor a platform is asked for, no registry need be there.
  const images = isAlone && flags.platform === undefined ? undefined : await context.openSource(reference);
  const verified = await verifyNotaryName(images, source, trust, {
    name: text,
    tag,
    digest,
    delegations: [...(flags.delegation ?? []), ...(flags.signer ?? [])],
    drift: isAlone ? 'ignore' : flags.drift === 'reject' ? 'reject' : 'warn',
    platform: flags.platform === undefined ? undefined : parsePlatform(flags.platform),
    signal: context.signal,
  });
  tell(context, verified);
  const { image } = verified;
  const name = `${formatRepository(reference)}@${image.digest}`;
  context.output.result(name, {
    reference: name,
    digest: image.digest,
    mediaType: image.mediaType ?? null,
    size: image.size,
    tag,
    signed: 'name',
    name: nameJson(verified),
    signatures: [],
    notCounted: [],
  });
}

/** With --notary an authority is one of root keys; --ca says it as docker's own configuration does. */
function authority({ ca, rootCa }: Flags): { readonly rootCa?: string } {
  const [only, ...others] = [...(ca ?? []), ...(rootCa === undefined ? [] : [rootCa])];
  if (others.length > 0)
    throw new BullaError('usage', 'several authorities were given', {
      hint: 'put their certificates into one file: --root-ca FILE',
    });
  return only === undefined ? {} : { rootCa: only };
}

function refuseOthers(flags: Flags): void {
  const {
    key,
    certificateIdentity,
    threshold,
    purpose,
    annotation,
    at,
    anySigner,
    maxStaleness,
    eachPlatform,
  } = flags;
  const others = {
    key,
    certificateIdentity,
    threshold,
    purpose,
    annotation,
    at,
    anySigner,
    maxStaleness,
    eachPlatform,
  };
  const [given] = Object.entries(others).filter(([, value]) => value !== undefined);
  if (given === undefined && flags.name !== false) return;
  const flag =
    given === undefined ? 'no-name' : given[0].replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new BullaError('usage', `--${flag} says nothing about trust data of Notary`, {
    hint: 'run bulla verify once with --notary and once without it',
  });
}

function tell(context: Context, { repository, named, drift, isThere }: VerifiedNotaryName): void {
  const { output, directories } = context;
  const { place, gun, expires, wasKnown, warnings, roles } = repository;
  const signers = named.signers.length === 0 ? named.role : named.signers.join(', ');
  output.info(
    `${named.name} is signed by ${signers} (Notary repository ${gun} at ${place}, fresh until ${formatTime(expires)})`,
  );
  for (const warning of warnings) output.warn(warning);
  for (const { name, problem } of roles.values())
    if (problem !== undefined) output.warn(`nothing of ${name} counts: ${problem.message}`);
  if (!wasKnown)
    output.info(
      `nothing was known of this repository before: only expiry tells whether it is an old state (keep ${directories.state} between runs)`,
    );
  tellDrift(output, named.name, drift, isThere);
}

function nameJson({ repository, named, drift, isThere }: VerifiedNotaryName): Record<string, unknown> {
  const { place, gun, root, expires, wasKnown } = repository;
  return {
    signers: named.signers,
    role: named.role,
    notary: {
      place,
      gun,
      rootVersion: root.content.version,
      rootKeyIds: rootKeysOf(root.content).map(({ keyid }) => keyid),
    },
    collection: null,
    expires: formatTime(expires),
    stale: false,
    wasKnown,
    isThere: isThere ?? null,
    drift: drift === undefined ? null : driftJson(drift),
  };
}
