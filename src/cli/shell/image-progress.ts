import type { CopyEvent } from '../../actions/copy/progress.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Sink } from './io.ts';
import { Progress } from './progress.ts';

/** Shows the copies of many images on a terminal: a row for each that is under way, and one in total. */
export class ImageProgress {
  private readonly progress: Progress;
  private readonly images = new Map<string, Map<Digest, number>>();

  constructor(sink: Sink, shown: boolean) {
    // In a pipe, the command prints a line for each image itself.
    this.progress = new Progress(sink, shown && sink.isTTY === true);
  }

  /** So many images are to be copied. */
  expect(total: number): void {
    this.progress.expect(total);
  }

  /** What the copy of an image tells. */
  on(tag: string, event: CopyEvent): void {
    if (event.kind === 'planned') {
      this.images.set(tag, new Map());
      this.progress.start(tag, tag.padEnd(16), event.bytes);
      return;
    }
    const bytes = this.images.get(tag);
    if (bytes === undefined || event.kind === 'warning' || event.kind === 'start') return;
    bytes.set(event.descriptor.digest, event.kind === 'progress' ? event.bytes : event.descriptor.size);
    let sum = 0;
    for (const one of bytes.values()) sum += one;
    this.progress.reach(tag, sum);
  }

  /** An image is done with; the command prints what became of it. */
  end(tag: string): void {
    const bytes = this.images.get(tag);
    this.images.delete(tag);
    let sum = 0;
    for (const one of bytes?.values() ?? []) sum += one;
    this.progress.end(tag, undefined, sum);
  }

  /** Takes the display away. */
  stop(): void {
    this.progress.stop();
  }
}
