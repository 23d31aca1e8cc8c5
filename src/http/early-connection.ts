import { connect, type Socket } from 'node:net';

/**
 * A TCP connection that is begun before the code that will use it is loaded: name service and handshake
 * take their time meanwhile. To be used once, by the first connection to that host and port; one that
 * fails is as if it had never been.
 */
export class EarlyConnection {
  private readonly host: string;
  private readonly port: string;
  private socket: Socket | undefined;

  constructor(url: URL) {
    this.host = url.hostname;
    this.port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
    const socket = connect({ host: this.host.replace(/^\[|\]$/g, ''), port: Number(this.port) });
    socket.setNoDelay(true);
    socket.on('error', () => this.drop());
    // Nobody waits for it: the process may end before it is there.
    socket.unref();
    this.socket = socket;
  }

  /** The connection, for this server; undefined where it is for another, is taken, or has failed. */
  take(host: string, port: string): Socket | undefined {
    const { socket } = this;
    if (socket === undefined || host !== this.host || (port || this.port) !== this.port) return undefined;
    this.socket = undefined;
    socket.ref();
    return socket.destroyed ? undefined : socket;
  }

  /** Ends it unless somebody took it. */
  drop(): void {
    this.socket?.destroy();
    this.socket = undefined;
  }
}
