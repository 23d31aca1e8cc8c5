/** Collections that one run keeps. Further ones take the place of the oldest, which is read again if it is needed. */
const MAX_SHARED = 1_000;

/** What several verifications of one run share: each thing is done once, for all that need it. */
export class Shared {
  private readonly known = new Map<string, Promise<unknown>>();

  /** What `make` gives, or fails with, the first time that something is done under this key. */
  once<T>(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.known.get(key);
    if (known !== undefined) return known as Promise<T>;
    const made = make();
    this.known.set(key, made);
    const [oldest] = this.known.keys();
    if (this.known.size > MAX_SHARED && oldest !== undefined) this.known.delete(oldest);
    return made;
  }
}
