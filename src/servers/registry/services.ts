import type { Events } from './events.ts';
import type { ManifestFiles } from './manifest-files.ts';
import type { RegistryLimits } from './options.ts';
import type { ManifestSpool } from './spool.ts';
import type { Store } from './store/store.ts';
import type { Uploads } from './store/uploads.ts';

/** What every request is answered with. */
export interface Services {
  readonly store: Store;
  readonly uploads: Uploads;
  readonly manifests: ManifestFiles;
  readonly spool: ManifestSpool;
  readonly limits: RegistryLimits;
  readonly events: Events;
  /** Accept manifests that refer to content that is not there. */
  readonly sparse: boolean;
}
