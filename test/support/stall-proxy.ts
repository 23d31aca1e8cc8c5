import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { listen } from './listen.ts';

/** How a proxy gets in the way. What is left out goes straight through. */
export interface Stalling {
  /**
   * How many milliseconds a PUT is held before it goes on, or until when: the registry carries it out
   * then, whether or not the client still waits for it, for a sent request can't be recalled.
   */
  readonly put?: (path: string) => number | Promise<void>;
  /** How many milliseconds a list of tags is held before it comes back: it shows what was there before. */
  readonly listing?: () => number;
  /** In which order a list of tags comes; such a list is whole, whatever page was asked for. */
  readonly order?: (tags: readonly string[]) => readonly string[];
  /** Called when a request has come whole, and before it goes on. @param count how many there were, from 1 */
  readonly onRequest?: (count: number, method: string, path: string) => void;
}

/** Something between clients and a registry that holds some requests up. */
export interface StallProxy {
  readonly host: string;
  /** How many PUTs were held so far. */
  readonly stalled: number;
  /** How many requests of each method there were. */
  readonly requests: ReadonlyMap<string, number>;
  /** Resolves when everything that was ever sent has reached the registry, and was answered. */
  quiet(): Promise<void>;
  stop(): Promise<void>;
}

const TAGS_LIST = /^\/v2\/.+\/tags\/list(\?|$)/;

/** Passes HTTP/1.1 on to `upstream` (`host:port`). The Host header goes through unchanged. */
export async function startStallProxy(upstream: string, stalling: Stalling): Promise<StallProxy> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const requests = new Map<string, number>();
  const waiting = new Set<Promise<void>>();
  let stalled = 0;
  let count = 0;
  const [host, port] = upstream.split(':');

  const send = (
    { method = 'GET', headers }: IncomingMessage,
    path: string,
    body: Buffer | undefined,
  ): Promise<{ readonly answer: IncomingMessage; readonly bytes: Buffer }> =>
    new Promise((resolve, reject) => {
      const onward = request({ host, port, method, path, headers, agent }, (answer) => {
        collect(answer).then((bytes) => resolve({ answer, bytes }), reject);
      });
      onward.on('error', reject);
      onward.end(body);
    });

  const forward = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const { method = 'GET', url: path = '/' } = incoming;
    requests.set(method, (requests.get(method) ?? 0) + 1);
    const body = await collect(incoming);
    count += 1;
    stalling.onRequest?.(count, method, path);
    const held = method === 'PUT' ? (stalling.put?.(path) ?? 0) : 0;
    if (held !== 0) {
      stalled += 1;
      await (typeof held === 'number' ? sleep(held) : held);
    }
    const isList = method === 'GET' && TAGS_LIST.test(path);
    const whole = isList && stalling.order !== undefined;
    const { answer, bytes } = await send(incoming, whole ? path.replace(/\?.*/, '') : path, body);
    if (isList) await sleep(stalling.listing?.() ?? 0);
    if (!whole || answer.statusCode !== 200) {
      outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      outgoing.end(bytes);
      return;
    }
    const list = JSON.parse(bytes.toString('utf8')) as { name: string; tags: string[] | null };
    outgoing.setHeader('Content-Type', 'application/json');
    outgoing.end(JSON.stringify({ ...list, tags: stalling.order?.(list.tags ?? []) }));
  };

  const server = createServer((incoming, outgoing) => {
    // Whoever was killed has hung up; what it sent goes on all the same.
    outgoing.on('error', () => {});
    const done = forward(incoming, outgoing).catch(() => {
      outgoing.destroy();
    });
    waiting.add(done);
    done.finally(() => waiting.delete(done)).catch(() => {});
  });
  const { host: address, stop } = await listen(server);
  return {
    host: address,
    requests,
    get stalled() {
      return stalled;
    },
    quiet: async () => {
      while (waiting.size > 0) await Promise.all(waiting);
    },
    stop: async () => {
      await stop();
      agent.destroy();
    },
  };
}

async function collect(stream: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
