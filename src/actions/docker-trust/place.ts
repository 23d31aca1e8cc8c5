import type { Chance, Clock, TrustTarget } from '../../trust/format/ports.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import type { ReadOptions } from '../../trust/read/collection.ts';
import type { SignatureDemand, TufSigner } from '../../tuf/edit/signing.ts';

/** Keys of the person who runs a command. */
export interface KeySource {
  /** Signers for what is demanded, of each demand as many as its threshold lacks. */
  signersFor(demands: Iterable<SignatureDemand>, signed?: ReadonlySet<string>): Promise<readonly TufSigner[]>;
}

/** A collection that `docker-trust` changes, and with what. */
export interface TrustPlace {
  readonly target: TrustTarget;
  readonly read: ReadOptions;
  readonly keys: KeySource;
  readonly clock: Clock;
  readonly chance: Chance;
  /** With what a change is published that these keys sign. */
  publishOptions(signers: readonly TufSigner[]): Promise<PublishOptions>;
}
