import { createHash, createHmac } from 'node:crypto';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { KeySources } from '../back-end.ts';
import { readPublicFile } from '../read.ts';
import { type AwsCredentials, complete, profileCredentials } from './aws-profile.ts';
import { firstSet, KeyService, textIn } from './service.ts';

/**
 * Credentials as the tools of AWS find them, in their order: AWS_ACCESS_KEY_ID, a web identity (EKS, OIDC of a CI
 * system), the profile in the files of AWS with its `credential_process`, the endpoint of a container, the metadata service of an instance.
 * @throws BullaError unauthorized, key-unavailable
 */
export async function awsCredentials(sources: KeySources, region: string): Promise<AwsCredentials> {
  const accessKeyId = firstSet(sources, 'AWS_ACCESS_KEY_ID');
  const secretAccessKey = firstSet(sources, 'AWS_SECRET_ACCESS_KEY');
  if (accessKeyId !== undefined && secretAccessKey !== undefined)
    return { accessKeyId, secretAccessKey, sessionToken: firstSet(sources, 'AWS_SESSION_TOKEN') };
  const found =
    (await fromWebIdentity(sources, region)) ??
    (await profileCredentials(sources)) ??
    (await fromContainer(sources)) ??
    (await fromInstance(sources));
  if (found !== undefined) return found;
  throw new BullaError('unauthorized', 'there are no credentials for AWS', {
    hint: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; after `aws sso login`: eval "$(aws configure export-credentials --format env)"',
  });
}

/** @throws BullaError unauthorized, forbidden, key-unavailable */
async function fromWebIdentity(sources: KeySources, region: string): Promise<AwsCredentials | undefined> {
  const file = firstSet(sources, 'AWS_WEB_IDENTITY_TOKEN_FILE');
  const role = firstSet(sources, 'AWS_ROLE_ARN');
  if (file === undefined || role === undefined) return undefined;
  const token = decodeUtf8(await readPublicFile(file), file).trim();
  const service = new KeyService(
    { name: 'AWS STS', hint: `the role ${role} does not trust that token` },
    sources,
  );
  const suffix = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  const query = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: role,
    RoleSessionName: firstSet(sources, 'AWS_ROLE_SESSION_NAME') ?? 'bulla',
    WebIdentityToken: token,
  });
  const answer = await service.askForText({
    method: 'POST',
    url: new URL(firstSet(sources, 'AWS_ENDPOINT_URL_STS') ?? `https://sts.${region}.${suffix}/`),
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/xml' },
    body: query.toString(),
    what: `the role ${role}`,
    secrets: [token],
  });
  // Three flat elements of one answer whose form is fixed: no parser of XML is needed for that.
  const element = (name: string): string | undefined =>
    new RegExp(`<${name}>([^<>&]{1,4096})</${name}>`).exec(answer)?.[1];
  return complete(element('AccessKeyId'), element('SecretAccessKey'), element('SessionToken'));
}

/** What ECS and EKS Pod Identity serve to a container. */
async function fromContainer(sources: KeySources): Promise<AwsCredentials | undefined> {
  const relative = firstSet(sources, 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI');
  const full =
    relative === undefined
      ? firstSet(sources, 'AWS_CONTAINER_CREDENTIALS_FULL_URI')
      : `http://169.254.170.2${relative}`;
  if (full === undefined || !URL.canParse(full)) return undefined;
  const url = new URL(full);
  const isLocal = [
    '169.254.170.2',
    '169.254.170.23',
    'localhost',
    '127.0.0.1',
    '[fd00:ec2::23]',
    '[::1]',
  ].includes(url.hostname);
  // The token is for an endpoint of this machine, or one that TLS vouches for.
  if (url.protocol !== 'https:' && !isLocal) return undefined;
  const file = firstSet(sources, 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE');
  const token =
    file === undefined
      ? firstSet(sources, 'AWS_CONTAINER_AUTHORIZATION_TOKEN')
      : decodeUtf8(await readPublicFile(file), file).trim();
  // An endpoint of this machine is not asked through a proxy, which would get the token and the credentials.
  const service = new KeyService(
    { name: 'the container endpoint of AWS', hint: 'give the task or pod a role', isNear: isLocal },
    sources,
  );
  const answer = await service.ask({
    method: 'GET',
    url,
    headers: token === undefined ? {} : { authorization: token },
    what: 'the credentials of this container',
    secrets: [token ?? ''],
  });
  return complete(textIn(answer, 'AccessKeyId'), textIn(answer, 'SecretAccessKey'), textIn(answer, 'Token'));
}

/** The role of an EC2 instance, by version 2 of its metadata service; undefined on any other machine. */
async function fromInstance(sources: KeySources): Promise<AwsCredentials | undefined> {
  if (firstSet(sources, 'AWS_EC2_METADATA_DISABLED')?.toLowerCase() === 'true') return undefined;
  const base = new URL(firstSet(sources, 'AWS_EC2_METADATA_SERVICE_ENDPOINT') ?? 'http://169.254.169.254/');
  const service = new KeyService(
    { name: 'the metadata service of AWS', hint: 'give the instance a role', isNear: true },
    sources,
  );
  const what = 'the credentials of this instance';
  try {
    const asked = { method: 'PUT' as const, url: new URL('latest/api/token', base), what };
    const token = await service.askForText({
      ...asked,
      headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '300' },
      body: '',
    });
    const headers = { 'x-aws-ec2-metadata-token': token };
    const roles = new URL('latest/meta-data/iam/security-credentials/', base);
    const [role = ''] = (await service.askForText({ method: 'GET', url: roles, headers, what })).split('\n');
    if (!/^[\w+=,.@-]{1,128}$/.test(role)) return undefined;
    const answer = await service.ask({
      method: 'GET',
      url: new URL(role, roles),
      headers,
      what,
      secrets: [token],
    });
    return complete(
      textIn(answer, 'AccessKeyId'),
      textIn(answer, 'SecretAccessKey'),
      textIn(answer, 'Token'),
    );
  } catch (error) {
    // Away from EC2 nothing answers there.
    if (isBullaError(error, 'key-unavailable', 'timeout', 'not-found')) return undefined;
    throw error;
  }
}

/** A request that is to be signed. */
export interface Unsigned {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly service: string;
  readonly region: string;
  readonly credentials: AwsCredentials;
  readonly now: Date;
}

/** The headers of a POST with its signature (AWS Signature Version 4). */
export function signedHeaders({
  url,
  headers,
  body,
  service,
  region,
  credentials,
  now,
}: Unsigned): Record<string, string> {
  const time = now.toISOString().replace(/[-:]|\.\d{3}/g, '');
  const day = time.slice(0, 8);
  const all: Record<string, string> = {
    ...headers,
    host: url.host,
    'x-amz-date': time,
    ...(credentials.sessionToken !== undefined && { 'x-amz-security-token': credentials.sessionToken }),
  };
  const names = Object.keys(all).sort();
  const signed = names.join(';');
  const canonical = [
    'POST',
    url.pathname,
    '',
    ...names.map((name) => `${name}:${all[name]?.trim()}`),
    '',
    signed,
    sha256(body),
  ].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n');
  const key = [day, region, service, 'aws4_request'].reduce<Uint8Array>(
    (secret, part) => createHmac('sha256', secret).update(part).digest(),
    Buffer.from(`AWS4${credentials.secretAccessKey}`),
  );
  const signature = createHmac('sha256', key).update(text).digest('hex');
  return {
    ...all,
    authorization: `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${signed}, Signature=${signature}`,
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
