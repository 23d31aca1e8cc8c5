import { createReadStream, fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { addAbortSignal, type Readable } from 'node:stream';
import { PIPE_IDLE_MS } from '../../disk/pipe.ts';
import { decodeUtf8, equalBytes, utf8 } from '../../encoding/bytes.ts';
import { BullaError, isBullaError, throwIfAborted } from '../../errors.ts';
import type { PassphraseSource } from '../../keystore/back-end.ts';
import {
  boundedPassphrase,
  MAX_PASSPHRASE_BYTES,
  passphraseIn,
  withoutNewline,
} from '../../keystore/passphrase.ts';
import type { Io } from './io.ts';
import { openTerminal, promptSecret } from './prompt.ts';

/** Where a command's passphrases come from, besides the environment. */
export interface PassphraseOptions {
  /** `--passphrase-fd` */
  readonly passphraseFd?: string | undefined;
  /** `--new-passphrase-fd`, where a key gets another passphrase. */
  readonly newPassphraseFd?: string | undefined;
  /** Read files that others may read, too. */
  readonly anyMode?: boolean | undefined;
  /** Standard input is spoken for: it holds the password of the registry. */
  readonly passwordStdin?: boolean | undefined;
  /** Variables of another tool that may hold the passphrase of a key, the first one that is set counts. */
  readonly variables?: ((key: string) => readonly string[]) | undefined;
}

/** The names under which one passphrase is looked for. */
interface Places {
  readonly fd: string | undefined;
  readonly flag: string;
  readonly variable: string;
}

/** How often a person is asked for the passphrase of one key. */
const TRIES = 3;

/**
 * Passphrases of keys that are there, in the order of spec/keys.md: `--passphrase-fd`, BULLA_PASSPHRASE,
 * BULLA_PASSPHRASE_FILE, for a sigstore key COSIGN_PASSWORD, the terminal. A variable that is set but
 * empty is the empty passphrase. On a terminal one question is asked at a time, and none for a key that opens with
 * what was typed for another.
 * @param typed what was entered for other keys of the command; what is typed here is added
 */
export function passphraseSource(
  io: Io,
  options: PassphraseOptions,
  typed: Uint8Array[] = [],
): PassphraseSource {
  const given = once(() => find(io, currentPlaces(options), options));
  let turn: Promise<unknown> = Promise.resolve();
  const known = async (opens: Opens): Promise<Uint8Array | undefined> => {
    for (const secret of typed) if (await opens(secret)) return Uint8Array.from(secret);
    return undefined;
  };
  const fromPerson = async (key: string, opens: Opens): Promise<Uint8Array> => {
    const entered = await known(opens);
    if (entered !== undefined) return entered;
    for (let tries = 1; ; tries++) {
      const secret = await ask(io, `Passphrase for ${key}: `, key, placesText(options, key));
      const isRight = await opens(secret);
      if (isRight) typed.push(Uint8Array.from(secret));
      if (isRight || tries === TRIES) return secret;
      io.stderr.write(`that is not the passphrase of ${key}\n`);
    }
  };
  return async ({ key, format, unattended }, opens = async () => true) => {
    // A descriptor was read for the first of the keys, and has nothing more.
    const read = options.passphraseFd === undefined ? undefined : await known(opens);
    const secret = read ?? (await given());
    if (secret !== undefined) return Uint8Array.from(secret);
    const other = otherVariable(io, options, key);
    if (other !== undefined) return utf8(other);
    const cosign = io.env['COSIGN_PASSWORD'];
    if (format === 'sigstore' && cosign !== undefined) return utf8(cosign);
    const entered = unattended === true ? await known(opens) : undefined;
    if (entered !== undefined) return entered;
    if (unattended === true) throw notPrompted(key);
    const answer = turn.then(() => fromPerson(key, opens));
    // After Ctrl-C nothing more is asked.
    turn = answer.catch((error: unknown) => {
      if (isBullaError(error, 'interrupted')) throw error;
    });
    turn.catch(() => undefined);
    return await answer;
  };
}

type Opens = (passphrase: Uint8Array) => Promise<boolean>;

/**
 * The passphrase for a key that is being made, from the same places; on a terminal asked for twice, and
 * then not an empty one.
 * @param another the key has one already, and this is the one it gets instead: BULLA_NEW_PASSPHRASE and so on
 * @throws BullaError usage, interrupted
 */
export async function newPassphrase(
  io: Io,
  options: PassphraseOptions,
  key: string,
  another = false,
): Promise<Uint8Array> {
  const places = another
    ? { fd: options.newPassphraseFd, flag: '--new-passphrase-fd', variable: 'BULLA_NEW_PASSPHRASE' }
    : currentPlaces(options);
  const secret = await find(io, places, options);
  if (secret !== undefined) return secret;
  const other = another ? undefined : otherVariable(io, options, key);
  if (other !== undefined) return utf8(other);
  const cosign = io.env['COSIGN_PASSWORD'];
  if (!another && cosign !== undefined) return utf8(cosign);
  const named = another ? places.variable : placesText(options, key);
  for (let tries = 1; ; tries++) {
    const first = await ask(io, `New passphrase for ${key}: `, key, named);
    if (first.byteLength === 0)
      throw new BullaError('usage', 'a key is not made with an empty passphrase by accident', {
        hint: `type one, or set ${places.variable} to nothing if you want the key unprotected`,
      });
    const second = await ask(io, 'Repeat it: ', key, named);
    const isSame = equalBytes(first, second);
    second.fill(0);
    if (isSame) return first;
    first.fill(0);
    if (tries === TRIES)
      throw new BullaError('usage', 'the two passphrases are not the same', {
        hint: 'nothing was changed; run the command again',
      });
    io.stderr.write('the two are not the same\n');
  }
}

/** The PIN of a token, typed on the terminal, once. @throws BullaError usage, interrupted */
export async function typedPin(io: Io, token: string): Promise<string> {
  const terminal = openTerminal(io);
  if (terminal === undefined)
    throw new BullaError(
      'usage',
      `the PIN of the token ${token} is not given, and there is no terminal to ask at`,
      {
        hint: 'set BULLA_PKCS11_PIN, or ?pin-source=file:/PATH in the URI',
      },
    );
  try {
    return decodeUtf8(await promptSecret(`PIN of the token ${token}: `, terminal), 'the PIN');
  } finally {
    terminal.close();
  }
}

function notPrompted(key: string): BullaError {
  return new BullaError(
    'usage',
    `the passphrase for ${key} is not given, and prompting is not possible now`,
    {
      hint: 'set BULLA_PASSPHRASE, or a file in BULLA_PASSPHRASE_FILE',
    },
  );
}

/** The passphrase that is given for all keys, by descriptor, variable or file; undefined where none is. */
export function givenPassphrase(io: Io, options: PassphraseOptions): Promise<Uint8Array | undefined> {
  return find(io, currentPlaces(options), options);
}

/** What a variable of another tool says; an empty one says nothing there. */
export function otherVariable(io: Io, { variables }: PassphraseOptions, key: string): string | undefined {
  return variables?.(key)
    .map((name) => io.env[name])
    .find((value) => value !== undefined && value !== '');
}

/** Which variables could have held it. */
function placesText({ variables }: PassphraseOptions, key: string): string {
  return ['BULLA_PASSPHRASE', ...(variables?.(key).slice(0, 1) ?? [])].join(' or ');
}

function currentPlaces(options: PassphraseOptions): Places {
  return { fd: options.passphraseFd, flag: '--passphrase-fd', variable: 'BULLA_PASSPHRASE' };
}

async function find(io: Io, places: Places, options: PassphraseOptions): Promise<Uint8Array | undefined> {
  if (places.fd !== undefined)
    return withoutNewline(await readDescriptor(io, places.fd, places.flag, options));
  const { anyMode } = options;
  return await passphraseIn(places.variable, { environment: (name) => io.env[name], cwd: io.cwd, anyMode });
}

async function ask(io: Io, question: string, key: string, variable: string): Promise<Uint8Array> {
  const terminal = openTerminal(io);
  if (terminal === undefined) {
    throw new BullaError(
      'usage',
      `the passphrase for ${key} is not given, and there is no terminal to ask at`,
      {
        hint: `set ${variable}, or a file in ${variable.split(' ')[0]}_FILE, or give --passphrase-fd N`,
      },
    );
  }
  try {
    return await promptSecret(question, terminal);
  } finally {
    terminal.close();
  }
}

async function readDescriptor(
  io: Io,
  text: string,
  flag: string,
  options: PassphraseOptions,
): Promise<Uint8Array> {
  const fd = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(fd) || fd === 1 || fd === 2) {
    throw new BullaError('usage', `${flag} is ${JSON.stringify(text)}, not the number of an open file`, {
      hint: `open it in the shell: ${flag} 3 3< file`,
    });
  }
  if (fd === 0 && options.passwordStdin === true) {
    throw new BullaError('usage', `${flag} 0 and --password-stdin both want standard input`, {
      hint: `give the passphrase another way: ${flag} 3 3< file`,
    });
  }
  const stream = fd === 0 ? io.stdin : streamOf(fd, io.signal);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream) {
      chunks.push(Buffer.from(chunk as Buffer | string));
      length += chunk.length;
      if (length > MAX_PASSPHRASE_BYTES) break;
    }
  } catch (cause) {
    throwIfAborted(io.signal);
    throw new BullaError('usage', `${flag} ${fd} cannot be read`, {
      cause,
      hint: `open it in the shell: ${flag} ${fd} ${fd}< file`,
    });
  }
  return boundedPassphrase(new Uint8Array(Buffer.concat(chunks)), `${flag} ${fd}`);
}

/** A read of a pipe that blocks would hold a thread, which nothing can end: the event loop waits for it instead. */
function streamOf(fd: number, signal: AbortSignal): Readable {
  let isPipe = false;
  try {
    const stats = fstatSync(fd);
    isPipe = stats.isFIFO() || stats.isSocket();
  } catch {
    // The stream says what is wrong with it.
  }
  const stream = isPipe ? new Socket({ fd, readable: true, writable: false }) : createReadStream('', { fd });
  addAbortSignal(AbortSignal.any([signal, AbortSignal.timeout(PIPE_IDLE_MS)]), stream);
  return stream;
}

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let value: Promise<T> | undefined;
  return () => {
    value ??= read();
    return value;
  };
}
