import { createHash, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatPem, parsePem } from '../../src/crypto/pem.ts';
import {
  generatePrivateKey,
  type PrivateKeyFormat,
  parsePrivateKey,
  privateKeyPem,
  sealPrivateKey,
} from '../../src/crypto/private-key.ts';
import { parsePublicKeyPem, publicKeyOf } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/signature.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { COSIGN_LABEL, SIGSTORE_LABEL } from '../../src/crypto/sigstore-key.ts';
import { base64, utf8 } from '../../src/encoding/bytes.ts';
import { rsaKeys } from '../support/rsa-keys.ts';

const directory = new URL('../../testdata/keys/', import.meta.url);
const vector = (name: string): Uint8Array => readFileSync(new URL(name, directory));
const text = (name: string): string => readFileSync(new URL(name, directory), 'utf8');
const passphrase = utf8('correct horse');
const keyInvalid = (message: RegExp): unknown =>
  expect.objectContaining({
    code: 'key-invalid',
    message: expect.stringMatching(message),
    hint: expect.any(String),
  });

describe('private keys of other tools', () => {
  it.each<[string, PrivateKeyFormat, string, Uint8Array | undefined]>([
    ['cosign.key', 'sigstore', 'cosign.pub', passphrase],
    ['cosign-empty.key', 'sigstore', 'cosign-empty.pub', utf8('')],
    ['pkcs8.pem', 'pkcs8', 'sec1.pub', undefined],
    ['pkcs8-pbkdf2.pem', 'pkcs8-encrypted', 'sec1.pub', passphrase],
    ['pkcs8-scrypt.pem', 'pkcs8-encrypted', 'sec1.pub', passphrase],
    ['sec1.pem', 'sec1', 'sec1.pub', undefined],
    ['legacy.pem', 'legacy-encrypted', 'sec1.pub', passphrase],
    ['pkcs1.pem', 'pkcs1', 'pkcs1.pub', undefined],
    ['ed25519.pem', 'pkcs8', 'ed25519.pub', undefined],
  ])('%s is read as %s and signs what its public key verifies', async (name, format, publicName, secret) => {
    const file = parsePrivateKey(vector(name), name);
    expect(file).toMatchObject({ format, encrypted: secret !== undefined });
    const signer = createSigner(await file.unlock(secret));
    const publicKey = parsePublicKeyPem(text(publicName), publicName);
    expect(signer.keyId).toBe(publicKey.fingerprint);
    const signature = await signer.sign(utf8('seal'));
    expect(verifySignature(publicKey, signer.algorithm, utf8('seal'), signature, 'raw')).toBe(true);
  });

  it('takes the older label of cosign', async () => {
    const old = utf8(text('cosign.key').replaceAll(SIGSTORE_LABEL, COSIGN_LABEL));
    expect(publicKeyOf(await parsePrivateKey(old, 'k').unlock(passphrase)).type).toBe('P-256');
  });

  it('reads a key of Notary, whose name is its TUF key id', async () => {
    const file = parsePrivateKey(vector('dct-root.key'), 'k');
    expect(file).toMatchObject({ format: 'pkcs8-encrypted', role: 'root' });
    expect(file.gun).toBeUndefined();
    const { spki } = publicKeyOf(await file.unlock(passphrase));
    const document = `{"keytype":"ecdsa","keyval":{"private":null,"public":"${base64(spki)}"}}`;
    expect(createHash('sha256').update(document).digest('hex')).toBe(
      '771bad27e511d76c4559b6750cb13cbd8fb728a63c009a5e428f08136a0739d0',
    );
  });

  it("strips Docker Content Trust's headers and says what they were", async () => {
    const [block] = parsePem(text('pkcs8-pbkdf2.pem'), { where: 'k', code: 'key-invalid' });
    const headers = new Map([
      ['role', 'targets'],
      ['gun', 'docker.io/library/app'],
    ]);
    const file = parsePrivateKey(utf8(formatPem(block!.label, block!.bytes, headers)), 'k');
    expect(file).toMatchObject({ role: 'targets', gun: 'docker.io/library/app', encrypted: true });
    expect(publicKeyOf(await file.unlock(passphrase)).type).toBe('P-256');
  });
});

describe('private keys that are written', () => {
  it.each(['P-256', 'P-384', 'P-521', 'Ed25519'] as const)('%s: sealed and opened again', async (type) => {
    const key = generatePrivateKey(type);
    const sealed = parsePrivateKey(utf8(await sealPrivateKey(key, passphrase)), 'k');
    expect(sealed.format).toBe('sigstore');
    expect((await sealed.unlock(passphrase)).equals(key)).toBe(true);
    const clear = parsePrivateKey(utf8(privateKeyPem(key)), 'k');
    expect((await clear.unlock()).equals(key)).toBe(true);
    const encrypted = parsePrivateKey(utf8(privateKeyPem(key, passphrase)), 'k');
    expect(encrypted.format).toBe('pkcs8-encrypted');
    expect((await encrypted.unlock(passphrase)).equals(key)).toBe(true);
  });

  it('never has the same bytes twice', async () => {
    const key = generatePrivateKey('Ed25519');
    expect(await sealPrivateKey(key, passphrase)).not.toBe(await sealPrivateKey(key, passphrase));
  });
});

