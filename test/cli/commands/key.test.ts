import { X509Certificate } from 'node:crypto';
import { chmod, copyFile, cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Certificate, parseCertificate } from '../../../src/crypto/certificate.ts';
import { createCertificate } from '../../../src/crypto/certificate-build.ts';
import { generatePrivateKey } from '../../../src/crypto/private-key.ts';
import { parsePublicKeyPem } from '../../../src/crypto/public-key.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { Keystore } from '../../../src/keystore/store.ts';
import { certifiedChain, certify, DURING, NOT_AFTER, NOT_BEFORE } from '../../support/certificates.ts';
import { bulla, type CliOptions, type CliResult, temporaryDirectory } from '../../support/cli.ts';

const vectors = new URL('../../../testdata/keys/', import.meta.url).pathname;
const SUBJECT = 'C=DE, ST=Berlin, O=Acme, CN=release';

// Sealing takes its time on purpose: the keys that most tests want are made once, and copied.
let stock: string;
beforeAll(async () => {
  stock = await mkdtemp(join(tmpdir(), 'bulla-stock-'));
  const keystore = new Keystore(stock);
  await keystore.put('x', generatePrivateKey('P-256'), utf8('correct horse'));
  await keystore.put('ed', generatePrivateKey('Ed25519'), utf8('correct horse'));
});
afterAll(() => rm(stock, { recursive: true, force: true }));

/** A person with a directory and a passphrase, who types commands. */
async function person(env: Record<string, string> = { BULLA_PASSPHRASE: 'correct horse' }): Promise<{
  /** Puts the keys `x` (the default) and `ed` into the key store. */
  stocked: () => Promise<void>;
  home: string;
  keys: string;
  key: (command: string | readonly string[], options?: CliOptions) => Promise<CliResult>;
  take: (vector: string) => Promise<string>;
}> {
  const home = await temporaryDirectory();
  return {
    home,
    keys: join(home, 'config', 'keys'),
    stocked: () => cp(stock, join(home, 'config', 'keys'), { recursive: true }),
    key: (command, options = {}) =>
      bulla(['key', ...(typeof command === 'string' ? command.split(' ') : command)], {
        cwd: home,
        ...options,
        env: { BULLA_HOME: join(home, 'config'), ...env, ...options.env },
      }),
    take: async (vector) => {
      await copyFile(join(vectors, vector), join(home, vector));
      await chmod(join(home, vector), 0o600);
      return vector;
    },
  };
}

