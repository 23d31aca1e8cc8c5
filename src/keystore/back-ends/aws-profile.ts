import { homedir } from 'node:os';
import { join } from 'node:path';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../../encoding/json.ts';
import { parseTime } from '../../encoding/time.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { quoted } from '../../http/redact.ts';
import { childEnvironment } from '../../programs/environment.ts';
import { ask } from '../../programs/run.ts';
import type { KeySources } from '../back-end.ts';
import { readSecretFile } from '../read.ts';
import { firstSet, textIn } from './service.ts';

/** What a request to AWS is signed with. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

const PROCESS_MS = 60_000;
const MAX_PROCESS_BYTES = 64 * 1024;

/**
 * The profile in the shared credentials file, which goes first, and in the configuration file: keys, or the program that
 * tells them (`credential_process`). Undefined where there is neither.
 * @throws BullaError unauthorized, timeout, storage-error
 */
export async function profileCredentials(sources: KeySources): Promise<AwsCredentials | undefined> {
  const profile = firstSet(sources, 'AWS_PROFILE') ?? 'default';
  const place = join(firstSet(sources, 'HOME') ?? homedir(), '.aws');
  const credentials = firstSet(sources, 'AWS_SHARED_CREDENTIALS_FILE') ?? join(place, 'credentials');
  const config = firstSet(sources, 'AWS_CONFIG_FILE') ?? join(place, 'config');
  const values = new Map([
    ...(await sectionOf(config, profile === 'default' ? profile : `profile ${profile}`)),
    ...(await sectionOf(credentials, profile)),
  ]);
  const found = complete(
    values.get('aws_access_key_id'),
    values.get('aws_secret_access_key'),
    values.get('aws_session_token'),
  );
  const program = values.get('credential_process');
  return found ?? (program === undefined ? undefined : await fromProgram(program, profile, sources));
}

/** A section of a file of AWS; empty where there is none. */
async function sectionOf(file: string, section: string): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  let text: string;
  try {
    text = decodeUtf8(await readSecretFile(file, { anyMode: true }), file);
  } catch (error) {
    if (isBullaError(error, 'not-found')) return values;
    throw error;
  }
  let isOurs = false;
  for (const line of text.split(/\r?\n/)) {
    const header = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)?.[1]?.replace(/\s+/g, ' ');
    if (header !== undefined) isOurs = header === section;
    const [, name, value] = /^\s*([a-z_]+)\s*=\s*(\S.*?)\s*$/i.exec(line) ?? [];
    if (isOurs && name !== undefined && value !== undefined) values.set(name.toLowerCase(), value);
  }
  return values;
}

/** A program of the user's, run by their shell as the tools of AWS do, without our secrets in its environment. */
async function fromProgram(line: string, profile: string, sources: KeySources): Promise<AwsCredentials> {
  const where = `credential_process of the AWS profile ${profile}`;
  const ended = await ask({
    command: '/bin/sh',
    args: ['-c', line],
    input: '',
    env: childEnvironment(sources.variables ?? {}),
    timeoutMs: PROCESS_MS,
    maxOutput: MAX_PROCESS_BYTES,
  });
  if (ended.ended === 'late')
    throw new BullaError('timeout', `the ${where} did not answer within ${PROCESS_MS / 1000} s`, {
      hint: 'run it by itself to see what it waits for',
    });
  if (ended.status !== 0) {
    const said = quoted(Buffer.from(ended.stderr).toString('utf8').trim());
    throw unusable(where, `ended with status ${ended.status ?? 'of a signal'}: ${said}`);
  }
  let answer: JsonObject;
  try {
    answer = parseJsonObject(ended.stdout, { what: 'its answer', maxBytes: MAX_PROCESS_BYTES });
  } catch (cause) {
    throw unusable(where, 'does not answer in JSON', cause);
  }
  const found = complete(
    textIn(answer, 'AccessKeyId'),
    textIn(answer, 'SecretAccessKey'),
    textIn(answer, 'SessionToken'),
  );
  if (answer['Version'] !== 1 || found === undefined)
    throw unusable(where, 'gives no credentials of version 1');
  const expires = parseTime(textIn(answer, 'Expiration') ?? '');
  if (expires !== undefined && expires.getTime() <= Date.now())
    throw unusable(where, 'gives credentials that have expired');
  return found;
}

/** Credentials whose parts are there. */
export function complete(
  accessKeyId?: string,
  secretAccessKey?: string,
  sessionToken?: string,
): AwsCredentials | undefined {
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, sessionToken };
}

function unusable(where: string, why: string, cause?: unknown): BullaError {
  return new BullaError('unauthorized', `the ${where} ${why}`, {
    cause,
    hint: 'run it by itself, or log in again: aws sso login',
  });
}
