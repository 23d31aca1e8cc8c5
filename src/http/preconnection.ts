import { connect, type NetConnectOpts, type Socket } from 'node:net';

/**
 * A TCP connection that is begun before it is needed: name service and handshake take their time while
 * something else is done. To be used once, by the first connection to that host and port; one that fails
 * is as if it had never been.
 */
export class Preconnection {
  private readonly host: string;
  private readonly port: string;
  private socket: Socket | undefined;
  private readonly onUnusable = (): void => this.drop();

  constructor(url: URL) {
    this.host = url.hostname;
    this.port = portOf(url);
    // As undici opens its own.
    const options: NetConnectOpts & { readonly highWaterMark: number } = {
      host: this.host.replace(/^\[|\]$/g, ''),
      port: Number(this.port),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      highWaterMark: 64 * 1024,
    };
    const socket = connect(options);
    socket.on('error', this.onUnusable);
    // Servers speak when spoken to: what can be read now is that it hangs up, or nothing of ours.
    socket.on('readable', this.onUnusable);
    // The process does not wait for it: it may end before it is there.
    socket.unref();
    this.socket = socket;
  }

  /** Whether it can still be used: it was not used yet, and has not failed. */
  get isThere(): boolean {
    return this.socket !== undefined;
  }

  /** Whether it leads to where this URL does. */
  isFor(url: URL): boolean {
    return url.hostname === this.host && portOf(url) === this.port;
  }

  /** The connection, for this server; undefined where it is for another, is taken, or has failed. */
  take(host: string, port: string): Socket | undefined {
    const { socket } = this;
    if (socket === undefined || host !== this.host || (port || this.port) !== this.port) return undefined;
    this.socket = undefined;
    socket.off('error', this.onUnusable).off('readable', this.onUnusable);
    socket.ref();
    return socket.destroyed ? undefined : socket;
  }

  /** Ends it unless it was used. */
  drop(): void {
    this.socket?.destroy();
    this.socket = undefined;
  }
}

/** Whether an environment names a proxy: then who is to be connected to is not yet known. */
export function namesProxy(env: Readonly<Record<string, string | undefined>>): boolean {
  return Object.keys(env).some((name) => /^https?_proxy$/i.test(name));
}

function portOf({ port, protocol }: URL): string {
  return port === '' ? (protocol === 'https:' ? '443' : '80') : port;
}
