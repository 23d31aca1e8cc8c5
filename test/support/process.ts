import { type ChildProcess, spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';

/** A server that a test started and has to stop. */
export interface Server {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly pid: number;
  /** What it has printed so far. */
  log(): string;
  /** Ends it, by force after three seconds; resolves when it is gone. */
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly file: string;
  /** The arguments, for a port that is free at the moment (0: the program chooses). */
  readonly args: (port: number) => readonly string[];
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** What it prints when it listens, with the port as first group; it may then be started with port 0. */
  readonly announces?: RegExp;
  /** Path that it answers with any status once it listens, where it announces nothing. */
  readonly answers?: string;
  /** It does not speak plain HTTP: that it takes connections is enough. */
  readonly isMute?: true;
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/**
 * Starts a server on a free port of 127.0.0.1 and waits until it listens.
 * @throws Error with its output, where it ends before that or does not listen within 30 seconds
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const port = options.announces === undefined ? await freePort() : 0;
  const child = spawn(options.file, options.args(port), {
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString('utf8')).slice(-256 * 1024);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  let ended: string | undefined;
  const gone = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      ended = error.message;
      resolve();
    });
    child.once('exit', (status, signal) => {
      ended = `ended with ${status ?? signal}`;
      children.delete(child);
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    if (ended !== undefined) return;
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), 3000);
    await gone;
    clearTimeout(force);
  };

  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline && ended === undefined) {
    const listening = await listeningPort(options, port, output);
    if (listening !== undefined) {
      return { host: `127.0.0.1:${listening}`, pid: child.pid ?? 0, log: () => output, stop };
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  await stop();
  throw new Error(`${options.file} does not listen: ${ended}\n${output}`);
}

async function listeningPort(
  options: ServerOptions,
  port: number,
  output: string,
): Promise<string | undefined> {
  if (options.announces !== undefined) return options.announces.exec(output)?.[1];
  if (options.isMute === true) return (await takesConnections(port)) ? String(port) : undefined;
  try {
    const response = await fetch(`http://127.0.0.1:${port}${options.answers ?? '/'}`);
    await response.arrayBuffer();
    return String(port);
  } catch {
    return undefined;
  }
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** A port of 127.0.0.1 that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
  return address.port;
}
