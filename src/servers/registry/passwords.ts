import { createHash, createHmac, randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { readFileBounded } from '../../disk/atomic.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { BullaError, messageOf } from '../../errors.ts';
import { type Asker, SignInQueue } from './sign-in-queue.ts';

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const BCRYPT = /^\$2[aby]\$(0[4-9]|1[0-9])\$[./A-Za-z0-9]{53}$/;
/** A hash of this cost takes about 4 s in JavaScript; with more, one login would block all others. */
const MAX_COST = 16;
/** What comes after is ignored by bcrypt: another password would be as good. */
const MAX_PASSWORD_BYTES = 72;
const LOOK_AGAIN_MS = 2_000;
const REMEMBER_SUCCESS_MS = 5 * 60_000;
/** For so long, who was right before goes first. */
const REMEMBER_GOOD_MS = 24 * 60 * 60_000;
const REMEMBER_FAILURE_MS = 10_000;
const MAX_REMEMBERED = 2_000;

/** Who signs in, beside the name and the password. */
export type Client = Pick<Asker, 'client' | 'connection' | 'isGone'>;

/** Whether a password has a bcrypt hash. */
export type Compare = (password: string, hash: string) => Promise<boolean>;

/** An htpasswd file with bcrypt hashes. */
export class PasswordFile {
  private readonly path: string;
  private readonly report: (problem: string) => void;
  private readonly compare: Compare;
  private readonly key = randomBytes(32);
  /** What was compared lately, by a keyed hash of name, password and bcrypt hash: nothing of them stays. */
  private readonly good = new Remembered(REMEMBER_GOOD_MS);
  private readonly bad = new Remembered(REMEMBER_FAILURE_MS);
  private readonly underWay = new Map<string, UnderWay>();
  private readonly queue = new SignInQueue();
  private hashes = new Map<string, string>();
  private someHashes: readonly string[] = [];
  private stamp = '';
  private lookedAt = Number.NEGATIVE_INFINITY;

  private constructor(path: string, report: (problem: string) => void, compare: Compare) {
    this.path = path;
    this.report = report;
    this.compare = compare;
  }

  /**
   * @param compare bcrypt's if left out
   * @throws BullaError not-found, config-invalid
   */
  static async open(
    path: string,
    report: (problem: string) => void,
    compare?: Compare,
  ): Promise<PasswordFile> {
    const file = new PasswordFile(path, report, compare ?? (await import('bcryptjs')).compare);
    await file.read();
    return file;
  }

  /** @throws Fault 429 */
  async verify(user: string, password: string, client: Client): Promise<boolean> {
    await this.refresh();
    const own = this.hashes.get(user);
    const hash = own ?? this.someHash(user);
    // bcrypt looks at 72 bytes, and goes on from the start after a zero byte.
    const isComparable = Buffer.byteLength(password) <= MAX_PASSWORD_BYTES && !password.includes('\0');
    if (hash === undefined || !isComparable) return false;
    const mark = this.hmac(sha256(user), sha256(password), own ?? '').toString('base64');
    const age = this.good.ageOf(mark);
    if (age !== undefined && age < REMEMBER_SUCCESS_MS) return true;
    if (this.bad.ageOf(mark) !== undefined) return false;
    const isKnown = own !== undefined;
    const asker = { ...client, user: isKnown ? user : undefined, wasGood: age !== undefined };
    const good = (await this.once(mark, asker, () => this.compare(password, hash))) && isKnown;
    (good ? this.good : this.bad).add(mark);
    return good;
  }

  /** The same that several want to know is compared once, as long as one of them is there. */
  private once(mark: string, asker: Asker, compare: () => Promise<boolean>): Promise<boolean> {
    const running = this.underWay.get(mark);
    if (running !== undefined) {
      running.askers.push(asker);
      return running.result;
    }
    const askers = [asker];
    const isGone = (): boolean => askers.every((one) => one.isGone());
    const result = this.queue
      .compare({ ...asker, isGone }, compare)
      .finally(() => this.underWay.delete(mark));
    this.underWay.set(mark, { askers, result });
    return result;
  }

  /**
   * What is compared for a name that there is not, so that the time does not tell which names there are: always
   * the same for a name, and of whichever cost the names have that there are.
   */
  private someHash(user: string): string | undefined {
    const at = this.hmac('unknown', sha256(user)).readUInt32BE(0);
    return this.someHashes[at % Math.max(1, this.someHashes.length)];
  }

  private hmac(...parts: readonly (string | Uint8Array)[]): Buffer {
    const hmac = createHmac('sha256', this.key);
    for (const part of parts) hmac.update(part);
    return hmac.digest();
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
    this.someHashes = [...this.hashes.values()];
    this.stamp = stamp;
  }
}

interface UnderWay {
  readonly askers: Asker[];
  readonly result: Promise<boolean>;
}

/** What was found out lately, the last of it. */
class Remembered {
  private readonly times = new Map<string, number>();
  private readonly forMs: number;

  constructor(forMs: number) {
    this.forMs = forMs;
  }

  /** How long ago it was found out, in milliseconds; undefined where it is not remembered. */
  ageOf(mark: string): number | undefined {
    const at = this.times.get(mark);
    const age = performance.now() - (at ?? Number.NEGATIVE_INFINITY);
    return age < this.forMs ? age : undefined;
  }

  add(mark: string): void {
    this.times.delete(mark);
    this.times.set(mark, performance.now());
    for (const [oldest] of this.times) {
      if (this.times.size <= MAX_REMEMBERED) break;
      this.times.delete(oldest);
    }
  }
}

function sha256(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
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
