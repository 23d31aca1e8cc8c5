import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { generatePrivateKey } from '../../src/crypto/private-key.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { BullaError } from '../../src/errors.ts';
import { awsCredentials, signedHeaders } from '../../src/keystore/back-ends/aws-credentials.ts';
import { keyOf } from '../../src/keystore/key-of.ts';
import { Keystore } from '../../src/keystore/store.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { serveAgent } from '../support/keystore/agent.ts';
import { cloudKms, type KeyServer, keyVault, kms, serveKeys, transit } from '../support/keystore/services.ts';

const key = generatePrivateKey('P-384');
const SECRET = 'hvs.a-very-secret-token-of-ours';

async function sources(variables: Readonly<Record<string, string>>) {
  const cwd = await temporaryDirectory();
  const nothing = async (): Promise<Uint8Array> => new Uint8Array();
  const environment = (name: string): string | undefined =>
    variables[name] ?? (name === 'HOME' ? cwd : undefined);
  return { keystore: new Keystore(join(cwd, 'keys')), cwd, variables, environment, passphrase: nothing };
}

interface Kind {
  readonly uri: string;
  readonly serve: () => Promise<KeyServer>;
  readonly variables: (host: string) => Readonly<Record<string, string>>;
  /** What it says where it is asked too often. */
  readonly throttled: { readonly status: number; readonly body?: object };
  /** What it says where the token is expired. */
  readonly expired: { readonly status: number; readonly body?: object };
}

const KINDS: Readonly<Record<string, Kind>> = {
  OpenBao: {
    uri: 'openbao://release',
    serve: () => serveKeys(transit(key)),
    variables: (host) => ({ BAO_ADDR: `http://${host}`, BAO_TOKEN: SECRET }),
    throttled: { status: 429 },
    expired: { status: 403, body: { errors: [`permission denied for ${SECRET}`] } },
  },
  'AWS KMS': {
    uri: 'awskms:///alias/release',
    serve: () => serveKeys(kms(key)),
    variables: (host) => ({
      ...{ AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: SECRET, AWS_REGION: 'eu-central-1' },
      AWS_ENDPOINT_URL_KMS: `http://${host}`,
    }),
    throttled: { status: 400, body: { __type: 'ThrottlingException', message: 'slow down' } },
    expired: { status: 400, body: { __type: 'ExpiredTokenException', message: `not ${SECRET}` } },
  },
  'Cloud KMS': {
    uri: 'gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k',
    serve: () => serveKeys(cloudKms(key)),
    variables: (host) => ({
      CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS: `http://${host}/`,
      GOOGLE_OAUTH_ACCESS_TOKEN: SECRET,
    }),
    throttled: { status: 429 },
    expired: { status: 401, body: { error: { message: `bad token ${SECRET}` } } },
  },
};

async function failure(work: Promise<unknown>): Promise<BullaError> {
  return await work.then(
    () => expect.unreachable('it went well'),
    (error: BullaError) => error,
  );
}

describe.each(Object.entries(KINDS))('%s', (_, { uri, serve, variables, throttled, expired }) => {
  it('is asked again where it is busy, and nothing is said of the secret where it refuses', async () => {
    const server = await serve();
    const signer = await keyOf(uri, await sources(variables(server.host)));
    server.failures.push({ ...throttled, headers: { 'retry-after': '0' } }, { status: 503 });
    await signer.sign(utf8('a'));

    server.failures.push(expired);
    const refused = await failure(signer.sign(utf8('b')));
    expect(refused.exitCode).toBe(4);
    expect(JSON.stringify([refused.message, refused.hint, refused.details])).not.toContain(SECRET);
    // A token may be renewed: the next signature asks again.
    await signer.sign(utf8('c'));
  });

  it('is not believed where it answers with something else', async () => {
    const server = await serve();
    const signer = await keyOf(uri, await sources(variables(server.host)));
    server.failures.push({ status: 200, body: { hello: 'world' } });
    expect(await failure(signer.sign(utf8('a')))).toMatchObject({ code: 'key-unavailable', exitCode: 3 });
    server.failures.push({ status: 302, headers: { location: 'http://127.0.0.1:1/' } });
    expect(await failure(signer.sign(utf8('a')))).toMatchObject({ code: 'key-invalid' });
  });

  it('is told from a key that is not there, and from a service that is not', async () => {
    const server = await serve();
    const there = await sources(variables(server.host));
    server.failures.push({ status: 404 });
    expect(await failure(keyOf(uri, there))).toMatchObject({ code: 'not-found' });
    const nowhere = await sources(variables('127.0.0.1:1'));
    const error = await failure(keyOf(uri, nowhere));
    expect(error).toMatchObject({ code: 'key-unavailable' });
    expect(error.message).not.toContain(SECRET);
  }, 30_000);
});

