import { stat } from 'node:fs/promises';

/** Notices that files were replaced or written, by looking at them: it works on every file system. */
export class WatchedFiles {
  private paths: readonly string[] = [];
  private stamp = '';

  /** Takes the files as they are now for known. */
  async take(paths: readonly string[]): Promise<void> {
    this.paths = paths;
    this.stamp = await stampOf(paths);
  }

  /** Whether one of them is another than when this was asked last. */
  async changed(): Promise<boolean> {
    const stamp = await stampOf(this.paths);
    const isOther = stamp !== this.stamp;
    this.stamp = stamp;
    return isOther;
  }
}

/** Links are followed: Kubernetes replaces a mounted Secret by turning a link around. */
async function stampOf(paths: readonly string[]): Promise<string> {
  const stamps = await Promise.all(
    paths.map((path) =>
      stat(path, { bigint: true }).then(
        ({ ino, size, mtimeNs, ctimeNs }) => `${ino} ${size} ${mtimeNs} ${ctimeNs}`,
        () => 'none',
      ),
    ),
  );
  return stamps.join('\n');
}
