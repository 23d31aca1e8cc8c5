import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault } from './faults.ts';

/** One request and its answer. */
export interface ServerExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly isHead: boolean;
  /** The signed-in user, if any. */
  readonly user: string | undefined;
  /** Bytes of bodies, counted as they pass. */
  readonly traffic: { received: number; sent: number };
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

/** Answers without a body. */
export function answer(
  exchange: ServerExchange,
  status: number,
  headers: Readonly<Record<string, string | number>> = {},
): void {
  exchange.response.writeHead(
    status,
    status === 204 || status === 304 ? headers : { 'Content-Length': 0, ...headers },
  );
  exchange.response.end();
}

/** Answers with bytes, or to a HEAD with their headers. */
export function answerBytes(
  exchange: ServerExchange,
  status: number,
  type: string,
  bytes: Uint8Array | string,
  headers: Readonly<Record<string, string | number>> = {},
): void {
  const { response, isHead } = exchange;
  const length = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.byteLength;
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': length, ...headers });
  if (!isHead) exchange.traffic.sent += length;
  response.end(isHead ? undefined : bytes);
}

/** Answers with JSON. */
export function answerJson(
  exchange: ServerExchange,
  value: unknown,
  headers: Readonly<Record<string, string | number>> = {},
): void {
  answerBytes(exchange, 200, 'application/json', JSON.stringify(value), headers);
}

/** An answer up to here is sent in one piece, with its length. */
const WHOLE_BYTES = 64 * 1024;

/**
 * Answers with what is made piece by piece: it takes as much memory as a piece, however long the answer is and
 * however slowly it is read. What fails after the first pieces ends the connection.
 */
export async function answerPieces(
  exchange: ServerExchange,
  type: string,
  pieces: AsyncIterable<Uint8Array | string>,
  headers: Readonly<Record<string, string | number>> = {},
): Promise<void> {
  const { response, isHead } = exchange;
  let waiting: Uint8Array[] = [];
  let length = 0;
  const send = async (): Promise<void> => {
    const bytes = Buffer.concat(waiting);
    waiting = [];
    length = 0;
    exchange.traffic.sent += bytes.byteLength;
    await flushed(response, bytes);
  };
  for await (const piece of pieces) {
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
    waiting.push(bytes);
    length += bytes.byteLength;
    if (length <= WHOLE_BYTES) continue;
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': type, ...headers });
    if (isHead || response.destroyed) break;
    await send();
  }
  if (!response.headersSent) answerBytes(exchange, 200, type, Buffer.concat(waiting), headers);
  else if (!response.destroyed) {
    if (!isHead) await send();
    response.end();
  }
}

/** Resolves when the bytes have left, or never will. */
export function flushed(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('close', done);
      resolve();
    };
    response.once('close', done);
    response.write(bytes, done);
  });
}

/** Answers with an error body of distribution-spec ("Error Codes"). */
export function answerFault(exchange: ServerExchange, fault: Fault): void {
  const body = JSON.stringify({ errors: [{ code: fault.code, message: fault.message }] });
  answerBytes(exchange, fault.status, 'application/json', body, fault.headers);
}

/** @throws Fault 405 */
export function refuseMethod(allowed: string): never {
  throw new Fault(405, 'UNSUPPORTED', `this address takes ${allowed} only`, { Allow: allowed });
}