describe('bulla key generate', () => {
  it('makes a key, the first of which is the default', async () => {
    const { key, keys } = await person();
    const made = await key('generate release');
    expect(made).toMatchObject({ code: 0, stdout: expect.stringContaining('release (default)') });
    expect((await stat(join(keys, 'release.key'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(keys, 'release.key'), 'utf8')).toMatch(
      /^-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY/,
    );
    const listed = (await key('ls -o json')).json() as {
      keys: { name: string; type: string; default: boolean }[];
    };
    expect(listed.keys).toMatchObject([{ name: 'release', type: 'P-256', default: true }]);
  });

  it.each([
    ['p384', 'P-384'],
    ['P-521', 'P-521'],
    ['ed25519', 'Ed25519'],
  ])('makes a key of type %s', async (type, expected) => {
    const { key } = await person();
    const { publicKey, ...told } = (await key(['generate', 'x', '--type', type, '-o', 'json'])).json();
    expect(told).toMatchObject({ ok: true, type: expected });
    // TUF has no name for the last kind.
    expect(told['keyid'], type).toEqual(type === 'P-521' ? null : expect.stringMatching(/^[0-9a-f]{64}$/));
    expect(parsePublicKeyPem(String(publicKey), 'x').fingerprint).toBe(told['fingerprint']);
  });

  it('replaces a key only with --force, and files neither', async () => {
    const { key, home, stocked } = await person();
    await stocked();
    const before = (await key('show x -o json')).json()['fingerprint'];
    expect(await key('generate x')).toMatchObject({ code: 30, stdout: '' });
    expect((await key('show x -o json')).json()['fingerprint']).toBe(before);
    expect((await key('generate x --force')).code).toBe(0);
    expect((await key('show x -o json')).json()['fingerprint']).not.toBe(before);

    expect((await key('generate --output-key-prefix cosign')).code).toBe(0);
    const file = await readFile(join(home, 'cosign.key'), 'utf8');
    expect((await key('generate --output-key-prefix cosign')).code).toBe(30);
    expect(await readFile(join(home, 'cosign.key'), 'utf8')).toBe(file);
    await writeFile(join(home, 'half.pub'), 'somebody else’s');
    expect((await key('generate --output-key-prefix half')).code).toBe(30);
    expect(await readdir(home)).not.toContain('half.key');
  });

  it('takes an empty passphrase only where it is given, and warns', async () => {
    const { key } = await person({ BULLA_PASSPHRASE: '' });
    const made = await key('generate open');
    expect(made).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('warning: open has an empty passphrase'),
    });
  });

  it.each<[string, string[], number]>([
    ['an RSA key', ['generate', 'x', '--type', 'rsa'], 2],
    ['a name with a path in it', ['generate', '../x'], 2],
    ['a name and files at once', ['generate', 'x', '--output-key-prefix', 'y'], 2],
    ['a directory that is not there', ['generate', '--output-key-prefix', 'missing/y'], 5],
  ])('refuses %s', async (_, command, code) => {
    const { key, home } = await person();
    expect(await key(command)).toMatchObject({ code, stdout: '', stderr: expect.stringContaining('hint: ') });
    expect(await readdir(home)).toEqual([]);
  });
});

