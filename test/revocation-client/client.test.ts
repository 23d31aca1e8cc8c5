import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Certificate } from '../../src/crypto/certificate.ts';
import type { StatusFinding } from '../../src/crypto/certificate-status.ts';
import { type AddressClass, classOfAddress } from '../../src/http/address.ts';
import type { Resolve } from '../../src/http/connector.ts';
import { HttpPool } from '../../src/http/pool.ts';
import { KeptAnswers } from '../../src/revocation-client/answers.ts';
import { statusClient } from '../../src/revocation-client/client.ts';
import {
  hoursFromNow,
  makeList,
  makeResponder,
  makeResponse,
  NOW,
  statusAuthority,
  statusExtensions,
} from '../support/revocation.ts';
import { type StatusAnswer, StatusServer } from '../support/status-server.ts';

let server: StatusServer;
let directory: string;
const pools: HttpPool[] = [];

beforeAll(async () => {
  server = await StatusServer.start();
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bulla-status-'));
  server.answers.clear();
  server.asked.length = 0;
  return async () => await rm(directory, { recursive: true });
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
  await server.stop();
});

interface AskOptions {
  readonly privateHosts?: readonly string[];
  readonly offline?: boolean;
  readonly now?: Date;
  readonly signal?: AbortSignal;
  readonly resolve?: Resolve;
  readonly classify?: (address: string) => AddressClass | undefined;
  readonly timeoutMs?: number;
  readonly ocspTimeoutMs?: number | undefined;
}

/** What a new run of the program says about the first certificate of a chain. */
async function ask(chain: readonly Certificate[], options: AskOptions = {}): Promise<StatusFinding> {
  const { now = NOW, offline, resolve, classify, timeoutMs, ocspTimeoutMs, signal } = options;
  const pool = new HttpPool({ connectTimeoutMs: 300, resolve, classify });
  pools.push(pool);
  const client = statusClient({
    kept: new KeptAnswers(join(directory, 'kept')),
    now: () => now,
    timing: { now: () => 0, random: () => 0, sleep: async () => undefined },
    ...{ timeoutMs, ocspTimeoutMs },
    ...(offline !== true && { pool: async () => pool }),
  });
  const { privateHosts = [new URL(server.url).host] } = options;
  const [finding] = await client.statusOf(chain, privateHosts, signal);
  if (finding === undefined) throw new Error('nothing was asked');
  return finding;
}

const ocsp = () => `${server.url}/ocsp`;
const crl = () => `${server.url}/root.crl`;
const both = () => statusAuthority({ ocsp: [ocsp()], crls: [[crl()]] });

