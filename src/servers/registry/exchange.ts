import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault } from './faults.ts';

/** One request and its answer. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly isHead: boolean;
  /** Who signed in, if somebody did. */
  readonly user: string | undefined;
  /** Bytes of bodies, counted as they pass. */
  readonly traffic: { received: number; sent: number };
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

/** Answers without a body. */
export function answer(
  exchange: Exchange,
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
  exchange: Exchange,
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
  exchange: Exchange,
  value: unknown,
  headers: Readonly<Record<string, string | number>> = {},
): void {
  answerBytes(exchange, 200, 'application/json', JSON.stringify(value), headers);
}

/** Answers with an error body of distribution-spec ("Error Codes"). */
export function answerFault(exchange: Exchange, fault: Fault): void {
  const body = JSON.stringify({ errors: [{ code: fault.code, message: fault.message }] });
  answerBytes(exchange, fault.status, 'application/json', body, fault.headers);
}

/** @throws Fault 405 */
export function refuseMethod(allowed: string): never {
  throw new Fault(405, 'UNSUPPORTED', `this address takes ${allowed} only`, { Allow: allowed });
}
