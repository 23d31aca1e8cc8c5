import { createPublicKey, X509Certificate } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generatePrivateKey, privateKeyPem } from '../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/signature.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { KeySources, PassphraseRequest } from '../../src/keystore/back-end.ts';
import { openKey } from '../../src/keystore/key-of.ts';
import { Keystore } from '../../src/keystore/store.ts';
import { selfSignedCertificate } from '../support/self-signed.ts';

const vectors = new URL('../../testdata/keys/', import.meta.url).pathname;
const key = generatePrivateKey('P-256');
const otherKey = generatePrivateKey('Ed25519');
let directory: string;
let keystore: Keystore;
let asked: PassphraseRequest[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bulla-keys-'));
  keystore = new Keystore(join(directory, 'keys'));
  asked = [];
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function sources(more: Partial<KeySources> & { secret?: string } = {}): KeySources {
  const { secret = 'correct horse', ...rest } = more;
  return {
    keystore,
    environment: () => undefined,
    cwd: directory,
    passphrase: async (request) => {
      asked.push(request);
      return utf8(secret);
    },
    ...rest,
  };
}

async function file(name: string, content: string, mode = 0o600): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

describe('the key store', () => {
  it('keeps a key that can be listed, opened and signed with', async () => {
    await keystore.put('release', key, utf8('correct horse'));
    expect(await keystore.list()).toMatchObject([{ name: 'release', certificates: [], isDefault: true }]);
    const signer = await openKey('release', sources());
    expect(signer).toMatchObject({ name: 'release', keyId: publicKeyOf(key).fingerprint, certificates: [] });
    const signature = await signer.sign(utf8('seal'));
    expect(verifySignature(publicKeyOf(key), signer.algorithm, utf8('seal'), signature, 'raw')).toBe(true);
    expect(asked).toEqual([{ key: 'release', format: 'sigstore' }]);
  });

  it('lets nobody else at the private key, and leaves nothing else behind', async () => {
    await keystore.put('release', key, utf8('x'));
    expect((await readdir(keystore.directory)).sort()).toEqual(['default', 'release.key', 'release.pub']);
    expect((await stat(join(keystore.directory, 'release.key'))).mode & 0o777).toBe(0o600);
    expect((await stat(keystore.directory)).mode & 0o777).toBe(0o700);
    expect(await readFile(join(keystore.directory, 'release.pub'), 'utf8')).toBe(
      publicKeyPem(publicKeyOf(key)),
    );
  });

  it.each<[string, (store: Keystore) => Promise<void>]>([
    ['a key', (store) => store.put('release', otherKey, utf8('correct horse'), { replace: true })],
    [
      'where a key is kept',
      (store) =>
        store.putKept(
          'release',
          publicKeyOf(otherKey),
          { uri: 'awskms:///x', algorithms: ['Ed25519'] },
          { replace: true },
        ),
    ],
  ])('has the old pair or the new one, wherever the replacement by %s is cut off', async (_, replace) => {
    await keystore.put('release', key, utf8('correct horse'));
    const der = selfSignedCertificate('CN', { publicKey: createPublicKey(key), privateKey: key });
    const pem = new X509Certificate(der).toString();
    await keystore.putCertificates('release', pem, 'a test');
    const [pub, crt] = await Promise.all(
      ['pub', 'crt'].map((ending) => readFile(join(keystore.directory, `release.${ending}`))),
    );
    await replace(keystore);
    const after = await keystore.get('release');
    // All that comes after the first write has not happened.
    await writeFile(join(keystore.directory, 'release.pub'), pub as Buffer);
    await writeFile(join(keystore.directory, 'release.crt'), crt as Buffer);
    expect(await keystore.get('release')).toEqual(after);
    expect(after).toMatchObject({ publicKey: { fingerprint: publicKeyOf(otherKey).fingerprint } });
    expect(after.certificates).toEqual([]);
    if (after.kept !== undefined) return;
    const signer = await openKey('release', sources());
    await expect(signer.sign(utf8('seal'))).resolves.toBeDefined();
    expect(await keystore.sealedPem('release')).not.toContain('PUBLIC');
    await keystore.reseal('release', otherKey, utf8('another'));
    const resealed = await openKey('release', sources({ secret: 'another' }));
    await expect(resealed.sign(utf8('seal'))).resolves.toBeDefined();
  });

  it('does not replace a key unless told', async () => {
    await keystore.put('release', key, utf8('x'));
    await expect(keystore.put('release', otherKey, utf8('x'))).rejects.toMatchObject({ code: 'conflict' });
    expect((await keystore.get('release')).publicKey.fingerprint).toBe(publicKeyOf(key).fingerprint);
    await keystore.put('release', otherKey, utf8('x'), { replace: true });
    expect((await keystore.get('release')).publicKey.fingerprint).toBe(publicKeyOf(otherKey).fingerprint);
  });

  it('changes a passphrase', async () => {
    await keystore.put('release', key, utf8('old'));
    await keystore.reseal('release', key, utf8('new'));
    await expect(openKey('release', sources({ secret: 'old' }))).rejects.toMatchObject({
      code: 'key-invalid',
    });
    expect((await openKey('release', sources({ secret: 'new' }))).keyId).toBe(publicKeyOf(key).fingerprint);
  });

  it('does not seal a key over one that was put there meanwhile', async () => {
    await keystore.put('release', key, utf8('old'));
    await expect(keystore.reseal('release', otherKey, utf8('new'))).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  it('has a default: the first key, or the one that was named', async () => {
    await keystore.put('one', key, utf8('correct horse'));
    await keystore.put('two', otherKey, utf8('correct horse'));
    expect((await openKey(undefined, sources())).name).toBe('one');
    await keystore.setDefault('two');
    expect((await openKey(undefined, sources())).name).toBe('two');
    await keystore.remove('two');
    await expect(openKey(undefined, sources())).rejects.toMatchObject({ code: 'usage' });
    await expect(keystore.setDefault('two')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('shows a broken key among the others', async () => {
    await keystore.put('good', key, utf8('x'));
    await keystore.put('bad', otherKey, utf8('x'));
    await writeFile(join(keystore.directory, 'bad.pub'), 'hello');
    expect(await keystore.list()).toMatchObject([
      { name: 'bad', problem: { code: 'key-invalid' } },
      { name: 'good' },
    ]);
  });

  it('notices a public key that is not the private one’s', async () => {
    await keystore.put('release', key, utf8('correct horse'));
    await writeFile(join(keystore.directory, 'release.pub'), publicKeyPem(publicKeyOf(otherKey)));
    await expect(openKey('release', sources())).rejects.toMatchObject({
      code: 'key-invalid',
      message: expect.stringContaining('not its own'),
    });
  });

  it('loses nothing when keys are made at the same time', async () => {
    const names = Array.from({ length: 6 }, (_, index) => `k${index}`);
    await Promise.all(names.map((name) => keystore.put(name, key, utf8('x'))));
    expect((await keystore.list()).map(({ name }) => name)).toEqual(names);
    expect(names).toContain(await keystore.defaultName());
  });

  it.each([
    '../x',
    'a/b',
    '',
    '.',
    '..',
    '.hidden',
    '-rf',
    'x.key',
    'x.PEM',
    'a..b',
    'a\0b',
    'ü',
    'a b',
    'x'.repeat(65),
    'x.',
  ])('refuses %j as a name', async (name) => {
    await expect(keystore.put(name, key, utf8('x'))).rejects.toMatchObject({ code: 'usage' });
    await expect(keystore.get(name)).rejects.toMatchObject({ code: 'usage' });
    await expect(keystore.remove(name)).rejects.toMatchObject({ code: 'usage' });
    expect(await readdir(directory)).not.toContain('x.key');
  });

  it('follows no link out of its directory', async () => {
    await keystore.put('release', key, utf8('correct horse'));
    const outside = await file('outside.key', await readFile(join(vectors, 'cosign.key'), 'utf8'));
    await rm(join(keystore.directory, 'release.key'));
    await symlink(outside, join(keystore.directory, 'release.key'));
    await expect(openKey('release', sources())).rejects.toMatchObject({ code: 'storage-error' });
  });

  it.each([
    ['a path', '../../etc/passwd\n'],
    ['nothing', ''],
  ])('refuses a default file that holds %s', async (_, content) => {
    await keystore.put('release', key, utf8('x'));
    await writeFile(join(keystore.directory, 'default'), content);
    await expect(openKey(undefined, sources())).rejects.toMatchObject({ code: 'config-invalid' });
  });
});

describe('which key --key means', () => {
  const pem = privateKeyPem(key);

  it('a file, absolute or relative, a cosign.key as it is', async () => {
    const path = await file('cosign.key', await readFile(join(vectors, 'cosign.key'), 'utf8'));
    for (const spec of [path, 'cosign.key', './cosign.key']) {
      expect((await openKey(spec, sources())).publicKey.type).toBe('P-256');
    }
  });

  it('an environment variable', async () => {
    const environment = (name: string): string | undefined => (name === 'SIGNING_KEY' ? pem : undefined);
    const signer = await openKey('env://SIGNING_KEY', sources({ environment }));
    expect(signer).toMatchObject({ name: 'env://SIGNING_KEY', keyId: publicKeyOf(key).fingerprint });
    expect(asked).toEqual([]);
  });

  it('a name of the store before a file of that name; ./ means the file', async () => {
    await keystore.put('release', otherKey, utf8('correct horse'));
    await file('release', pem);
    expect((await openKey('release', sources())).keyId).toBe(publicKeyOf(otherKey).fingerprint);
    expect((await openKey('./release', sources())).keyId).toBe(publicKeyOf(key).fingerprint);
  });

  it('a file through a link, as Kubernetes mounts secrets', async () => {
    await symlink(await file('real.pem', pem), join(directory, 'key.pem'));
    expect((await openKey('key.pem', sources())).keyId).toBe(publicKeyOf(key).fingerprint);
  });

  it.each([0o644, 0o640, 0o604, 0o660])(
    'refuses mode %o unless forced, and says how to put it right',
    async (mode) => {
      const path = await file('key.pem', pem, mode);
      await expect(openKey(path, sources())).rejects.toMatchObject({
        code: 'key-invalid',
        hint: `chmod 600 ${path}`,
      });
      expect((await openKey(path, sources({ anyMode: true }))).publicKey.type).toBe('P-256');
    },
  );

  it.each<[string, string, string]>([
    ['a missing file', 'missing.pem', 'not-found'],
    ['a missing name', 'missing', 'not-found'],
    ['a variable that is not set', 'env://MISSING', 'not-found'],
    ['a variable with a strange name', 'env://A-B', 'usage'],
    ['a KMS that is not supported', 'awskms:///alias/x', 'usage'],
    ['a web address', 'https://example.com/key.pem', 'usage'],
    ['nothing', '', 'usage'],
    ['a path out of the store', '../x', 'not-found'],
    ['a device', '/dev/zero', 'key-invalid'],
  ])('refuses %s', async (_, spec, code) => {
    await expect(openKey(spec, sources())).rejects.toMatchObject({ code, hint: expect.any(String) });
  });

  it('refuses a directory, and a file of a gigabyte without reading it', async () => {
    await mkdir(join(directory, 'dir.pem'));
    await expect(openKey('dir.pem', sources())).rejects.toMatchObject({
      code: 'key-invalid',
      message: expect.stringContaining('directory'),
    });
    const large = await file('large.pem', '');
    const { truncate } = await import('node:fs/promises');
    await truncate(large, 2 ** 30);
    await expect(openKey('large.pem', sources())).rejects.toMatchObject({ code: 'key-invalid' });
  });
});
