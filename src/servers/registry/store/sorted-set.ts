/** A set of ASCII strings in byte order, for listings that are read in pages. */
export class SortedSet {
  private readonly items: string[];

  constructor(items: Iterable<string> = []) {
    this.items = [...new Set(items)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }

  get size(): number {
    return this.items.length;
  }

  has(item: string): boolean {
    return this.items[this.position(item)] === item;
  }

  add(item: string): void {
    const at = this.position(item);
    if (this.items[at] !== item) this.items.splice(at, 0, item);
  }

  delete(item: string): void {
    const at = this.position(item);
    if (this.items[at] === item) this.items.splice(at, 1);
  }

  /** Up to `limit` items that come after `last`, which itself need not be there. */
  after(last: string | undefined, limit: number): readonly string[] {
    const at = last === undefined ? 0 : this.position(last);
    const start = last !== undefined && this.items[at] === last ? at + 1 : at;
    return this.items.slice(start, Math.min(this.items.length, start + limit));
  }

  /** The last of up to `limit` items after `after`, undefined where there are none, and whether others follow. */
  pageAfter(after: string | undefined, limit: number): { last: string | undefined; more: boolean } {
    const at = after === undefined ? 0 : this.position(after);
    const start = after !== undefined && this.items[at] === after ? at + 1 : at;
    const end = Math.min(this.items.length, start + limit);
    return { last: end > start ? this.items[end - 1] : undefined, more: end < this.items.length };
  }

  [Symbol.iterator](): IterableIterator<string> {
    return this.items[Symbol.iterator]();
  }

  /** Index of the first item that is not less than `item`. */
  private position(item: string): number {
    let low = 0;
    let high = this.items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.items[middle] as string) < item) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
