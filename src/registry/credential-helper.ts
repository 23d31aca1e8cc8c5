import { decodeUtf8 } from '../encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { printable, quoted, REDACTED } from '../http/redact.ts';
import { childEnvironment } from '../programs/environment.ts';
import { ask } from '../programs/run.ts';
import type { LoginCredentials } from './credentials.ts';

/** A helper's name becomes part of a file name that is executed, so it is held to what such names need. */
const SAFE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const MAX_OUTPUT = 1024 * 1024;
const TIMEOUT_MS = 60_000;
/** What a helper says where it has none for that server. */
const NONE = /credentials not found in native keychain/i;
/** User name that means "the secret is an identity token". */
const TOKEN_USER = '<token>';

/**
 * Asks a docker credential helper (`docker-credential-NAME`) for a server's credentials; undefined
 * where it has none. No shell is between, and secrets go through pipes only.
 * @throws BullaError config-invalid where the helper is missing or broken
 */
export async function getFromHelper(
  helper: string,
  server: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<LoginCredentials | undefined> {
  const { status, stdout, stderr } = await run(helper, 'get', server, env);
  if (status !== 0) {
    if (NONE.test(stdout) || NONE.test(stderr)) return undefined;
    throw broken(helper, `ended with status ${status}`, stderr.trim() === '' ? stdout : stderr);
  }
  const { Username: username, Secret: secret } = answerOf(stdout, helper, stderr);
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw broken(helper, 'gave no Username and Secret', stderr);
  if (secret === '') return undefined;
  return username === TOKEN_USER
    ? { kind: 'identity', token: secret }
    : { kind: 'basic', username, password: secret };
}

/**
 * The object that a helper printed: nothing else may stand beside it, as with docker.
 * @throws BullaError config-invalid
 */
function answerOf(stdout: string, helper: string, stderr: string): JsonObject {
  const options = { what: 'the answer', maxBytes: MAX_OUTPUT, floats: true };
  try {
    return parseJsonObject(Buffer.from(stdout), options);
  } catch {
    // What was wrong with it may quote a part of a secret; that it was is enough.
    throw broken(helper, 'wrote something else than its answer in JSON', stderr);
  }
}

/** @throws BullaError config-invalid */
export async function storeInHelper(
  helper: string,
  server: string,
  credentials: LoginCredentials,
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const [username, secret] =
    credentials.kind === 'identity'
      ? [TOKEN_USER, credentials.token]
      : [credentials.username, credentials.password];
  const { status, stderr } = await run(
    helper,
    'store',
    JSON.stringify({ ServerURL: server, Username: username, Secret: secret }),
    env,
  );
  if (status !== 0) throw broken(helper, `could not store (status ${status})`, stderr, secret);
}

/** False where there was nothing to erase. @throws BullaError config-invalid */
export async function eraseFromHelper(
  helper: string,
  server: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<boolean> {
  const { status, stdout, stderr } = await run(helper, 'erase', server, env);
  if (status === 0) return true;
  if (NONE.test(stdout) || NONE.test(stderr)) return false;
  throw broken(helper, `could not erase (status ${status})`, stderr);
}

interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  helper: string,
  verb: 'get' | 'store' | 'erase',
  input: string,
  env: NodeJS.ProcessEnv,
): Promise<Answer> {
  if (!SAFE_NAME.test(helper)) {
    throw new BullaError(
      'config-invalid',
      `${JSON.stringify(printable(helper, 80))} is not the name of a credential helper`,
      {
        hint: 'credsStore and credHelpers of the configuration name helpers by letters, digits, ".", "_" and "-"',
      },
    );
  }
  const command = `docker-credential-${helper}`;
  const bounds = { timeoutMs: TIMEOUT_MS, maxOutput: MAX_OUTPUT };
  const { status, stdout, stderr, ended } = await ask({
    ...bounds,
    command,
    args: [verb],
    input,
    env: childEnvironment(env),
  }).catch((cause: NodeJS.ErrnoException) => {
    throw notThere(helper, cause);
  });
  if (ended === 'too-much') throw broken(helper, `wrote more than ${MAX_OUTPUT} bytes`);
  const text = (bytes: Uint8Array): string => decodeUtf8(bytes, `the output of ${command}`);
  return { status: status ?? -1, stdout: text(stdout), stderr: text(stderr) };
}

function notThere(helper: string, cause: NodeJS.ErrnoException): BullaError {
  return new BullaError(
    'config-invalid',
    `the credential helper docker-credential-${helper} cannot be run: ${cause.message}`,
    {
      cause,
      ...(cause.code === 'ENOENT' && { details: { reason: 'not-installed' } }),
      hint: 'install it, or take it out of credsStore or credHelpers of the configuration',
    },
  );
}

/** What follows such words could be the secret itself. */
const NAMED_SECRET = /\b((?:secret|password|passwd|passphrase|token|key)(?:\s+is\b|\s*[:=])\s*)\S+/gi;

/** Longest part of a helper's own words that is shown, in characters. */
const MAX_WORDS = 300;

/**
 * A helper that failed, with its own words: what it wrote for people, on stderr, or on stdout where it failed and
 * left that empty. An answer is never shown, nor a secret that it was given and repeats.
 */
function broken(helper: string, how: string, words = '', secret = ''): BullaError {
  const isAnswer = /"?Secret"?\s*:/i.test(words) || (secret !== '' && words.includes(secret));
  const said = isAnswer ? '' : quoted(words.replace(NAMED_SECRET, `$1${REDACTED}`), MAX_WORDS, [secret]);
  return new BullaError(
    'config-invalid',
    `the credential helper docker-credential-${helper} ${how}${said === '' ? '' : `: ${said}`}`,
    { hint: `run \`docker-credential-${helper} list\` to see what is wrong with it` },
  );
}
