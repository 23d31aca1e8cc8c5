import type { Digest } from '../oci/digest.ts';
import { type CopyOptions, type CopyResult, copy } from './copy.ts';

export interface PullOptions extends Omit<CopyOptions, 'reference' | 'platform' | 'beforeTag'> {
  /**
   * What verification accepted. The tag that was verified is not resolved again: it may have moved, and
   * what it names now nobody has looked at.
   */
  readonly verified: Digest;
}

/**
 * Brings exactly what was verified, with what refers to it, into a layout or an archive.
 * @throws BullaError those of {@link copy}
 */
export async function pull({ verified, ...options }: PullOptions): Promise<CopyResult> {
  return await copy({ ...options, reference: verified });
}
