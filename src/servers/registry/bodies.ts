import type { Readable } from 'node:stream';
import type { ServerExchange } from './exchange.ts';
import { Fault } from './faults.ts';
import type { RegistryLimits } from './options.ts';

/** `Content-Length` of a request; undefined where it is sent in chunks. */
export function contentLength(exchange: ServerExchange): number | undefined {
  const header = exchange.request.headers['content-length'];
  return header === undefined ? undefined : Number(header);
}

/** Whether a request has no body at all. */
export function isBodiless(exchange: ServerExchange): boolean {
  return exchange.request.headers['transfer-encoding'] === undefined && (contentLength(exchange) ?? 0) === 0;
}

/**
 * The body of a request as it comes, at most `maxBytes`, and not slower than allowed: a client that
 * sends a byte a minute is cut off.
 * @throws Fault 413, 408; what the connection says when it breaks
 */
export async function* bodyOf(
  exchange: ServerExchange,
  maxBytes: number,
  limits: RegistryLimits,
): AsyncGenerator<Uint8Array, void, void> {
  const announced = contentLength(exchange);
  if (announced !== undefined && announced > maxBytes) throw tooLarge(maxBytes);
  if (exchange.expectsContinue) exchange.response.writeContinue();
  const started = performance.now();
  let received = 0;
  // The stream stays open when we leave early: the answer goes out on the same connection.
  const chunks = (exchange.request as Readable).iterator({ destroyOnReturn: false });
  for await (const chunk of chunks as AsyncIterable<Uint8Array>) {
    received += chunk.byteLength;
    exchange.traffic.received += chunk.byteLength;
    if (received > maxBytes) throw tooLarge(maxBytes);
    const elapsed = performance.now() - started;
    if (elapsed > limits.idleMs && received < (elapsed / 1000) * limits.minBytesPerSecond)
      throw new Fault(408, 'UNKNOWN', 'the body came too slowly', { Connection: 'close' });
    yield chunk;
  }
}

function tooLarge(maxBytes: number): Fault {
  return new Fault(413, 'SIZE_INVALID', `the body is larger than the ${maxBytes} bytes allowed`);
}
