import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { listen } from '../listen.ts';
import type { ForgedFiles } from './forge.ts';

export interface NotarySimulatorOptions {
  /** Answers each request so many milliseconds later. */
  readonly delayMs?: number;
  /** Wants a token for `repository:GUN:pull`, given for this name and password (or to anybody). */
  readonly auth?: { readonly user?: string; readonly password?: string } | undefined;
  /** Like a static web server: no files by hash, 404 without words. */
  readonly isPlain?: boolean;
  /** A path before `/v2/`. */
  readonly prefix?: string;
  /** Answers instead, if it wants to. @returns whether it did */
  readonly fault?: (path: string, response: ServerResponse, count: number) => boolean;
}

/** A Notary v1 server of a test: what it serves can be anything. */
export interface NotarySimulator {
  readonly host: string;
  readonly url: string;
  /** By GUN. */
  readonly repositories: Map<string, ForgedFiles>;
  readonly requests: string[];
  /** Scopes that tokens were asked for. */
  readonly scopes: string[];
  readonly state: { received: number; connections: number; sent: number; atOnce: number; most: number };
  stop(): Promise<void>;
}

/** Starts one on a free port of 127.0.0.1; it ends with the test. */
export async function startNotary(options: NotarySimulatorOptions = {}): Promise<NotarySimulator> {
  const repositories = new Map<string, ForgedFiles>();
  const requests: string[] = [];
  const scopes: string[] = [];
  const tokens = new Set<string>();
  const state = { received: 0, connections: 0, sent: 0, atOnce: 0, most: 0 };
  let host = '';

  const token = (request: IncomingMessage, response: ServerResponse, url: URL): void => {
    const { user, password } = options.auth ?? {};
    const expected = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    if (user !== undefined && request.headers.authorization !== expected) {
      response.writeHead(401).end();
      return;
    }
    for (const scope of url.searchParams.getAll('scope')) scopes.push(scope);
    const value = randomUUID();
    for (const scope of url.searchParams.getAll('scope')) tokens.add(`${value} ${scope}`);
    response.end(JSON.stringify({ token: value, expires_in: 300 }));
  };

  const serve = (request: IncomingMessage, response: ServerResponse, url: URL): void => {
    const path = decodeURIComponent(url.pathname);
    requests.push(path);
    if (options.fault?.(path, response, requests.filter((other) => other === path).length) === true) return;
    const match = /^\/v2\/(.+)\/_trust\/tuf\/(.+)\.(json|key)$/.exec(
      path.slice((options.prefix ?? '').length),
    );
    const [, gun = '', name = '', kind] = match ?? [];
    if (options.auth !== undefined) {
      const value = (request.headers.authorization ?? '').replace(/^Bearer /, '');
      if (!tokens.has(`${value} repository:${gun}:pull`)) {
        const challenge = `Bearer realm="http://${host}/token",service="notary",scope="repository:${gun}:pull"`;
        response.writeHead(401, { 'www-authenticate': challenge }).end('{"errors":[]}');
        return;
      }
    }
    const files = repositories.get(gun);
    const bytes =
      kind === 'key' ? Buffer.from('{"keytype":"ecdsa"}') : files && find(files, name, options.isPlain);
    if (bytes === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(
        options.isPlain === true
          ? '<html>404</html>'
          : '{"errors":[{"code":"METADATA_NOT_FOUND","message":"You have requested metadata that does not exist.","detail":null}]}',
      );
      return;
    }
    state.sent += bytes.byteLength;
    response.writeHead(200, {
      'content-type': 'text/plain',
      'last-modified': 'Fri, 20 Nov 2026 23:51:18 UTC',
    });
    response.end(bytes);
  };

  const server = createServer((request, response) => {
    void (async () => {
      state.atOnce++;
      state.most = Math.max(state.most, state.atOnce);
      if (options.delayMs !== undefined) await sleep(options.delayMs);
      state.atOnce--;
      const url = new URL(request.url ?? '/', `http://${host}`);
      if (url.pathname === '/token') token(request, response, url);
      else serve(request, response, url);
    })();
  });
  server.on('connection', () => state.connections++);
  server.maxConnections = 1000;
  const listening = await listen(server);
  host = listening.host;
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= listening.stop());
  onTestFinished(stop);
  const url = `http://${host}${options.prefix ?? ''}`;
  return { host, url, repositories, requests, scopes, state, stop };
}

function find(files: ForgedFiles, name: string, isPlain = false): Uint8Array | undefined {
  const exact = files.get(name);
  if (exact !== undefined || isPlain) return exact;
  const [, role, hash] = /^(.+)\.([0-9a-f]{64})$/.exec(name) ?? [];
  const bytes = role === undefined ? undefined : files.get(role);
  if (bytes === undefined || createHash('sha256').update(bytes).digest('hex') !== hash) return undefined;
  return bytes;
}
