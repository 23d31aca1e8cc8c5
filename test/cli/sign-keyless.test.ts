import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { type Making, SigstoreInstance } from '../support/sigstore/instance.ts';
import { type Fault, SigstoreServer, token } from '../support/sigstore/server.ts';

type Json = Record<string, unknown>;

const now = new Date('2026-12-01T00:00:00Z');
const issuer = 'https://accounts.example.com';
const secret = token({ sub: 'alice' });

let server: SigstoreServer;
let cwd: string;
beforeAll(async () => {
  server = await SigstoreServer.start(now);
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  server.asked.length = 0;
  server.faults.clear();
  server.making = { now };
  server.alter = (_, body) => body;
  cwd = await temporaryDirectory();
  const store = new LayoutStore(await DirectoryFiles.open(join(cwd, 'img'), { create: true }));
  await pushImage(store, 'app', 'v1');
  await store.close();
  await writeFile(join(cwd, 'root.json'), server.instance.trustedRoot());
  await writeFile(join(cwd, 'signing.json'), server.signingConfig());
  await writeFile(join(cwd, 'token'), `${secret}\n`);
});

const services = '--signing-config signing.json --trusted-root root.json';
const bulla = (line: string, env: Readonly<Record<string, string>> = {}) =>
  run(line.split(' '), { cwd, now, env: { BULLA_HOME: join(cwd, 'home'), ...env } });
const sign = (line = '', env = {}) =>
  bulla(`sign oci:img:v1 --keyless ${services}${line === '' ? '' : ` ${line}`}`, env);
const alice = `--trusted-root root.json --certificate-oidc-issuer ${issuer} --certificate-identity alice@example.com`;
const verify = () => bulla(`verify oci:img:v1 ${alice}`);
const signatures = async (): Promise<unknown[]> =>
  (await bulla('signature ls oci:img:v1 -o json')).json()['signatures'] as unknown[];