describe('a certificate', () => {
  it('is asked about by OCSP, and the CRL is not fetched', async () => {
    const { root, leaf, chain } = both();
    server.answers.set('/ocsp', makeResponse({ about: leaf.certificate, issuer: root }));
    expect((await ask(chain)).outcome).toEqual({ kind: 'good' });
    expect(server.asked).toEqual(['POST /ocsp']);
  });

  it('that OCSP says is revoked is revoked, whatever the CRL says', async () => {
    const { root, leaf, chain } = both();
    const status = { revokedAt: hoursFromNow(-1) };
    server.answers.set('/ocsp', makeResponse({ about: leaf.certificate, issuer: root, status }));
    server.answers.set('/root.crl', makeList({ by: root }));
    expect((await ask(chain)).outcome).toMatchObject({ kind: 'revoked' });
  });

  it.each<[string, (about: ReturnType<typeof both>) => StatusAnswer]>([
    ['is silent', () => 'silence'],
    ['resets the connection', () => 'reset'],
    ['answers 500', () => ({ status: 500 })],
    ['answers with a page', () => Buffer.from('<html>')],
    [
      'does not know it',
      ({ root, leaf }) => makeResponse({ about: leaf.certificate, issuer: root, status: 'unknown' }),
    ],
    [
      'gives an old answer',
      ({ root, leaf }) => makeResponse({ about: leaf.certificate, issuer: root, nextUpdate: NOW }),
    ],
  ])('is looked up in the CRL if the responder %s', async (_, answer) => {
    const authority = both();
    server.answers.set('/ocsp', answer(authority));
    server.answers.set('/root.crl', makeList({ by: authority.root }));
    const options = { ocspTimeoutMs: answer(authority) === 'silence' ? 100 : undefined };
    expect((await ask(authority.chain, options)).outcome).toEqual({ kind: 'good' });
    server.answers.set(
      '/root.crl',
      makeList({ by: authority.root, entries: [{ certificate: authority.leaf.certificate }] }),
    );
    await rm(join(directory, 'kept'), { recursive: true });
    expect((await ask(authority.chain, options)).outcome).toMatchObject({ kind: 'revoked' });
  });

  it('is looked up in another place of the list, or another list, if one is not there', async () => {
    const { root, chain } = statusAuthority({
      crls: [[`${server.url}/gone`], ['ldap://ca.example.com/cn=x', `${server.url}/gone-too`, crl()]],
    });
    server.answers.set('/root.crl', makeList({ by: root }));
    expect((await ask(chain)).outcome).toEqual({ kind: 'good' });
  });

  it('without places to ask cannot be revoked, and the root is not asked about', async () => {
    const { chain } = statusAuthority();
    expect((await ask(chain)).outcome).toEqual({ kind: 'not-revocable' });
    expect(server.asked).toEqual([]);
  });
});

describe('a responder with a certificate of its own', () => {
  it.each([
    ['counts if nothing needs to be asked about it', undefined, true],
    ['counts if its authority says nothing about it', {}, true],
    ['counts if its CRL does not list it', { isListed: false }, true],
    ['does not count if its CRL lists it', { isListed: true }, false],
    ['does not count if only OCSP tells about it', { ocsp: true }, false],
  ] as const)('%s', async (_, where, counts) => {
    const { root, leaf, chain } = statusAuthority({ ocsp: [ocsp()] });
    const places =
      where === undefined || !('isListed' in where || 'ocsp' in where)
        ? {}
        : 'ocsp' in where
          ? { ocsp: [ocsp()] }
          : { crls: [[crl()]] };
    const by = makeResponder(root, where === undefined ? {} : { more: statusExtensions(places) });
    server.answers.set('/ocsp', makeResponse({ about: leaf.certificate, issuer: root, by }));
    const isListed = where !== undefined && 'isListed' in where && where.isListed;
    server.answers.set(
      '/root.crl',
      makeList({ by: root, entries: isListed ? [{ certificate: by.certificate }] : [] }),
    );
    expect((await ask(chain)).outcome.kind).toBe(counts ? 'good' : 'unavailable');
  });
});

