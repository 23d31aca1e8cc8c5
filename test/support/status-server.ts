import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listen } from './listen.ts';

/** What a path answers: content, a status with a place to go, or nothing. */
export type StatusAnswer =
  | Uint8Array
  | { readonly status: number; readonly location?: string; readonly body?: string }
  | 'reset'
  | 'silence'
  /** Half of the announced content. */
  | { readonly cut: Uint8Array };

/** Serves OCSP responses and CRLs over HTTP, well or badly. */
export class StatusServer {
  readonly url: string;
  /** Paths that were asked for, in order. */
  readonly asked: string[] = [];
  readonly answers: Map<string, StatusAnswer> = new Map();
  readonly stop: () => Promise<void>;

  private constructor(host: string, stop: () => Promise<void>) {
    this.url = `http://${host}`;
    this.stop = stop;
  }

  static async start(): Promise<StatusServer> {
    let made: StatusServer | undefined;
    const { host, stop } = await listen(createServer((request, response) => made?.answer(request, response)));
    made = new StatusServer(host, stop);
    return made;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    this.asked.push(`${request.method} ${path}`);
    request.resume();
    // A GET of OCSP has the request behind the responder's path.
    const [, found] =
      [...this.answers].find(([known]) => path === known || path.startsWith(`${known}/`)) ?? [];
    const answer = found ?? { status: 404 };
    if (answer === 'silence') return;
    if (answer === 'reset') request.socket.destroy();
    else if (answer instanceof Uint8Array) response.end(answer);
    else if ('cut' in answer) {
      response.writeHead(200, { 'content-length': answer.cut.byteLength });
      response.write(answer.cut.subarray(0, answer.cut.byteLength / 2), () => request.socket.destroy());
    } else {
      const { status, location, body } = answer;
      response.writeHead(status, location === undefined ? {} : { location }).end(body);
    }
  }
}