describe('passphrases', () => {
  it('come from the descriptor, the variable, the file, for a cosign key COSIGN_PASSWORD, in this order', async () => {
    const { key, take, home } = await person({});
    await writeFile(join(home, 'right'), 'correct horse\n', { mode: 0o600 });
    await writeFile(join(home, 'wrong'), 'wrong\n', { mode: 0o600 });
    const file = await take('cosign.key');
    const right = { BULLA_PASSPHRASE: 'correct horse' };
    const tries: [string, string[], CliOptions, number][] = [
      ['a', ['--passphrase-fd', '0'], { stdin: 'correct horse\n', env: { BULLA_PASSPHRASE: 'wrong' } }, 0],
      ['b', [], { env: { ...right, BULLA_PASSPHRASE_FILE: 'wrong' } }, 0],
      ['c', [], { env: { BULLA_PASSPHRASE_FILE: 'right', COSIGN_PASSWORD: 'wrong' } }, 0],
      ['d', [], { env: { COSIGN_PASSWORD: 'correct horse' } }, 0],
      ['e', ['--passphrase-fd', '0'], { stdin: 'wrong\n', env: right }, 2],
      ['f', [], { env: { BULLA_PASSPHRASE: 'wrong', COSIGN_PASSWORD: 'correct horse' } }, 2],
    ];
    for (const [name, flags, options, code] of tries)
      expect({ name, code: (await key(['import', file, name, ...flags], options)).code }).toEqual({
        name,
        code,
      });
  });

  it('of COSIGN_PASSWORD are for sigstore keys alone', async () => {
    const { key, take } = await person({ COSIGN_PASSWORD: 'correct horse' });
    expect(await key(['import', await take('pkcs8-pbkdf2.pem')])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no terminal to ask at'),
    });
  });

  it.each<[string, string[], CliOptions, string]>([
    ['none, where nobody can be asked', [], {}, 'no terminal'],
    ['a file that others may read', [], { env: { BULLA_PASSPHRASE_FILE: 'open' } }, 'chmod 600'],
    ['a file that is not there', [], { env: { BULLA_PASSPHRASE_FILE: 'missing' } }, 'not-found'],
    ['a descriptor that is not open', ['--passphrase-fd', '873'], {}, '873< file'],
    ['a descriptor for output', ['--passphrase-fd', '1'], {}, 'not the number'],
    ['no number', ['--passphrase-fd', 'secret'], {}, 'not the number'],
    ['two secrets from one input', ['--passphrase-fd', '0', '--password-stdin'], { stdin: 'x' }, 'both want'],
    ['a stream without end', ['--passphrase-fd', '0'], { stdin: 'x'.repeat(10_000) }, 'more than'],
  ])('are refused: %s', async (_, flags, options, words) => {
    const { key, home, keys } = await person({});
    await writeFile(join(home, 'open'), 'x');
    await chmod(join(home, 'open'), 0o644);
    const refused = await key(['generate', 'x', ...flags], options);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(words);
    await expect(readdir(keys)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('are changed', async () => {
    const { key, stocked } = await person();
    await stocked();
    expect((await key('passwd x', { env: { BULLA_NEW_PASSPHRASE: 'battery' } })).code).toBe(0);
    const subject = ['csr', 'x', '--subject', SUBJECT];
    expect((await key(subject)).code).toBe(2);
    expect((await key(subject, { env: { BULLA_PASSPHRASE: 'battery' } })).code).toBe(0);
  });

  it('never show up in what is printed', async () => {
    const { key, take } = await person();
    const file = await take('cosign.key');
    for (const command of [
      ['import', file, 'b'],
      ['show', 'b'],
      ['export', 'b'],
      ['import', file, 'b', '--trace'],
    ]) {
      const { stdout, stderr } = await key(command);
      expect(stdout + stderr).not.toContain('correct horse');
    }
  });
});

describe('bulla key import', () => {
  it.each([
    'cosign.key',
    'pkcs8.pem',
    'pkcs8-pbkdf2.pem',
    'pkcs8-scrypt.pem',
    'sec1.pem',
    'legacy.pem',
    'pkcs1.pem',
    'ed25519.pem',
  ])('takes %s, and what is stored opens with the same passphrase', async (vector) => {
    const { key, take } = await person();
    expect((await key(['import', await take(vector), 'x'])).code).toBe(0);
    expect((await key(['csr', 'x', '--subject', SUBJECT])).stdout).toContain('BEGIN CERTIFICATE REQUEST');
  });

  it('takes the name of the file', async () => {
    const { key, take } = await person();
    expect((await key(['import', await take('cosign.key'), '-o', 'json'])).json()).toMatchObject({
      name: 'cosign',
    });
  });

  it('takes a key from the environment', async () => {
    const { key } = await person();
    const pem = await readFile(join(vectors, 'cosign.key'), 'utf8');
    const taken = await key('import env://KEY ci', { env: { KEY: pem } });
    expect(taken.code).toBe(0);
  });

  it('refuses what is not one private key of ours, and changes nothing', async () => {
    const { key, take, home, keys } = await person();
    await take('cosign.pub');
    const cases: [string, string | Uint8Array, number, number][] = [
      ['garbage.key', Uint8Array.from([0, 255, 1]), 0o600, 2],
      ['truncated.key', (await readFile(join(vectors, 'cosign.key'), 'utf8')).slice(0, 300), 0o600, 2],
      ['open.key', await readFile(join(vectors, 'cosign.key')), 0o644, 2],
    ];
    for (const [name, content, mode, code] of cases) {
      await writeFile(join(home, name), content);
      await chmod(join(home, name), mode);
      expect({ name, code: (await key(['import', name])).code }).toEqual({ name, code });
    }
    expect((await key('import cosign.pub x')).code).toBe(2);
    expect((await key('import missing.key')).code).toBe(11);
    expect((await key('import https://example.com/k.key x')).code).toBe(2);
    expect((await key('import open.key --any-key-mode')).code).toBe(0);
    expect(await readdir(keys)).toEqual(expect.not.arrayContaining(['garbage.key', 'truncated.key']));
  });

  it('takes the certificate chain with it, and refuses that of another key', async () => {
    const { key, home, take } = await person();
    await take('sec1.pem');
    const other = await certify(SUBJECT);
    await writeFile(join(home, 'other.crt'), other.certificate.x509.toString());
    const refused = await key('import sec1.pem x --cert-chain other.crt');
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('not one for this key') });
    expect((await key('ls -o json')).json()).toMatchObject({ keys: [] });
  });
});

