import type { TrustTarget } from '../../trust/format/ports.ts';
import type { Durations } from '../metrics.ts';

/** What is asked of registries, as the metrics name it. */
const OPERATIONS = {
  fetchManifest: 'get_manifest',
  fetchManifestUnless: 'check_manifest',
  fetchBlob: 'get_blob',
  openBlob: 'get_blob',
  hasBlob: 'check_blob',
  pushBlob: 'push_blob',
  pushManifest: 'push_manifest',
  listTags: 'list_tags',
  deleteManifest: 'delete_manifest',
  deleteTag: 'delete_tag',
} as const;

/** A target whose answers are timed, by what was asked; with its retries, as the work feels them. */
export function timedTarget<T extends TrustTarget>(target: T, durations: Durations): T {
  return new Proxy(target, {
    get(inner, name) {
      const value: unknown = Reflect.get(inner, name, inner);
      const operation = OPERATIONS[name as keyof typeof OPERATIONS] as string | undefined;
      if (typeof value !== 'function') return value;
      const call = value as (...args: unknown[]) => unknown;
      if (operation === undefined) return call.bind(inner);
      return async (...args: unknown[]) => {
        const started = performance.now();
        try {
          return await call.apply(inner, args);
        } finally {
          durations.add(`operation="${operation}"`, (performance.now() - started) / 1000);
        }
      };
    },
  });
}
