/** How often one can go up by one, with a pause each time. */
export async function countTo(limit: number): Promise<number> {
  let count = 0;
  const goesOn = (): boolean => count < limit;
  while (goesOn()) {
    count++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return count;
}

/** The same without a pause: nothing else gets its turn. */
export async function runTo(limit: number): Promise<number> {
  let count = 0;
  const goesOn = (): boolean => count < limit;
  while (goesOn()) {
    count++;
    await undefined;
  }
  return count;
}
