import { lookup as dnsLookup, type LookupAddress } from 'node:dns';
import type { LookupFunction, Socket } from 'node:net';
import type { buildConnector } from 'undici';
import connectorOf from 'undici/lib/core/connect.js';
import { BullaError } from '../errors.ts';
import type { AddressClass } from './address.ts';

/** How one server is authenticated, and we to it. */
export interface TlsOptions {
  /** PEM certificates that are trusted beside those of the system. */
  readonly ca?: string | undefined;
  /** PEM certificate chain and key that we show where asked, to the registry only. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly passphrase?: string | undefined;
  /** Any certificate will do: to try things out only. */
  readonly insecure?: boolean | undefined;
}

/**
 * TLS options of a server: they belong to its scheme, host and port, and are never those of another.
 * @param isOwn whether the caller chose the server; false where another server sent us there
 */
export type TlsFor = (url: URL, isOwn: boolean) => TlsOptions | Promise<TlsOptions>;

/** Name service; node's own if left out. */
export type Resolve = (
  host: string,
  callback: (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void,
) => void;

const systemResolve: Resolve = (host, callback) => {
  dnsLookup(host, { all: true }, (error, addresses) => callback(error, addresses));
};

/** Class of an address; `classOfAddress` but in tests, whose servers are all on loopback. */
export type Classify = (address: string) => AddressClass | undefined;

export interface ConnectorOptions {
  readonly tls: TlsOptions;
  readonly connectTimeoutMs: number;
  /** Only addresses of these classes are connected to; all if left out. */
  readonly allow?: ReadonlySet<AddressClass> | undefined;
  /** Whether the client certificate is for this server. */
  readonly authenticate: boolean;
  readonly resolve?: Resolve | undefined;
  readonly classify: Classify;
  /** A connection that was started already, if there is one; not if another server referred us there. */
  readonly preconnected?: ((host: string, port: string) => Socket | undefined) | undefined;
  /** Called with the address of each new connection. */
  readonly onConnected: (address: string | undefined) => void;
}

/**
 * Opens connections. Addresses are checked where the socket takes them from the name service, so that
 * a name that answers differently the second time (DNS rebinding) gains nothing.
 */
export function makeConnector(options: ConnectorOptions): buildConnector.connector {
  const { tls } = options;
  const connect = connectorOf({
    timeout: options.connectTimeoutMs,
    lookup: checkedLookup(options),
    ...serverChecks(tls),
    ...(options.authenticate && tls.cert !== undefined && { cert: tls.cert, key: tls.key ?? tls.cert }),
    ...(options.authenticate && tls.passphrase !== undefined && { passphrase: tls.passphrase }),
    // undici's type asks for fields that it fills in itself.
  } as Parameters<typeof buildConnector>[0]);
  return (target, callback) => {
    const literal = options.classify(target.hostname.replace(/^\[|\]$/g, ''));
    if (literal !== undefined && options.allow?.has(literal) === false) {
      callback(refused(target.hostname, literal), null);
      return;
    }
    const done: buildConnector.Callback = (error, socket) => {
      if (error !== null || socket === null) {
        callback(error ?? new Error('no connection'), null);
        return;
      }
      options.onConnected(socket.remoteAddress);
      callback(null, socket);
    };
    const preconnected =
      options.allow === undefined ? options.preconnected?.(target.hostname, target.port) : undefined;
    if (preconnected === undefined) connect(target, done);
    else adopt(preconnected, { connect, target, timeoutMs: options.connectTimeoutMs }, done);
  };
}

interface Adoption {
  readonly connect: buildConnector.connector;
  readonly target: buildConnector.Options;
  readonly timeoutMs: number;
}

/** Uses a connection that was begun: as it is, or with TLS over it; where it fails, an ordinary one. */
function adopt(
  socket: Socket,
  { connect, target, timeoutMs }: Adoption,
  done: buildConnector.Callback,
): void {
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    socket.destroy();
  }, timeoutMs);
  const settle = (): void => {
    clearTimeout(timer);
    socket.off('connect', settle).off('close', settle);
    if (late) done(connectTimeout(timeoutMs), null);
    else if (socket.destroyed) connect(target, done);
    else if (target.protocol === 'https:') connect({ ...target, httpSocket: socket }, done);
    else done(null, socket);
  };
  // Of an error, 'close' follows; this failure need not be reported elsewhere.
  socket
    .once('connect', settle)
    .once('close', settle)
    .once('error', () => undefined);
  // undici asks for a connection in the midst of handing out requests. Answered before it has finished,
  // it would not look at what waits for the connection until something else happens on it.
  if (!socket.connecting) queueMicrotask(settle);
}

/** As undici says it of a connection of its own. */
function connectTimeout(timeoutMs: number): NodeJS.ErrnoException {
  return Object.assign(new Error(`no connection within ${timeoutMs} ms`), {
    code: 'UND_ERR_CONNECT_TIMEOUT',
  });
}

function checkedLookup({ allow, resolve = systemResolve, classify }: ConnectorOptions): LookupFunction {
  return (host, options, callback) => {
    resolve(host, (error, found) => {
      if (error !== null) {
        callback(error, '', 0);
        return;
      }
      const usable = found.filter(({ address }) => {
        const kind = classify(address);
        return kind !== undefined && (allow === undefined || allow.has(kind));
      });
      const first = usable[0];
      if (first === undefined) {
        callback(refused(host, classify(found[0]?.address ?? '') ?? 'reserved'), '', 0);
      } else if (options.all === true) {
        callback(null, [...usable]);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

/** Undici and node pass it on as they do any error of a connection. */
function refused(host: string, kind: AddressClass): NodeJS.ErrnoException {
  return new BullaError(
    'forbidden',
    `${host} is a ${kind} address, and the registry that sent us there is not`,
    {
      hint: 'the registry may try to reach into your network through this client; if it is meant to, allow private addresses in the configuration',
    },
  );
}

/**
 * What TLS checks of a server. It is always said whether: left out, NODE_TLS_REJECT_UNAUTHORIZED of the
 * environment would decide for every server at once.
 */
export function serverChecks({ ca, insecure }: TlsOptions): {
  readonly ca?: string[];
  readonly rejectUnauthorized: boolean;
} {
  return {
    ...(ca !== undefined && { ca: withSystemRoots(ca) }),
    rejectUnauthorized: insecure !== true,
  };
}

/** A CA of one's own comes in addition to those of the system. */
function withSystemRoots(ca: string): string[] {
  // Loaded only where there is one: an import would cost every start-up its time.
  return [...process.getBuiltinModule('node:tls').rootCertificates, ca];
}
