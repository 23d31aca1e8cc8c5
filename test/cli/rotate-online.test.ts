import { expect, it } from 'vitest';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import { readAny } from '../support/trust/changing.ts';
import { People } from '../support/trust/people.ts';

const now = new Date('2030-01-01T00:00:00Z');
const people = new People();

it('replaces the online key of several collections where root and online keys are on different machines', async () => {
  const registry = await registryFor();
  const names = ['team/a', 'team/b'];
  const places = names.map((repository) => `${registry.host}/${repository}`);
  const founder = await people.person(now, 'root', 'publisher', 'online');
  for (const place of places) expect(await founder.run(`init ${place}`)).toMatchObject({ code: 0 });
  const owner = await people.person(now, 'root');
  const pin = `--root-key-id ${people.keyids.get('root')}`;
  const rotate = async (place: string) => {
    const line = `rotate ${place} online --key bob.pub --wait 0s -o json ${pin}`;
    const { code, json } = await owner.run(line);
    return { code, id: (json() as { details: { id: string } }).details.id };
  };
  for (const place of places) {
    const { code, id } = await rotate(place);
    expect(code).toBe(31);
    // What waits already is found again.
    expect(await rotate(place)).toEqual({ code: 31, id });
  }
  // The machine with both online keys takes it in, without a configuration.
  const operator = await people.person(now, 'online', 'bob');
  const taken = await operator.run(`resign ${places.join(' ')} --key online --key bob ${pin}`);
  expect(taken).toMatchObject({ code: 0, stdout: expect.stringContaining('published a staged change') });
  for (const [at, place] of places.entries()) {
    const { client } = await readAny(repositoryOf(registry, {}, names[at]), { now, place });
    expect(client.trusted.root.content.roles.get('timestamp')?.keyids).toEqual([people.keyids.get('bob')]);
  }
});
