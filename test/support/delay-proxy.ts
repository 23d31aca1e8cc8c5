import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { listen } from './listen.ts';

/** One request that went through. */
export interface ProxiedRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Bytes of the bodies there and back. */
  readonly sent: number;
  readonly received: number;
  /** Which connection it came on, counted from 1. */
  readonly connection: number;
}

/** A far-away registry: everything takes a round trip longer, and all of it is counted. */
export interface DelayProxy {
  readonly host: string;
  /** Finished requests since the last `reset`. */
  readonly requests: readonly ProxiedRequest[];
  reset(): void;
  stop(): Promise<void>;
}

/**
 * Passes HTTP/1.1 on to `upstream` (`host:port`) and adds `roundTrip` milliseconds to each request; the
 * first of a connection sets out only one round trip after the connection was begun, as after a TCP
 * handshake. The Host header goes through unchanged, so that addresses in answers lead back here.
 */
export async function startDelayProxy(upstream: string, roundTrip: number): Promise<DelayProxy> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const begun = new WeakMap<object, number>();
  const connections = new WeakMap<object, number>();
  let opened = 0;
  let requests: ProxiedRequest[] = [];

  const forward = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const connection = connections.get(incoming.socket) ?? ++opened;
    connections.set(incoming.socket, connection);
    if (roundTrip > 0) {
      const age = performance.now() - (begun.get(incoming.socket) ?? 0);
      await sleep(Math.max(0, roundTrip - age) + roundTrip);
    }
    const { method = 'GET', url: path = '/', headers } = incoming;
    const [host, port] = upstream.split(':');
    let sent = 0;
    let received = 0;
    const onward = request({ host, port, method, path, headers, agent }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      answer.on('end', () => {
        requests.push({ method, path, status: answer.statusCode ?? 502, sent, received, connection });
      });
      answer.on('error', () => outgoing.destroy());
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.on('data', (chunk: Buffer) => {
      sent += chunk.length;
    });
    incoming.pipe(onward);
  };

  const server = createServer((incoming, outgoing) => {
    forward(incoming, outgoing).catch(() => outgoing.destroy());
  });
  server.on('connection', (socket) => begun.set(socket, performance.now()));
  // A pause between the commands of a measurement must not cost a connection.
  server.keepAliveTimeout = 60_000;
  const { host, stop } = await listen(server);
  return {
    host,
    get requests() {
      return requests;
    },
    reset: () => {
      requests = [];
    },
    stop: async () => {
      await stop();
      agent.destroy();
    },
  };
}