/** A sealed key file with its JSON changed. */
function tampered(change: (json: SealedJson) => void): string {
  const [block] = parsePem(text('cosign.key'), { where: 'k', code: 'key-invalid' });
  const json = JSON.parse(Buffer.from(block!.bytes).toString()) as SealedJson;
  change(json);
  return formatPem(SIGSTORE_LABEL, utf8(JSON.stringify(json)));
}
interface SealedJson {
  kdf: { name: string; params: { N: number; r: number; p: number }; salt: string };
  cipher: { name: string; nonce: string };
  ciphertext: string;
}

/** DER of an EncryptedPrivateKeyInfo that asks PBKDF2 for that many rounds. */
function withRounds(hexRounds: string): string {
  const [block] = parsePem(text('pkcs8-pbkdf2.pem'), { where: 'k', code: 'key-invalid' });
  const der = Buffer.from(block!.bytes).toString('hex');
  expect(der).toContain('02020800');
  const grown = der.replace('02020800', `0204${hexRounds}`);
  // Two octets longer: the lengths of the sequences around it grow with it.
  const bytes = Buffer.from(grown, 'hex');
  for (const at of sequencesAround(Buffer.from(der, 'hex'), der.indexOf('02020800') / 2)) bytes[at]! += 2;
  return formatPem(block!.label, bytes);
}
function sequencesAround(der: Buffer, target: number): number[] {
  const found: number[] = [];
  for (let at = 0; at < target; ) {
    const long = der[at + 1]! >= 0x80 ? der[at + 1]! & 0x7f : 0;
    const length = long > 0 ? der.readUIntBE(at + 2, long) : der[at + 1]!;
    const start = at + 2 + long;
    if (target < start + length) {
      found.push(start - 1);
      at = start;
    } else at = start + length;
  }
  return found;
}

describe('private keys that are refused when read', () => {
  const sec1 = text('sec1.pem');
  it.each<[string, string | Uint8Array, RegExp]>([
    ['nothing', '', /no PEM block/],
    ['text', 'hello', /no PEM block/],
    ['binary garbage', Uint8Array.from([0xff, 0xfe, 0x00, 0x80]), /binary/],
    [
      'DER instead of PEM',
      Uint8Array.from(parsePem(sec1, { where: 'k', code: 'key-invalid' })[1]!.bytes),
      /binary/,
    ],
    ['a truncated PEM', text('cosign.key').slice(0, 400), /ends before END/],
    [
      'a PEM without its last line but one',
      text('cosign.key').replace(/.*\n(-----END)/, '$1'),
      /base64|JSON/,
    ],
    ['an END of another label', sec1.replace('END EC PRIVATE', 'END RSA PRIVATE'), /stands inside/],
    ['two keys in a file', sec1 + text('pkcs1.pem'), /2 private keys/],
    ['a public key', text('sec1.pub'), /PUBLIC KEY/],
    ['a block that nobody expects', `${sec1}${formatPem('OPENSSH PRIVATE KEY', utf8('x'))}`, /OPENSSH/],
    ['a key for OpenSSH alone', formatPem('OPENSSH PRIVATE KEY', utf8('x')), /OPENSSH/],
    [
      'a header that stands twice',
      formatPem('PRIVATE KEY', utf8('x'), new Map([['role', 'a']])).replace('role: a', 'role: a\nRole: b'),
      /twice/,
    ],
    ['a file without end', 'x'.repeat(600_000), /more than/],
    [
      'scrypt N=2^30',
      tampered((json) => {
        json.kdf.params.N = 2 ** 30;
      }),
      /N=1073741824/,
    ],
    [
      'scrypt N=2',
      tampered((json) => {
        json.kdf.params.N = 2;
      }),
      /N=2 /,
    ],
    [
      'scrypt N as a fraction',
      tampered((json) => {
        json.kdf.params.N = 65536.5;
      }),
      /JSON/,
    ],
    [
      'scrypt r=2^20',
      tampered((json) => {
        json.kdf.params.r = 2 ** 20;
      }),
      /r=1048576/,
    ],
    [
      'scrypt p=0',
      tampered((json) => {
        json.kdf.params.p = 0;
      }),
      /p=0/,
    ],
    [
      'another derivation',
      tampered((json) => {
        json.kdf.name = 'md5';
      }),
      /md5/,
    ],
    [
      'another cipher',
      tampered((json) => {
        json.cipher.name = 'none';
      }),
      /none/,
    ],
    [
      'a short nonce',
      tampered((json) => {
        json.cipher.nonce = 'AAAA';
      }),
      /nonce/,
    ],
    [
      'no salt',
      tampered((json) => {
        json.kdf.salt = '';
      }),
      /salt/,
    ],
    [
      'a ciphertext that is no text',
      tampered((json) => {
        json.ciphertext = 7 as unknown as string;
      }),
      /ciphertext/,
    ],
    ['JSON with a key twice', formatPem(SIGSTORE_LABEL, utf8('{"kdf":{},"kdf":{}}')), /JSON/],
    ['PBKDF2 with 2^31-1 rounds', withRounds('7fffffff'), /2147483647 rounds/],
    [
      'an encrypted key that is not one',
      formatPem('ENCRYPTED PRIVATE KEY', utf8('0')),
      /EncryptedPrivateKeyInfo/,
    ],
  ])('%s', (_, file, message) => {
    const bytes = typeof file === 'string' ? utf8(file) : file;
    expect(() => parsePrivateKey(bytes, 'k')).toThrow(keyInvalid(message) as Error);
  });
});

