import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { listen } from '../support/listen.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const PASSWORD = 'SeCrEtPaSsWoRd1';
const TOKEN = 'SeCrEtToKeN1';
/** What is in URLs, headers and bodies of others, and what we sent ourselves. */
const SECRET = /S[eE]CR[eE]T\w*/i;
const BASIC = Buffer.from(`me:${PASSWORD}`).toString('base64');

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** Refuses with words of its own. */
const says =
  (message: string, status = 403): Answer =>
  (_, response) =>
    json(response, status, { errors: [{ code: 'DENIED', message }] });

const challenged =
  (challenge: (host: string) => string): Answer =>
  (request, response) => {
    response.writeHead(401, { 'www-authenticate': challenge(request.headers.host ?? '') }).end();
  };

/** Asks for a token, and lets `then` answer whoever brings one. */
const withToken =
  (then: Answer, token: Answer = (_, response) => json(response, 200, { token: TOKEN })): Answer =>
  (request, response) => {
    if (request.url?.startsWith('/token') === true) token(request, response);
    else if (request.headers.authorization?.startsWith('Bearer ') === true) then(request, response);
    else
      challenged((host) => `Bearer realm="http://${host}/token?apikey=secret1",service="s"`)(
        request,
        response,
      );
  };

const withPassword =
  (then: Answer): Answer =>
  (request, response) => {
    if (request.headers.authorization === undefined) challenged(() => 'Basic realm="r"')(request, response);
    else then(request, response);
  };

const echoed = (request: IncomingMessage): string => request.headers.authorization ?? '';
const sends = (headers: Record<string, string>, status: number): Answer => {
  return (_, response) => void response.writeHead(status, headers).end();
};

/** Ways in which a server brings a secret before a person, or into the log of a build. */
const SERVERS: readonly [string, Answer][] = [
  ['an error with a URL of its storage', says('https://s3.example/b?X-Amz-Signature=secret1&x=1 said no')],
  ['an error with a URL and user information', says('proxy http://bob:s3cr3t-secret@proxy.example/ said no')],
  ['an error with a password that holds an @', says('call ftp://bob:a@secret@proxy.example/x')],
  ['an error with a fragment', says('see https://sso.example/#access_token=secret1&x=2')],
  ['an error with a relative URL', says('upload /v2/app/blobs/uploads/1?_state=secret1 is gone')],
  [
    'an error in plain text',
    (_, response) => void response.writeHead(400).end('at //u:secret@h/?sig=secret1'),
  ],
  ['an error page', (_, response) => void response.writeHead(400).end('<html><a>http://u:secret1@h/</a>')],
  ['an error with a JWT', says('token eyJhbGciOiJFUzI1NiJ9.eyJzZWNyZXQiOjF9.secretsecret1 has expired')],
  ['an error with a member', says('{"token":"secret1","password": "secret2"}')],
  ['an error with an assignment', says('password=secret1, api_key=secret2; x')],
  [
    'its token, said again',
    withToken((request, response) => says(`no: ${echoed(request)}`)(request, response)),
  ],
  [
    'its token, without the scheme',
    withToken((request, response) => says(`no: ${TOKEN}`)(request, response)),
  ],
  [
    'our password, said again',
    withPassword((request, response) => says(`no: ${echoed(request)}`)(request, response)),
  ],
  ['our password in the clear', withPassword(says(`me with ${PASSWORD} may not`))],
  ['our password in a warning', withPassword(sends({ warning: `299 - "${PASSWORD} will expire"` }, 404))],
  [
    'our password, said by the token server',
    withToken(sends({}, 200), (request, response) =>
      json(response, 400, { error: 'invalid', error_description: echoed(request), details: PASSWORD }),
    ),
  ],
  ['a warning', sends({ warning: '299 - "call https://u:secret@x/?sig=secret1"' }, 404)],
  ['a digest that is none', sends({ 'docker-content-digest': 'Bearer Secret1' }, 404)],
  [
    'a type that is none',
    sends({ 'content-type': 'text/plain; token=secret1', via: 'http://u:secret@proxy/' }, 200),
  ],
  ['a realm that is relative', challenged(() => 'Bearer realm="//u:secret@127.0.0.1:1/t?key=secret1"')],
  [
    'a realm with user information',
    challenged(() => 'Bearer realm="http://u:secret@127.0.0.1:1/t?k=secret"'),
  ],
  ['a realm of another scheme', challenged(() => 'Bearer realm="ftp://u:secret@127.0.0.1:1/t?k=secret"')],
  ['a realm with a space', challenged(() => 'Bearer realm=" http://u:secret@[/t?k=secret"')],
  ['another scheme', challenged(() => 'Digest realm="r", nonce="secret1", opaque=secret2')],
  [
    'a redirect to storage',
    sends({ location: 'https://127.0.0.1:1/b?X-Amz-Signature=secret1#secret2' }, 307),
  ],
  ['a redirect with user information', sends({ location: 'http://u:secret@127.0.0.1:1/b' }, 307)],
  ['a redirect that is none', sends({ location: 'https://u:secret@[bad/x?sig=secret1' }, 307)],
  ['a redirect that is relative', sends({ location: '/v2/x?sig=secret1;digest=secret2' }, 307)],
  ['a redirect with backslashes', sends({ location: '\\\\u:secret@127.0.0.1:1\\x?sig=secret1' }, 307)],
  ['a link', sends({ link: '</v2/?n=1&tok=secret1>; rel="next"; title="token=secret2"' }, 404)],
  ['headers of its own', sends({ 'x-amz-security-token': 'secret1', 'set-cookie': 'a=secret2' }, 404)],
];

describe('no secret is shown that a server brings along as', () => {
  it.each(SERVERS)(
    '%s',
    async (_, answer) => {
      const server = createServer(answer);
      const { host, stop } = await listen(server);
      onTestFinished(stop);
      const home = await temporaryDirectory();
      await mkdir(join(home, 'docker'));
      await writeFile(
        join(home, 'docker', 'config.json'),
        JSON.stringify({ auths: { [host]: { auth: BASIC } } }),
      );
      const env = { DOCKER_CONFIG: join(home, 'docker'), BULLA_SEARCH_TIMEOUT: '10s' };
      for (const flags of [[], ['--trace'], ['-o', 'json']]) {
        const result = await bulla(['inspect', `${host}/app@${DIGEST}`, ...flags], { env });
        const said = result.stdout + result.stderr;
        expect(result.code, said).not.toBe(0);
        expect(said).not.toContain('[internal]');
        expect(said).not.toMatch(SECRET);
        expect(said).not.toContain(BASIC);
      }
    },
    30_000,
  );
});
