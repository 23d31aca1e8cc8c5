import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { login, logout } from '../../src/registry/login.ts';
import { credentialFiles, loginFile, storedCredentials } from '../../src/registry/stored-credentials.ts';
import { codeOf, registryFor } from '../support/registry/open.ts';

let home: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'bulla-credentials-'));
  env = { PATH: [join(home, 'bin'), process.env['PATH']].join(delimiter) };
  const made = home;
  onTestFinished(() => rm(made, { recursive: true, force: true }));
});

async function put(path: string, content: unknown): Promise<string> {
  const full = join(home, path);
  await mkdir(join(full, '..'), { recursive: true });
  await writeFile(full, typeof content === 'string' ? content : JSON.stringify(content));
  return full;
}

function auth(user: string, password: string): { auth: string } {
  return { auth: Buffer.from(`${user}:${password}`).toString('base64') };
}

function basic(username: string, password: string) {
  return { kind: 'basic', username, password };
}

/** A helper that is a shell script; what it was told ends up in a file. */
async function helper(name: string, script: string): Promise<void> {
  const path = await put(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
}

function find(registry: string, repository?: string) {
  return storedCredentials({ env, home })(registry, repository);
}

describe('where credentials are looked for', () => {
  it("is podman's places, then docker's", () => {
    env['XDG_RUNTIME_DIR'] = '/run/user/1';
    expect(credentialFiles({ env, home: '/home/me' })).toEqual([
      '/run/user/1/containers/auth.json',
      '/home/me/.config/containers/auth.json',
      '/home/me/.docker/config.json',
    ]);
    env['XDG_CONFIG_HOME'] = '/conf';
    env['DOCKER_CONFIG'] = '/docker';
    expect(credentialFiles({ env, home: '/home/me' }).slice(1)).toEqual([
      '/conf/containers/auth.json',
      '/docker/config.json',
    ]);
    expect(loginFile({ env, home: '/home/me' })).toBe('/docker/config.json');
  });

  it('is one file alone where one is named', () => {
    env['REGISTRY_AUTH_FILE'] = '/one.json';
    expect(credentialFiles({ env, home })).toEqual(['/one.json']);
    expect(credentialFiles({ env, home, path: '/two.json' })).toEqual(['/two.json']);
    expect(loginFile({ env, home })).toBe('/one.json');
  });

  it("takes podman's before docker's, and docker's where podman has none", async () => {
    await put('.config/containers/auth.json', { auths: { 'r.example.com': auth('podman', '1') } });
    await put('.docker/config.json', {
      auths: { 'r.example.com': auth('docker', '2'), 'd.example.com': auth('docker', '3') },
    });
    expect(await find('r.example.com')).toEqual(basic('podman', '1'));
    expect(await find('d.example.com')).toEqual(basic('docker', '3'));
    expect(await find('x.example.com')).toBeUndefined();
  });
});

describe('entries of a file', () => {
  it('are chosen by the longest path that matches', async () => {
    await put('.config/containers/auth.json', {
      auths: {
        'r.example.com': auth('host', '1'),
        'r.example.com/team': auth('team', '2'),
        'r.example.com/team/app': auth('app', '3'),
      },
    });
    expect(await find('r.example.com', 'team/app')).toEqual(basic('app', '3'));
    expect(await find('r.example.com', 'team/other')).toEqual(basic('team', '2'));
    expect(await find('r.example.com', 'teamwork/app')).toEqual(basic('host', '1'));
    expect(await find('r.example.com.evil.example', 'team/app')).toBeUndefined();
  });

  it.each([
    ['r.example.com', 'r.example.com'],
    ['https://r.example.com', 'r.example.com'],
    ['https://r.example.com/', 'r.example.com'],
    ['https://r.example.com/v1/', 'r.example.com'],
    ['https://r.example.com/v2/', 'r.example.com'],
    ['r.example.com:5000', 'r.example.com:5000'],
    ['https://index.docker.io/v1/', 'docker.io'],
  ])('are found under %s for %s', async (key, registry) => {
    await put('.docker/config.json', { auths: { [key]: auth('me', 'p:w') } });
    expect(await find(registry, 'team/app')).toEqual(basic('me', 'p:w'));
  });

  it('are identity tokens, old plain pairs, or nothing', async () => {
    await put('.docker/config.json', {
      auths: {
        'a.example.com': { auth: auth('x', 'y').auth, identitytoken: 'refresh' },
        'b.example.com': { username: 'me', password: 'pw' },
        'c.example.com': {},
        'd.example.com': { auth: auth('padded', 'x').auth.replace(/=+$/, '') },
      },
    });
    expect(await find('a.example.com')).toEqual({ kind: 'identity', token: 'refresh' });
    expect(await find('b.example.com')).toEqual(basic('me', 'pw'));
    expect(await find('c.example.com')).toBeUndefined();
    expect(await find('d.example.com')).toEqual(basic('padded', 'x'));
  });

  it.each([
    ['no base64', { auths: { 'r.example.com': { auth: '!secret!' } } }],
    ['no colon', { auths: { 'r.example.com': { auth: Buffer.from('secret').toString('base64') } } }],
    ['no JSON', '{"auths": secret'],
    ['a key twice', '{"auths":{},"auths":{"r.example.com":{"auth":"secret"}}}'],
  ])('with %s are an error that does not show them', async (_, content) => {
    await put('.docker/config.json', content);
    const error = await find('r.example.com').catch((caught) => caught);
    expect(error).toMatchObject({ code: 'config-invalid', hint: expect.any(String) });
    expect(`${error.message} ${error.hint}`).not.toContain('secret');
  });
});

describe('helpers', () => {
  it('are not waited for where they leave something running that holds their output open', async () => {
    await helper(
      'left',
      'cat >/dev/null; echo \'{"Username":"left","Secret":"1"}\'; (while sleep 0.1; do echo; done) &',
    );
    await put('.docker/config.json', { credsStore: 'left' });
    expect(await find('r.example.com')).toEqual(basic('left', '1'));
  });

  it('that write without end are ended, whatever they do about it', async () => {
    await helper('endless', "trap '' TERM; while :; do head -c 65536 /dev/zero; done");
    await put('.docker/config.json', { credsStore: 'endless' });
    await expect(find('r.example.com')).rejects.toMatchObject({ code: 'config-invalid' });
  });

  describe('and entries that are ignored are told of, once', () => {
    const missing = { credsStore: 'not-there' };
    const entry = { auths: { 'r.example.com': auth('file', '3') } };
    it.each<[string, object, unknown, RegExp[]]>([
      [
        'a common helper that is not installed',
        { ...missing, ...entry },
        basic('file', '3'),
        [/credsStore .*not installed/],
      ],
      [
        'a helper that has none',
        { credsStore: 'none', ...entry },
        basic('file', '3'),
        [/docker-credential-none has no/],
      ],
      [
        'a helper with an empty secret',
        { credsStore: 'empty' },
        undefined,
        [/docker-credential-empty has no/],
      ],
      ['an empty entry', { auths: { 'r.example.com': {} } }, undefined, [/entry r\.example\.com is ignored/]],
      [
        'an entry that is null',
        { auths: { 'https://r.example.com': null } },
        undefined,
        [/entry r\.example\.com is ignored/],
      ],
      ['an empty entry of another', { auths: { 's.example.com': {} } }, undefined, []],
    ])('%s', async (_, file, expected, lines) => {
      await helper('none', 'cat >/dev/null; echo "credentials not found in native keychain"; exit 1');
      await helper('empty', 'cat >/dev/null; echo \'{"Username":"me","Secret":""}\'');
      await put('.docker/config.json', file);
      const told: string[] = [];
      const credentials = storedCredentials({ env, home, note: (line) => told.push(line) });
      for (let n = 0; n < 2; n++) expect(await credentials('r.example.com', 'app')).toEqual(expected);
      expect(told).toHaveLength(lines.length);
      for (const [at, line] of lines.entries()) expect(told[at]).toMatch(line);
    });

    it('but one that is named for the registry has to be there', async () => {
      await put('.docker/config.json', { credHelpers: { 'r.example.com': 'not-there' }, ...entry });
      await expect(find('r.example.com')).rejects.toMatchObject({ code: 'config-invalid' });
      // Nor is it known that there are no credentials where nothing stands in for the common one.
      await put('.docker/config.json', missing);
      await expect(find('r.example.com')).rejects.toMatchObject({ code: 'config-invalid' });
    });
  });

  it('are asked before the file: those of the registry, then the common one', async () => {
    await helper('own', 'cat >/dev/null; echo \'{"Username":"own","Secret":"1"}\'');
    await helper('common', 'read server; echo "{\\"Username\\":\\"$server\\",\\"Secret\\":\\"2\\"}"');
    await put('.docker/config.json', {
      credHelpers: { 'r.example.com': 'own' },
      credsStore: 'common',
      auths: { 'r.example.com': auth('file', '3'), 's.example.com': auth('file', '4') },
    });
    expect(await find('r.example.com')).toEqual(basic('own', '1'));
    expect(await find('s.example.com')).toEqual(basic('s.example.com', '2'));
    expect(await find('docker.io')).toEqual(basic('https://index.docker.io/v1/', '2'));
  });

  it('give identity tokens, or say that they have none', async () => {
    await helper('token', 'cat >/dev/null; echo \'{"Username":"<token>","Secret":"refresh"}\'');
    await helper('none', 'cat >/dev/null; echo "credentials not found in native keychain"; exit 1');
    await put('.docker/config.json', {
      credHelpers: { 'a.example.com': 'token', 'b.example.com': 'none' },
      auths: { 'b.example.com': auth('file', '1') },
    });
    expect(await find('a.example.com')).toEqual({ kind: 'identity', token: 'refresh' });
    expect(await find('b.example.com')).toEqual(basic('file', '1'));
  });

  it.each([
    [
      'members of their own',
      '{"ServerURL":"x","Username":"u","Secret":"p","Extra":{"a":[1.5,null,1e3]}}',
      'success',
    ],
    ['a line before the answer', 'Updates are available.\\n{"Username":"u","Secret":"p"}', 'config-invalid'],
    ['a list', '[]', 'config-invalid'],
    ['nothing', '', 'config-invalid'],
    ['a member twice', '{"Username":"u","Username":"v","Secret":"p"}', 'config-invalid'],
  ])('may write %s', async (_, text, code) => {
    await helper('writes', `cat >/dev/null; echo WARNING >&2; printf '${text}'`);
    await put('.docker/config.json', { credsStore: 'writes' });
    expect(await codeOf(find('r.example.com'))).toBe(code);
  });

  it('are asked once in a process', async () => {
    await helper(
      'counting',
      `cat >/dev/null; echo x >>"${home}/count"; echo '{"Username":"a","Secret":"b"}'`,
    );
    await put('.docker/config.json', { credsStore: 'counting' });
    const credentials = storedCredentials({ env, home });
    await Promise.all([1, 2, 3].map((at) => credentials('r.example.com', `team/app${at}`)));
    expect(await readFile(join(home, 'count'), 'utf8')).toBe('x\n');
  });

  it.each([
    ['../../bin/sh', 'a path'],
    ['x; touch /tmp/pwned', 'a command'],
    ['$(id)', 'a substitution'],
    ['-rf', 'an option'],
    ['', 'nothing, which is none'],
  ])('with the name %j (%s) are not run', async (name) => {
    await put('.docker/config.json', { credHelpers: { 'r.example.com': name } });
    expect(await codeOf(find('r.example.com'))).toBe(name === '' ? 'success' : 'config-invalid');
  });

  it.each([
    ['is not there', undefined],
    ['fails', 'cat >/dev/null; echo "the secret is hunter2" >&2; exit 3'],
    ['says no JSON', 'cat >/dev/null; echo hunter2'],
    ['says too little', 'cat >/dev/null; echo \'{"Username":"hunter2"}\''],
    ['says too much', 'cat >/dev/null; yes hunter2 | head -c 3000000'],
  ])('that %s is an error that does not show what it said', async (_, script) => {
    if (script !== undefined) await helper('bad', script);
    await put('.docker/config.json', { credsStore: 'bad' });
    const error = await find('r.example.com').catch((caught) => caught);
    expect(['config-invalid', 'content-invalid']).toContain(error.code);
    expect(`${error.message} ${error.hint}`).not.toContain('hunter2');
  });
});

describe("a helper's own words", () => {
  it.each([
    ['on stderr', 'echo "token has expired, run: aws sso login" >&2; exit 1', 'run: aws sso login'],
    ['on stdout, where docker says it', 'echo "error getting credentials: locked"; exit 1', 'locked'],
    ['in several lines', 'printf "one\\ntwo\\033[2J\\n" >&2; exit 1', 'one two [2J'],
    ['beside an answer that is not one', 'echo "no profile" >&2; echo oops', 'no profile'],
    ['beside an answer without a secret', 'echo "no region" >&2; echo \'{"Username":"u"}\'', 'no region'],
  ])('are shown: %s', async (_, script, words) => {
    await helper('bad', `cat >/dev/null; ${script}`);
    await put('.docker/config.json', { credsStore: 'bad' });
    const error = await find('r.example.com').catch((caught) => caught);
    expect(error).toMatchObject({ code: 'config-invalid', message: expect.stringContaining(words) });
  });

  it.each([
    ['an answer that comes with a failure', 'echo \'{"Username":"u","Secret":"hunter2"}\'; exit 1'],
    ['the answer repeated', 'echo \'got {"Secret":"hunter2"}\' >&2; exit 1'],
    ['a password that is named', 'echo "bad password: hunter2" >&2; exit 1'],
    ['a token that is named', 'echo "TOKEN=hunter2" >&2; exit 1'],
    ['what comes after very much', 'head -c 5000 /dev/zero | tr "\\0" x >&2; echo hunter2 >&2; exit 1'],
  ])('do not hold %s', async (_, script) => {
    await helper('bad', `cat >/dev/null; ${script}`);
    await put('.docker/config.json', { credsStore: 'bad' });
    const error = await find('r.example.com').catch((caught) => caught);
    expect(error).toMatchObject({ code: 'config-invalid' });
    expect(error.message).not.toContain('hunter2');
    expect(error.message.length).toBeLessThan(500);
  });

  it.each([
    ['warns on stderr', 'echo "WARNING: old" >&2; echo \'{"Username":"u","Secret":"p","Extra":[1.5,null]}\''],
    ['answers in several lines', 'printf \'{\\n "Username": "u",\\n "Secret": "p"\\n}\\n\''],
  ])('do not matter where it %s', async (_, script) => {
    await helper('good', `cat >/dev/null; ${script}`);
    await put('.docker/config.json', { credsStore: 'good' });
    expect(await find('r.example.com')).toEqual(basic('u', 'p'));
  });
});

describe('login and logout', () => {
  it.each(['https://REG/v1/', 'http://REG/v2', 'REG/', 'HTTPS://REG/artifactory/api'])(
    'logout forgets the entry %s',
    async (key) => {
      const host = 'r.example.com:5000';
      await put('.docker/config.json', {
        Auths: { [key.replace('REG', host)]: auth('u', 'p'), [`${host}/team`]: auth('t', 'p') },
      });
      expect(await find(host)).toEqual(basic('u', 'p'));
      expect(await logout(host, { env, home })).toBe(true);
      expect(await find(host)).toBeUndefined();
      expect(await find(host, 'team/app')).toEqual(basic('t', 'p'));
    },
  );

  const me = { kind: 'basic', username: 'me', password: 'pa:ss' } as const;
  const users = { me: 'pa:ss' };

  it.each(['basic', 'token'] as const)('tries %s on the registry, stores, and forgets', async (mode) => {
    const registry = await registryFor({ auth: { mode, users } });
    const path = await put('.docker/config.json', {
      detachKeys: 'ctrl-e',
      auths: { 'other.example.com': auth('x', 'y') },
    });
    expect(await login(registry.host, me, { env, home })).toEqual({ storedIn: path, verified: true });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(registry.log.filter(({ method }) => method !== 'GET')).toEqual([]);
    expect(await find(registry.host, 'team/app')).toEqual(me);
    const stored = JSON.parse(await readFile(path, 'utf8'));
    expect(stored).toMatchObject({ detachKeys: 'ctrl-e', auths: { 'other.example.com': auth('x', 'y') } });
    expect(await logout(registry.host, { env, home })).toBe(true);
    expect(await find(registry.host)).toBeUndefined();
    expect(await find('other.example.com')).toEqual(basic('x', 'y'));
    expect(await logout(registry.host, { env, home })).toBe(false);
  });

  it.each(['basic', 'token'] as const)('stores nothing where %s is refused', async (mode) => {
    const registry = await registryFor({ auth: { mode, users: { me: 'other' } } });
    expect(await codeOf(login(registry.host, me, { env, home }))).toBe('unauthorized');
    expect(await find(registry.host)).toBeUndefined();
  });

  it('says so where the registry lets everybody in', async () => {
    const registry = await registryFor();
    expect(await login(registry.host, me, { env, home })).toMatchObject({ verified: false });
  });

  it('stores in the helper that the configuration names, by pipe', async () => {
    const registry = await registryFor({ auth: { mode: 'basic', users } });
    await helper('vault', `echo "$@" >>"${home}/argv"; cat >>"${home}/stdin"`);
    const path = await put('.docker/config.json', { credsStore: 'vault' });
    expect(await login(registry.host, me, { env, home })).toMatchObject({
      storedIn: 'docker-credential-vault',
    });
    expect(await readFile(join(home, 'argv'), 'utf8')).toBe('store\n');
    expect(JSON.parse(await readFile(join(home, 'stdin'), 'utf8'))).toEqual({
      ServerURL: registry.host,
      Username: 'me',
      Secret: 'pa:ss',
    });
    expect(await readFile(path, 'utf8')).not.toContain('pa:ss');
    expect(await logout(registry.host, { env, home })).toBe(true);
    expect(await readFile(join(home, 'argv'), 'utf8')).toBe('store\nerase\n');
  });

  it('keeps a configuration that is a link where it is, and makes one that is not there', async () => {
    const registry = await registryFor({ auth: { mode: 'basic', users } });
    const real = await put('dotfiles/docker.json', {});
    await mkdir(join(home, '.docker'));
    await symlink(real, join(home, '.docker/config.json'));
    await login(registry.host, me, { env, home });
    expect(JSON.parse(await readFile(real, 'utf8')).auths[registry.host]).toEqual(auth('me', 'pa:ss'));
    const path = join(home, 'new/dir/auth.json');
    await login(registry.host, me, { env, home, path });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('loses nothing when several log in at once', async () => {
    const registries = await Promise.all(
      [1, 2, 3, 4].map(() => registryFor({ auth: { mode: 'basic', users } })),
    );
    await Promise.all(registries.map((registry) => login(registry.host, me, { env, home })));
    for (const registry of registries) expect(await find(registry.host)).toEqual(me);
  });

  it('refuses a user name that could not be sent', async () => {
    for (const username of ['', 'a:b']) {
      expect(await codeOf(login('127.0.0.1:1', { ...me, username }, { env, home }))).toBe('usage');
    }
  });
});