async function writeKey(type: 'P-256' | 'ed25519' = 'P-256'): Promise<void> {
  const { privateKey, publicKey } =
    type === 'ed25519' ? generateKeyPairSync(type) : generateKeyPairSync('ec', { namedCurve: type });
  await writeFile(join(cwd, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await writeFile(join(cwd, 'key.pub'), publicKeyPem(publicKeyOf(publicKey)));
}

describe('bulla sign --keyless', () => {
  it.each([1, 2] as const)('signs by Fulcio, Rekor v%d and a time-stamp authority', async (rekor) => {
    await writeFile(join(cwd, 'signing.json'), server.signingConfig(rekor));
    const signed = await sign('--identity-token token -o json');
    expect(signed).toMatchObject({ code: 0 });
    expect(signed.json()).toMatchObject({
      signatures: [{ kind: 'sigstore-bundle', identity: 'alice@example.com', issuer }],
    });
    expect(await verify()).toMatchObject({ code: 0 });
    expect(server.asked.map(({ path }) => path).sort()).toEqual([
      '/fulcio/api/v2/signingCert',
      `/rekor${rekor}/api/v${rekor}/log/entries`,
      '/tsa',
    ]);
  });

  it('says who signed, and so does the list of signatures', async () => {
    const signed = await sign('--identity-token token');
    expect(signed.stderr).toContain(`as alice@example.com (${issuer})`);
    expect((await bulla('signature ls oci:img:v1')).stdout).toContain(`alice@example.com (${issuer})`);
    expect(await signatures()).toMatchObject([{ signer: `alice@example.com (${issuer})` }]);
  });

  const github = () => ({
    ACTIONS_ID_TOKEN_REQUEST_URL: `${server.url}/github?api-version=2`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'a-github-request-token',
  });
  it.each<[string, string, () => Record<string, string>, string]>([
    ['a file', '--identity-token token', () => ({}), secret],
    ['a variable', '--identity-token env://MY_TOKEN', () => ({ MY_TOKEN: secret }), secret],
    ['GitLab', '', () => ({ SIGSTORE_ID_TOKEN: secret }), secret],
    ['GitHub Actions', '', github, token({ via: 'github' })],
    ['a file before all others', '--identity-token token', github, secret],
    ['GitLab before GitHub', '', () => ({ ...github(), SIGSTORE_ID_TOKEN: secret }), secret],
  ])('takes its token from %s, and shows it nowhere', async (_, line, env, expected) => {
    const signed = await sign(`${line} --trace`.trim(), env());
    expect(signed).toMatchObject({ code: 0 });
    const [fulcio] = server.asked.filter(({ path }) => path.startsWith('/fulcio'));
    expect(JSON.parse(String(fulcio?.body))).toMatchObject({ credentials: { oidcIdentityToken: expected } });
    for (const text of [signed.stdout, signed.stderr]) {
      expect(text).not.toContain(expected.split('.')[2]);
      expect(text).not.toContain('a-github-request-token');
    }
    const asked = server.asked.find(({ path }) => path.startsWith('/github'));
    if (asked !== undefined) expect(asked.path).toBe('/github?api-version=2&audience=sigstore');
    for (const { path, body } of server.asked)
      if (!path.startsWith('/fulcio')) expect(String(body)).not.toContain(expected);
  });

  it.each<[string, string, Record<string, string>, number]>([
    ['no token', '', {}, 2],
    ['the token itself on the command line', `--identity-token ${secret}`, {}, 2],
    ['a variable that is not set', '--identity-token env://NONE', {}, 2],
    ['a file that is not there', '--identity-token none', {}, 11],
    ['a file without a token', '--identity-token root.json', {}, 2],
    ['an empty variable', '--identity-token env://EMPTY', { EMPTY: '' }, 2],
    ['a variable without a token', '', { SIGSTORE_ID_TOKEN: 'not a token' }, 2],
  ])('asks no service with %s', async (_, line, env, code) => {
    const signed = await sign(line, env);
    expect(signed).toMatchObject({ code, stdout: '' });
    expect(signed.stderr).not.toContain(secret);
    expect(server.asked).toEqual([]);
  });

  it.each<[string, Fault, number]>([
    ['refuses', { status: 403, body: 'a-github-request-token is not allowed' }, 4],
    ['does not know who asks', { status: 401 }, 4],
    ['redirects', { status: 307, headers: { location: 'http://127.0.0.1:1/' } }, 3],
    ['answers with a web page', { status: 200, body: '<html>' }, 40],
    ['answers without a token', { status: 200, body: '{"count":0}' }, 2],
    ['answers with something else', { status: 200, body: '{"value":["eyJ.a.b"]}' }, 2],
  ])('asks Fulcio for nothing where GitHub’s issuer %s', async (_, fault, code) => {
    server.faults.set('/github', fault);
    const signed = await sign('', github());
    expect(signed).toMatchObject({ code, stdout: '' });
    expect(signed.stderr).not.toContain('a-github-request-token');
    expect(server.asked.filter(({ path }) => path.startsWith('/fulcio'))).toEqual([]);
  });

  it.each<[string, number]>([
    ['sign oci:img:v1 --identity-token token', 2],
    ['sign oci:img:v1 --tlog --identity-token token', 2],
    ['sign oci:img:v1 --keyless --signing-config signing.json', 2],
    ['sign oci:img:v1 --keyless --trusted-root root.json', 2],
    [`sign oci:img:v1 --keyless --offline ${services}`, 3],
    [`sign oci:img:v1 --keyless --signature-format jws --identity-token token ${services}`, 2],
    ['sign oci:img:v1 --keyless --signing-config root.json --trusted-root root.json', 40],
  ])('%s: %d', async (line, code) => {
    expect(await bulla(line)).toMatchObject({ code, stdout: '' });
    expect(await signatures()).toEqual([]);
  });

  const places: [string, string][] = [
    ['Fulcio', '/fulcio'],
    ['Rekor', '/rekor2'],
    ['time-stamp authority', '/tsa'],
  ];
  const faults: [string, Fault, number][] = [
    ['refuses with 401', { status: 401, body: JSON.stringify({ message: `bad token ${secret}` }) }, 4],
    ['refuses with 400', { status: 400, body: 'no' }, 4],
    ['redirects', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }, 3],
    ['is not there', { status: 404 }, 3],
    ['throttles', { status: 429, headers: { 'retry-after': '1000' } }, 3],
    ['answers with a web page', { status: 200, body: '<html>sign in</html>' }, 40],
    ['answers without an end', { status: 200, body: 'x'.repeat(1_100_000) }, 40],
    ['answers with nothing', { status: 201, body: '' }, 40],
  ];
  it.each(places.flatMap((place) => faults.map((fault) => [...place, ...fault] as const)))(
    'stores nothing where %s at %s %s',
    async (service, path, _, fault, code) => {
      server.faults.set(path, fault);
      const signed = await sign('--identity-token token -o json');
      expect(signed).toMatchObject({ code });
      if (path === '/fulcio') expect(signed.stdout + signed.stderr).not.toContain(secret.split('.')[2]);
      if (code !== 40)
        expect(JSON.parse(signed.stderr || signed.stdout)).toMatchObject({ details: { service } });
      expect(await signatures()).toEqual([]);
    },
  );

  it.each(['/fulcio', '/rekor2', '/tsa'])('gives up where %s hangs', async (path) => {
    server.faults.set(path, 'hang');
    const signed = await sign('--identity-token token --timeout 300ms');
    expect(signed).toMatchObject({ code: 3, stdout: '' });
    expect(await signatures()).toEqual([]);
  });

  it.each([
    ['a certificate', '/fulcio'],
    ['an entry', '/rekor2'],
    ['a stamp', '/tsa'],
  ])('stores nothing when it gets %s that was made for another signature', async (_, path) => {
    let first: Uint8Array | undefined;
    server.alter = (at, body) => {
      if (!at.startsWith(path)) return body;
      first ??= body;
      return first;
    };
    expect(await sign('--identity-token token')).toMatchObject({ code: 0 });
    const signed = await sign('--identity-token token -a another=one');
    expect([12, 40]).toContain(signed.code);
    expect(signed.stdout).toBe('');
    expect(await signatures()).toHaveLength(1);
  });

  it.each<[string, Partial<Making>, number]>([
    ['that was never published', { isPublished: false }, 13],
    ['for servers', { purposes: ['1.3.6.1.5.5.7.3.1'] }, 13],
    ['that expired before the stamp', { seen: new Date(now.getTime() + 660_000) }, 13],
    ['without a name', { owner: { kind: 'none', subject: '', issuer } }, 13],
    ['with a NUL in its name', { owner: { kind: 'email', subject: 'a\0b', issuer } }, 13],
  ])('stores nothing when it gets a certificate %s', async (_, making, code) => {
    server.making = { now, ...making };
    expect(await sign('--identity-token token')).toMatchObject({ code, stdout: '' });
    expect(await signatures()).toEqual([]);
  });

  it('stores nothing when services and trusted root are of different instances', async () => {
    const other = await SigstoreServer.start(now);
    await writeFile(join(cwd, 'signing.json'), other.signingConfig());
    const signed = await sign('--identity-token token');
    await other.stop();
    expect(signed).toMatchObject({ code: 12, stdout: '' });
    expect(await signatures()).toEqual([]);
  });

  it.each<[string, (config: Record<string, unknown>) => void, number]>([
    ['no certificate authority', (config) => (config['caUrls'] = []), 2],
    ['no log', (config) => (config['rekorTlogUrls'] = []), 2],
    ['Rekor v2 without a time-stamp authority', (config) => (config['tsaUrls'] = []), 2],
    [
      'more logs than there are',
      (config) => (config['rekorTlogConfig'] = { selector: 'EXACT', count: 2 }),
      2,
    ],
    ['no selector', (config) => (config['rekorTlogConfig'] = {}), 40],
    [
      'a log of a version to come',
      (config) => ((config['rekorTlogUrls'] as Json[])[0]!['majorApiVersion'] = 3),
      2,
    ],
    [
      'a log that is no longer used',
      (config) =>
        ((config['rekorTlogUrls'] as Json[])[0]!['validFor'] = {
          start: '2026-01-01T00:00:00Z',
          end: '2026-02-01T00:00:00Z',
        }),
      2,
    ],
    [
      'credentials in a URL',
      (config) => ((config['tsaUrls'] as Json[])[0]!['url'] = 'https://a:b@tsa.example.com'),
      40,
    ],
    [
      'a Fulcio without TLS',
      (config) => ((config['caUrls'] as Json[])[0]!['url'] = 'http://fulcio.example.com'),
      2,
    ],
    [
      'another media type',
      (config) => (config['mediaType'] = 'application/vnd.dev.sigstore.signingconfig.v0.1+json'),
      40,
    ],
  ])('sends nothing with a signing config with %s', async (_, change, code) => {
    await writeFile(join(cwd, 'signing.json'), server.signingConfig(2, change));
    expect(await sign('--identity-token token')).toMatchObject({ code, stdout: '' });
    expect(server.asked).toEqual([]);
  });

  it('gets one certificate for many signatures of a command', async () => {
    const store = new LayoutStore(await DirectoryFiles.open(join(cwd, 'img'), { create: true }));
    await pushImage(store, 'other', 'v2');
    await store.close();
    expect(
      await bulla(`sign oci:img:v1 oci:img:v2 --keyless --identity-token token ${services}`),
    ).toMatchObject({ code: 0 });
    const count = (path: string): number => server.asked.filter((one) => one.path.startsWith(path)).length;
    expect([count('/fulcio'), count('/rekor2'), count('/tsa')]).toEqual([1, 2, 2]);
  });
});

describe('bulla sign --tlog', () => {
  it.each([1, 2] as const)('enters the signature of a key into Rekor v%d', async (rekor) => {
    await writeKey();
    await writeFile(join(cwd, 'signing.json'), server.signingConfig(rekor));
    expect(await bulla(`sign oci:img:v1 --key key.pem --tlog ${services}`)).toMatchObject({ code: 0 });
    expect(await bulla('verify oci:img:v1 --key key.pub')).toMatchObject({ code: 0 });
    expect(server.asked.map(({ path }) => path.split('/')[1]).sort()).toEqual([`rekor${rekor}`, 'tsa']);
  });

  it('takes the entry that Rekor v1 has already', async () => {
    await writeKey();
    await writeFile(join(cwd, 'signing.json'), server.signingConfig(1));
    server.faults.set('/rekor1', { status: 409, headers: { location: '/rekor1/api/v1/log/entries/108e' } });
    expect(await bulla(`sign oci:img:v1 --key key.pem --tlog ${services}`)).toMatchObject({ code: 0 });
    expect(await signatures()).toHaveLength(1);
    expect(server.asked.map(({ path }) => path)).toContain('/rekor1/api/v1/log/entries/108e');
    for (const location of [
      'http://127.0.0.1:1/rekor1/api/v1/log/entries/108e',
      '/elsewhere',
      '',
      '/rekor1/api/v1/log/entries/../x',
    ]) {
      server.faults.set('/rekor1', { status: 409, headers: { location } });
      expect(await bulla(`sign oci:img:v1 --key key.pem --tlog ${services}`)).toMatchObject({ code: 3 });
    }
    expect(await signatures()).toHaveLength(1);
  });

  it('refuses a key that the log cannot verify with', async () => {
    await writeKey('ed25519');
    expect(await bulla(`sign oci:img:v1 --key key.pem --tlog ${services}`)).toMatchObject({ code: 2 });
    expect(await signatures()).toEqual([]);
  });
});

describe('a policy that demands a proof', () => {
  const under = async (demand: Json) => {
    const rule = { scope: '*', signatures: [{ keys: ['key.pub'], trustedRoot: 'root.json', ...demand }] };
    await writeFile(join(cwd, 'policy.json'), JSON.stringify({ version: 1, rules: [rule] }));
    return await bulla('verify oci:img:v1 --policy policy.json');
  };
  const required = { transparency: 'required', timestamp: 'required' };
  const unstamped = (config: Json) => {
    config['tsaUrls'] = [];
  };

  it('of a log counts only signatures that are in one, also by a trusted key', async () => {
    await writeKey();
    expect(await bulla('sign oci:img:v1 --key key.pem')).toMatchObject({ code: 0 });
    expect(await under({ trustedRoot: undefined })).toMatchObject({ code: 0 });
    expect(await under({ transparency: 'required' })).toMatchObject({ code: 12, stdout: '' });
    expect(await under({ timestamp: 'required' })).toMatchObject({ code: 12, stdout: '' });
    await writeFile(join(cwd, 'signing.json'), server.signingConfig(2, unstamped));
    expect(await bulla(`sign oci:img:v1 --key key.pem --tlog ${services}`)).toMatchObject({ code: 0 });
    expect(await under({ transparency: 'required' })).toMatchObject({ code: 0 });
    expect(await under(required)).toMatchObject({ code: 12, stdout: '' });
    await writeFile(join(cwd, 'signing.json'), server.signingConfig());
    expect(await bulla(`sign oci:img:v1 --key key.pem --tlog ${services}`)).toMatchObject({ code: 0 });
    expect(await under(required)).toMatchObject({ code: 0 });
    // A log of another instance is not the one that is trusted.
    await writeFile(join(cwd, 'other.json'), new SigstoreInstance().trustedRoot());
    expect(await under({ ...required, trustedRoot: 'other.json' })).toMatchObject({ code: 12 });
    expect(await under({ transparency: 'optional' })).toMatchObject({ code: 2 });
  });

  it('of a time stamp counts only keyless signatures that have one', async () => {
    const identity = { identity: 'alice@example.com', issuer };
    const demand = { keys: undefined, keyless: [identity] };
    await writeFile(join(cwd, 'signing.json'), server.signingConfig(1, unstamped));
    expect(await sign('--identity-token token')).toMatchObject({ code: 0 });
    expect(await under(demand)).toMatchObject({ code: 0 });
    expect(await under({ ...demand, ...required })).toMatchObject({ code: 12 });
    await writeFile(join(cwd, 'signing.json'), server.signingConfig(1));
    expect(await sign('--identity-token token')).toMatchObject({ code: 0 });
    expect(await under({ ...demand, ...required })).toMatchObject({ code: 0 });
  });
});
