import type { TrustTarget } from '../../../../src/trust/format/ports.ts';
import { type NameChange, publishNames } from '../../../../src/trust/publish/publish.ts';
import type { Published, PublishOptions } from '../../../../src/trust/publish/publish-options.ts';
import { resignCollection } from '../../../../src/trust/publish/resign.ts';
import type { ReadOptions } from '../../../../src/trust/read/collection.ts';

/** What is simulated. */
export interface PublishingCode {
  publishNames(
    target: TrustTarget,
    read: ReadOptions,
    changes: readonly NameChange[],
    options: PublishOptions,
  ): Promise<Pick<Published, 'head' | 'ids' | 'rounds' | 'conflicts'>>;
  resignCollection(
    target: TrustTarget,
    read: ReadOptions,
    options: PublishOptions,
  ): Promise<Pick<Published, 'conflicts'>>;
}

/** The very code that is shipped. */
export const SHIPPED: PublishingCode = { publishNames, resignCollection };
