/**
 * Results of `work` in the order of the items, a few at a time. After a failure nothing more is begun, what is under
 * way is finished, and the failure of the first item that failed is thrown.
 * @param onDone called with the results in the order of the items, also those that were there when another failed
 */
export async function inParallel<T, R>(
  items: readonly T[],
  places: number,
  work: (item: T) => Promise<R>,
  onDone?: (result: R) => void,
): Promise<readonly R[]> {
  const results = new Map<number, R>();
  const failures = new Map<number, unknown>();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length && failures.size === 0) {
      const at = next++;
      try {
        results.set(at, await work(items[at] as T));
      } catch (error) {
        failures.set(at, error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(places, items.length) }, worker));
  const done = [...results].sort(([a], [b]) => a - b).map(([, result]) => result);
  if (onDone !== undefined) for (const result of done) onDone(result);
  if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
  return done;
}
