import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { DirectoryMirror } from '../../src/mirror/directory.ts';
import { DirectoryWriter } from '../../src/mirror/directory-writer.ts';
import { TrustedDirectory } from '../../src/state/trusted-directory.ts';
import { refresh } from '../../src/tuf/client.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { runChild } from '../support/processes.ts';
import { NOW, RepositorySimulator } from '../support/tuf/repository.ts';

const ROUNDS = 12;

it('trusted states of many processes never go back, whoever begins them and whoever is killed', {
  timeout: 60_000,
}, async () => {
  const home = await temporaryDirectory();
  const [repository, writer] = [new RepositorySimulator(), new DirectoryWriter(join(home, 'repository'))];
  const write = async () => {
    // The timestamp last, which the simulator publishes last.
    for (const [name, bytes] of repository.files)
      if (name.endsWith('.json') && name !== 'timestamp.json') await writer.writeMetadata(name, bytes);
    await writer.writeMetadata('timestamp.json', repository.files.get('timestamp.json')!);
  };
  await write();
  const args = [join(home, 'repository/metadata'), join(home, 'states'), String(ROUNDS)];
  const child = () => runChild('state/refresh-child.ts', args);
  const children = [child(), child(), child()];
  const ended = Promise.all(children.map(({ ended: end }) => end));
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  const publishing = (async () => {
    while (!isOver) {
      repository.publish('targets', 'snapshot', 'timestamp');
      await write();
      await sleep(5);
    }
  })();
  for (let killed = 0; killed < 3; killed++) {
    const victim = child();
    await Promise.race([victim.printed(`round ${2 * killed + 1}`), ended]);
    victim.process.kill('SIGKILL');
    await victim.ended;
  }
  await publishing;
  for (const { status, output } of await ended) expect([status, output]).toEqual([0, expect.any(String)]);
  repository.publish('root').publishAll();
  await write();
  const mirror = new DirectoryMirror(join(home, 'repository/metadata'), home);
  for (let round = 0; round < ROUNDS; round++) {
    const path = join(home, 'states', String(round));
    await refresh(mirror, await TrustedDirectory.open(path), NOW);
    const names = ['root.json', 'snapshot.json', 'targets.json', 'timestamp.json'];
    expect((await readdir(path)).sort()).toEqual(names);
  }
});