describe('private keys that are refused when opened', () => {
  const wrong = /the passphrase does not open k, or the file is damaged/;
  it.each<[string, string, Uint8Array | undefined, RegExp]>([
    ['no passphrase', text('cosign.key'), undefined, /no passphrase was given/],
    ['no passphrase for PKCS#8', text('pkcs8-pbkdf2.pem'), undefined, /no passphrase was given/],
    ['a wrong passphrase', text('cosign.key'), utf8('battery'), wrong],
    ['an empty passphrase', text('cosign.key'), utf8(''), wrong],
    ['a wrong passphrase for PBKDF2', text('pkcs8-pbkdf2.pem'), utf8('battery'), wrong],
    ['a wrong passphrase for scrypt', text('pkcs8-scrypt.pem'), utf8('battery'), wrong],
    ['a wrong passphrase for legacy PEM', text('legacy.pem'), utf8('battery'), wrong],
    [
      'a flipped bit in the ciphertext',
      tampered((json) => {
        json.ciphertext = `A${json.ciphertext.slice(1)}`;
      }),
      passphrase,
      wrong,
    ],
    [
      'an empty ciphertext',
      tampered((json) => {
        json.ciphertext = '';
      }),
      passphrase,
      wrong,
    ],
    [
      'PKCS#8 that holds nothing',
      formatPem('PRIVATE KEY', utf8('nothing')),
      undefined,
      /does not hold a key/,
    ],
    ['a legacy PEM without DEK-Info', text('legacy.pem').replace(/DEK-Info.*\n/, ''), passphrase, wrong],
    [
      'another curve',
      String(
        generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey.export({
          type: 'pkcs8',
          format: 'pem',
        }),
      ),
      undefined,
      /not accepted/,
    ],
    [
      'a small RSA key',
      String(
        rsaKeys(1024).privateKey.export({
          type: 'pkcs8',
          format: 'pem',
        }),
      ),
      undefined,
      /1024 bits/,
    ],
    ["another key's public half", mismatched(), undefined, /do not belong together/],
  ])('%s', async (_, file, secret, message) => {
    await expect(parsePrivateKey(utf8(file), 'k').unlock(secret)).rejects.toEqual(keyInvalid(message));
  });

  it('says the same of a wrong passphrase and of a damaged file', async () => {
    const damaged = tampered((json) => {
      json.ciphertext = `A${json.ciphertext.slice(1)}`;
    });
    const told = async (file: string, secret: Uint8Array): Promise<string> =>
      parsePrivateKey(utf8(file), 'k')
        .unlock(secret)
        .then(() => 'opened', String);
    expect(await told(damaged, passphrase)).toBe(await told(text('cosign.key'), utf8('battery')));
  });

  it('never says what a secret was', async () => {
    const error = await parsePrivateKey(vector('cosign.key'), 'k')
      .unlock(utf8('battery staple'))
      .catch((caught: unknown) => caught);
    expect(JSON.stringify([String(error), error, (error as Error).stack])).not.toContain('battery');
  });
});

function mismatched(): string {
  const a = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const b = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const point = (key: typeof a.publicKey): string =>
    key.export({ type: 'spki', format: 'der' }).subarray(-64).toString('hex');
  const der = a.privateKey.export({ type: 'pkcs8', format: 'der' }).toString('hex');
  return formatPem('PRIVATE KEY', Buffer.from(der.replace(point(a.publicKey), point(b.publicKey)), 'hex'));
}

describe('PEM', () => {
  it('reads back what it writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
        const [block] = parsePem(`comment\r\n${formatPem('X', bytes)}`, { where: 'k', code: 'key-invalid' });
        expect(Buffer.from(block!.bytes)).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('throws nothing but its own error on noise', () => {
    const line = fc.constantFrom(
      '-----BEGIN PRIVATE KEY-----',
      '-----END PRIVATE KEY-----',
      'a: b',
      '',
      'QUJD',
      'x',
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        try {
          parsePrivateKey(utf8(lines.join('\n')), 'k');
        } catch (error) {
          expect(error).toMatchObject({ code: 'key-invalid' });
        }
      }),
    );
  });
});
