import { Option } from 'commander';
import { BullaError } from '../../errors.ts';
import { formatReference, formatRepository, parseReference, type Reference } from '../../oci/reference.ts';
import type { Context } from '../shell/context.ts';
import type { KeyFlags } from './key-flags.ts';
import { collect } from './values.ts';

/** Most references of one command. */
const MAX_REFERENCES = 1_000_000;
/** Largest list of references, in bytes. */
const MAX_LIST_BYTES = 128 * 1024 * 1024;

/** What each reference beyond the first adds to the time that a command may search. */
const TIME_PER_REFERENCE_MS = 5_000;

/** A reference as it was written, and what it means. */
export interface NamedReference {
  readonly text: string;
  readonly reference: Reference;
}

/**
 * The references of a command that takes several of one repository: from its arguments, and from a file
 * or stdin with one a line. Empty lines, and lines that begin with `#`, are left out.
 * @param from path of the file; `-` for stdin
 * @throws BullaError usage where there is none, or where they are of several repositories; not-found, storage-error
 */
export async function readReferences(
  context: Context,
  texts: readonly string[],
  from: string | undefined,
  flags: Pick<KeyFlags, 'passphraseFd'> = {},
): Promise<readonly [NamedReference, ...NamedReference[]]> {
  const all = await givenReferences(context, texts, from, flags);
  const [first, ...others] = all.map((text) => ({ text, reference: parseReference(text) })) as [
    NamedReference,
    ...NamedReference[],
  ];
  const repository = formatRepository(first.reference);
  const stranger = others.find(({ reference }) => formatRepository(reference) !== repository);
  if (stranger !== undefined) {
    throw new BullaError(
      'usage',
      `${formatReference(stranger.reference)} is not in ${repository}: one change is of one repository`,
      { hint: 'run the command once for each repository' },
    );
  }
  return [first, ...others];
}

/** The flag of a command that takes many references. */
export function listOption(): Option {
  return new Option('--from <file>', 'read references from a file, one per line; - is standard input');
}

/** `--k8s` of a command that takes the images of manifests. */
export function manifestOption(): Option {
  return new Option(
    '--k8s <file>',
    'every image in Kubernetes manifests or a compose file, or - for standard input; repeatable',
  ).argParser(collect);
}

/** `--image-path` beside {@link manifestOption}. */
export function imagePathOption(): Option {
  return new Option(
    '--image-path <path>',
    'with --k8s: where other kinds name images, such as spec.jobs[*].image; repeatable',
  ).argParser(collect);
}

/**
 * The references that a command was given, as they were written: its arguments, then the lines of its list. The
 * command may search for longer where there are many.
 * @throws BullaError usage where there is none, or there are too many; not-found, storage-error
 */
export async function givenReferences(
  context: Context,
  texts: readonly string[],
  from: string | undefined,
  flags: Pick<KeyFlags, 'passphraseFd'> = {},
): Promise<readonly [string, ...string[]]> {
  const listed = from === undefined ? [] : await readList(context, from, flags);
  const [first, ...others] = [...texts, ...listed];
  if (first === undefined) {
    throw new BullaError('usage', 'no reference was given', {
      hint: `give references as arguments, or one a line with --from FILE (- for stdin); bulla help ${context.command} shows examples`,
    });
  }
  const count = others.length + 1;
  if (count > MAX_REFERENCES) {
    throw new BullaError('usage', `${count} references were given, and ${MAX_REFERENCES} are allowed`, {
      hint: 'split the list',
    });
  }
  context.allow(others.length * TIME_PER_REFERENCE_MS);
  return [first, ...others];
}

/** Lines of a list: a file, or stdin for `-`. Empty lines, and lines that begin with `#`, are left out. */
export async function readList(
  context: Context,
  from: string,
  flags: Pick<KeyFlags, 'passphraseFd'> = {},
): Promise<readonly string[]> {
  const [{ readFileBounded }, { decodeUtf8 }] = await Promise.all([
    import('../../disk/atomic.ts'),
    import('../../encoding/bytes.ts'),
  ]);
  const where = from === '-' ? 'standard input' : from;
  const bytes =
    from === '-'
      ? await readStdin(context, flags)
      : await readFileBounded(context.path(from), MAX_LIST_BYTES, { pipes: true });
  return decodeUtf8(bytes, where)
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

async function readStdin(
  { io, settings }: Context,
  { passphraseFd }: Pick<KeyFlags, 'passphraseFd'>,
): Promise<Uint8Array> {
  const other = settings.passwordStdin ? '--password-stdin' : '--passphrase-fd 0';
  if (settings.passwordStdin || passphraseFd === '0') {
    throw new BullaError('usage', `--from - and ${other} both read standard input`, {
      hint: 'give the list as a file',
    });
  }
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of io.stdin) {
    pieces.push(Buffer.from(piece as Uint8Array));
    size += pieces.at(-1)?.byteLength ?? 0;
    if (size > MAX_LIST_BYTES) {
      throw new BullaError('usage', `the list has more than ${MAX_LIST_BYTES} bytes`, { hint: 'split it' });
    }
  }
  return Buffer.concat(pieces);
}