describe('bulla key export', () => {
  it('gives the sealed key, the public key, PKCS#8', async () => {
    const { key, home, keys, stocked } = await person();
    await stocked();
    expect((await key('export x')).stdout).toBe(await readFile(join(keys, 'x.key'), 'utf8'));
    expect((await key('export x --public')).stdout).toBe(await readFile(join(keys, 'x.pub'), 'utf8'));
    expect((await key('export x --pkcs8')).stdout).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
    const clear = await key('export x --pkcs8 --unencrypted --out x.pem');
    expect(clear).toMatchObject({ code: 0, stdout: 'x.pem\n', stderr: expect.stringContaining('warning') });
    expect((await stat(join(home, 'x.pem'))).mode & 0o777).toBe(0o600);
    expect((await key('import x.pem again -o json')).json()['fingerprint']).toBe(
      (await key('show x -o json')).json()['fingerprint'],
    );
  });

  it.each([
    ['two things at once', 'export x --public --cert', 2],
    ['an unprotected key on standard output', 'export x --pkcs8 --unencrypted', 2],
    ['a certificate that is not there', 'export x --cert', 11],
    ['a key that is not there', 'export y', 11],
    ['a file that is there', 'export x --out taken', 30],
  ])('refuses %s', async (_, command, code) => {
    const { key, home, stocked } = await person();
    await stocked();
    await writeFile(join(home, 'taken'), 'mine');
    expect(await key(command)).toMatchObject({ code, stdout: '' });
    expect(await readFile(join(home, 'taken'), 'utf8')).toBe('mine');
  });
});

