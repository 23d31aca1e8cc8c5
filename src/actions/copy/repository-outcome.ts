import { BullaError } from '../../errors.ts';
import type { CopiedRepository } from './repository.ts';

/** How many tags ended in which way. */
export interface RepositoryCounts {
  readonly total: number;
  readonly copied: number;
  readonly present: number;
  readonly failed: number;
  readonly removed: number;
  /** Bytes that were sent. */
  readonly bytes: number;
}

export function countsOf({ tags, pruned }: CopiedRepository): RepositoryCounts {
  const count = (outcome: string): number => tags.filter((one) => one.outcome === outcome).length;
  return {
    total: tags.length,
    copied: count('copied'),
    present: count('present'),
    failed: count('failed'),
    removed: pruned.filter(({ outcome }) => outcome === 'removed').length,
    bytes: tags.reduce((sum, tag) => sum + (tag.outcome === 'failed' ? 0 : tag.pushed.bytes), 0),
  };
}

/** All that failed of a repository: tags, its signed names, tags that were to be removed. */
export function failuresOf(
  copied: CopiedRepository,
): readonly { readonly tag?: string; readonly error: BullaError }[] {
  const { tags, pruned, collection, collectionError, unpruned } = copied;
  return [
    ...tags.flatMap((one) => (one.outcome === 'failed' ? [{ tag: one.tag, error: one.error }] : [])),
    ...(collectionError === undefined ? [] : [{ tag: '_trust', error: collectionError }]),
    ...(collection?.outcome === 'left' ? [{ tag: '_trust', error: leftBehind(collection.why ?? '') }] : []),
    ...pruned.flatMap(({ tag, error }) => (error === undefined ? [] : [{ tag, error }])),
    ...(unpruned === undefined
      ? []
      : [
          {
            error: new BullaError('conflict', `no tag was removed at the destination: ${unpruned}`, {
              hint: 'run the copy again when all of it can be copied',
            }),
          },
        ]),
  ];
}

function leftBehind(why: string): BullaError {
  return new BullaError('conflict', `the signed names were left behind: ${why}`, {
    hint: 'look at both: bulla status; bulla copy --as signs names of one into the other',
  });
}

/**
 * The failure of a copy that left something behind: of those that failed, the one with the greatest exit status
 * (spec/outcomes.md, "Several references"). Undefined where all is there.
 */
export function worstOf(errors: Iterable<BullaError>): BullaError | undefined {
  let worst: BullaError | undefined;
  for (const error of errors) if (worst === undefined || error.exitCode > worst.exitCode) worst = error;
  return worst;
}
