import { type NotaryRepository, verifyNotaryRepository } from '../../notary/repository.ts';
import type { NotarySource } from '../../notary/source.ts';
import { noTrustData } from '../verify/notary.ts';
import type { NotaryOrigin } from './evidence.ts';
import { assertImportable, type ImportPlan, planImport } from './plan.ts';

/** A Notary repository that was verified, and what becomes of it. */
export interface VerifiedNotary {
  readonly gun: string;
  readonly repository: NotaryRepository;
  readonly plan: ImportPlan;
  readonly origin: NotaryOrigin;
}

export interface VerifySourceOptions {
  readonly gun: string;
  /** Where the trust data is from, as it stands in the evidence. */
  readonly place: string;
  /** Who is trusted for it, and how it is read. */
  readonly trust: Omit<Parameters<typeof verifyNotaryRepository>[1], 'allowExpired' | 'badDelegation'>;
  readonly allowExpired?: boolean | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * Verifies the trust data of a Notary repository, and plans what is made of it.
 * @throws BullaError not-found where there is none; what verifying throws
 */
export async function verifySource(
  source: NotarySource,
  { gun, place, trust, allowExpired, onWarning }: VerifySourceOptions,
): Promise<VerifiedNotary> {
  const options = { ...trust, allowExpired: allowExpired === true, badDelegation: 'report' as const };
  const repository = await verifyNotaryRepository(source, options);
  if (repository === undefined) throw noTrustData(gun, source.place);
  assertImportable(repository);
  for (const warning of repository.warnings) onWarning?.(warning);
  const asOf = repository.expired.length > 0 ? repository.expires : undefined;
  if (asOf !== undefined)
    onWarning?.(
      `${repository.expired.map(({ role }) => role).join(', ')} of ${gun} expired: this is the state as of ${asOf.toISOString()}, and a newer one may have existed`,
    );
  return { gun, repository, plan: planImport(repository), origin: { gun, place, asOf } };
}
