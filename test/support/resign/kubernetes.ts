import { createServer, type IncomingMessage } from 'node:http';
import { isJsonObject, type JsonObject } from '../../../src/encoding/json.ts';
import { BullaError } from '../../../src/errors.ts';
import { listen } from '../listen.ts';

/** What the re-signer asks of Kubernetes, in memory: objects by path, with resourceVersions that count. */
export class FakeCluster {
  readonly objects: Map<string, JsonObject> = new Map();
  readonly log: string[] = [];
  /** What every request fails with. */
  outage: BullaError | undefined;
  private version = 1;

  async get(path: string): Promise<JsonObject | undefined> {
    this.note('GET', path);
    return structuredClone(this.objects.get(path));
  }

  async create(path: string, object: JsonObject): Promise<JsonObject> {
    this.note('POST', path);
    const name = `${path}/${String((object['metadata'] as JsonObject)['name'])}`;
    if (this.objects.has(name)) throw conflict(name);
    return this.put(name, object);
  }

  async replace(path: string, object: JsonObject): Promise<JsonObject> {
    this.note('PUT', path);
    const present = this.objects.get(path);
    if (present === undefined) throw new BullaError('not-found', path, { hint: 'none' });
    const wanted = (object['metadata'] as JsonObject)['resourceVersion'];
    if (wanted !== undefined && wanted !== (present['metadata'] as JsonObject)['resourceVersion'])
      throw conflict(path);
    return this.put(path, object);
  }

  private put(path: string, object: JsonObject): JsonObject {
    const metadata = { ...(object['metadata'] as JsonObject), resourceVersion: String(this.version++) };
    const stored = { ...structuredClone(object), metadata };
    this.objects.set(path, stored);
    return structuredClone(stored);
  }

  private note(method: string, path: string): void {
    this.log.push(`${method} ${path}`);
    if (this.outage !== undefined) throw this.outage;
  }
}

function conflict(path: string): BullaError {
  return new BullaError('conflict', `${path} is another by now`, { hint: 'none' });
}

/** The same behind HTTP, as the API server answers; it wants a token. */
export async function serveCluster(
  cluster: FakeCluster,
  token: () => string,
): Promise<{ readonly url: URL; stop(): Promise<void> }> {
  const server = createServer((request, response) => {
    void answer(cluster, token(), request)
      .then(
        (object) => [object === undefined ? 404 : 200, object ?? status('not found')] as const,
        (error: unknown) => [statusOf(error), status(String(error))] as const,
      )
      .then(([code, body]) => {
        response.writeHead(code, { 'content-type': 'application/json' });
        response.end(JSON.stringify(body));
      });
  });
  const { host, stop } = await listen(server);
  return { url: new URL(`http://${host}`), stop };
}

async function answer(
  cluster: FakeCluster,
  token: string,
  request: IncomingMessage,
): Promise<JsonObject | undefined> {
  if (request.headers.authorization !== `Bearer ${token}`)
    throw new BullaError('unauthorized', 'no token', { hint: 'none' });
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const path = request.url ?? '';
  if (request.method === 'GET') return await cluster.get(path);
  const object: unknown = JSON.parse(Buffer.concat(pieces).toString('utf8'));
  if (!isJsonObject(object as never)) throw new Error('no object');
  return request.method === 'POST'
    ? await cluster.create(path, object as JsonObject)
    : await cluster.replace(path, object as JsonObject);
}

function status(message: string): JsonObject {
  return { kind: 'Status', status: 'Failure', message };
}

function statusOf(error: unknown): number {
  const codes: Readonly<Record<string, number>> = { conflict: 409, 'not-found': 404, unauthorized: 401 };
  return error instanceof BullaError ? (codes[error.code] ?? 500) : 500;
}
