import type { ReadOptions } from '../../../../src/trust/collection.ts';
import type { TrustTarget } from '../../../../src/trust/ports.ts';
import { type NameChange, publishNames } from '../../../../src/trust/publish.ts';
import type { Published, PublishOptions } from '../../../../src/trust/publish-options.ts';
import { resignCollection } from '../../../../src/trust/resign.ts';

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
