import { lstatSync, readSync } from 'node:fs';
import { dirname } from 'node:path';

/** What a gate on this machine says about a pull. */
export interface GateAnswer {
  readonly allowed: boolean;
  readonly reason: string;
}

/** A question of containerd that a gate on this machine is to be asked. */
export interface HookCall {
  readonly socket: string;
  readonly question: readonly string[];
}

const WITHIN_MS = 8_000;
const MAX_STDIN_BYTES = 64 * 1024;
const MAX_ANSWER_BYTES = 64 * 1024;
/** Status of a denial: that of `policy-denied`. */
export const DENIED = 12;

/** Reads `gate containerd --socket PATH … -- QUESTION`; undefined for every other command line. */
export function hookCallOf(argv: readonly string[]): HookCall | undefined {
  const end = argv.indexOf('--');
  if (argv[0] !== 'gate' || argv[1] !== 'containerd' || end < 0) return undefined;
  const flags = argv.slice(2, end);
  const at = flags.findIndex((flag) => flag === '--socket' || flag.startsWith('--socket='));
  const socket = flags[at]?.includes('=') === true ? flags[at]?.slice('--socket='.length) : flags[at + 1];
  if (at < 0 || socket === undefined || socket === '' || flags.some((flag) => /^--install/.test(flag)))
    return undefined;
  return { socket, question: argv.slice(end + 1) };
}

/**
 * Asks the gate at a socket. Undefined where none listens there: then the question was not asked, and standard input not
 * read. A gate that is there and does not answer denies.
 * @param descriptor reads what containerd writes
 */
export function askGate(
  { socket, question }: HookCall,
  descriptor: () => string,
  withinMs: number = WITHIN_MS,
): Promise<GateAnswer | undefined> {
  const unsafe = unsafeSocket(socket);
  if (unsafe !== undefined) return Promise.resolve(unsafe === 'missing' ? undefined : deny(unsafe));
  return new Promise((resolve) => {
    let text = '';
    let isAsked = false;
    // Every command starts here: only this one needs the module, which takes 2 ms.
    const client = process.getBuiltinModule('node:net').connect(socket);
    const done = (answer: GateAnswer | undefined): void => {
      clearTimeout(timer);
      client.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => done(deny(`the gate at ${socket} did not answer in time`)), withinMs);
    client.setEncoding('utf8');
    client.once('connect', () => {
      isAsked = true;
      try {
        client.write(`${JSON.stringify({ args: question, descriptor: descriptor() })}\n`);
      } catch {
        done(deny('the descriptor on standard input cannot be read'));
      }
    });
    client.on('data', (piece: string) => {
      text += piece;
      if (text.includes('\n') || text.length > MAX_ANSWER_BYTES) done(answerIn(text));
    });
    const ended = (): void =>
      done(isAsked ? deny(`the gate at ${socket} ended without an answer`) : undefined);
    client.once('error', ended);
    client.once('close', ended);
  });
}

function deny(reason: string): GateAnswer {
  return { allowed: false, reason };
}

/** A socket that others could have put there must not decide. */
function unsafeSocket(path: string): string | undefined {
  const own = process.getuid?.() ?? 0;
  try {
    const socket = lstatSync(path);
    const directory = lstatSync(dirname(path));
    if (!socket.isSocket()) return `${path} is not a socket`;
    for (const [name, { uid, mode }] of [
      [path, socket],
      [dirname(path), directory],
    ] as const) {
      if (uid !== 0 && uid !== own) return `${name} belongs to user ${uid}: it must be root's or this user's`;
      if ((mode & 0o022) !== 0) return `others may write to ${name}: chmod go-w ${name}`;
    }
    return undefined;
  } catch {
    return 'missing';
  }
}

function answerIn(text: string): GateAnswer {
  try {
    const { allowed, reason } = JSON.parse(text) as Partial<GateAnswer>;
    return { allowed: allowed === true, reason: String(reason) };
  } catch {
    return deny('the answer of the gate cannot be read');
  }
}

/** Standard input, which containerd closes after the descriptor. @throws Error */
export function standardInput(): string {
  const pieces: Buffer[] = [];
  let size = 0;
  const piece = Buffer.alloc(MAX_STDIN_BYTES);
  for (;;) {
    const read = readSync(0, piece, 0, piece.length, null);
    if (read === 0) return Buffer.concat(pieces).toString('utf8');
    size += read;
    if (size > MAX_STDIN_BYTES) throw new RangeError('too much');
    pieces.push(Buffer.from(piece.subarray(0, read)));
  }
}