describe('bulla key csr and cert', () => {
  it('makes a self-signed certificate that the key is then listed with', async () => {
    const { key, stocked } = await person();
    await stocked();
    const made = await key(['cert', '--self-signed', '--subject', SUBJECT, '--days', '30'], { now: DURING });
    expect(made.code).toBe(0);
    const certificate = new X509Certificate((await key('export --cert')).stdout);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(new Date(certificate.validTo)).toEqual(new Date(DURING.getTime() + 30 * 86_400_000));
    expect((await key('ls')).stdout).toContain(SUBJECT);
    expect((await key(['cert', '--self-signed', '--subject', SUBJECT])).code).toBe(30);
    expect((await key(['cert', '--self-signed', '--subject', SUBJECT, '--force'])).code).toBe(0);
  });

  it('stores the chain that an authority issued', async () => {
    const { key, home, stocked } = await person();
    const { root, intermediate, chain: stranger } = await certifiedChain();
    await stocked();
    const publicKey = parsePublicKeyPem((await key('export x --public')).stdout, 'x');
    const content = { subject: SUBJECT, publicKey, notBefore: NOT_BEFORE, notAfter: NOT_AFTER };
    const leaf = parseCertificate(await createCertificate(content, intermediate), 'x');
    const chain = [leaf, intermediate.certificate, root.certificate];
    const bundle = (certificates: readonly Certificate[]): string =>
      certificates.map(({ x509 }) => x509.toString()).join('');
    await writeFile(join(home, 'chain.pem'), bundle(chain));
    await writeFile(join(home, 'reversed.pem'), bundle([...chain].reverse()));
    await writeFile(join(home, 'leaf.pem'), bundle([leaf]));
    await writeFile(join(home, 'stranger.pem'), bundle(stranger));
    expect((await key('cert x --chain stranger.pem', { now: DURING })).stderr).toContain('[key-invalid]');
    expect((await key('cert x --chain reversed.pem', { now: DURING })).code).toBe(13);
    expect((await key('cert x --chain leaf.pem', { now: DURING })).code).toBe(13);
    expect((await key('cert x --chain chain.pem', { now: new Date('2036-01-01') })).stderr).toContain(
      '[certificate-expired]',
    );
    expect((await key('export x --cert')).code).toBe(11);
    expect((await key('cert x --chain chain.pem', { now: DURING })).code).toBe(0);
    expect((await key('export x --cert')).stdout).toBe(bundle(chain));
  });

  it.each<[string, string[], number]>([
    ['neither chain nor self-signed', ['cert', 'x'], 2],
    ['both', ['cert', 'x', '--self-signed', '--chain', 'y'], 2],
    ['no subject', ['cert', 'x', '--self-signed'], 2],
    ['a subject that is none', ['cert', 'x', '--self-signed', '--subject', 'Acme'], 2],
    ['no days', ['cert', 'x', '--self-signed', '--subject', SUBJECT, '--days', '0'], 2],
    ['an Ed25519 key, which Notation refuses', ['cert', 'ed', '--self-signed', '--subject', SUBJECT], 13],
    ['a key of no store without --out', ['cert', './cosign.key', '--self-signed', '--subject', SUBJECT], 2],
    ['a request without a subject', ['csr', 'x'], 2],
  ])('refuse %s', async (_, command, code) => {
    const { key, take, stocked } = await person();
    await take('cosign.key');
    await stocked();
    expect(await key(command)).toMatchObject({ code, stdout: '' });
  });

  it('work on a file of no store with --out', async () => {
    const { key, take, home } = await person();
    await take('cosign.key');
    const command = [
      'cert',
      '--key',
      'cosign.key',
      '--self-signed',
      '--subject',
      SUBJECT,
      '--out',
      'cosign.crt',
    ];
    expect(await key(command)).toMatchObject({ code: 0, stdout: 'cosign.crt\n' });
    expect(await readFile(join(home, 'cosign.crt'), 'utf8')).toContain('BEGIN CERTIFICATE');
  });
});

describe('bulla key show, default, rm', () => {
  it.each([
    ['cosign.key', { format: 'sigstore', encrypted: true }],
    ['pkcs8.pem', { format: 'pkcs8', encrypted: false }],
    ['sec1.pub', { type: 'P-256' }],
    ['pkcs1.pub', { type: 'RSA', bits: 2048 }],
  ])('shows the file %s without opening it', async (vector, expected) => {
    const { key, take } = await person({});
    expect((await key(['show', await take(vector), '-o', 'json'])).json()).toMatchObject(expected);
  });

  it('shows a certificate', async () => {
    const { key } = await person({});
    const file = new URL('../../../testdata/certificates/notation-test.crt', import.meta.url).pathname;
    expect((await key(['show', file])).stdout).toContain('O=Notary, CN=bulla-vector');
  });

  it('names another default', async () => {
    const { key, stocked } = await person();
    await stocked();
    expect((await key('default')).stdout).toBe('x\n');
    expect((await key('default ed')).stdout).toBe('ed\n');
    expect((await key('default three')).code).toBe(11);
    expect(await key('default', { env: { BULLA_KEY: 'x' } })).toMatchObject({
      stdout: 'ed\n',
      stderr: expect.stringContaining('warning'),
    });
  });

  it('removes only what is named rightly, and only with --force', async () => {
    const { key, keys, stocked } = await person();
    await stocked();
    expect((await key('rm x')).code).toBe(2);
    expect((await key('rm x three --force')).code).toBe(11);
    expect((await key('ls')).stdout.split('\n')).toHaveLength(3);
    expect((await key('rm x ed --force')).code).toBe(0);
    expect(await readdir(keys)).toEqual([]);
    expect(await key('ls')).toMatchObject({ code: 0, stdout: '' });
    expect((await key('show')).code).toBe(2);
  });
});
