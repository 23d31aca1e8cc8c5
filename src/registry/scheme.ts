import { isBullaError } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { orInterrupted } from '../http/failure.ts';
import { speaksTls } from '../http/speaks-tls.ts';
import type { DialectMemory } from './dialect.ts';
import { endpointOf } from './endpoint.ts';

/** How a request over plain HTTP ends where a server speaks TLS: it hangs up, or what it says is not HTTP. */
const SIGNS_OF_TLS: ReadonlySet<unknown> = new Set([
  'HPE_INVALID_CONSTANT',
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_SOCKET',
]);

/**
 * Chooses between TLS and plain HTTP for a registry on this machine of which no setting says what it speaks. TLS is tried
 * first. Plain HTTP is spoken only where the server speaks no TLS, and never because of a certificate. What was found is
 * remembered, so that a handshake that fails is not tried in each process.
 */
export class SchemeFinder {
  private readonly dialect: DialectMemory;
  private readonly tls: URL;
  private current: URL;
  private deciding: Promise<void> | undefined;
  /** Plain HTTP is only remembered: the server may have changed since. */
  private isRemembered = false;

  constructor(registry: string, dialect: DialectMemory) {
    this.dialect = dialect;
    this.tls = endpointOf(registry, false);
    this.current = endpointOf(registry, true);
  }

  get base(): URL {
    return this.current;
  }

  /** Sends a first request, or a further one, in the way that the server understands. */
  async send(request: () => Promise<HttpResponse>, signal: AbortSignal | undefined): Promise<HttpResponse> {
    this.deciding ??= this.decide();
    // All callers wait for the same answer, and each can be called off.
    await orInterrupted(this.deciding, signal);
    if (!this.isRemembered) return await request();
    this.isRemembered = false;
    let response: HttpResponse;
    try {
      response = await request();
      if (response.status !== 400) return response;
    } catch (error) {
      if (!isBullaError(error) || !SIGNS_OF_TLS.has(error.details['errno'])) throw error;
      if (!(await this.turnsOutToBeTls(signal))) throw error;
      return await request();
    }
    if (!(await this.turnsOutToBeTls(signal))) return response;
    await response.body.discard();
    return await request();
  }

  private async decide(): Promise<void> {
    const { scheme } = await this.dialect.get();
    this.isRemembered = scheme === 'http';
    if (this.isRemembered) return;
    if (await speaksTls(this.tls)) this.current = this.tls;
    else await this.dialect.learn({ scheme: 'http' });
  }

  private async turnsOutToBeTls(signal: AbortSignal | undefined): Promise<boolean> {
    if (!(await speaksTls(this.tls, signal))) return false;
    this.current = this.tls;
    await this.dialect.learn({ scheme: undefined });
    return true;
  }
}