it.each([
  ['openbao://', 'usage'],
  ['openbao://../sys/seal', 'usage'],
  ['openbao://a/../../sys/seal', 'usage'],
  ['openbao://key?version=0', 'usage'],
  ['awskms://', 'usage'],
  ['awskms:///a b', 'usage'],
  ['gcpkms://projects/p', 'usage'],
  ['gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/../x', 'usage'],
  ['azurekms://evil.example.com/key', 'usage'],
  ['azurekms://vault.azure.net.evil.example/key', 'usage'],
  ['k8s://namespace', 'usage'],
  ['k8s://namespace/../secrets', 'usage'],
  ['pkcs11:token=a?pin-value=1234&module-path=/x.so', 'usage'],
  ['pkcs11:token=a;token=b?module-path=/x.so', 'usage'],
  ['pkcs11:token=%zz?module-path=/x.so', 'usage'],
  ['pkcs11:colour=red?module-path=/x.so', 'usage'],
  ['pkcs11:token=a?module-path=x.so', 'usage'],
  ['pkcs11:type=cert?module-path=/x.so', 'usage'],
  ['nothing-of-that-name://key', 'usage'],
])('%s is not asked for', async (uri, code) => {
  const variables = {
    BAO_ADDR: 'http://127.0.0.1:1',
    BAO_TOKEN: 'x',
    AWS_REGION: 'a',
    AZURE_ACCESS_TOKEN: 'x',
  };
  const error = await failure(keyOf(uri, await sources(variables)));
  expect(error.code).toBe(code);
  expect(error.message).not.toContain('1234');
});

it('asks Vault once for a hundred signatures', async () => {
  const server = await serveKeys(transit(key));
  const signer = await keyOf(
    'hashivault://release',
    await sources({ VAULT_ADDR: `http://${server.host}`, VAULT_TOKEN: 'x' }),
  );
  await signer.signMany(Array.from({ length: 100 }, (_, at) => utf8(`${at}`)));
  expect(server.log.map(({ what }) => what)).toEqual([
    'GET /v1/transit/keys/release',
    'POST /v1/transit/sign/release/sha2-384',
  ]);
});

it('sends services the hash of a message, and not the message', async () => {
  const secret = 'what is signed may be large, or not for others';
  const servers = await Promise.all([transit, kms, cloudKms].map((kind) => serveKeys(kind(key))));
  const [vault, aws, google] = servers.map(({ host }) => host);
  for (const [uri, variables] of [
    ['openbao://release', KINDS['OpenBao']?.variables(vault ?? '')],
    ['awskms:///alias/release', KINDS['AWS KMS']?.variables(aws ?? '')],
    [KINDS['Cloud KMS']?.uri, KINDS['Cloud KMS']?.variables(google ?? '')],
  ] as const) {
    const signer = await keyOf(uri, await sources(variables ?? {}));
    await signer.sign(utf8(secret));
  }
  const sent = servers.flatMap(({ log }) => log.map(({ body }) => body)).join();
  expect(sent).not.toContain(Buffer.from(secret).toString('base64').slice(0, 20));
});

it('takes no key of Key Vault whose purpose is another', async () => {
  const server = await serveKeys((path, body) => {
    const answer = keyVault(key)(path, body) as { key: object } | undefined;
    return answer && { key: { ...answer.key, key_ops: ['encrypt', 'decrypt'] } };
  });
  const error = await failure(
    keyOf(`azurekms://${server.host}/release`, await sources({ AZURE_ACCESS_TOKEN: 'x' })),
  );
  expect(error).toMatchObject({ code: 'key-invalid', message: expect.stringContaining('encrypt') });
});

it('signs requests to AWS as its own library does', () => {
  // What botocore 1.44.8 makes of the same request.
  const headers = signedHeaders({
    url: new URL('https://kms.us-east-1.amazonaws.com/'),
    headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'TrentService.Sign' },
    body: '{"KeyId":"x"}',
    service: 'kms',
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' },
    now: new Date('2015-08-30T12:36:00Z'),
  });
  expect(headers['x-amz-date']).toBe('20150830T123600Z');
  expect(headers['authorization']).toBe(
    'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/kms/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=dcfe59581c719359dfa99d672e3e366a10b360baacb891f9a5487706a7267a7b',
  );
});

