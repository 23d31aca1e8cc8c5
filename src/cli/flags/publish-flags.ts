import { randomBytes, randomInt } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError, throwIfAborted } from '../../errors.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { Chance, Clock } from '../../trust/format/ports.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { Context } from '../shell/context.ts';

/** Flags of every command that publishes. */
export interface PublishFlags {
  readonly wait?: string;
  readonly trustServedHead?: string;
}

/** How long a staged change is waited for by default, in milliseconds. */
const DEFAULT_WAIT_MS = 60_000;

/**
 * What a command publishes with: the clock and chance of this machine, and the state of this person's
 * signers.
 * @throws BullaError usage
 */
export async function publishOptionsOf(
  context: Context,
  signers: readonly TufSigner[],
  flags: PublishFlags,
): Promise<PublishOptions> {
  const { SignerStateDirectory } = await import('../../state/signer-state.ts');
  const { output, signal, directories } = context;
  const wait = waitOf(flags.wait);
  context.allow(wait);
  return {
    clock: clockOf(context),
    chance: CHANCE,
    signers,
    state: new SignerStateDirectory(join(directories.state, 'signers')),
    wait,
    trustServedHead: servedHeadOf(flags.trustServedHead),
    signal,
    onProgress: (message) => output.info(message),
    onWarning: (message) => output.warn(message),
  };
}

/** The clock of a command. */
export function clockOf({ io, signal }: Context): Clock {
  return {
    now: () => io.now(),
    sleep: async (ms, more) => {
      const either = more === undefined ? signal : AbortSignal.any([signal, more]);
      await sleep(ms, undefined, { signal: either }).catch((error: unknown) => {
        throwIfAborted(either);
        throw error;
      });
    },
  };
}

/** System randomness. */
export const CHANCE: Chance = {
  below: (range) => randomInt(range),
  changeId: () => randomBytes(16).toString('hex'),
  fraction: () => randomInt(2 ** 32) / 2 ** 32,
};

function waitOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_WAIT_MS;
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined) return milliseconds;
  throw new BullaError('usage', `--wait ${JSON.stringify(text)} is no duration`, {
    hint: 'write 0s, 90s, 5m',
  });
}

/** @throws BullaError usage */
export function servedHeadOf(text: string | undefined): Digest | undefined {
  if (text === undefined || isDigest(text)) return text;
  throw new BullaError('usage', `--trust-served-head ${JSON.stringify(text)} is no digest`, {
    hint: 'give the digest of the head that you have looked at: sha256:…',
  });
}
