import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { exportChange } from '../../src/actions/change/offline.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { parseTime } from '../../src/encoding/time.ts';
import { MemoryStore } from '../../src/oci/memory.ts';
import { changeFileSchema, encodeChangeFile, parseChangeFile } from '../../src/trust/approve/change-file.ts';
import { createCollection } from '../../src/trust/change/create.ts';
import { addSigner } from '../../src/trust/change/role-changes.ts';
import { lifetimeIn } from '../../src/trust/format/lifetimes.ts';
import { trustVersions } from '../../src/trust/format/versions.ts';
import { WorkingCopy } from '../../src/trust/read/working-copy.ts';
import { type TufSigner, tufSigner } from '../../src/tuf/edit/signing.ts';
import { readAny } from '../support/trust/changing.ts';
import { pushHead } from '../support/trust/collection.ts';

const page = await readFile(new URL('../../spec/trust-roles.md', import.meta.url), 'utf8');
const example = (name: string) =>
  new RegExp(`\`\`\`\\w+ ${name}\\n([\\s\\S]*?)\\n\`\`\``).exec(page)?.[1] ?? `no example ${name}`;

const NOW = parseTime('2026-12-01T00:00:00Z') as Date;
const versions = trustVersions(() => 0);

/** The keys of RFC 8032 §7.1, TEST 1 to 3. */
const signers: TufSigner[] = [
  [
    '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  ],
  [
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
  ],
  [
    'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
  ],
].map(([d = '', x = '']) => {
  const base64url = (digits: string) => Buffer.from(digits, 'hex').toString('base64url');
  const key = { kty: 'OKP', crv: 'Ed25519', d: base64url(d), x: base64url(x) };
  return tufSigner(createSigner(createPrivateKey({ format: 'jwk', key })));
});

const one = (signer: number) => ({ keys: [(signers[signer] as TufSigner).key], threshold: 1 });

async function exported() {
  const store = new MemoryStore();
  const name = 'registry.example.com/team/app';
  await pushHead(
    store,
    await createCollection(
      { name, root: one(0), names: one(1), online: one(2), now: NOW, policy: { versions } },
      signers,
    ),
  );
  const copy = await WorkingCopy.open(await readAny(store, { now: NOW }));
  const change = addSigner({ name: 'ci', ...one(1), paths: ['v*'] });
  return await exportChange(copy, change, { now: NOW, versions, signers: [] });
}

describe('spec/trust-roles.md', () => {
  it('shows the file of a change, which is written and read so', async () => {
    const bytes = encodeChangeFile((await exported()).toFile());
    const shown = new TextDecoder().decode(bytes).replaceAll(/("content": "[^"]{24})[^"]+"/g, '$1…"');
    expect(example('change')).toBe(shown.trimEnd());
    expect(encodeChangeFile(parseChangeFile(bytes, 'the example'))).toEqual(bytes);
    expect(changeFileSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes))).success).toBe(true);
  });

  it('tells what is signed', async () => {
    expect(example('told')).toBe((await exported()).describe().join('\n'));
  });

  it('tells for how long roles are signed', () => {
    const rows = page
      .split('\n')
      .filter((line) => /^\| (?:`|a signer)/.test(line) && / d \|$/.test(line))
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      );
    expect(rows).toHaveLength(5);
    for (const [roles = '', , , days = ''] of rows)
      for (const role of roles.replaceAll('`', '').split(', '))
        expect(`${lifetimeIn(role, undefined, undefined) / 86_400_000} d`).toBe(days);
  });
});
