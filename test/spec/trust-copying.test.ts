import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { createSigner } from '../../src/crypto/signer.ts';
import { hexOf } from '../../src/oci/digest.ts';
import { MemoryStore } from '../../src/oci/memory.ts';
import { CollectionEdit } from '../../src/trust/change/collection-edit.ts';
import { createCollection } from '../../src/trust/change/create.ts';
import { assembleHead } from '../../src/trust/format/assemble.ts';
import { trustVersions } from '../../src/trust/format/versions.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../src/trust/read/working-copy.ts';
import { buildProof } from '../../src/trust/transfer/proof.ts';
import { type TufSigner, tufSigner } from '../../src/tuf/edit/signing.ts';
import { pushImage } from '../support/content.ts';
import { readAny } from '../support/trust/changing.ts';
import { pushAssembly } from '../support/trust/collection.ts';

const page = await readFile(new URL('../../spec/trust-copying.md', import.meta.url), 'utf8');
const NOW = new Date('2026-12-01T00:00:00Z');

/** The key of RFC 8032 §7.1, TEST 1, for every role. */
const signer: TufSigner = tufSigner(
  createSigner(
    createPrivateKey({
      format: 'jwk',
      key: {
        kty: 'OKP',
        crv: 'Ed25519',
        d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
        x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
      },
    }),
  ),
);

it('spec/trust-copying.md shows the proof of an image', async () => {
  const store = new MemoryStore();
  const { descriptor } = await pushImage(store, 'app', 'v1');
  const one = { keys: [signer.key], threshold: 1 };
  const policy = { versions: trustVersions(() => 0) };
  const name = 'registry.example.com/team/app';
  const made = await createCollection({ name, root: one, names: one, online: one, now: NOW, policy }, [
    signer,
  ]);
  await pushAssembly(store, assembleHead(made), HEAD_TAG);
  const edit = new CollectionEdit(await WorkingCopy.open(await readAny(store, { now: NOW })), {
    now: NOW,
    policy,
  });
  const set = new Map([['v1', { length: descriptor.size, sha256: hexOf(descriptor.digest) }]]);
  await edit.apply(NAMES_ROLE, [{ id: '0123456789abcdef0123456789abcdef', at: NOW, set }]);
  const prepared = edit.prepare();
  const files = await prepared.edit.publish([signer]);
  await pushAssembly(store, await prepared.assemble(files), HEAD_TAG);
  const proof = await buildProof(await readAny(store, { now: NOW }), descriptor, ['v1']);
  const shown = JSON.stringify(JSON.parse(new TextDecoder().decode(proof?.top.bytes)), undefined, 2);
  expect(/```json proof\n([\s\S]*?)\n```/.exec(page)?.[1]).toBe(shown);
});
