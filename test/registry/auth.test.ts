import { describe, expect, it } from 'vitest';
import { BullaError } from '../../src/errors.ts';
import type { Credentials, CredentialsProvider } from '../../src/registry/credentials.ts';
import { fixedCredentials } from '../../src/registry/credentials.ts';
import { blobOf, pushBytes, pushImage, tagOf } from '../support/content.ts';
import { codeOf, FakeTiming, registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry } from '../support/registry/server.ts';

const ME: Credentials = { kind: 'basic', username: 'me', password: 'pass:word' };
const USERS = { me: 'pass:word' };

function provided(
  registry: FaultyRegistry,
  credentials: Credentials = ME,
): { credentials: CredentialsProvider } {
  return { credentials: fixedCredentials(registry.host, credentials) };
}

/** Scopes of the token requests, in order. */
function scopes(registry: FaultyRegistry): string[][] {
  return registry.log
    .filter(({ path, method }) => path.startsWith('/token') && method === 'GET')
    .map(({ path }) => new URL(path, 'http://x').searchParams.getAll('scope'));
}

describe('a registry that lets everybody in', () => {
  it('is never sent credentials, nor are they looked up', async () => {
    const registry = await registryFor();
    let asked = 0;
    const credentials = async () => {
      asked++;
      return ME;
    };
    await pushImage(repositoryOf(registry, { credentials }), 'one', 'v1');
    expect(asked).toBe(0);
    expect(registry.log.map(({ headers }) => headers['authorization']).filter(Boolean)).toEqual([]);
    expect(registry.requests(/^\/v2\/$/)).toEqual([]);
  });
});

describe('a token for the registry itself', () => {
  it.each(['basic', 'token'] as const)(
    'is sent to the registry alone, whatever it asks for (%s)',
    async (mode) => {
      const registry = await registryFor({ auth: { mode, users: USERS } });
      const target = repositoryOf(registry, provided(registry, { kind: 'registry', token: 'tok' }));
      expect(await codeOf(target.resolve(tagOf('v1')))).toBe('unauthorized');
      expect(registry.log.map(({ headers }) => headers['authorization'])).toEqual([undefined, 'Bearer tok']);
      expect(registry.log.filter(({ path }) => path.startsWith('/token'))).toEqual([]);
    },
  );
});

describe('Basic', () => {
  it('is answered after the first 401, and sent from the start afterwards', async () => {
    const registry = await registryFor({ auth: { mode: 'basic', users: USERS } });
    const target = repositoryOf(registry, provided(registry));
    await pushImage(target, 'one', 'v1');
    expect(registry.log.filter(({ status }) => status === 401)).toHaveLength(1);
  });

  it.each([
    ['no credentials', undefined],
    ['a wrong password', { kind: 'basic', username: 'me', password: 'wrong' }],
    ['only an identity token', { kind: 'identity', token: 'x' }],
  ] as const)('ends as unauthorized with %s', async (_, credentials) => {
    const registry = await registryFor({ auth: { mode: 'basic', users: USERS } });
    const target = repositoryOf(registry, credentials === undefined ? {} : provided(registry, credentials));
    expect(await codeOf(target.resolve(tagOf('v1')))).toBe('unauthorized');
    expect(registry.log.length).toBeLessThanOrEqual(2);
  });
});

