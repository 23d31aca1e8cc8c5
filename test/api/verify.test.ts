import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { ProcessMemory, publicKeyPem, type VerifyOptions, verify } from '../../src/api/index.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { parseReference } from '../../src/oci/reference.ts';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { pushImage } from '../support/content.ts';
import { changeHead, setting } from '../support/trust/changing.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import { daysLater, NOW, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

let place: Served;
let image: ManifestContent;
let user: VerifyOptions;

beforeEach(async () => {
  place = await servedCollection();
  image = await pushImage(place.target, 'app', 'v1');
  const { digest, size } = image.descriptor;
  const set = new Map([['v1', { length: size, sha256: digest.slice(7) }]]);
  await changeHead(place.target, (edit) => edit.apply(NAMES_ROLE, [{ ...setting([]), set }]));
  const { home } = place;
  const directories = { config: home, cache: join(home, 'cache'), state: join(home, 'state') };
  user = { now: NOW, directories, onWarning: () => undefined };
});

const trust = { kind: 'key-ids', keyIds: [poolKey(ROOT).key.keyid] } as const;
const stranger = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);

describe('verify of the library', () => {
  it('gives what the command prints, with the pins and the memory of the same user', async () => {
    await place.run(['pin', place.name, '--root-key-id', trust.keyIds[0] as string]);
    const printed = await place.run(['verify', `${place.name}:v1`]);
    const verified = await verify(`${place.name}:v1`, user);
    expect(`${verified.runnable}\n`).toBe(printed.stdout);
    expect(verified.name).toMatchObject({ by: 'collection', collection: { wasKnown: true } });
    expect((await verify(parseReference(`${place.name}:v1`), user)).runnable).toBe(verified.runnable);
  });

  it('remembers for the command what it has seen', async () => {
    await verify(`${place.name}:v1`, { ...user, trust });
    const { stderr, code } = await place.run(['verify', `${place.name}:v1`]);
    expect(code, stderr).toBe(0);
    expect(stderr).not.toContain('nothing was known');
  });

  it('leaves the stores of the user alone where it is given others', async () => {
    const memory = new ProcessMemory();
    await verify(`${place.name}:v1`, { ...user, memory, pins: [{ scope: place.name, trust }] });
    expect(await memory.seen(place.name)).toBeDefined();
    expect(await place.run(['verify', `${place.name}:v1`])).toMatchObject({ code: 25 });
  });

  it.each([
    ['nothing says whose signatures to trust', 'trust-unpinned', {}],
    ['the list of trusted keys is empty', 'trust-unpinned', { keys: [] }],
    ['the list of trusted authorities is empty', 'trust-unpinned', { authorities: [] }],
    ['no signature is there', 'unsigned', { keys: [publicKeyPem(stranger.publicKey)] }],
    [
      'other root keys are trusted',
      'trust-invalid',
      { trust: { kind: 'key-ids', keyIds: ['0'.repeat(64)] } },
    ],
    ['it has expired', 'trust-expired', { trust, now: daysLater(400) }],
    ['a signer must have signed who has not', 'name-not-signed', { trust, signers: ['alice'] }],
    ['a threshold cannot be met', 'usage', { keys: [stranger.publicKey], threshold: 2 }],
    ['a platform is not one', 'usage', { trust, platform: 'linux' }],
    ['the text is not a key', 'key-invalid', { keys: ['-----BEGIN PUBLIC KEY-----'] }],
  ] as const)('fails closed where %s', async (_, code, options) => {
    await expect(verify(`${place.name}:v1`, { ...user, ...options })).rejects.toMatchObject({ code });
  });

  it.each(['app', 'registry.example.com/app', 'oci:', 'http://example.com/app:v1'])(
    'refuses %s',
    async (text) => {
      await expect(verify(text, user)).rejects.toMatchObject({ code: 'usage' });
    },
  );

  it('can be given up', async () => {
    const signal = AbortSignal.abort();
    await expect(verify(`${place.name}:v1`, { ...user, trust, signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
  });
});
