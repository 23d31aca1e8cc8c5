/**
 * Lets what is under way go on: connections are made, answers taken in. Loading a part of the program keeps
 * the thread to itself, from what starts a connection to what is loaded meanwhile.
 */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
