import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { formatPem } from '../../src/crypto/pem.ts';
import { parsePrivateKey } from '../../src/crypto/private-key.ts';
import { parsePublicKeyPem, publicKeyOf } from '../../src/crypto/public-key.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { isKeyName } from '../../src/keystore/names.ts';

const page = await readFile(new URL('../../spec/keys.md', import.meta.url), 'utf8');
/** Rows of the table whose header begins with that word. */
const table = (header: string): string[][] =>
  (page.split(`| ${header} |`)[1] ?? '')
    .split('\n\n')[0]!
    .split('\n')
    .slice(2)
    .map((row) =>
      row
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim().replaceAll('`', '')),
    );

describe('spec/keys.md', () => {
  it('has a sealed key that opens to the public key it shows', async () => {
    const [sealed = '', shown = ''] = [...page.matchAll(/```pem\n([\s\S]*?)```/g)].map((match) => match[1]);
    const key = publicKeyOf(await parsePrivateKey(utf8(sealed), 'example').unlock(utf8('correct horse')));
    expect(key.fingerprint).toBe(parsePublicKeyPem(shown, 'example').fingerprint);
    expect(page).toContain(`whose fingerprint is \`${key.fingerprint}\``);
  });

  it('names every label that is read, with its format', () => {
    const rows = table('Label');
    expect(rows).toHaveLength(6);
    for (const [label = '', format] of rows) {
      const pem =
        label.includes('SIGSTORE') || label.includes('COSIGN') ? undefined : formatPem(label, utf8('x'));
      // Sealed and encrypted keys are looked into when they are read; a bare block is taken as it is.
      if (pem === undefined || format === 'pkcs8-encrypted')
        expect(() => parsePrivateKey(utf8(formatPem(label, utf8('x'))), 'k')).toThrow(
          /sigstore|EncryptedPrivateKeyInfo/,
        );
      else expect(parsePrivateKey(utf8(pem), 'k').format).toBe(format);
    }
  });

  it('tells names as the code does', () => {
    const rows = table('Text');
    expect(rows.length).toBeGreaterThan(5);
    for (const [text = '', verdict] of rows)
      expect([text, isKeyName(text)]).toEqual([text, verdict === 'yes']);
  });
});
