import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcryptjs';
import { describe, expect, it } from 'vitest';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { fixedCredentials } from '../../src/registry/credentials.ts';
import { publishNames } from '../../src/trust/publish/publish.ts';
import { readCollection } from '../../src/trust/read/collection.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { keyFile, realPublisher } from '../support/resign/service.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { naming, reading } from '../support/trust/publishing.ts';
import { ONLINE, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const DAY = 86_400_000;
const PASSWORD = 'letmein';

/** Runs a registry with a re-signer in it. */
async function hosting(
  argv: readonly string[],
  use: (host: string, log: () => string) => Promise<void>,
): Promise<{ code: number; stderr: string }> {
  const dir = await temporaryDirectory();
  const key = await keyFile(dir, 'online.pem', ONLINE);
  await writeFile(join(dir, 'htpasswd'), `me:${await hash(PASSWORD, 4)}\n`);
  const ending = new AbortController();
  let [stdout, stderr] = ['', ''];
  const words = argv.map((word) => word.replace('DIR', dir));
  const running = bulla(
    [
      'serve',
      'registry',
      '--dir',
      join(dir, 'registry'),
      '--port',
      '0',
      '-o',
      'json',
      '--no-access-log',
    ].concat(['--resign-key', key], words),
    {
      signal: ending.signal,
      onStdout: (text) => {
        stdout += text;
      },
      onStderr: (text) => {
        stderr += text;
      },
    },
  );
  try {
    await Promise.race([expect.poll(() => stdout, { timeout: 20_000 }).toContain('}\n'), running]);
    if (stdout === '') throw new Error((await running).stderr);
    await use((JSON.parse(stdout) as { address: string }).address, () => stderr);
  } finally {
    ending.abort();
  }
  return await running;
}

function repository(host: string): Target {
  const credentials = fixedCredentials(host, { kind: 'basic', username: 'me', password: PASSWORD });
  return openRepository({ registry: host, repository: 'team/app' }, { credentials });
}

const options = (place: string, name = place) =>
  reading({ place, now: new Date(), isNamed: (is) => is === name });

async function daysLeft(target: Target, place: string, name = place): Promise<number> {
  const collection = await readCollection(target, options(place, name));
  const expires = collection?.client.trusted.timestamp.content.expires.getTime() ?? 0;
  return (expires - Date.now()) / DAY;
}

const root = ['--resign-root-key-id', poolKey(ROOT).key.keyid];

describe('bulla serve registry --resign-key', () => {
  it('keeps collections fresh and takes stages in, also where people have to sign in', async () => {
    const { code } = await hosting([...root, '--htpasswd', 'DIR/htpasswd'], async (host) => {
      const target = repository(host);
      const place = `${host}/team/app`;
      await pushHead(target, await newCollection(place, new Date(Date.now() - 10 * DAY)));
      await expect.poll(() => daysLeft(target, place), { timeout: 20_000 }).toBeGreaterThan(13);
      await publishNames(target, options(place), naming({ v1: 'one' }), realPublisher());
    });
    expect(code).toBe(0);
  });

  it('knows the names that the registry has for others', async () => {
    await hosting([...root, '--resign-host', 'registry.example.com'], async (host) => {
      const target = repository(host);
      const name = 'registry.example.com/team/app';
      await pushHead(target, await newCollection(name, new Date(Date.now() - 10 * DAY)));
      await expect
        .poll(() => daysLeft(target, `${host}/team/app`, name), { timeout: 20_000 })
        .toBeGreaterThan(13);
    });
  });

  it('signs nothing whose root is not pinned, and says so', async () => {
    const other = createHash('sha256').update('another').digest('hex');
    await hosting(['--resign-root-key-id', other], async (host, log) => {
      const target = repository(host);
      const place = `${host}/team/app`;
      await pushHead(target, await newCollection(place, new Date(Date.now() - 10 * DAY)));
      await expect.poll(log, { timeout: 20_000 }).toContain('"kind":"invalid"');
      expect(await daysLeft(target, place)).toBeLessThan(5);
    });
    const { stderr } = await hosting([], async () => undefined);
    expect(stderr).toContain('nothing is signed');
  });
});
