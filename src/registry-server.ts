/** The embedded OCI registry as a library: `bulla/registry-server`. */
export type { RegistryLimits } from './servers/registry/options.ts';
export { type RegistryServer, type RegistryServerOptions, serveRegistry } from './servers/registry/server.ts';
