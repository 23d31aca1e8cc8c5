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

/**
 * That a writer is about to replace one version of a list, told to the others on a registry that has no
 * compare-and-swap (decision 400). A claim is some small blobs, whose names any writer can compute: nothing can overwrite
 * them, they appear in no listing, and garbage collection removes them. Of two writers with different numbers who claim
 * the same version before they read it again and write, and look at the claims after they have written, the one that is
 * overwritten sees the claim of the other. A writer that knows of others has no number, and is seen by all.
 */
export class Claim {
  readonly version: Digest | undefined;
  private readonly room: RepositoryContext;
  private readonly own: readonly Mark[];
  private readonly others: readonly Mark[];

  private constructor(room: RepositoryContext, version: Digest | undefined, marks: Marks) {
    this.room = room;
    this.version = version;
    this.own = marks.own;
    this.others = marks.others;
  }

  /**
   * Claims a version of the list of a subject.
   * @param version its digest; undefined where there is no list yet
   * @param isAlone no other writer was seen
   * @returns undefined where the registry does not keep such blobs: then nothing is known of other writers
   */
  static async make(
    room: RepositoryContext,
    subject: Digest,
    version: Digest | undefined,
    isAlone: boolean,
  ): Promise<Claim | undefined> {
    const text = `bulla: referrers of ${subject} after ${version ?? 'none'}`;
    const marks = isAlone
      ? numbered(text, room.session.timing.random())
      : { own: [crowded(text)], others: [] };
    const claim = new Claim(room, version, marks);
    try {
      await Promise.all(
        claim.own.map(({ descriptor, bytes }) =>
          pushBlob(room, descriptor, () => pieces(bytes), { known: 'absent' }),
        ),
      );
      return claim;
    } catch (error) {
      if (isBullaError(error)) return undefined;
      throw error;
    }
  }

  /** Whether another writer has claimed the same version, or the registry does not tell. */
  async isContested(): Promise<boolean> {
    try {
      const ask = (marks: readonly Mark[]): Promise<boolean[]> =>
        Promise.all(marks.map(({ descriptor }) => hasBlob(this.room, descriptor)));
      // One of its own tells whether the registry shows them at all.
      const [own, others] = await Promise.all([ask(this.own.slice(0, 1)), ask(this.others)]);
      return own.includes(false) || others.includes(true);
    } catch (error) {
      if (isBullaError(error)) return true;
      throw error;
    }
  }
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
