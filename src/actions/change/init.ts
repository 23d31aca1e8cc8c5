import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import {
  beginCollection,
  type CollectionFiles,
  completeCollection,
  type NewCollection,
} from '../../trust/change/create.ts';
import { assembleStage } from '../../trust/format/assemble.ts';
import type { TrustTarget } from '../../trust/format/ports.ts';
import { pushObject } from '../../trust/format/push.ts';
import { stageTag } from '../../trust/format/vocabulary.ts';
import { assertNoHead, createAt } from '../../trust/publish/create-at.ts';
import { probeTags, shortcomings } from '../../trust/publish/probe.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import { writeRepositoryFiles } from '../../tuf/edit/repository.ts';

/** What {@link initCollection} is told. */
export interface InitOptions
  extends Pick<PublishOptions, 'clock' | 'chance' | 'state' | 'signers' | 'signal'> {
  readonly collection: NewCollection;
  /** Whether one of the signers has an online key; else what needs none is staged for whoever does. */
  readonly hasOnlineKey: boolean;
}

/** A collection that was made, and where it is now. */
export interface MadeCollection {
  readonly made: CollectionFiles;
  /** Digest of its head; undefined where it waits in a stage. */
  readonly head: Digest | undefined;
  readonly stage: Tag | undefined;
  /** What cannot be had at that place, as sentences. */
  readonly shortcomings: readonly string[];
}

/**
 * Makes the collection of a place that has none. Without the online key it lies in a stage, and becomes a
 * head where that key is: `completeStaged` of trust/.
 * @throws BullaError conflict where there is a head already, or tags cannot be moved; threshold-not-met,
 *   usage, key-invalid; what the target throws
 */
export async function initCollection(target: TrustTarget, options: InitOptions): Promise<MadeCollection> {
  const { collection, signers, hasOnlineKey, signal } = options;
  const begun = await beginCollection(collection, signers);
  if (hasOnlineKey) {
    const made = await completeCollection(begun, collection, signers);
    const { head, shortcomings: lacks } = await createAt(target, made, options);
    return { made, head, stage: undefined, shortcomings: lacks };
  }
  await assertNoHead(target, signal);
  const abilities = await probeTags(target, options, { signal });
  const assembly = assembleStage({ files: writeRepositoryFiles(begun.files), logs: begun.logs });
  const stage = stageTag(assembly.top.descriptor.digest);
  await pushObject(target, assembly, stage, new Set(), { signal });
  return { made: begun, head: undefined, stage, shortcomings: shortcomings(abilities) };
}
