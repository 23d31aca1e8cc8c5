import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { decodeUtf8, fromBase64 } from '../../encoding/bytes.ts';
import { Fault } from './faults.ts';
import type { AccessControl } from './handler.ts';
import { PasswordFile } from './passwords.ts';
import type { RouteName } from './routes.ts';
import { clientOf } from './sign-in-queue.ts';

export interface AccessOptions {
  /** An htpasswd file with bcrypt hashes (`htpasswd -B`). */
  readonly htpasswd: string;
  /** Reading needs no login; writing takes a name and password. */
  readonly anonymousRead: boolean;
  /** Told when the file was changed and cannot be understood. */
  readonly report: (problem: string) => void;
}

const MAX_CREDENTIALS_BYTES = 1024;
/** An empty name and an empty password: what skopeo and podman send where they were asked and have none. */
const NO_CREDENTIALS = 'Basic Og==';

/**
 * Basic authentication against an htpasswd file, which is read again when it changes.
 * @throws BullaError not-found, config-invalid where the file cannot be used
 */
export async function openAccess(options: AccessOptions): Promise<AccessControl> {
  const passwords = await PasswordFile.open(options.htpasswd, options.report);
  return {
    async check(request: IncomingMessage, kind: RouteName): Promise<string | undefined> {
      const header = request.headers.authorization;
      if (header === undefined || header === NO_CREDENTIALS) {
        // Clients learn from /v2/ that they may sign in, so it asks even where reading is free.
        const isRead = request.method === 'GET' || request.method === 'HEAD';
        if (options.anonymousRead && isRead && kind !== 'base') return undefined;
        throw unauthorized('sign in with a name and a password');
      }
      const credentials = parseBasic(header);
      if (credentials === undefined) throw unauthorized('only Basic authentication is understood');
      const { socket } = request;
      const client = {
        client: clientOf(socket.remoteAddress),
        connection: socket,
        isGone: () => socket.destroyed,
      };
      if (!(await passwords.verify(credentials.user, credentials.password, client)))
        throw unauthorized(
          'the name or the password is wrong; passwords of more than 72 bytes are not accepted',
        );
      return credentials.user;
    },
  };
}

/** A client within this process, which authenticates with a secret that only it has. */
export interface Insider {
  readonly user: string;
  readonly password: string;
}

/** Lets an insider in as well. */
export function withInsider(access: AccessControl, { user, password }: Insider): AccessControl {
  const expected = digestOf(`Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`);
  return {
    async check(request: IncomingMessage, kind: RouteName): Promise<string | undefined> {
      if (timingSafeEqual(digestOf(request.headers.authorization ?? ''), expected)) return user;
      return await access.check(request, kind);
    },
  };
}

function digestOf(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}

function unauthorized(message: string): Fault {
  return new Fault(401, 'UNAUTHORIZED', message, {
    'WWW-Authenticate': 'Basic realm="bulla registry", charset="UTF-8"',
  });
}

function parseBasic(header: string): { user: string; password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/=]+) *$/i.exec(header)?.[1];
  const bytes = encoded === undefined ? undefined : fromBase64(encoded);
  if (bytes === undefined || bytes.byteLength > MAX_CREDENTIALS_BYTES) return undefined;
  let text: string;
  try {
    text = decodeUtf8(bytes, 'credentials');
  } catch {
    return undefined;
  }
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}
