import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Puts P-256 keys into a key store, the first as the default. They are not sealed: sealing takes its time on purpose.
 * @param home what BULLA_HOME names
 */
export async function storePlainKeys(home: string, ...names: string[]): Promise<void> {
  const directory = join(home, 'keys');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const name of names) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicPem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' });
    await writeFile(join(directory, `${name}.key`), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
      mode: 0o600,
    });
    await writeFile(join(directory, `${name}.pub`), publicPem);
  }
  await writeFile(join(directory, 'default'), `${names[0]}\n`);
}
