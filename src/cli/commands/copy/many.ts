import { tagAt } from '../../../actions/copy/image.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import { formatReference, formatRepository, parseReference, type Reference } from '../../../oci/reference.ts';
import { KeyedMutex } from '../../../registry/keyed-mutex.ts';
import type { Context, Image } from '../../shell/context.ts';
import { runMany } from '../../shell/many.ts';
import type { CopyFlags } from './run.ts';

/** Copies one of several images, as {@link CopyFlags} say that it is one of them. */
export type CopyOne = (text: string, image: Image, to: Reference, flags: CopyFlags) => Promise<void>;

/** Where several images go. */
export interface Destinations {
  /** The destination of an image. @throws BullaError usage */
  of(source: Reference): Reference;
  /** All go into one archive, which is there when it is closed. */
  readonly isArchive: boolean;
}

/**
 * Where several images go that one text names: a repository or a layout, in which each keeps its tag; or, with a slash at
 * its end, a prefix of a registry, under which each keeps the last part of its repository too.
 * @throws BullaError usage
 */
export function destinationsIn(text: string): Destinations {
  if (text.endsWith('/') && !/^(?:oci|oci-archive|docker-archive):/.test(text))
    return {
      of: (source) => {
        if (source.kind === 'registry')
          return parseReference(`${text}${source.repository.split('/').at(-1)}`);
        throw new BullaError(
          'usage',
          `${formatReference(source)} is in no repository, whose name it could keep`,
          {
            hint: `name the repository that it goes to: ${text}NAME`,
          },
        );
      },
      isArchive: false,
    };
  const destination = parseReference(text);
  if (destination.tag !== undefined || destination.digest !== undefined)
    throw new BullaError('usage', `several images cannot all become ${formatReference(destination)}`, {
      hint: `leave the tag out, and each keeps its own: ${formatRepository(destination)}`,
    });
  if (destination.kind === 'archive' && destination.isImageAlone === true)
    throw new BullaError('usage', 'docker-archive: holds one image, and several are to be copied', {
      hint: `name an archive that may hold several: oci-archive:${destination.path}`,
    });
  return { of: () => destination, isArchive: destination.kind === 'archive' };
}

/** No two images may become the same one. @throws BullaError usage */
export function assertApart(texts: readonly string[], { of }: Destinations): void {
  const known = new Map<string, string>();
  for (const text of new Set(texts)) {
    const source = readable(text);
    const tag = source?.tag;
    if (source === undefined || tag === undefined) continue;
    const place = `${formatRepository(of(source))}:${tag}`;
    const other = known.get(place);
    if (other !== undefined && formatReference(parseReference(other)) !== formatReference(source))
      throw new BullaError('usage', `${other} and ${text} would both become ${place}`, {
        hint: 'copy them to different repositories, or with a slash at the end of the destination under their own names',
      });
    known.set(place, text);
  }
}

/** What cannot be read as a reference fails when its turn comes. */
function readable(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (isBullaError(error)) return undefined;
    throw error;
  }
}

/**
 * Copies several images, those for one place one after another. What is copied stays where another one fails, but for an
 * archive: it is written as a whole.
 * @throws BullaError with the code of the worst failure
 */
export async function runCopies(
  context: Context,
  texts: readonly string[],
  destinations: Destinations,
  what: string,
  copyOne: CopyOne,
  side?: 'from',
): Promise<void> {
  assertApart(texts, destinations);
  const turns = new KeyedMutex();
  const later: (() => void)[] = [];
  await runMany(
    context,
    texts,
    what,
    async (text) => {
      const image = await context.openImage(text, side === undefined ? {} : { side });
      const base = destinations.of(image.reference);
      const to = { ...base, tag: tagAt(base, image.reference) } as Reference;
      const print: (() => void)[] = [];
      const flags: CopyFlags = { many: { given: text, print: (tell) => print.push(tell) } };
      await turns.take(formatRepository(to), () => copyOne(text, image, to, flags));
      return print;
    },
    (print) => {
      if (destinations.isArchive) later.push(...print);
      else for (const report of print) report();
    },
    async () => {
      if (!destinations.isArchive) return;
      await context.close('well');
      for (const report of later) report();
    },
  );
}
