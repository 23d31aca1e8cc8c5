import { afterAll, expect, it } from 'vitest';
import { beginExperiment, createSigner } from '../../src/api/index.ts';
import { useMlDsa } from '../../src/crypto/ml-dsa-keys.ts';
import { generatePrivateKey } from '../../src/crypto/private-key.ts';
import { utf8 } from '../../src/encoding/bytes.ts';

afterAll(() => useMlDsa(undefined));

it('beginExperiment has keys of ML-DSA accepted, and knows no other experiment', async () => {
  expect(() => generatePrivateKey('ML-DSA-44')).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  await expect(beginExperiment('quantum' as 'ml-dsa')).rejects.toMatchObject({ code: 'usage' });
  await beginExperiment('ml-dsa');
  const signer = createSigner(generatePrivateKey('ML-DSA-44'));
  expect((await signer.sign(utf8('seal'))).byteLength).toBe(2420);
});
