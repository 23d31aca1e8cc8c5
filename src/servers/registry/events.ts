import type { Digest } from '../../oci/digest.ts';
import type { ServerExchange } from './exchange.ts';

/** What happened to content, in the words of distribution's notifications. */
export interface RegistryEvent {
  readonly action: 'push' | 'pull' | 'mount' | 'delete';
  readonly repository: string;
  readonly digest: Digest;
  readonly mediaType?: string | undefined;
  /** In bytes. */
  readonly size?: number | undefined;
  readonly tag?: string | undefined;
}

/** Who is told what happened. It must not wait for anything. */
export interface Events {
  emit(event: RegistryEvent, exchange: ServerExchange): void;
}
