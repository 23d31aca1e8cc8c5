import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { MEDIA_TYPES } from '../../../src/oci/media-types.ts';
import { SIGNATURE_TYPES } from '../../../src/signatures/formats.ts';

/** Just under what is read of a manifest, and of a page of referrers. */
export const LARGEST: number = 4 * 1024 * 1024 - 4096;
const PAGE_BYTES = 15 * 1024 * 1024;

export interface HostileOptions {
  /** Entries in each page of referrers; each says so much of itself that a page has the largest size. */
  readonly entries?: number;
  /** What the entries call themselves. */
  readonly artifactType?: string;
  /** Pages of a list of referrers before it ends. */
  readonly pages?: number;
  /** One honest entry, at the end of the first page. */
  readonly honest?: { readonly digest: string; readonly size: number; readonly mediaType: string };
  /** How annotations look: one large one, or a great many. */
  readonly annotations?: 'large' | 'many';
  /** Manifests that are served as they are; all others are made up, of the largest size. */
  readonly manifests?: ReadonlyMap<string, { readonly bytes: Uint8Array; readonly mediaType: string }>;
  readonly blobs?: ReadonlyMap<string, Uint8Array>;
  /** Before each answer, in milliseconds. */
  readonly delayMs?: number;
}

/** A registry that keeps to the specification, and gives the largest answer that it may to each question. */
export interface HostileRegistry {
  readonly host: string;
  /** Digest of a large image that is there, also by any tag that is not `_trust` or of cosign. */
  readonly image: string;
  /** Bytes of bodies that were sent. */
  readonly sent: () => number;
  readonly requests: readonly string[];
  close(): Promise<void>;
}

export async function startHostile(options: HostileOptions = {}): Promise<HostileRegistry> {
  const made = new Map<string, () => Buffer>();
  const add = (fields: Readonly<Record<string, unknown>>): string => remember(made, fields);
  const image = add({ config: empty(), layers: [empty()] });
  const requests: string[] = [];
  let sent = 0;
  const sockets = new Set<Socket>();
  const answer = (response: ServerResponse, body: Uint8Array, headers: Record<string, string>): void => {
    sent += body.byteLength;
    response.writeHead(200, { 'content-length': body.byteLength, ...headers }).end(body);
  };
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? '/', 'http://registry.invalid');
    requests.push(`${request.method} ${url.pathname}${url.search}`);
    const at = Number(url.searchParams.get('page') ?? '0');
    const next = (path: string): string => `<${path}?page=${at + 1}>; rel="next"`;
    const [, kind, reference = ''] =
      /\/(manifests|blobs|referrers|tags|_catalog)(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    if (url.pathname === '/v2/') {
      answer(response, Buffer.from('{}'), {});
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      refuse(response);
    } else if (kind === 'referrers') {
      const last = at + 1 >= (options.pages ?? Number.POSITIVE_INFINITY);
      const body = referrers(options, at, add, image);
      answer(response, body, {
        'content-type': MEDIA_TYPES.ociIndex,
        ...(!last && { link: next(url.pathname) }),
      });
    } else if (kind === 'tags' || kind === '_catalog') {
      const member = kind === 'tags' ? 'tags' : 'repositories';
      answer(response, names(member, at), { 'content-type': 'application/json', link: next(url.pathname) });
    } else if (kind === 'manifests') {
      const known = options.manifests?.get(reference);
      const isAbsent = known === undefined && /^(sha256-|_trust)/.test(reference);
      const body = known?.bytes ?? made.get(reference.startsWith('sha256:') ? reference : image)?.();
      if (body === undefined || isAbsent) missing(response);
      else answer(response, body, { 'content-type': known?.mediaType ?? MEDIA_TYPES.ociManifest });
    } else if (kind === 'blobs') {
      const small = reference === empty().digest ? Buffer.from('{}') : undefined;
      const body = options.blobs?.get(reference) ?? small;
      if (body === undefined) missing(response);
      else answer(response, body, { 'content-type': 'application/octet-stream' });
    } else {
      missing(response);
    }
  };
  const server = createServer((request, response) => {
    request.resume();
    setTimeout(() => serve(request, response), options.delayMs ?? 0);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    image,
    sent: () => sent,
    requests,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

function refuse(response: ServerResponse): void {
  const message = `${'no '.repeat(20_000)}\u001b[2J`;
  response.writeHead(405, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ errors: [{ code: 'UNSUPPORTED', message }] }));
}

function missing(response: ServerResponse): void {
  response.writeHead(404, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN', message: 'no' }] }));
}

function digest(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function empty(): { readonly mediaType: string; readonly digest: string; readonly size: number } {
  return { mediaType: MEDIA_TYPES.empty, digest: digest(Buffer.from('{}')), size: 2 };
}

/** A manifest of the largest size, by what it says of itself. */
function padded(fields: Readonly<Record<string, unknown>>): Buffer {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    ...fields,
    annotations: { pad: '' },
  });
  // Of bytes, since text of megabytes takes time to be quoted and encoded.
  const [end, size] = [Buffer.from('"}}'), LARGEST - 64];
  const manifest = Buffer.alloc(size, 'x');
  manifest.write(text.slice(0, -end.length), 'latin1');
  end.copy(manifest, size - end.length);
  return manifest;
}

/** Digests of what was made up in any registry, by what it says of itself. */
const digests = new Map<string, string>();

/** What is large is made when it is asked for: only the digest is kept. */
function remember(made: Map<string, () => Buffer>, fields: Readonly<Record<string, unknown>>): string {
  const text = JSON.stringify(fields);
  const found = digests.get(text) ?? digest(padded(fields));
  digests.set(text, found);
  made.set(found, () => padded(fields));
  return found;
}

function referrers(
  { entries = 1, artifactType = SIGNATURE_TYPES.bundle, annotations = 'large', honest }: HostileOptions,
  page: number,
  add: (fields: Readonly<Record<string, unknown>>) => string,
  subject: string,
): Buffer {
  const room = Math.floor(LARGEST / entries) - 400;
  const pad = 'x'.repeat(Math.max(0, room));
  const listed = Array.from({ length: entries }, (_, at) => {
    const fields = {
      artifactType,
      config: empty(),
      layers: [{ ...empty(), mediaType: artifactType }],
      subject: { mediaType: MEDIA_TYPES.ociManifest, digest: subject, size: LARGEST },
      number: page * entries + at,
    };
    // To make up a manifest of 4 MiB takes time; of thousands of entries few are ever asked for.
    const isReal = entries <= 8 && page < 8;
    const entry = JSON.stringify({
      mediaType: MEDIA_TYPES.ociManifest,
      digest: isReal ? add(fields) : digest(Buffer.from(`${page} ${at}`)),
      size: LARGEST,
      artifactType,
      annotations: annotations === 'large' ? { pad: '' } : many(room),
    });
    return annotations === 'large' ? `${entry.slice(0, -3)}${pad}"}}` : entry;
  });
  if (honest !== undefined && page === 0) listed.push(JSON.stringify({ ...honest, artifactType }));
  const index = `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}","manifests":[${listed.join(',')}]}`;
  return Buffer.from(index, 'latin1');
}

function many(room: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: Math.floor(room / 20) }, (_, at) => [`a${1e7 + at}`, '']));
}

/** A page of names, as long as a page may be. */
function names(member: string, page: number): Buffer {
  const length = 120;
  const count = Math.floor(PAGE_BYTES / (length + 3));
  const list = Array.from({ length: count }, (_, at) => `t${page * count + at}`.padEnd(length, 'a'));
  return Buffer.from(JSON.stringify({ name: 'app', [member]: list }), 'latin1');
}