describe('nothing is known', () => {
  it.each<[string, StatusAnswer, string]>([
    ['401', { status: 401 }, 'unauthorized'],
    ['403', { status: 403 }, 'forbidden'],
    ['404', { status: 404 }, 'registry-error'],
    ['429', { status: 429 }, 'registry-throttled'],
    ['500', { status: 500, body: '<html>' }, 'registry-error'],
    ['502', { status: 502, body: '<html>' }, 'registry-error'],
    ['a reset connection', 'reset', 'registry-unreachable'],
    ['a truncated body', { cut: Buffer.alloc(1000) }, 'registry-unreachable'],
    ['silence', 'silence', 'timeout'],
    ['a page with status 200', Buffer.from('<html>'), 'registry-error'],
    ['an empty answer', Buffer.alloc(0), 'registry-error'],
    ['a redirect without an end', { status: 302, location: '/ocsp' }, 'registry-error'],
    ['a redirect to a file', { status: 302, location: 'file:///etc/passwd' }, 'registry-error'],
    ['a redirect to nowhere', { status: 302 }, 'registry-error'],
    [
      'a redirect with a name and password',
      { status: 302, location: 'http://a:b@ca.example.com/' },
      'registry-error',
    ],
    [
      'a redirect to the metadata of a cloud',
      { status: 307, location: 'http://169.254.169.254/latest' },
      'forbidden',
    ],
    ['a redirect to this machine', { status: 307, location: 'http://localhost:1/' }, 'forbidden'],
    ['a redirect into the private network', { status: 307, location: 'http://10.0.0.1/' }, 'forbidden'],
  ])('with %s', async (_, answer, code) => {
    for (const where of [{ ocsp: [ocsp()] }, { crls: [[ocsp()]] }]) {
      server.answers.set('/ocsp', answer);
      const { outcome } = await ask(statusAuthority(where).chain, {
        timeoutMs: code === 'timeout' ? 100 : 5_000,
      });
      expect(outcome).toMatchObject({ kind: 'unavailable', error: { code } });
    }
  });

  it.each(['http://127.0.0.1:1/', 'https://localhost:1/', 'http://[::1]:1/'])(
    'at %s: nothing is there',
    async (url) => {
      const { outcome } = await ask(statusAuthority({ ocsp: [url] }).chain, {
        privateHosts: [new URL(url).host],
      });
      expect(outcome).toMatchObject({ kind: 'unavailable', error: { code: 'registry-unreachable' } });
    },
  );

  it('of a list that is too long', async () => {
    const { chain } = statusAuthority({ ocsp: [ocsp()] });
    server.answers.set('/ocsp', new Uint8Array(64 * 1024 + 1));
    expect((await ask(chain)).outcome).toMatchObject({
      kind: 'unavailable',
      error: { code: 'content-invalid' },
    });
  });

  it('at places that are no web addresses, or for lists that are not read', async () => {
    const { chain } = statusAuthority({ crls: [['ldap://ca.example.com/cn=x']] });
    expect((await ask(chain)).outcome).toMatchObject({
      kind: 'unavailable',
      error: { code: 'registry-error' },
    });
    const freshest = statusAuthority(
      {},
      { more: [...statusExtensions({ crls: [[crl()]] }), ['2.5.29.46', Buffer.of(48, 0)]] },
    );
    expect((await ask(freshest.chain)).outcome).toMatchObject({
      kind: 'unavailable',
      error: { code: 'registry-error' },
    });
    const unreadable = statusAuthority({}, { more: [['2.5.29.31', Buffer.of(48, 1)]] });
    expect((await ask(unreadable.chain)).outcome).toMatchObject({
      kind: 'unavailable',
      error: { code: 'certificate-invalid' },
    });
  });
});

describe('addresses', () => {
  it.each([
    '127.0.0.1',
    '10.0.0.1',
    '169.254.169.254',
    '[::1]',
    '[fd00::1]',
    '[::ffff:127.0.0.1]',
    '0.0.0.0',
    'localhost',
  ])('never leads to %s on its own', async (host) => {
    const { port } = new URL(server.url);
    const { outcome } = await ask(statusAuthority({ ocsp: [`http://${host}:${port}/ocsp`] }).chain, {
      privateHosts: [],
    });
    expect(outcome).toMatchObject({ kind: 'unavailable', error: { code: 'forbidden' } });
    expect(server.asked).toEqual([]);
  });

  it('looks at the address that a name has when the connection is opened', async () => {
    const { root, leaf, chain } = statusAuthority({
      ocsp: [`http://ca.example.com:${new URL(server.url).port}/ocsp`],
    });
    server.answers.set('/ocsp', makeResponse({ about: leaf.certificate, issuer: root }));
    const resolve: Resolve = (_, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]);
    const refused = await ask(chain, { privateHosts: [], resolve });
    expect(refused.outcome).toMatchObject({ kind: 'unavailable', error: { code: 'forbidden' } });
    expect(server.asked).toEqual([]);
    const allowed = await ask(chain, { privateHosts: ['ca.example.com'], resolve });
    expect(allowed.outcome).toEqual({ kind: 'good' });
  });

  it('does not lead to link-local ones, even where a policy names the host', async () => {
    const { outcome } = await ask(statusAuthority({ ocsp: ['http://169.254.169.254/'] }).chain, {
      privateHosts: ['169.254.169.254'],
      classify: classOfAddress,
    });
    expect(outcome).toMatchObject({ kind: 'unavailable', error: { code: 'forbidden' } });
  });
});

