import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HttpPool } from '../../src/http/pool.ts';
import { identityToken, MAX_TOKEN_BYTES } from '../../src/sigstore-client/identity-token.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { token } from '../support/sigstore/server.ts';

describe('the token of a Kubernetes pod', () => {
  const read = async (text: string | undefined, env: Record<string, string> = {}): Promise<string> => {
    const directory = await temporaryDirectory();
    const projected = join(directory, 'oidc-token');
    if (text !== undefined) await writeFile(projected, text);
    const pool = new HttpPool();
    const places = { env: (name: string) => env[name], path: (path: string) => path, projected };
    return await identityToken(places, { pool });
  };

  it('is used where there is no other', async () => {
    expect(await read(`${token({ pod: 1 })}\n`)).toBe(token({ pod: 1 }));
    expect(await read(token({ pod: 1 }), { SIGSTORE_ID_TOKEN: token() })).toBe(token());
    // Half of what GitHub sets is not GitHub.
    expect(await read(token(), { ACTIONS_ID_TOKEN_REQUEST_URL: 'http://127.0.0.1:1/' })).toBe(token());
  });

  it.each<[string, string | undefined, string]>([
    ['missing', undefined, 'usage'],
    ['empty', '', 'usage'],
    ['not a token', 'a.b.c', 'usage'],
    ['cut off', token().slice(0, 60), 'usage'],
    ['two tokens', `${token()}\n${token()}`, 'usage'],
    ['too large', `eyJ${'a'.repeat(MAX_TOKEN_BYTES)}.b.c`, 'content-invalid'],
  ])('is not used if it is %s', async (_, text, code) => {
    await expect(read(text)).rejects.toMatchObject({ code });
  });

  it('is not used if it is a directory', async () => {
    const projected = await temporaryDirectory();
    await mkdir(join(projected, 'x'));
    const places = { env: () => undefined, path: (path: string) => path, projected };
    await expect(identityToken(places, { pool: new HttpPool() })).rejects.toMatchObject({
      code: 'storage-error',
    });
  });
});
