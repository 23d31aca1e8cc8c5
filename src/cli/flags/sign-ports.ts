import {
  nameWaits,
  prepareToSign,
  type Signed,
  type SignedOnArrival,
  type SigningWish,
  type SignPorts,
  type Subject,
  signOnArrival,
} from '../../actions/sign/sign.ts';
import type { Reference } from '../../oci/reference.ts';
import type { Target } from '../../oci/target.ts';
import { describeMissing, describeNamed, describeSigned } from '../render/sign-text.ts';
import type { Side } from '../shell/access.ts';
import type { Context } from '../shell/context.ts';
import { VERSION } from '../shell/version.ts';
import { openChangePlace } from './change-flags.ts';
import { signerOf } from './keys.ts';
import type { NamingFlags } from './naming-flags.ts';

/** What a command signs with: the keys of this user, and the collection that its flags say. */
export function signPorts(
  context: Context,
  reference: Reference,
  images: Target,
  flags: NamingFlags,
  side?: Side,
): SignPorts {
  const { settings, signal, output } = context;
  const { key, ...rest } = flags;
  const first = typeof key === 'string' ? key : key?.[0];
  return {
    images,
    signer: () => signerOf(context, { ...rest, ...(first !== undefined && { key: first }) }),
    collection: () => openChangePlace(context, reference, flags, flags, { write: true, side }),
    now: context.io.now(),
    agent: `bulla/${VERSION}`,
    concurrency: settings.concurrency,
    signal,
    onSigned: (signature, { keyId }) => output.info(describeSigned(signature, keyId)),
    onNamed: (named) => {
      for (const line of describeNamed(named)) output.info(line);
    },
  };
}

/** The signing of an image that is on its way to where it is signed. */
export interface SigningOnArrival {
  /** Signs it there. */
  sign(subject: Subject, origin?: string): Promise<void>;
  /** What was signed by then. */
  readonly signed: Signed | undefined;
  /** @throws BullaError staged if its name is not in effect yet */
  assertNamed(): void;
}

/**
 * Finds out, before anything is sent, whether an image and its name can be signed where it goes.
 * @throws BullaError as {@link prepareToSign}
 */
export async function signingOnArrival(
  context: Context,
  destination: Reference,
  wish: SigningWish,
  flags: NamingFlags,
  side?: Side,
): Promise<SigningOnArrival> {
  const target = await context.openTarget(destination, { write: true, side });
  const ports = signPorts(context, destination, target, flags, side);
  const prepared = await prepareToSign([destination], wish, ports);
  let arrived: SignedOnArrival | undefined;
  return {
    async sign(subject, origin) {
      const name = wish.name === false ? wish.name : { ...wish.name, origin };
      arrived = await signOnArrival(subject, prepared, { ...wish, name }, ports);
      const missing = arrived.signed.named?.missingProofs ?? [];
      for (const one of missing) context.output.warn(describeMissing(one));
    },
    get signed() {
      return arrived?.signed;
    },
    assertNamed() {
      if (arrived?.waiting !== undefined) throw nameWaits(destination, arrived.waiting);
    },
  };
}
