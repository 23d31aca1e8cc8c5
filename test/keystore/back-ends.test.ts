import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { generatePrivateKey, privateKeyPem, sealPrivateKey } from '../../src/crypto/private-key.ts';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/signature.ts';
import type { Signer } from '../../src/crypto/signer.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { BullaError } from '../../src/errors.ts';
import type { KeySources } from '../../src/keystore/back-end.ts';
import { keyOf } from '../../src/keystore/key-of.ts';
import { findKnownKey } from '../../src/keystore/known-keys.ts';
import { Keystore } from '../../src/keystore/store.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { serveAgent } from '../support/keystore/agent.ts';
import { RemoteKeys } from '../support/keystore/remote.ts';
import { cloudKms, keyVault, kms, serveKeys, transit } from '../support/keystore/services.ts';

const key = generatePrivateKey('P-384');
const publicKey = publicKeyOf(key);
const other = generatePrivateKey('P-384');

interface Place {
  readonly uri: string;
  readonly sources: KeySources;
  /** Keys whose passphrase was wanted. */
  readonly asked: string[];
}

async function place(
  uri: string,
  prepare?: (directory: string, store: Keystore) => Promise<unknown>,
): Promise<Place> {
  const cwd = await temporaryDirectory();
  const keystore = new Keystore(join(cwd, 'keys'));
  await prepare?.(cwd, keystore);
  const asked: string[] = [];
  const sources: KeySources = {
    keystore,
    cwd,
    environment: (name) => (name === 'PLAIN' ? privateKeyPem(key) : undefined),
    passphrase: async (request) => {
      asked.push(request.key);
      return utf8('secret');
    },
    backEnds: new RemoteKeys({ key }).backEnds,
  };
  return { uri, sources, asked };
}

/** A key of a service, which the environment leads to. */
async function elsewhere(
  uri: string,
  serve: (path: string) => Promise<Readonly<Record<string, string>>>,
): Promise<Place> {
  const made = await place(uri);
  const variables = await serve(join(made.sources.cwd, 'agent'));
  return { ...made, sources: { ...made.sources, variables, environment: (name) => variables[name] } };
}

const file = (name: string, pem: () => Promise<string> | string) => async (directory: string) =>
  await writeFile(join(directory, name), await pem(), { mode: 0o600 });

/** Each back end, and whether its public key can be known before a secret is asked for. */
const BACK_ENDS: readonly (readonly [string, boolean, () => Promise<Place>])[] = [
  [
    'a key of the key store',
    true,
    () => place('release', (_, store) => store.put('release', key, utf8('secret'))),
  ],
  [
    'a plain file',
    true,
    () =>
      place(
        'key.pem',
        file('key.pem', () => privateKeyPem(key)),
      ),
  ],
  [
    'an encrypted file',
    false,
    () =>
      place(
        'key.key',
        file('key.key', () => sealPrivateKey(key, utf8('secret'))),
      ),
  ],
  ['an environment variable', true, () => place('env://PLAIN')],
  ['a service far away', true, () => place('test-kms://key')],
  [
    'an SSH agent',
    true,
    () =>
      elsewhere('ssh-agent:', async (path) => {
        await serveAgent(path, [{ key, comment: 'me@example.com' }]);
        return { SSH_AUTH_SOCK: path };
      }),
  ],
  [
    'Vault',
    true,
    () =>
      elsewhere('hashivault://release', async () => {
        const { host } = await serveKeys(transit(key));
        return { VAULT_ADDR: `http://${host}`, VAULT_TOKEN: 'a-token' };
      }),
  ],
  [
    'OpenBao',
    true,
    () =>
      elsewhere('openbao://release?version=2', async () => {
        const { host } = await serveKeys(transit(key));
        return { BAO_ADDR: `http://${host}`, BAO_TOKEN: 'a-token' };
      }),
  ],
  [
    'AWS KMS',
    true,
    () =>
      elsewhere('awskms:///alias/release', async () => {
        const { host } = await serveKeys(kms(key));
        const own = { AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: 'a-secret' };
        return { ...own, AWS_REGION: 'eu-central-1', AWS_ENDPOINT_URL_KMS: `http://${host}` };
      }),
  ],
  [
    'Cloud KMS',
    true,
    () =>
      elsewhere('gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k', async () => {
        const { host } = await serveKeys(cloudKms(key));
        const CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS = `http://${host}/`;
        return { CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS, GOOGLE_OAUTH_ACCESS_TOKEN: 'a-token' };
      }),
  ],
  [
    'Azure Key Vault',
    true,
    async () => {
      const { host } = await serveKeys(keyVault(key));
      return elsewhere(`azurekms://${host}/release`, async () => ({ AZURE_ACCESS_TOKEN: 'a-token' }));
    },
  ],
];

