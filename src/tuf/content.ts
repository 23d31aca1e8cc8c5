import { BullaError } from '../errors.ts';
import { ContentCheck, type Mismatch } from './file-meta.ts';
import { assertRelativePath, targetFilePath } from './role-name.ts';
import type { FoundTarget } from './search.ts';
import type { TargetFile } from './targets.ts';

/**
 * Passes on content and ends well only if it is what was signed (TUF 1.0.34 §5.7.3). The last piece is
 * held back until then, so that a reader never gets the whole of something else; no more is read than was
 * signed.
 * @throws BullaError digest-mismatch (details.path, what, expected, found)
 */
export async function* verifiedContent(
  found: FoundTarget,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const check = new ContentCheck(found.target);
  let held: Uint8Array | undefined;
  for await (const piece of pieces) {
    if (check.update(piece).isTooLong) break;
    if (held !== undefined) yield held;
    held = piece;
  }
  const mismatch = check.mismatch();
  if (mismatch !== undefined) throw contentMismatch(found.path, mismatch);
  if (held !== undefined) yield held;
}

/** Whether the bytes are exactly the target. */
export function isContentOf(target: TargetFile, bytes: Uint8Array): boolean {
  return new ContentCheck(target).update(bytes).mismatch() === undefined;
}

/**
 * Path under which a repository keeps a target's content: with a hash before the name where snapshots
 * are consistent (§5.7.3).
 * @throws BullaError content-invalid where the target path would leave the folder
 */
export function contentPath(found: FoundTarget, consistentSnapshot: boolean): string {
  assertRelativePath(found.path);
  const { hashes } = found.target;
  const hash = hashes.get('sha256') ?? hashes.get('sha512');
  // Without a known hash the content could not be verified, so it does not matter where it would be.
  return targetFilePath(found.path, consistentSnapshot ? hash : undefined);
}

/** The content differs from what was signed. */
function contentMismatch(path: string, mismatch: Mismatch): BullaError {
  const { what, expected, found } = mismatch;
  return new BullaError(
    'digest-mismatch',
    `content of ${JSON.stringify(path)}: ${what} is ${found}, and ${expected} was signed`,
    {
      hint: 'the content was altered or is another version; it was not kept',
      details: { path, ...mismatch },
    },
  );
}
