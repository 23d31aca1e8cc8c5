import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { beforeAll, describe, expect, it } from 'vitest';
import { addTrustKeyOptions } from '../../../src/cli/flags/key-flags.ts';
import { keysAtHand } from '../../../src/cli/flags/trust-keys.ts';
import { Cli, type Context } from '../../../src/cli/shell/context.ts';
import { generatePrivateKey, privateKeyPem } from '../../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../../src/crypto/public-key.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { Keystore } from '../../../src/keystore/store.ts';
import type { SignatureDemand } from '../../../src/tuf/edit/signing.ts';
import { type TufKey, tufKeyOf } from '../../../src/tuf/keys.ts';
import { temporaryDirectory } from '../../support/cli.ts';

const [a, b, c] = [generatePrivateKey('P-256'), generatePrivateKey('P-256'), generatePrivateKey('Ed25519')];
let [A, B, C]: TufKey[] = [];
beforeAll(() => {
  [A, B, C] = [
    tufKeyOf(publicKeyOf(a), 'ES256'),
    tufKeyOf(publicKeyOf(b), 'ES256'),
    tufKeyOf(publicKeyOf(c), 'Ed25519'),
  ];
});

async function person(
  env: Record<string, string> = {},
  command: Command = new Command(),
): Promise<{ context: Context; home: string }> {
  const home = await temporaryDirectory();
  const sink = { write: () => true };
  const cli = new Cli({
    stdin: Object.assign(process.stdin, {}),
    stdout: sink,
    stderr: sink,
    env: { BULLA_HOME: home, ...env },
    cwd: home,
    home,
    signal: new AbortController().signal,
    now: () => new Date(),
  });
  return { context: await cli.open(command), home };
}

function demand(threshold: number, ...keys: (TufKey | undefined)[]): SignatureDemand {
  const listed = keys.flatMap((key) => key ?? []);
  return {
    delegator: 'targets',
    keys: new Map(listed.map((key) => [key.keyid, key])),
    role: { keyids: listed.map(({ keyid }) => keyid), threshold },
  };
}

describe('KeysAtHand', () => {
  it('finds keys of the key store by what a role lists, as many as are lacking, and opens none in vain', async () => {
    const { context, home } = await person({ BULLA_PASSPHRASE: 'wrong' });
    const store = new Keystore(join(home, 'keys'));
    await store.put('one', a, utf8('right'));
    await store.put('two', b, utf8('right'));
    const keys = keysAtHand(context, {});
    const found = await keys.signersFor([demand(1, B, A)]);
    expect(found.map(({ key }) => key.keyid)).toEqual([B!.keyid]);
    expect(await keys.signersFor([demand(2, A, B, C)])).toHaveLength(2);
    expect(await keys.signersFor([demand(2, A, B)], new Set([A!.keyid]))).toHaveLength(1);
    expect(await keys.signersFor([demand(1, C)])).toEqual([]);
    await expect(found[0]!.sign(utf8('x'))).rejects.toMatchObject({ code: 'key-invalid' });
    expect(await keys.nameOf(A!)).toBe('one');
  });

  it('signs with every listed key that --key names, from files and the environment', async () => {
    const { context, home } = await person({ OTHER: privateKeyPem(c), PUB: publicKeyPem(publicKeyOf(b)) });
    await writeFile(join(home, 'a.pem'), privateKeyPem(a), { mode: 0o600 });
    const keys = keysAtHand(context, { key: ['a.pem', 'env://OTHER'] });
    const signers = await keys.signersFor([demand(1, A, B, C)]);
    expect(signers.map(({ key }) => key.keyid).sort()).toEqual([A!.keyid, C!.keyid].sort());
    const message = utf8('message');
    for (const signer of signers)
      expect(signer.key.verifier?.verify(message, await signer.sign(message))).toBe(true);
    expect(await keys.unlisted([demand(1, A)])).toEqual(['env://OTHER']);
    expect((await keys.publicKey('env://PUB')).keyid).toBe(B!.keyid);
    await expect(keys.signer('env://PUB')).rejects.toMatchObject({ code: 'key-invalid' });
  });

  it('counts the key of BULLA_KEY beside those of --key, however many', async () => {
    const command = addTrustKeyOptions(new Command()).parse(['--key', 'a.pem', '--key', 'b.pem'], {
      from: 'user',
    });
    const { context, home } = await person({ BULLA_KEY: 'env://OTHER', OTHER: privateKeyPem(c) }, command);
    await writeFile(join(home, 'a.pem'), privateKeyPem(a), { mode: 0o600 });
    await writeFile(join(home, 'b.pem'), privateKeyPem(b), { mode: 0o600 });
    expect(await keysAtHand(context, command.opts()).signersFor([demand(1, A, B, C)])).toHaveLength(3);
  });

  it('a public key finds itself and signs nothing; a private one must be nobody else’s to read', async () => {
    const { context, home } = await person();
    await writeFile(join(home, 'a.pub'), publicKeyPem(publicKeyOf(a)));
    await writeFile(join(home, 'a.pem'), privateKeyPem(a));
    await chmod(join(home, 'a.pem'), 0o644);
    const keys = keysAtHand(context, { key: ['a.pub'] });
    expect((await keys.publicKey('a.pub')).keyid).toBe(A!.keyid);
    expect(await keys.signersFor([demand(1, A)])).toEqual([]);
    await expect(keys.publicKey('a.pem')).rejects.toMatchObject({ code: 'key-invalid' });
    await expect(keys.publicKey('missing')).rejects.toMatchObject({ code: 'not-found' });
  });
});
