/** The embedded OCI registry as a library: `bulla/registry-server`. */
export type { LogFields, LogSink } from '../servers/log.ts';
export type { Insider } from '../servers/registry/access.ts';
export type { RegistryEvent } from '../servers/registry/events.ts';
export { gc } from '../servers/registry/gc.ts';
export type { NotificationEndpoint } from '../servers/registry/notifications.ts';
export type { RegistryLimits } from '../servers/registry/options.ts';
export {
  type RegistryServer,
  type RegistryServerOptions,
  serveRegistry,
} from '../servers/registry/server.ts';
export type { CollectOptions, CollectReport } from '../servers/registry/store/collect.ts';
