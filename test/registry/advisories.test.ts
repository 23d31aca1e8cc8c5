import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Credentials } from '../../src/registry/credentials.ts';
import { fixedCredentials } from '../../src/registry/credentials.ts';
import { storedCredentials } from '../../src/registry/stored-credentials.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { tagOf } from '../support/content.ts';
import { listen } from '../support/listen.ts';
import { codeOf, registryFor, repositoryOf } from '../support/registry/open.ts';

// Advisories of the last three years about credentials of registries, each as the attack that it describes.

/** A server of a stranger, and all that it was sent. */
async function stranger(): Promise<{ readonly origin: string; readonly received: string[] }> {
  const received: string[] = [];
  const server = createServer((request, response) => {
    received.push(JSON.stringify(request.headers), request.url ?? '');
    request.on('data', (piece: Buffer) => received.push(String(piece)));
    request.on('end', () => response.writeHead(200).end('{"token":"x"}'));
  });
  const { host, stop } = await listen(server);
  onTestFinished(stop);
  return { origin: `http://${host}`, received };
}

describe('@sigstore/oci', () => {
  const secret = 'correct-horse-battery';
  const basic: Credentials = { kind: 'basic', username: 'me', password: secret };
  const identity: Credentials = { kind: 'identity', token: secret };

  it.each([
    [307, basic],
    [308, basic],
    [307, identity],
    [308, identity],
    [302, identity],
  ])(
    'CVE-2026-134816: a token service that answers %d takes credentials nowhere else: $kind',
    async (status, credentials) => {
      const elsewhere = await stranger();
      const registry = await registryFor({ auth: { mode: 'token', users: { me: secret } } });
      registry.fault({
        path: /^\/token/,
        action: { status, headers: { location: `${elsewhere.origin}/token` } },
      });
      const target = repositoryOf(registry, { credentials: fixedCredentials(registry.host, credentials) });
      expect(await codeOf(target.resolve(tagOf('v1')))).not.toBe('success');
      expect(registry.requests(/^\/token/).length).toBeGreaterThan(0);
      expect(elsewhere.received).toEqual([]);
    },
  );

  it.each([
    'registry.example.com.evil.example',
    'registry.example.com.',
    'evil-registry.example.com',
    'example.com',
    'registry.example.co',
    'registry.example.com:8443',
    'registry.example.com@evil.example',
    'evil.example/registry.example.com',
    'xn--registry.example.com',
  ])('GHSA-pf56-329r-95rw: credentials of registry.example.com are not for %s', async (host) => {
    const home = await temporaryDirectory();
    const auth = Buffer.from(`me:${secret}`).toString('base64');
    await mkdir(join(home, '.docker'));
    await writeFile(
      join(home, '.docker/config.json'),
      JSON.stringify({ auths: { 'registry.example.com': { auth }, 'https://docker.test/v1/': { auth } } }),
    );
    const find = storedCredentials({ env: {}, home });
    expect(await find('registry.example.com', 'team/app')).toMatchObject({ password: secret });
    expect(await find(host, 'registry.example.com/team/app')).toBeUndefined();
  });
});
