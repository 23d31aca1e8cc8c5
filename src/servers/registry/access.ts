import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { readFileBounded } from '../../disk/atomic.ts';
import { decodeUtf8, fromBase64 } from '../../encoding/bytes.ts';
import { BullaError, messageOf } from '../../errors.ts';
import { Fault } from './faults.ts';
import type { Access } from './handler.ts';
import type { RouteName } from './routes.ts';

export interface AccessOptions {
  /** An htpasswd file with bcrypt hashes (`htpasswd -B`). */
  readonly htpasswd: string;
  /** Everybody may read; writing takes a name and password. */
  readonly anonymousRead: boolean;
  /** Told when the file was changed and cannot be understood. */
  readonly report: (problem: string) => void;
}

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const BCRYPT = /^\$2[aby]\$(0[4-9]|1[0-9])\$[./A-Za-z0-9]{53}$/;
/** A hash of this cost takes about 4 s in JavaScript; more would let one login stop everybody. */
const MAX_COST = 16;
const MAX_CREDENTIALS_BYTES = 1024;
/** An empty name and an empty password: what skopeo and podman send where they were asked and have none. */
const NO_CREDENTIALS = 'Basic Og==';
const LOOK_AGAIN_MS = 2_000;
const REMEMBER_SUCCESS_MS = 5 * 60_000;
const REMEMBER_FAILURE_MS = 10_000;
const MAX_REMEMBERED = 2_000;
const MAX_WAITING = 64;

/**
 * Basic authentication against an htpasswd file, which is read again when it changes.
 * @throws BullaError not-found, config-invalid where the file cannot be used
 */
export async function openAccess(options: AccessOptions): Promise<Access> {
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
      if (!(await passwords.verify(credentials.user, credentials.password)))
        throw unauthorized('the name or the password is wrong');
      return credentials.user;
    },
  };
}

/** Somebody within this process, who is let in by a secret that nobody else has. */
export interface Insider {
  readonly user: string;
  readonly password: string;
}

/** Lets an insider in as well. */
export function withInsider(access: Access, { user, password }: Insider): Access {
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

class PasswordFile {
  private readonly path: string;
  private readonly report: (problem: string) => void;
  private readonly compare: (password: string, hash: string) => Promise<boolean>;
  private readonly key = randomBytes(32);
  /** What was compared lately, by a keyed hash of name, password and bcrypt hash: nothing of them stays. */
  private readonly remembered = new Map<string, { readonly good: boolean; readonly until: number }>();
  private hashes = new Map<string, string>();
  private stamp = '';
  private lookedAt = Number.NEGATIVE_INFINITY;
  private turn: Promise<unknown> = Promise.resolve();
  private waiting = 0;

  private constructor(
    path: string,
    report: (problem: string) => void,
    compare: (password: string, hash: string) => Promise<boolean>,
  ) {
    this.path = path;
    this.report = report;
    this.compare = compare;
  }

  static async open(path: string, report: (problem: string) => void): Promise<PasswordFile> {
    const { compare } = await import('bcryptjs');
    const file = new PasswordFile(path, report, compare);
    await file.read();
    return file;
  }

  async verify(user: string, password: string): Promise<boolean> {
    await this.refresh();
    const own = this.hashes.get(user);
    // Without a hash of that name another one is compared, so that the time does not tell which names there are.
    const hash = own ?? this.hashes.values().next().value;
    if (hash === undefined) return false;
    const mark = createHmac('sha256', this.key)
      .update(createHash('sha256').update(user).digest())
      .update(createHash('sha256').update(password).digest())
      .update(own ?? '')
      .digest('base64');
    const known = this.remembered.get(mark);
    if (known !== undefined && known.until > performance.now()) return known.good;
    const good = (await this.inTurn(() => this.compare(password, hash))) && own !== undefined;
    this.remember(mark, good);
    return good;
  }

  /** One comparison at a time: each takes the processor for itself. */
  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.waiting >= MAX_WAITING)
      throw new Fault(429, 'TOOMANYREQUESTS', 'too many are signing in', { 'Retry-After': '5' });
    this.waiting++;
    const mine = this.turn.then(work);
    this.turn = mine.catch(() => undefined).then(() => new Promise((resolve) => setImmediate(resolve)));
    try {
      return await mine;
    } finally {
      this.waiting--;
    }
  }

  private remember(mark: string, good: boolean): void {
    const until = performance.now() + (good ? REMEMBER_SUCCESS_MS : REMEMBER_FAILURE_MS);
    this.remembered.delete(mark);
    this.remembered.set(mark, { good, until });
    for (const [oldest] of this.remembered) {
      if (this.remembered.size <= MAX_REMEMBERED) break;
      this.remembered.delete(oldest);
    }
  }

  private async refresh(): Promise<void> {
    if (performance.now() - this.lookedAt < LOOK_AGAIN_MS) return;
    try {
      await this.read();
    } catch (error) {
      // Half-written, say. What was good goes on being good until it can be read again.
      this.report(`${this.path} was changed and is not used: ${messageOf(error)}`);
    }
  }

  private async read(): Promise<void> {
    this.lookedAt = performance.now();
    const { mtimeMs, size, ino } = await statOf(this.path);
    const stamp = `${mtimeMs} ${size} ${ino}`;
    if (stamp === this.stamp) return;
    const text = decodeUtf8(await readFileBounded(this.path, MAX_FILE_BYTES), this.path);
    this.hashes = parseHtpasswd(text, this.path);
    this.stamp = stamp;
  }
}

async function statOf(path: string): Promise<{ mtimeMs: number; size: number; ino: number }> {
  try {
    return await stat(path);
  } catch (cause) {
    throw new BullaError('not-found', `cannot read the password file ${path}: ${messageOf(cause)}`, {
      cause,
      hint: 'make it with: htpasswd -B -c FILE NAME',
    });
  }
}

/** @throws BullaError config-invalid naming the line, never its content */
function parseHtpasswd(text: string, path: string): Map<string, string> {
  const hashes = new Map<string, string>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const hash = line.slice(colon + 1).trim();
    const cost = Number(BCRYPT.exec(hash)?.[1]);
    if (colon < 1 || !(cost <= MAX_COST)) {
      throw new BullaError(
        'config-invalid',
        `line ${i + 1} of ${path} is not a name and a bcrypt hash of cost ${MAX_COST} or less`,
        { hint: 'make it with: htpasswd -B FILE NAME; other kinds of hashes are not accepted' },
      );
    }
    hashes.set(line.slice(0, colon), hash);
  }
  return hashes;
}
