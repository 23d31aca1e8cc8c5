import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { NOBLE_ML_DSA } from '../../src/crypto/ml-dsa.ts';
import { useMlDsa } from '../../src/crypto/ml-dsa-keys.ts';
import { generatePrivateKey, privateKeyPem } from '../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';

interface Ground {
  readonly repository: string;
  /** Of someone who takes part in the experiment. */
  run(line: string): Promise<CliResult>;
  /** Of someone who does not, with the same key store and pins. */
  old(line: string): Promise<CliResult>;
}

/** A repository, and a key store with classical keys and two of ML-DSA. */
async function ground(): Promise<Ground> {
  const cwd = await temporaryDirectory();
  const server = await serveRegistry({ dir: join(cwd, 'registry') });
  onTestFinished(() => server.close());
  const target = openRepository(parseReference(`${server.address}/app`) as RegistryReference);
  onTestFinished(() => target.close());
  await pushImage(target, 'app', 'v1');
  const home = join(cwd, 'home');
  await storePlainKeys(home, 'publisher', 'root', 'online');
  useMlDsa(NOBLE_ML_DSA);
  for (const [name, type] of [
    ['root-pq', 'ML-DSA-44'],
    ['publisher-pq', 'ML-DSA-44'],
  ] as const) {
    const key = generatePrivateKey(type);
    await writeFile(join(home, 'keys', `${name}.key`), privateKeyPem(key), { mode: 0o600 });
    await writeFile(join(home, 'keys', `${name}.pub`), publicKeyPem(publicKeyOf(key)));
  }
  const run = async (line: string, env: Record<string, string>): Promise<CliResult> =>
    await bulla(line.split(' '), { cwd, env: { BULLA_HOME: home, ...env } });
  return {
    repository: `${server.address}/app`,
    run: (line) => run(line, { BULLA_EXPERIMENTAL: 'ml-dsa' }),
    old: async (line) => {
      // In one process, what an earlier command has begun goes on.
      useMlDsa(undefined);
      return await run(line, {});
    },
  };
}

afterAll(() => useMlDsa(undefined));

describe('keys of ML-DSA beside classical ones', () => {
  it('sign root and names together: 2 of 2 are needed, and a reader without them refuses', async () => {
    const { repository, run, old } = await ground();
    const roots = '--root-key root --root-key root-pq --threshold root=2';
    const names = '--names-key publisher --names-key publisher-pq --threshold names=2';
    const made = await run(`init ${repository} ${roots} ${names}`);
    expect(made, made.stderr).toMatchObject({ code: 0 });
    expect(await run(`sign ${repository}:v1 --key publisher`)).toMatchObject({ code: 0 });
    expect(await run(`verify ${repository}:v1`)).toMatchObject({ code: 0 });
    const refused = await old(`verify ${repository}:v1 -o json`);
    expect(refused.json()).toMatchObject({ ok: false, code: 'trust-invalid' });
    expect(refused.stdout).toContain('1 of the 2 keys');
  }, 60_000);

  it('are skipped where one of two is enough, also by a reader without them', async () => {
    const { repository, run, old } = await ground();
    expect(await run(`init ${repository} --root-key root --root-key root-pq`)).toMatchObject({ code: 0 });
    expect(await run(`sign ${repository}:v1 --key publisher`)).toMatchObject({ code: 0 });
    expect(await old(`verify ${repository}:v1`)).toMatchObject({ code: 0 });
    expect(await old(`status ${repository}`)).toMatchObject({ code: 0 });
    expect(await old(`sign ${repository}:v1 --key publisher --again`)).toMatchObject({ code: 0 });
    expect(await run(`verify ${repository}:v1`)).toMatchObject({ code: 0 });
  });

  it('are added to a collection that has classical ones, and demanded from then on', async () => {
    const { repository, run, old } = await ground();
    expect(await run(`init ${repository}`)).toMatchObject({ code: 0 });
    const rotated = await run(`rotate ${repository} root --key root --key root-pq --threshold 2`);
    expect(rotated, rotated.stderr).toMatchObject({ code: 0 });
    expect(rotated.stderr).toContain('ml-dsa-44/1');
    expect(await run(`sign ${repository}:v1 --key publisher`)).toMatchObject({ code: 0 });
    expect(await old(`verify ${repository}:v1`)).toMatchObject({ code: 22 });
  });

  it('sign no image, and are not made where the experiment is not begun', async () => {
    const { repository, run, old } = await ground();
    expect(await run(`sign ${repository}:v1 --key root-pq`)).toMatchObject({ code: 2 });
    const shown = await run('key show root-pq -o json');
    expect(shown.json()).toMatchObject({ type: 'ML-DSA-44', keyid: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const unknown = await old('key generate x --type ml-dsa-65');
    expect(unknown).toMatchObject({ code: 2 });
    expect(unknown.stderr).toContain('BULLA_EXPERIMENTAL=ml-dsa');
    expect(await run('key generate x --type ml-dsa-65 --at openbao://x')).toMatchObject({ code: 2 });
    const mistyped = await bulla(['key', 'ls'], { env: { BULLA_EXPERIMENTAL: 'quantum' } });
    expect(mistyped).toMatchObject({ code: 2 });
  });
});
