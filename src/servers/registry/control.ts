import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { isErrno, readFileBounded, writeFileAtomic } from '../../disk/atomic.ts';
import { decodeUtf8, utf8 } from '../../encoding/bytes.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import type { CollectOptions, CollectReport } from './store/collect.ts';

/** A file that names the socket: the socket itself may have to be elsewhere. */
const ADDRESS_FILE = 'control';
/** Longest path of a Unix socket that all systems take, in bytes. */
const MAX_SOCKET_PATH = 100;
const MAX_MESSAGE_BYTES = 64 * 1024;

/** A door through which another process of this machine can ask a running server to collect. */
export interface Control {
  close(): Promise<void>;
}

/**
 * Opens the door, where the system has such doors; the server works without it as well. The socket's
 * directory can be entered by the owner only.
 */
export async function openControl(
  privateDirectory: string,
  collect: (options: CollectOptions) => Promise<CollectReport>,
  report: (problem: string) => void,
): Promise<Control | undefined> {
  try {
    return await open(privateDirectory, collect);
  } catch (error) {
    report(`gc cannot be asked for while this server runs: ${messageOf(error)}`);
    return undefined;
  }
}

async function open(
  privateDirectory: string,
  collect: (options: CollectOptions) => Promise<CollectReport>,
): Promise<Control> {
  const near = join(privateDirectory, 'control.sock');
  const path =
    Buffer.byteLength(near) <= MAX_SOCKET_PATH
      ? near
      : join(await mkdtemp(join(tmpdir(), 'bulla-')), 'control.sock');
  await rm(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    answer(socket, collect).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  const address = join(privateDirectory, ADDRESS_FILE);
  await writeFileAtomic(address, utf8(path), { mode: 0o600 });
  return {
    async close(): Promise<void> {
      await rm(address, { force: true });
      await closeServer(server, sockets);
      if (path !== near) await rm(dirname(path), { recursive: true, force: true });
    },
  };
}

async function closeServer(server: Server, open: ReadonlySet<Socket>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of open) socket.destroy();
  await closed;
}

async function answer(
  socket: Socket,
  collect: (options: CollectOptions) => Promise<CollectReport>,
): Promise<void> {
  const request = parseJsonObject(await readLine(socket), { what: 'the request' });
  let reply: Record<string, unknown>;
  try {
    reply = { report: await collect(optionsOf(request)) };
  } catch (error) {
    reply = { error: messageOf(error) };
  }
  socket.end(`${JSON.stringify(reply)}\n`);
}

function optionsOf(request: JsonObject): CollectOptions {
  const { graceMs, keepUntagged, dryRun } = request;
  return {
    ...(typeof graceMs === 'number' && { graceMs }),
    ...(typeof keepUntagged === 'boolean' && { keepUntagged }),
    ...(typeof dryRun === 'boolean' && { dryRun }),
  };
}

/**
 * Asks the server that has a directory open to collect.
 * @returns undefined where no server answers
 * @throws BullaError storage-error where the server could not do it
 */
export async function askToCollect(
  privateDirectory: string,
  options: CollectOptions,
): Promise<CollectReport | undefined> {
  let path: string;
  try {
    path = decodeUtf8(await readFileBounded(join(privateDirectory, ADDRESS_FILE), 4096), 'the socket');
  } catch (error) {
    if (isBullaError(error, 'not-found')) return undefined;
    throw error;
  }
  const socket = createConnection(path);
  try {
    socket.write(`${JSON.stringify(options)}\n`);
    const reply = parseJsonObject(await readLine(socket), { what: 'the answer of the server' });
    const { report, error } = reply;
    if (!isJsonObject(report)) {
      throw new BullaError('storage-error', `the server could not collect: ${String(error)}`, {
        hint: "look into the server's log",
      });
    }
    return report as unknown as CollectReport;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ECONNREFUSED')) return undefined;
    throw error;
  } finally {
    socket.destroy();
  }
}

async function readLine(socket: Socket): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
    const end = chunk.indexOf(0x0a);
    chunks.push(end < 0 ? chunk : chunk.subarray(0, end));
    length += chunk.byteLength;
    if (end >= 0 || length > MAX_MESSAGE_BYTES) break;
  }
  return Buffer.concat(chunks);
}