describe('Bearer', () => {
  it('asks for pull only where something is read', async () => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS, anonymous: ['pull'] } });
    await pushImage(repositoryOf(registry, provided(registry)), 'one', 'v1');
    registry.forget();
    await repositoryOf(registry).fetchManifest(tagOf('v1'));
    expect(scopes(registry)).toEqual([['repository:team/app:pull']]);
    expect(registry.log).toHaveLength(3);
  });

  it('asks once for all that one repository needs, also of many at once', async () => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS } });
    const target = repositoryOf(registry, provided(registry));
    await Promise.all(Array.from({ length: 20 }, (_, at) => pushBytes(target, blobOf(`blob ${at}`))));
    const asked = registry.requests(/^\/token/);
    // The first look whether they are there needs pull; then one token for pull and push serves.
    expect(asked.length).toBeLessThanOrEqual(2);
  });

  it('asks once for a writer that says so', async () => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS } });
    const target = repositoryOf(registry, { ...provided(registry), access: 'write' });
    await pushImage(target, 'one', 'v1');
    expect(scopes(registry)).toEqual([['repository:team/app:pull,push']]);
    expect(registry.log.filter(({ status }) => status === 401)).toHaveLength(1);
  });

  it('asks for both repositories of a mount, and for deletion', async () => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS } });
    const blob = blobOf('mounted');
    await pushBytes(repositoryOf(registry, provided(registry), 'other/app'), blob);
    const target = repositoryOf(registry, provided(registry));
    const open = async () => (async function* () {})();
    expect(await target.pushBlob(blob.descriptor, open, { mountFrom: ['other/app'] })).toBe('mounted');
    expect(scopes(registry).at(-1)).toEqual(['repository:other/app:pull', 'repository:team/app:pull,push']);
    const image = await pushImage(target, 'one', 'v1');
    await target.deleteManifest(image.descriptor.digest);
    expect(scopes(registry).at(-1)).toEqual(['repository:team/app:delete,pull']);
  });

  it.each([
    ['token', undefined, 60],
    ['access_token', 300, 300],
  ] as const)('takes %s, and a new one before it ends', async (field, expiresIn, seconds) => {
    const registry = await registryFor({
      auth: { mode: 'token', users: USERS, field, ...(expiresIn !== undefined && { expiresIn }) },
    });
    const timing = new FakeTiming();
    const target = repositoryOf(registry, { ...provided(registry), timing });
    await target.hasBlob(blobOf('x').descriptor);
    timing.pass(seconds * 800);
    await target.hasBlob(blobOf('x').descriptor);
    expect(registry.requests(/^\/token/)).toHaveLength(1);
    timing.pass(seconds * 150);
    await target.hasBlob(blobOf('x').descriptor);
    expect(registry.requests(/^\/token/)).toHaveLength(2);
    expect(registry.log.filter(({ status }) => status === 401)).toHaveLength(1);
  });

  it('gets a new token once where the old one is no longer taken, in the middle of an upload too', async () => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS } });
    const target = repositoryOf(registry, provided(registry));
    await pushBytes(target, blobOf('before'));
    registry.revokeTokens();
    await target.hasBlob(blobOf('before').descriptor);
    const blob = blobOf('during');
    const open = async () => {
      if (!revoked) registry.revokeTokens();
      revoked = true;
      return (async function* () {
        yield blob.bytes;
      })();
    };
    let revoked = false;
    expect(await target.pushBlob(blob.descriptor, open)).toBe('pushed');
    expect(await target.hasBlob(blob.descriptor)).toBe(true);
  });

  it('refreshes a token that is too weak once', async () => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS, weakTokens: 1 } });
    const target = repositoryOf(registry, provided(registry));
    expect(await target.hasBlob(blobOf('x').descriptor)).toBe(false);
    expect(registry.requests(/^\/token/)).toHaveLength(2);
  });

  it('exchanges an identity token by POST, and takes the one that replaces it', async () => {
    const registry = await registryFor({
      auth: { mode: 'token', identityTokens: ['first'], rotate: 'second' },
    });
    const target = repositoryOf(registry, provided(registry, { kind: 'identity', token: 'first' }));
    await target.hasBlob(blobOf('x').descriptor);
    registry.behaviour.auth = { mode: 'token', identityTokens: [] };
    await pushBytes(target, blobOf('x'));
    expect(registry.requests(/^\/token/)).toEqual(['POST /token', 'POST /token']);
    expect(registry.log.find(({ path }) => path === '/token')?.headers['content-type']).toBe(
      'application/x-www-form-urlencoded',
    );
  });

  it.each([
    ['without credentials', undefined],
    ['with a wrong password', { kind: 'basic', username: 'me', password: 'wrong' }],
    ['with an identity token that is not taken', { kind: 'identity', token: 'gone' }],
  ] as const)('ends as unauthorized %s, and says how to log in', async (_, credentials) => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS } });
    const target = repositoryOf(registry, credentials === undefined ? {} : provided(registry, credentials));
    await expect(target.resolve(tagOf('v1'))).rejects.toMatchObject({
      code: 'unauthorized',
      hint: expect.stringContaining('bulla login'),
    });
  });

  it.each([
    [429, 'registry-throttled'],
    [503, 'registry-error'],
  ])('does not take a %i of the token server for a refusal', async (status, code) => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS } });
    registry.fault({ path: /^\/token/, times: 99, action: { status } });
    expect(await codeOf(repositoryOf(registry, provided(registry)).resolve(tagOf('v1')))).toBe(code);
  });

  it('tries a token server again that breaks down for a moment', async () => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS } });
    registry.fault({ path: /^\/token/, times: 2, action: { status: 503 } });
    expect(await repositoryOf(registry, provided(registry)).hasBlob(blobOf('x').descriptor)).toBe(false);
  });
});

describe('credentials that change while a process runs', () => {
  it.each(['basic', 'token'] as const)('are asked for again when %s refuses the old ones', async (mode) => {
    const registry = await registryFor({ auth: { mode, users: { me: 'first' } } });
    let password = 'first';
    let asked = 0;
    const timing = new FakeTiming();
    const target = repositoryOf(registry, {
      timing,
      credentials: async () => {
        asked++;
        return { kind: 'basic', username: 'me', password };
      },
    });
    await target.hasBlob(blobOf('x').descriptor);
    await target.hasBlob(blobOf('x').descriptor);
    expect(asked).toBe(1);
    password = 'second';
    registry.behaviour.auth = { mode, users: { me: 'second' } };
    registry.revokeTokens();
    timing.pass(3_600_000);
    expect(await target.hasBlob(blobOf('x').descriptor)).toBe(false);
    expect(asked).toBe(2);
  });

  it('are asked for again after they could not be had', async () => {
    const registry = await registryFor({ auth: { mode: 'basic', users: USERS } });
    let asked = 0;
    const target = repositoryOf(registry, {
      credentials: async () => {
        if (asked++ === 0)
          throw new BullaError('config-invalid', 'the helper is locked', { hint: 'unlock it' });
        return ME;
      },
    });
    expect(await codeOf(target.hasBlob(blobOf('x').descriptor))).toBe('config-invalid');
    expect(await target.hasBlob(blobOf('x').descriptor)).toBe(false);
  });
});