/** Back ends that leave no choice of the hash. */
const FIXED = new Set(['ssh-agent:', 'awskms:', 'gcpkms:', 'azurekms:']);

const verifies = (signer: Signer, message: Uint8Array, signature: Uint8Array | undefined): boolean =>
  signature !== undefined && verifySignature(publicKey, signer.algorithm, message, signature, 'raw');

describe.each(BACK_ENDS)('the contract of %s', (_, isKnown, make) => {
  it('tells public key, algorithm and certificates before it signs, and asks for a secret only if it must', async () => {
    const { uri, sources, asked } = await make();
    const signer = await keyOf(uri, sources);
    expect(signer).toMatchObject({
      keyId: publicKey.fingerprint,
      certificates: [],
      name: expect.any(String),
    });
    expect(signer.algorithm.id).toBe('ES384');
    expect(signer.publicKey.fingerprint).toBe(publicKey.fingerprint);
    expect(asked).toHaveLength(isKnown ? 0 : 1);
  });

  it('signs the message itself, one or many, in their order, also at the same time', async () => {
    const { uri, sources } = await make();
    const signer = await keyOf(uri, sources);
    const messages = ['', 'a', 'b', 'a', 'x'.repeat(70_000)].map((text) => utf8(text));
    const [many, ...single] = await Promise.all([
      signer.signMany(messages),
      ...messages.map((message) => signer.sign(message)),
    ]);
    expect(messages.map((message, at) => verifies(signer, message, many[at]))).not.toContain(false);
    expect(messages.map((message, at) => verifies(signer, message, single[at]))).not.toContain(false);
    expect(verifies(signer, messages[1]!, many[2])).toBe(false);
    expect(await signer.signMany([])).toEqual([]);
  });

  it('is opened once, for every algorithm that it signs with', async () => {
    const { uri, sources, asked } = await make();
    const signer = await keyOf(uri, sources);
    const can = FIXED.has(uri.replace(/:.*/s, ':')) ? 'ES384' : 'ES384-SHA256';
    const another = signer.using(algorithm(can));
    await Promise.all([signer.open(), another.open(), signer.sign(utf8('a')), another.sign(utf8('b'))]);
    const message = utf8('message');
    expect(verifies(another, message, await another.sign(message))).toBe(true);
    expect(asked.length).toBeLessThanOrEqual(1);
    expect(() => signer.using(algorithm('ES256'))).toThrow(BullaError);
    expect(() => signer.using(algorithm('Ed25519'))).toThrow(
      expect.objectContaining({ code: 'key-invalid' }),
    );
  });

  it('signs nothing once the work is interrupted', async () => {
    const { uri, sources } = await make();
    const signer = await keyOf(uri, sources);
    const signal = AbortSignal.abort(new BullaError('interrupted', 'ended', { hint: 'again' }));
    for (const work of [
      () => signer.sign(utf8('a'), { signal }),
      () => signer.signMany([utf8('a'), utf8('b')], { signal }),
      () => signer.open({ signal }),
    ])
      await expect(work()).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('is found beside public keys', async () => {
    const { uri, sources } = await make();
    const known = await findKnownKey(uri, sources);
    expect(known.publicKey.fingerprint).toBe(publicKey.fingerprint);
    const message = utf8('message');
    expect(verifies(known.signer!, message, await known.signer!.sign(message))).toBe(true);
  });
});

async function remote(service: RemoteKeys): Promise<KeySources> {
  return { ...(await place('')).sources, backEnds: service.backEnds };
}

describe('a service far away', () => {
  it('is asked once for many messages', async () => {
    const service = new RemoteKeys({ key });
    const signer = await keyOf('test-kms://key', await remote(service));
    await signer.signMany(Array.from({ length: 100 }, (_, at) => utf8(`${at}`)));
    expect(service).toMatchObject({ opened: 1, requests: [100] });
  });

  it('may keep keys for one algorithm only', async () => {
    const signer = await keyOf('test-kms://key', await remote(new RemoteKeys({ key }, ['ES384-SHA256'])));
    expect(signer.algorithm.id).toBe('ES384-SHA256');
    expect(() => signer.using(algorithm('ES384'))).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });

  it.each<[string, (signatures: readonly Uint8Array[], messages: number) => readonly Uint8Array[]]>([
    ['garbage', (signatures) => signatures.map(() => new Uint8Array(96).fill(7))],
    ['nothing', (signatures) => signatures.map(() => new Uint8Array())],
    [
      'a flipped bit',
      ([first, ...rest]) => [first!.map((byte, at) => (at === 3 ? byte ^ 1 : byte)), ...rest],
    ],
    ['one signature too few', (signatures) => signatures.slice(1)],
    ['one too many', (signatures) => [...signatures, signatures[0]!]],
    ['signatures in another order', (signatures) => [...signatures].reverse()],
    ['none at all', () => []],
  ])('is not believed where it answers with %s', async (_, spoil) => {
    const service = new RemoteKeys({ key });
    service.spoil = (signatures) => spoil(signatures, signatures.length);
    const signer = await keyOf('test-kms://key', await remote(service));
    await expect(signer.signMany([utf8('a'), utf8('b')])).rejects.toMatchObject({
      code: 'key-invalid',
      message: expect.stringContaining('does not verify'),
    });
  });

  it('is not believed where another key signs', async () => {
    const service = new RemoteKeys({ key });
    const { createSigner, signMany } = await import('../../src/crypto/signer.ts');
    const wrong = await signMany(createSigner(other), [utf8('a')]);
    service.spoil = () => wrong;
    const signer = await keyOf('test-kms://key', await remote(service));
    await expect(signer.sign(utf8('a'))).rejects.toMatchObject({ code: 'key-invalid' });
  });

  it('is never told a wrong PIN twice, and is asked again after a failure of another kind', async () => {
    const service = new RemoteKeys({ key });
    service.failures.push(new BullaError('key-invalid', 'wrong PIN', { hint: 'unlock the token' }));
    const signer = await keyOf('test-kms://key', await remote(service));
    for (let tries = 0; tries < 3; tries++)
      await expect(signer.sign(utf8('a'))).rejects.toMatchObject({ code: 'key-invalid' });
    expect(service.opened).toBe(1);

    service.failures.push(new BullaError('registry-unreachable', 'no route', { hint: 'later' }));
    const again = await keyOf('test-kms://key', await remote(service));
    await expect(again.open()).rejects.toMatchObject({ code: 'registry-unreachable' });
    await again.sign(utf8('a'));
    expect(service.opened).toBe(3);
  });

  it('is opened early where nobody need be asked, else when it signs', async () => {
    const service = new RemoteKeys({ key });
    service.failures.push(new BullaError('usage', 'a PIN is needed', { hint: 'type it' }));
    const signer = await keyOf('test-kms://key', await remote(service));
    const early = signer.open({ unattended: true });
    const signing = signer.sign(utf8('a'));
    await expect(early).rejects.toMatchObject({ code: 'usage' });
    await signing;
    await signer.open();
    expect(service.opened).toBe(2);
  });

  it('holds nobody up once the work is ended', async () => {
    const service = new RemoteKeys({ key });
    service.hangs = true;
    const signer = await keyOf('test-kms://key', await remote(service));
    const ending = new AbortController();
    const signing = signer.sign(utf8('a'), { signal: ending.signal });
    ending.abort(new BullaError('timeout', 'too late', { hint: 'again' }));
    await expect(signing).rejects.toMatchObject({ code: 'timeout' });
  });

  it('is not loaded for keys that are elsewhere, and other services are named', async () => {
    const { uri, sources } = await place('env://PLAIN');
    const loaded: string[] = [];
    const loading = (name: string) => async () => {
      loaded.push(name);
      return new RemoteKeys({ key }).backEnd;
    };
    const backEnds = new Map([
      ['test-kms://', loading('test-kms')],
      ['token:', loading('token')],
    ]);
    await keyOf(uri, { ...sources, backEnds });
    expect(loaded).toEqual([]);
    await expect(keyOf('other-kms://key', { ...sources, backEnds })).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining('test-kms://, token:'),
    });
    await keyOf('TEST-KMS://key', { ...sources, backEnds });
    await expect(keyOf('token:serial=1', { ...sources, backEnds })).rejects.toMatchObject({
      code: 'not-found',
    });
    expect(loaded).toEqual(['test-kms', 'token']);
  });
});
