import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportTuf } from '../../src/actions/export/tuf.ts';
import { NOBLE_ML_DSA } from '../../src/crypto/ml-dsa.ts';
import { type MlDsaType, useMlDsa } from '../../src/crypto/ml-dsa-keys.ts';
import { generatePrivateKey, privateKeyPem } from '../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/signature.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { DirectoryWriter } from '../../src/mirror/directory-writer.ts';
import { MemoryStore } from '../../src/oci/memory.ts';
import { createCollection } from '../../src/trust/change/create.ts';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../src/trust/read/working-copy.ts';
import { type TufSigner, tufSigner } from '../../src/tuf/edit/signing.ts';
import { pushImage } from '../support/content.ts';
import { changeHead, readAny, setting } from '../support/trust/changing.ts';
import { PLACE, policy, pushHead } from '../support/trust/collection.ts';
import { anyOf, ONLINE, PUBLISHER, ROOT, signersOf } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { havePeers, peer } from './peers.ts';
import { TUF_READERS } from './tuf-readers.ts';

/** The peers judge by their own clocks. */
const NOW = new Date();
let home: string;
let digest: string;

beforeAll(async () => {
  useMlDsa(NOBLE_ML_DSA);
  home = await mkdtemp(join(tmpdir(), 'bulla-ml-dsa-'));
  await write('both', 2);
  await write('either', 1);
}, 60_000);
afterAll(async () => {
  useMlDsa(undefined);
  await rm(home, { recursive: true, force: true });
});

/** An exported collection whose root has a classical key and one of ML-DSA, of which so many have to sign. */
async function write(directory: string, threshold: number): Promise<void> {
  const hybrid: TufSigner = tufSigner(createSigner(generatePrivateKey('ML-DSA-65')));
  const [root, publisher, online] = [poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE)];
  const keys = { threshold, keys: [...anyOf(1, root).keys, hybrid.key] };
  const signers = [...signersOf(root, publisher, online), hybrid];
  const store = new MemoryStore();
  const image = await pushImage(store, 'one');
  digest = image.descriptor.digest.slice(7);
  const wish = {
    name: PLACE,
    now: NOW,
    policy,
    root: keys,
    names: anyOf(1, publisher),
    online: anyOf(1, online),
  };
  await pushHead(store, await createCollection(wish, signers));
  const set = new Map([['v1', { length: image.descriptor.size, sha256: digest }]]);
  await changeHead(store, (edit) => edit.apply(NAMES_ROLE, [{ ...setting([], NOW), set }]), NOW);
  const copy = await WorkingCopy.open(await readAny(store, { now: NOW }));
  await exportTuf(copy, new DirectoryWriter(join(home, directory)), { concurrency: 8, images: store });
}

describe.each(TUF_READERS)('a root with a key of ML-DSA, read by %s', (name, isThere, read) => {
  // Those that know TAP 21 count both keys. Others are to leave the unknown one aside; go-tuf 2.4.2 refuses the file.
  const knows = name === 'python-tuf';
  const skips = name !== 'go-tuf';

  it.runIf(isThere)(`is ${knows ? 'read' : 'refused'} where both keys have to sign`, async () => {
    const reading = read(join(home, 'both'), ['v1']);
    if (knows) expect(await reading).toEqual({ v1: digest });
    else await expect(reading).rejects.toThrow();
  });

  it.runIf(isThere)(`is ${skips ? 'read' : 'refused'} where one of the keys is enough`, async () => {
    const reading = read(join(home, 'either'), ['v1']);
    if (skips) expect(await reading).toEqual({ v1: digest });
    else await expect(reading).rejects.toThrow('unsupported public key type');
  });
});

describe.runIf(havePeers('node24'))("OpenSSL's ML-DSA, in Node 24", () => {
  const node24 = (script: string): string =>
    execFileSync(peer('node24'), ['-e', script], { cwd: home, encoding: 'utf8' });

  it.each<MlDsaType>(['ML-DSA-44', 'ML-DSA-65', 'ML-DSA-87'])(
    'and ours read and verify each other: %s',
    async (type) => {
      const key = generatePrivateKey(type);
      const signature = await createSigner(key).sign(utf8('seal'));
      await writeFile(join(home, 'key.pem'), privateKeyPem(key), { mode: 0o600 });
      await writeFile(join(home, 'pub.pem'), publicKeyPem(publicKeyOf(key)));
      await writeFile(join(home, 'sig'), signature);
      const verified = node24(`
      const { createPrivateKey, createPublicKey, sign, verify } = require('node:crypto');
      const { readFileSync, writeFileSync } = require('node:fs');
      const key = createPrivateKey(readFileSync('key.pem'));
      const spki = (from) => createPublicKey(from).export({ type: 'spki', format: 'pem' });
      writeFileSync('theirs', sign(null, Buffer.from('seal'), key));
      console.log(spki(key) === spki(readFileSync('pub.pem')), verify(null, Buffer.from('seal'), readFileSync('pub.pem'), readFileSync('sig')));
    `);
      expect(verified.trim()).toBe('true true');
      const theirs = new Uint8Array(await readFile(join(home, 'theirs')));
      const publicKey = publicKeyOf(key);
      expect(verifySignature(publicKey, createSigner(key).algorithm, utf8('seal'), theirs, 'raw')).toBe(true);
    },
  );
});
