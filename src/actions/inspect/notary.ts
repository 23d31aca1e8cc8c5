import { type BullaError, isBullaError } from '../../errors.ts';
import {
  type NotaryRepository,
  type NotaryVerifyOptions,
  verifyNotaryRepository,
} from '../../notary/repository.ts';
import type { NotarySource } from '../../notary/source.ts';
import { type NotaryPort, noTrustData } from '../verify/notary.ts';

/** A Notary v1 repository that is shown to people. */
export interface InspectedNotary {
  readonly repository: NotaryRepository;
  /** Why nothing of it may be relied on; undefined where it is verified. */
  readonly untrusted: BullaError | undefined;
}

/**
 * Reads a repository to show it. What is not pinned, or has expired, is shown too, and nothing of it is remembered.
 * @throws BullaError not-found where there is no trust data; as verifyNotaryRepository
 */
export async function inspectNotary(port: NotaryPort): Promise<InspectedNotary> {
  const { trust } = port;
  const source = remembering(port.source);
  try {
    const repository = await verifyNotaryRepository(source, { ...trust, badDelegation: 'report' });
    if (repository === undefined) throw noTrustData(trust.gun, source.place);
    return { repository, untrusted: undefined };
  } catch (error) {
    if (!isBullaError(error, 'trust-unpinned', 'trust-expired')) throw error;
    return { repository: await asItSays(source, trust, error.code === 'trust-unpinned'), untrusted: error };
  }
}

async function asItSays(
  source: NotarySource,
  trust: NotaryVerifyOptions,
  isUnpinned: boolean,
): Promise<NotaryRepository> {
  const { memory: _, pin, ...rest } = trust;
  const shown = await verifyNotaryRepository(source, {
    ...rest,
    pin: isUnpinned || pin === undefined ? { kind: 'tofu' } : pin,
    allowExpired: true,
    badDelegation: 'report',
  });
  if (shown === undefined) throw noTrustData(trust.gun, source.place);
  return shown;
}

/** The same source, that asks for each file once. */
function remembering(source: NotarySource): NotarySource {
  const files = new Map<string, Promise<Uint8Array | undefined>>();
  return {
    place: source.place,
    fetch: (file, maxBytes) => {
      const key = JSON.stringify([file.role, file.version, file.sha256]);
      const known = files.get(key) ?? source.fetch(file, maxBytes);
      files.set(key, known);
      return known;
    },
  };
}
