/** What waits for its time; taken out earliest first, equals in the order in which they came. */
export class Heap<T> {
  private readonly items: { readonly at: number; readonly turn: number; readonly value: T }[] = [];
  private turns = 0;

  get size(): number {
    return this.items.length;
  }

  /** The earliest, left where it is. */
  peek(): { readonly at: number; readonly value: T } | undefined {
    return this.items[0];
  }

  push(at: number, value: T): void {
    this.items.push({ at, turn: this.turns++, value });
    this.rise(this.items.length - 1);
  }

  pop(): T | undefined {
    const [first] = this.items;
    const last = this.items.pop();
    if (first === undefined || last === undefined) return undefined;
    if (this.items.length > 0) {
      this.items[0] = last;
      this.sink(0);
    }
    return first.value;
  }

  private rise(from: number): void {
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.isBefore(at, parent)) return;
      this.swap(at, parent);
      at = parent;
    }
  }

  private sink(from: number): void {
    for (let at = from; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      let first = at;
      if (left < this.items.length && this.isBefore(left, first)) first = left;
      if (right < this.items.length && this.isBefore(right, first)) first = right;
      if (first === at) return;
      this.swap(at, first);
      at = first;
    }
  }

  private isBefore(a: number, b: number): boolean {
    const [x, y] = [this.items[a], this.items[b]];
    if (x === undefined || y === undefined) return false;
    return x.at < y.at || (x.at === y.at && x.turn < y.turn);
  }

  private swap(a: number, b: number): void {
    const [x, y] = [this.items[a], this.items[b]];
    if (x === undefined || y === undefined) return;
    this.items[a] = y;
    this.items[b] = x;
  }
}
