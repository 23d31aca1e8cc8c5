import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { PublishPorts } from '../../actions/change/place.ts';
import { BullaError, throwIfAborted } from '../../errors.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { SYSTEM_CHANCE } from '../../servers/system.ts';
import type { Clock } from '../../trust/format/ports.ts';
import type { Context } from '../shell/context.ts';
import { durationOf } from './values.ts';

/** Flags of every command that publishes. */
export interface PublishFlags {
  readonly wait?: string;
  readonly trustServedHead?: string;
}

/** Adds the flags of {@link PublishFlags}. */
export function addPublishOptions(command: Command): Command {
  return command
    .option(
      '--wait <duration>',
      'how long to wait until a staged change is published (default: 60s); if given, also for the signatures of others',
    )
    .option('--trust-served-head <digest>', 'accept this head although it has expired');
}

/** How long a staged change is waited for by default, in milliseconds. */
const DEFAULT_WAIT_MS = 60_000;

/**
 * What a command publishes with: clock and randomness of this machine, and the state of this user's signers.
 * @throws BullaError usage
 */
export async function publishPortsOf(context: Context, flags: PublishFlags): Promise<PublishPorts> {
  const { SignerStateDirectory } = await import('../../state/signer-state.ts');
  const { output, signal, directories } = context;
  const wait = durationOf('--wait', flags.wait, '0s, 90s, 5m') ?? DEFAULT_WAIT_MS;
  context.allow(wait);
  return {
    clock: clockOf(context),
    chance: SYSTEM_CHANCE,
    state: new SignerStateDirectory(join(directories.state, 'signers')),
    wait,
    trustServedHead: servedHeadOf(flags.trustServedHead),
    signal,
    onProgress: (message) => output.info(message),
    onWarning: (message) => output.warn(message),
  };
}

/** Whether a command waits for people too: they take their time, so it does only if it was told how long. */
export function awaitsSigners(flags: PublishFlags, { publish }: { readonly publish: PublishPorts }): boolean {
  return flags.wait !== undefined && (publish.wait ?? 0) > 0;
}

/** The clock of a command. */
function clockOf({ io, signal }: Context): Clock {
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

/** @throws BullaError usage */
export function servedHeadOf(text: string | undefined): Digest | undefined {
  if (text === undefined || isDigest(text)) return text;
  throw new BullaError('usage', `--trust-served-head ${JSON.stringify(text)} is not a digest`, {
    hint: 'give the digest of the head that you have looked at: sha256:…',
  });
}
