import type { WithPlaces } from '../actions/sync/sync.ts';
import { Places, type PlacesPorts } from './places.ts';

/** Opens what a sync copies from and to, and ends it with each piece of work. @param dryRun nothing is to be written */
export function syncPlaces(ports: PlacesPorts, dryRun: boolean): WithPlaces {
  const { signal, client } = ports;
  return async (work) => {
    const opened = new Places(ports);
    try {
      const result = await work({
        open: (reference, side) => {
          const write = side === 'to' && !dryRun;
          return opened.openTarget(reference, { write, create: write });
        },
        listRepositories: async function* (registry) {
          yield* (await client(registry, undefined)).listRepositories(registry, { signal });
        },
      });
      await opened.close('well');
      return result;
    } catch (error) {
      await opened.close('badly').catch(() => undefined);
      throw error;
    }
  };
}
