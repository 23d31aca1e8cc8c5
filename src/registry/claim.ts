import { utf8 } from '../encoding/bytes.ts';
import { isBullaError } from '../errors.ts';
import { type Descriptor, describe } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { hasBlob } from './blobs.ts';
import type { RepositoryContext } from './repository-context.ts';
import { pushBlob } from './uploads.ts';

/** A writer is a number of so many digits to this base: two of {@link BASE} ** DIGITS writers differ in at least one. */
const DIGITS = 3;
const BASE = 6;
/** Marks that are looked for at the same time. */
const AT_ONCE = 6;

/**
 * That a writer is about to replace one version of a list, told to the others on a registry that has no
 * compare-and-swap (decision 400). A claim is some small blobs, whose names any writer can compute: nothing can overwrite
 * them, they appear in no listing, and garbage collection removes them. Of two writers with different numbers who claim
 * the same version before they read it again and write, and look at the claims after they have written, the one that is
 * overwritten sees the claim of the other. A writer that knows of others has no number, and is seen by all.
 */
export class Claim {
  readonly version: Digest | undefined;
  /** Another writer was found when it was made. */
  readonly isShared: boolean;
  private readonly room: RepositoryContext;
  private readonly own: readonly Mark[];
  private readonly others: readonly Mark[];

  private constructor(room: RepositoryContext, version: Digest | undefined, marks: Marks, isShared: boolean) {
    this.room = room;
    this.version = version;
    this.isShared = isShared;
    this.own = marks.own;
    this.others = marks.others;
  }

  /**
   * Claims a version of the list of a subject.
   * @param version its digest; undefined where there is no list yet
   * @param isAlone no other writer was seen
   * @returns undefined where the registry does not keep such blobs: then nothing is known of other writers. One that
   *   {@link isShared} where another writer had set the same mark before: one with its number would not be seen.
   */
  static async make(
    room: RepositoryContext,
    subject: Digest,
    version: Digest | undefined,
    isAlone: boolean,
  ): Promise<Claim | undefined> {
    const text = `bulla: referrers of ${subject} after ${version ?? 'none'}`;
    const crowd: Marks = { own: [crowded(text)], others: [] };
    try {
      if (isAlone) {
        const marks = numbered(text, room.session.timing.random());
        if (await set(room, marks.own)) return new Claim(room, version, marks, false);
      }
      await set(room, crowd.own);
      return new Claim(room, version, crowd, isAlone);
    } catch (error) {
      if (isBullaError(error)) return undefined;
      throw error;
    }
  }

  /** Whether another writer has claimed the same version, or the registry does not tell. */
  async isContested(): Promise<boolean> {
    try {
      // One of its own tells whether the registry shows them at all.
      const [own] = this.own;
      const marks = [...(own === undefined ? [] : [own]), ...this.others];
      let isContested = false;
      // Few at once: each more is a connection more, and opening one takes as long as two requests.
      const ask = async (): Promise<void> => {
        for (let mark = marks.shift(); mark !== undefined && !isContested; mark = marks.shift()) {
          const isThere = await hasBlob(this.room, mark.descriptor);
          if (isThere !== (mark === own)) isContested = true;
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, ask));
      return isContested;
    } catch (error) {
      if (isBullaError(error)) return true;
      throw error;
    }
  }
}

/** @returns whether none of them was set before */
async function set(room: RepositoryContext, marks: readonly Mark[]): Promise<boolean> {
  const outcomes = await Promise.all(
    marks.map(({ descriptor, bytes }) => pushBlob(room, descriptor, () => pieces(bytes))),
  );
  return !outcomes.includes('exists');
}

interface Mark {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

interface Marks {
  readonly own: readonly Mark[];
  readonly others: readonly Mark[];
}

/** The marks of one writer, and all that others can set. @param random from 0 to below 1 */
function numbered(text: string, random: number): Marks {
  const number = Math.floor(random * BASE ** DIGITS);
  const own: Mark[] = [];
  const others: Mark[] = [crowded(text)];
  for (let place = 0; place < DIGITS; place++)
    for (let value = 0; value < BASE; value++)
      (value === Math.floor(number / BASE ** place) % BASE ? own : others).push(
        markOf(`${text}: writer ${place}=${value}`),
      );
  return { own, others };
}

function crowded(text: string): Mark {
  return markOf(`${text}: several writers`);
}

function markOf(text: string): Mark {
  const bytes = utf8(`${text}\n`);
  return { descriptor: describe('application/octet-stream', bytes), bytes };
}

async function pieces(bytes: Uint8Array): Promise<AsyncIterable<Uint8Array>> {
  return (async function* () {
    yield bytes;
  })();
}
