import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import {
  type RegistryServer,
  type RegistryServerOptions,
  serveRegistry,
} from '../../../src/api/registry-server.ts';

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const EMPTY = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  size: 2,
};

/** A directory that is gone when the test ends. */
export async function temporaryDirectory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'bulla-registry-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A registry that ends with the test. */
export async function startTestRegistry(
  options: Partial<RegistryServerOptions> = {},
): Promise<{ server: RegistryServer; dir: string; client: Client }> {
  const dir = options.dir ?? (await temporaryDirectory());
  const server = await serveRegistry({ limits: { graceMs: 500 }, ...options, dir });
  onTestFinished(() => server.close());
  return { server, dir, client: new Client(server.address) };
}

/** The digest of bytes. */
export function digestOf(bytes: Uint8Array | string, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
  text(): string;
  json(): Record<string, unknown>;
  /** The first error code of the body. */
  code(): string | undefined;
}

export interface Send {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** Speaks to a registry as it is told, proper or not: paths go out as they are. */
export class Client {
  readonly host: string;
  readonly port: number;
  readonly address: string;
  repository = 'team/app';

  constructor(address: string) {
    this.address = address;
    this.host = address.slice(0, address.lastIndexOf(':'));
    this.port = Number(address.slice(address.lastIndexOf(':') + 1));
  }

  send(method: string, path: string, send: Send = {}): Promise<Answer> {
    const isChunked = send.headers?.['Transfer-Encoding'] !== undefined;
    const length =
      send.body === undefined || isChunked ? {} : { 'Content-Length': Buffer.byteLength(send.body) };
    const headers = { ...length, ...send.headers };
    return new Promise((resolve, reject) => {
      const sent = request(
        { host: this.host, port: this.port, method, path, headers, agent: false },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const body = Buffer.concat(chunks);
            const json = (): Record<string, unknown> =>
              JSON.parse(body.toString()) as Record<string, unknown>;
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers as Record<string, string | undefined>,
              body,
              text: () => body.toString(),
              json,
              code: () => (json()['errors'] as { code: string }[])[0]?.code,
            });
          });
        },
      );
      sent.on('error', reject);
      sent.end(send.body);
    });
  }

  /** A connection on which anything can be written. */
  async raw(): Promise<Socket> {
    const socket = connect(this.port, this.host);
    onTestFinished(() => {
      socket.destroy();
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return socket;
  }

  get path(): string {
    return `/v2/${this.repository}`;
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.send('GET', `${this.path}${path}`, { headers });
  }

  async pushBlob(bytes: string | Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    const answer = await this.send('POST', `${this.path}/blobs/uploads/?digest=${digest}`, { body: bytes });
    expect(answer.status, answer.text()).toBe(201);
    return digest;
  }

  /** Starts an upload. @returns its address */
  async startUpload(query = ''): Promise<string> {
    const answer = await this.send('POST', `${this.path}/blobs/uploads/${query}`);
    expect(answer.status).toBe(202);
    return answer.headers['location'] as string;
  }

  put(
    reference: string,
    body: string | Uint8Array,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    return this.send('PUT', `${this.path}/manifests/${reference}`, {
      body,
      headers: { 'Content-Type': OCI_MANIFEST, ...headers },
    });
  }

  /** Pushes an artifact with the empty layer. @returns its bytes */
  async pushArtifact(reference: string, note: string, more: Record<string, unknown> = {}): Promise<string> {
    await this.pushBlob('{}');
    const body = artifact(note, more);
    const answer = await this.put(reference === '' ? digestOf(body) : reference, body);
    expect(answer.status, answer.text()).toBe(201);
    return body;
  }
}

/** Bytes of an artifact manifest. */
export function artifact(note: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: 'application/vnd.example+json',
    config: EMPTY,
    layers: [EMPTY],
    annotations: { note },
    ...more,
  });
}

/** Descriptor of a manifest's bytes, to be a subject or in an index. */
export function descriptorOf(body: string, mediaType: string = OCI_MANIFEST): Record<string, unknown> {
  return { mediaType, digest: digestOf(body), size: Buffer.byteLength(body) };
}