describe('what was answered', () => {
  it('is kept until it does not count any more', async () => {
    const { root, leaf, chain } = both();
    server.answers.set('/ocsp', makeResponse({ about: leaf.certificate, issuer: root }));
    await ask(chain);
    server.answers.clear();
    expect((await ask(chain)).outcome).toEqual({ kind: 'good' });
    expect(server.asked).toHaveLength(1);
    expect((await ask(chain, { now: hoursFromNow(25) })).outcome.kind).toBe('unavailable');
    expect(server.asked.length).toBeGreaterThan(1);
  });

  it('is remembered by a service until it does not count any more, and a failure for a minute', async () => {
    const { root, leaf, chain } = both();
    let now = NOW;
    const pool = new HttpPool();
    pools.push(pool);
    const client = statusClient({
      kept: new KeptAnswers(join(directory, 'kept')),
      now: () => now,
      timing: { now: () => 0, random: () => 0, sleep: async () => undefined },
      pool: async () => pool,
    });
    const kind = async () => (await client.statusOf(chain, ['127.0.0.1'], undefined))[0]?.outcome.kind;
    expect(await kind()).toBe('unavailable');
    const tries = server.asked.length;
    server.answers.set('/ocsp', makeResponse({ about: leaf.certificate, issuer: root }));
    expect([await kind(), server.asked.length]).toEqual(['unavailable', tries]);
    now = new Date(NOW.getTime() + 61_000);
    expect(await kind()).toBe('good');
    const status = { revokedAt: hoursFromNow(25) };
    const later = { thisUpdate: hoursFromNow(25), nextUpdate: hoursFromNow(48) };
    server.answers.set('/ocsp', makeResponse({ about: leaf.certificate, issuer: root, status, ...later }));
    now = hoursFromNow(23);
    expect(await kind()).toBe('good');
    now = hoursFromNow(26);
    expect(await kind()).toBe('revoked');
  });

  it('is all that counts offline', async () => {
    const { root, leaf, chain } = both();
    expect((await ask(chain, { offline: true })).outcome).toEqual({ kind: 'not-asked' });
    const revoked = { revokedAt: hoursFromNow(-1) };
    server.answers.set('/ocsp', makeResponse({ about: leaf.certificate, issuer: root, status: revoked }));
    await ask(chain);
    expect((await ask(chain, { offline: true })).outcome).toMatchObject({ kind: 'revoked' });
    expect(server.asked).toHaveLength(1);
  });

  it('is not taken for that of another certificate, nor believed when it was replaced', async () => {
    const [one, other] = [both(), both()];
    server.answers.set('/ocsp', makeResponse({ about: one.leaf.certificate, issuer: one.root }));
    await ask(one.chain);
    expect((await ask(other.chain)).outcome.kind).toBe('unavailable');
    const kept = join(directory, 'kept');
    const [file] = await readdir(kept);
    const forged = makeResponse({ about: one.leaf.certificate, issuer: one.root, by: other.root });
    await writeFile(join(kept, file ?? ''), forged);
    const status = { revokedAt: hoursFromNow(-1) };
    server.answers.set('/ocsp', makeResponse({ about: one.leaf.certificate, issuer: one.root, status }));
    expect((await ask(one.chain)).outcome).toMatchObject({ kind: 'revoked' });
  });

  it('is asked for once in a run, and again if it was interrupted', async () => {
    const { root, leaf, chain } = both();
    server.answers.set('/ocsp', 'silence');
    const aborted = new AbortController();
    const waiting = ask(chain, { signal: aborted.signal });
    setTimeout(() => aborted.abort(), 50);
    await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
    server.answers.set('/ocsp', makeResponse({ about: leaf.certificate, issuer: root }));
    expect((await ask(chain)).outcome).toEqual({ kind: 'good' });
  });
});
