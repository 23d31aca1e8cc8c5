import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { generatePrivateKey } from '../../src/crypto/private-key.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { serveKeys, transit } from '../support/keystore/services.ts';
import { storePlainKeys } from '../support/plain-keys.ts';

const COUNT = 25;

it('bulla sign --from asks a service once for the names of a list, and leaves nothing behind where it refuses', async () => {
  const cwd = await temporaryDirectory();
  const server = await serveRegistry({ dir: join(cwd, 'registry') });
  onTestFinished(() => server.close());
  const repository = `${server.address}/app`;
  const target = openRepository(parseReference(repository) as RegistryReference);
  onTestFinished(() => target.close());
  const tags = Array.from({ length: COUNT }, (_, at) => `v${at}`);
  await Promise.all(tags.map((tag) => pushImage(target, 'app', tag)));
  await writeFile(join(cwd, 'list'), tags.map((tag) => `${repository}:${tag}\n`).join(''));
  const answer = transit(generatePrivateKey('P-384'));
  // What the service says to the signature, after it has shown the key.
  let refusal: number | undefined;
  const service = await serveKeys((path, body) => {
    if (refusal !== undefined && path.endsWith('/keys/release')) service.failures.push({ status: refusal });
    return answer(path, body);
  });
  const env = {
    BULLA_HOME: join(cwd, 'home'),
    ...{ BAO_ADDR: `http://${service.host}`, BAO_TOKEN: 'hvs.a-secret-token' },
  };
  await storePlainKeys(env.BULLA_HOME, 'root', 'online');
  const run = async (line: string): Promise<CliResult> => await bulla(line.split(' '), { cwd, env });
  const signatures = (): number => service.log.filter(({ what }) => what.includes('/sign/')).length;
  const tagsThere = async (): Promise<readonly string[]> => [...(await target.listTags())].sort();
  expect(await run(`init ${repository} --publisher-key openbao://release`)).toMatchObject({ code: 0 });
  const before = await tagsThere();
  expect(signatures()).toBe(1);
  for (const [status, code] of [
    [403, 'forbidden'],
    [400, 'key-unavailable'],
  ] as const) {
    refusal = status;
    const refused = await run('sign --from list --name-only --key openbao://release -o json');
    expect(refused.code).not.toBe(0);
    expect(refused.stdout, code).toMatch(/"code": "/);
    expect(refused.stdout + refused.stderr).not.toContain('a-secret-token');
    expect(await tagsThere()).toEqual(before);
  }
  refusal = undefined;
  service.log.length = 0;
  service.failures.length = 0;
  const signed = await run('sign --from list --name-only --key openbao://release');
  expect(signed, signed.stderr).toMatchObject({ code: 0 });
  expect(signatures()).toBe(1);
  expect(await run(`verify ${repository}:v${COUNT - 1}`)).toMatchObject({ code: 0 });
});
