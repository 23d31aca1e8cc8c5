import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { credentialsIn, helperOf, readAuthFile } from '../../src/registry/auth-file.ts';
import { parseToken } from '../../src/registry/token.ts';
import { temporaryDirectory } from '../support/cli.ts';

const REG = 'registry.example.com:5000';
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const UP = base64('u:p');

async function fileOf(text: string) {
  const path = join(await temporaryDirectory(), 'config.json');
  await writeFile(path, text);
  const file = await readAuthFile(path);
  if (file === undefined) throw new Error('it was just written');
  return file;
}

describe('an entry of auths', () => {
  it.each([
    REG,
    `${REG}/`,
    `https://${REG}`,
    `https://${REG}/`,
    `http://${REG}`,
    `https://${REG}/v1`,
    `https://${REG}/v1/`,
    `https://${REG}/v2`,
    `http://${REG}/v2/`,
    `${REG}/v2/`,
    `${REG}/v1`,
    'Registry.Example.COM:5000',
    'HTTPS://Registry.Example.COM:5000/v2/',
    `https://${REG}/artifactory/api/docker/local`,
  ])('is found as docker and podman find it: %s', async (key) => {
    const file = await fileOf(
      JSON.stringify({ auths: { 'other.example': { auth: '!!!' }, [key]: { auth: UP } } }),
    );
    expect(credentialsIn(file, REG, 'team/app')).toEqual({ kind: 'basic', username: 'u', password: 'p' });
  });

  it.each([
    `${REG}/team-b`,
    'registry.example.com',
    'registry.example.com:50000',
    'xregistry.example.com:5000',
    'https://registry.example.com/',
    `https://other.example/${REG}`,
    `${REG}.evil.example`,
  ])('is not that of another place: %s', async (key) => {
    const file = await fileOf(JSON.stringify({ auths: { [key]: { auth: UP } } }));
    expect(credentialsIn(file, REG, 'team-a/app')).toBeUndefined();
  });

  it('of the longest path counts', async () => {
    const auths = { [REG]: { auth: UP }, [`${REG}/team-a/`]: { auth: base64('a:a') } };
    const file = await fileOf(JSON.stringify({ auths }));
    expect(credentialsIn(file, REG, 'team-a/app')).toMatchObject({ username: 'a' });
    expect(credentialsIn(file, REG, 'team-b/app')).toMatchObject({ username: 'u' });
  });

  it.each<[string, object, string]>([
    ['registrytoken', { registrytoken: 'tok' }, 'tok'],
    ['RegistryToken', { RegistryToken: ' tok\n' }, 'tok'],
    ['registrytoken before all else', { registrytoken: 'tok', identitytoken: 'id', auth: UP }, 'tok'],
  ])('may hold a token for the registry itself: %s', async (_, entry, token) => {
    const file = await fileOf(JSON.stringify({ auths: { [REG]: entry } }));
    expect(credentialsIn(file, REG, undefined)).toEqual({ kind: 'registry', token });
  });

  it.each(['a b', 'a\r\nx-evil: 1', '\u00e4'])(
    'with the registrytoken %j is refused',
    async (registrytoken) => {
      const file = await fileOf(JSON.stringify({ auths: { [REG]: { registrytoken } } }));
      expect(() => credentialsIn(file, REG, undefined)).toThrow(
        expect.objectContaining({ code: 'config-invalid' }),
      );
    },
  );

  it.each<[string, object]>([
    ['base64 in several lines', { auth: `${UP.slice(0, 2)}\n${UP.slice(2)}\r\n` }],
    ['base64 without its end', { auth: UP.replace(/=+$/, '') }],
    ['a name and a password', { username: 'u', password: 'p' }],
    ['members in capital letters', { Auth: UP }],
    ['members that are null or empty', { auth: UP, email: null, identitytoken: '' }],
  ])('may hold %s', async (_, entry) => {
    const file = await fileOf(JSON.stringify({ auths: { [REG]: entry } }));
    expect(credentialsIn(file, REG, undefined)).toEqual({ kind: 'basic', username: 'u', password: 'p' });
  });
});

describe('a credential file', () => {
  it.each([
    ['with a mark of byte order', `\uFEFF{"auths":{"${REG}":{"auth":"${UP}"}}}`],
    ['with members in capital letters', `{"Auths":{"${REG}":{"auth":"${UP}"}}}`],
  ])('is read %s', async (_, text) => {
    expect(credentialsIn(await fileOf(text), REG, undefined)).toMatchObject({ username: 'u' });
  });

  it('of nothing but null has nothing', async () => {
    const file = await fileOf('{"auths":null,"credHelpers":null,"credsStore":null}');
    expect([credentialsIn(file, REG, undefined), helperOf(file, REG)]).toEqual([undefined, undefined]);
  });

  it.each<[string, object, string | undefined]>([
    ['credsStore', { credsStore: 'store' }, 'store'],
    ['credSstore, as Docker Desktop wrote it', { credSstore: 'store' }, 'store'],
    ['CredsStore', { CredsStore: 'store' }, 'store'],
    ['credHelpers before it', { credsStore: 'store', credHelpers: { [REG]: 'own' } }, 'own'],
    ['credHelpers with a scheme', { credHelpers: { [`https://${REG}/`]: 'own' } }, 'own'],
    ['an empty helper, which means none', { credsStore: 'store', credHelpers: { [REG]: '' } }, undefined],
    ['helpers of others', { credsStore: 'store', credHelpers: { 'other.example': 'own' } }, 'store'],
  ])('names its helper by %s', async (_, json, expected) => {
    expect(helperOf(await fileOf(JSON.stringify(json)), REG)).toBe(expected);
  });
});

describe('the answer of a token server', () => {
  it.each<[string, object, number]>([
    [
      'members that are null',
      { token: 'tok', access_token: null, refresh_token: null, expires_in: null },
      60,
    ],
    ['a lifetime as a text', { token: 'tok', expires_in: '300' }, 300],
    ['a lifetime that is no number', { token: 'tok', expires_in: 'soon' }, 60],
    ['a lifetime without an end', { token: 'tok', expires_in: '1e999' }, 60],
    ['an empty token beside the other', { token: '', access_token: 'tok', expires_in: 0 }, 60],
    ['null beside the other', { token: null, access_token: 'tok' }, 60],
  ])('may have %s', (_, json, seconds) => {
    const token = parseToken(Buffer.from(JSON.stringify(json)), 'auth.example');
    expect([token.value, token.lifetimeMs, token.identityToken]).toEqual(['tok', seconds * 1000, undefined]);
  });

  it.each([{}, { token: null }, { token: 7 }, { token: 'a\r\nb' }])(
    'without a token is refused: %j',
    (json) => {
      const parse = () => parseToken(Buffer.from(JSON.stringify(json)), 'auth.example');
      expect(parse).toThrow(expect.objectContaining({ code: 'unauthorized' }));
    },
  );
});