describe('an SSH agent', () => {
  const ed25519 = generateKeyPairSync('ed25519').privateKey;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const place = async (): Promise<string> => join(await temporaryDirectory(), 'agent');

  it.each([
    ['ssh-agent:me', 'Ed25519'],
    ['ssh-agent:rsa', 'RS256'],
    ['ssh-agent:ec', 'ES384'],
  ])('signs with %s', async (uri, id) => {
    const path = await place();
    await serveAgent(path, [
      { key: ed25519, comment: 'me' },
      { key: rsa, comment: 'rsa' },
      { key, comment: 'ec' },
    ]);
    const signer = await keyOf(uri, await sources({ SSH_AUTH_SOCK: path }));
    expect(signer.algorithm.id).toBe(id);
    await signer.signMany([utf8('a'), utf8('b')]);
  });

  it.each<[string, string, Parameters<typeof serveAgent>[1], string]>([
    [
      'several keys and no choice',
      'ssh-agent:',
      [
        { key, comment: 'a' },
        { key: ed25519, comment: 'b' },
      ],
      'usage',
    ],
    [
      'two keys of one comment',
      'ssh-agent:a',
      [
        { key, comment: 'a' },
        { key: ed25519, comment: 'a' },
      ],
      'usage',
    ],
    ['another key', 'ssh-agent:SHA256:AAAA', [{ key, comment: 'a' }], 'not-found'],
    ['no key', 'ssh-agent:a', [], 'key-unavailable'],
    [
      'a FIDO key',
      'ssh-agent:a',
      [{ key: ed25519, comment: 'a', type: 'sk-ssh-ed25519@openssh.com' }],
      'key-invalid',
    ],
    [
      'a key of another type',
      'ssh-agent:a',
      [{ key: ed25519, comment: 'a', type: 'ssh-dss' }],
      'key-invalid',
    ],
  ])('with %s is refused', async (_, uri, keys, code) => {
    const path = await place();
    await serveAgent(path, keys);
    expect(await failure(keyOf(uri, await sources({ SSH_AUTH_SOCK: path })))).toMatchObject({ code });
  });

  it('that is locked after the key was found signs nothing', async () => {
    const path = await place();
    const state = { isLocked: false };
    await serveAgent(path, [{ key, comment: 'a' }], state);
    const signer = await keyOf('ssh-agent:a', await sources({ SSH_AUTH_SOCK: path }));
    state.isLocked = true;
    expect(await failure(signer.sign(utf8('a')))).toMatchObject({ code: 'key-unavailable' });
  });

  it.each([
    ['nothing', Buffer.alloc(4)],
    ['a number of keys beyond its size', Buffer.from([0, 0, 0, 5, 12, 255, 255, 255, 255])],
    ['four gigabytes', Buffer.from([255, 255, 255, 255, 12])],
    ['a key that is cut off', Buffer.from([0, 0, 0, 9, 12, 0, 0, 0, 1, 0, 0, 0, 9])],
    ['another message', Buffer.from([0, 0, 0, 1, 5])],
  ])('that answers with %s is not believed', async (_, answer) => {
    const path = await place();
    await serveAgent(path, [], { answer });
    expect(await failure(keyOf('ssh-agent:', await sources({ SSH_AUTH_SOCK: path })))).toMatchObject({
      code: 'key-unavailable',
    });
  });
});

it('asks the container endpoint of AWS directly: a proxy would get its token and the credentials', async () => {
  const endpoint = createServer((request, response) => {
    const isFine = request.headers.authorization === SECRET && request.url === '/v1/credentials';
    response.end(isFine ? '{"AccessKeyId": "AKIA", "SecretAccessKey": "x", "Token": "y"}' : '{}');
  });
  endpoint.listen(0, '127.0.0.1');
  await once(endpoint, 'listening');
  const { port } = endpoint.address() as AddressInfo;
  const variables: Readonly<Record<string, string>> = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/v1/credentials`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: SECRET,
  };
  const looked = new Set<string>();
  const found = await awsCredentials(
    {
      ...(await sources(variables)),
      environment: (name) => {
        looked.add(name);
        return name === 'HOME' ? '/nowhere' : variables[name];
      },
    },
    'eu-central-1',
  );
  endpoint.close();
  expect(found).toEqual({ accessKeyId: 'AKIA', secretAccessKey: 'x', sessionToken: 'y' });
  expect([...looked].filter((name) => /proxy/i.test(name))).toEqual([]);
});
