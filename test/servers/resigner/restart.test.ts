import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { AlarmFile } from '../../../src/servers/resigner/alarm-file.ts';
import { temporaryDirectory } from '../../support/cli.ts';
import { listen } from '../../support/listen.ts';
import { registryFor } from '../../support/registry/open.ts';
import { collectionIn, keyFile, serving } from '../../support/resign/service.ts';
import { People } from '../../support/trust/people.ts';
import { ONLINE, ROOT } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

interface Message {
  readonly state: string;
  readonly kind: string;
  readonly message: string;
  readonly hint: string;
}

/** A webhook, and the alarms that it got. */
async function webhook() {
  const alarms: Message[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    alarms.push(...(JSON.parse(Buffer.concat(pieces).toString()) as { alarms: Message[] }).alarms);
    response.end();
  });
  const { host, stop } = await listen(server);
  onTestFinished(stop);
  return { url: `http://${host}/`, alarms };
}

it('tells that an alarm is over after a restart, and finds key and state beside its file', async () => {
  const registry = await registryFor();
  const hook = await webhook();
  const dir = await temporaryDirectory();
  // The current directory is another one, and has no such file.
  await keyFile(dir, 'online.pem', ONLINE);
  const repositories = `${registry.host}/team/app`;
  const entry = { repositories, rootKeyIds: [poolKey(ROOT).key.keyid] };
  const rest = { keys: ['online.pem'], state: { directory: 'state' }, listen: '127.0.0.1:0' };
  const config = join(dir, 'resigner.json');
  const schedule = { poll: '200ms' };
  await writeFile(
    config,
    JSON.stringify({ collections: [entry], ...rest, schedule, alarms: { webhook: hook.url } }),
  );
  for (const _ of [1, 2])
    await serving(config, async ({ log, url }) => {
      await expect.poll(() => hook.alarms.length, { timeout: 20_000 }).toBe(1);
      await expect
        .poll(() => log().filter(({ event }) => event === 'start' || event === 'serving'), {
          timeout: 20_000,
        })
        .toMatchObject([
          { url, collections: 1, prefixes: 0 },
          { collections: 1, message: 'serving 1 collection' },
        ]);
    });
  expect(hook.alarms).toMatchObject([{ state: 'firing', kind: 'missing-head' }]);
  expect(JSON.parse(await readFile(join(dir, 'state', 'alarms.json'), 'utf8'))).toMatchObject({ version: 1 });
  await collectionIn(registry, 'team/app');
  await serving(config, async () => {
    await expect.poll(() => hook.alarms.length, { timeout: 20_000 }).toBe(2);
  });
  expect(hook.alarms[1]).toMatchObject({ state: 'resolved', kind: 'missing-head' });
});

it('says who completes a collection that was begun without the online key', async () => {
  const registry = await registryFor();
  const hook = await webhook();
  const people = new People();
  const founder = await people.person(new Date(), 'root', 'publisher');
  const repository = `${registry.host}/team/app`;
  await founder.run(`init ${repository} --online-key online.pub`);
  const dir = await temporaryDirectory();
  await keyFile(dir, 'online.pem', ONLINE);
  // Of a prefix, nothing is missing where no collection was begun.
  const entry = { repositories: `${registry.host}/*`, rootKeyIds: [people.keyids.get('root')] };
  const config = join(dir, 'resigner.json');
  const rest = { key: './online.pem', state: { directory: 'state' }, listen: '127.0.0.1:0' };
  await writeFile(config, JSON.stringify({ collections: [entry], ...rest, alarms: { webhook: hook.url } }));
  registry.repository('other/app');
  await serving(config, async () => {
    await expect.poll(() => hook.alarms.length, { timeout: 20_000 }).toBe(1);
  });
  const hint = expect.stringContaining(`bulla init ${repository} --complete`);
  expect(hook.alarms).toMatchObject([{ state: 'firing', kind: 'missing-head', hint }]);
});

it('goes on where the file of alarms is damaged', async () => {
  const path = join(await temporaryDirectory(), 'alarms.json');
  for (const text of ['', '{', '{"version":2}', '{"version":1,"alarms":[{"kind":"x"}]}']) {
    await writeFile(path, text);
    const problems: string[] = [];
    expect(await new AlarmFile(path, (problem) => problems.push(problem)).load()).toEqual([]);
    expect(problems).toHaveLength(1);
  }
});
