import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CollectionEdit } from '../../src/trust/change/collection-edit.ts';
import { assembleStage } from '../../src/trust/format/assemble.ts';
import { announceHead } from '../../src/trust/format/candidate.ts';
import type { LogEntry } from '../../src/trust/format/log.ts';
import { candidateTag, NAMES_ROLE, stageTag } from '../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../src/trust/read/working-copy.ts';
import { versionOf } from '../../src/tuf/edit/repository.ts';
import { metadataFileName } from '../../src/tuf/role-name.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { registryFor } from '../support/registry/open.ts';
import { changeHead, readAny, setting } from '../support/trust/changing.ts';
import { policy, pushAssembly } from '../support/trust/collection.ts';
import { People } from '../support/trust/people.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import { anyOf, daysLater, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

/** The present head, to make siblings of it later. */
const copyOf = async ({ target }: Served) => WorkingCopy.open(await readAny(target));

/** Announces a change on top of a head and moves nothing. */
async function announce(
  { target }: Served,
  copy: WorkingCopy,
  entries: readonly LogEntry[],
): Promise<string> {
  const edit = new CollectionEdit(copy, { now: NOW, policy });
  await edit.apply(NAMES_ROLE, entries);
  const prepared = edit.prepare();
  const files = await prepared.edit.publish(signersOf(poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE)));
  const assembly = announceHead(await prepared.assemble(files), undefined);
  const tag = candidateTag(assembly.top.descriptor.digest);
  await pushAssembly(target, assembly, tag);
  return tag;
}

/** Stages a change of a role, signed by these keys. */
async function stage(
  { target }: Served,
  copy: WorkingCopy,
  role: string,
  entry: LogEntry,
  keys: readonly number[],
): Promise<string> {
  const edit = new CollectionEdit(copy, { now: NOW, policy });
  await edit.apply(role, [entry]);
  const prepared = edit.prepare();
  await prepared.edit.sign(signersOf(...keys.map(poolKey)));
  const { file } = prepared.edit.pendingFile(role);
  const assembly = assembleStage({
    files: new Map([[metadataFileName(role, versionOf(file)), file.bytes]]),
    logs: new Map([[role, prepared.logs.get(role) as Uint8Array]]),
  });
  const tag = stageTag(assembly.top.descriptor.digest);
  await pushAssembly(target, assembly, tag);
  return tag;
}

describe('bulla status', () => {
  it('says that there is nothing to do where there is nothing', async () => {
    const { name, run } = await servedCollection();
    const { stdout, stderr, code } = await run(['status', name, '--tofu', '--check']);
    expect(code, stderr).toBe(0);
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(new RegExp(`^${name}  collection [0-9a-f]{12}, as of now$`)),
      '  root       until 2031-01-01T00:00:00Z (in 365 days)',
      '  targets    until 2031-01-01T00:00:00Z (in 365 days)',
      '  names      until 2031-01-01T00:00:00Z (in 365 days)',
      '  snapshot   until 2030-01-15T00:00:00Z (in 14 days)',
      '  timestamp  until 2030-01-15T00:00:00Z (in 14 days)',
      'nothing to do',
      '',
    ]);
  });

  it('warns before something expires, and says who can help', async () => {
    const { name, run } = await servedCollection();
    const at = { now: daysLater(12) };
    const { stdout, code } = await run(['status', name, '--tofu', '--check'], at);
    expect(code).toBe(20);
    expect(stdout).toContain(`timestamp expires in 2 days\n    bulla resign ${name}\n`);
    expect(stdout).not.toContain('rotate');
    expect((await run(['status', name], at)).code).toBe(0);
    expect((await run(['status', name, '--check', '--warn-before', '1d'], at)).code).toBe(0);
    const wide = (await run(['status', name, '--warn-before', '360d'], at)).stdout;
    expect(wide).toContain(`names expires in 353 days\n    bulla rotate ${name} names --renew\n`);
    expect((await run(['status', name, '--warn-before', 'soon'])).code).toBe(2);
  });

  it('tells what has expired already', async () => {
    const { name, run } = await servedCollection();
    const { stdout, code } = await run(['status', name, '--tofu', '--check'], { now: daysLater(400) });
    expect(code).toBe(20);
    expect(stdout).toMatch(/ {2}root +EXPIRED 2031-01-01T00:00:00Z \(35 days ago\)/);
    expect(stdout).toMatch(/--renew; without memory of it, .*--trust-served-head sha256:/);
  });

  it('shows what waits to be taken up', async () => {
    const place = await servedCollection();
    const entry = setting(['v1', 'v2']);
    const candidate = await announce(place, await copyOf(place), [entry]);
    const { stdout, code } = await place.run(['status', place.name, '--tofu', '--check']);
    expect(code).toBe(31);
    expect(stdout).toContain(
      `names: a change waits at ${candidate}: ${entry.id.slice(0, 12)} signs v1, v2\n    bulla resign ${place.name}\n`,
    );
    expect(stdout).toContain(`${candidate} is newer than the head, made now`);
    await changeHead(place.target, (edit) => edit.apply(NAMES_ROLE, [entry]));
    await changeHead(place.target, () => undefined);
    expect((await place.run(['status', place.name])).stdout).toContain('nothing to do');
  });

  it('shows conflicts', async () => {
    const place = await servedCollection();
    const base = await copyOf(place);
    const late = setting(['v1', 'v9']);
    await changeHead(place.target, (edit) => edit.apply(NAMES_ROLE, [setting(['v1'], NOW, 'other')]));
    const candidate = await announce(place, base, [late]);
    const { stdout, code } = await place.run(['status', place.name, '--tofu', '--check']);
    expect(code).toBe(30);
    expect(stdout).toContain(
      `names: a change at ${candidate} is in conflict (${late.id.slice(0, 12)} signs v1, v9): v1 was changed meanwhile\n` +
        `    bulla log ${place.name}, and if it is still wanted: bulla sign ${place.name}:v1\n`,
    );
    const json = (await place.run(['status', place.name, '-o', 'json'])).json();
    expect(json).toMatchObject({
      complete: true,
      findings: [{ kind: 'conflict', role: 'names', changes: [late.id], reason: 'names', names: ['v1'] }],
    });
  });

  it('shows staged changes of a role that takes two signatures', async () => {
    const place = await servedCollection();
    await changeHead(
      place.target,
      (edit) =>
        void edit.edit
          .targets('targets')
          .setDelegationKeys(NAMES_ROLE, anyOf(2, poolKey(ROOT), poolKey(PUBLISHER))),
    );
    const copy = await copyOf(place);
    const entry = setting(['v1']);
    const lacking = await stage(place, copy, NAMES_ROLE, entry, [PUBLISHER]);
    const { stdout } = await place.run(['status', place.name, '--tofu']);
    expect(stdout).toContain(
      `names: 1 of 2 have signed ${lacking}: ${entry.id.slice(0, 12)} signs v1\n    bulla pending ${place.name}\n`,
    );
  });

  it('shows changes of roles that lack signatures, or wait for the online key', async () => {
    const registry = await registryFor();
    const people = new People();
    const repository = `${registry.host}/team/app`;
    const all = await people.person(NOW, 'root', 'publisher', 'online', 'bob');
    await all.run(`init ${repository}`);
    const pin = `--root-key-id ${people.keyids.get('root')}`;
    const operator = await people.person(NOW, 'online');
    const staged = await operator.run(`rotate ${repository} names --key bob.pub --stage ${pin} -o json`);
    const { id } = (staged.json() as { details: { id: string } }).details;
    const lacking = await all.run(`status ${repository} --check`);
    expect(lacking.code, lacking.stdout).toBe(31);
    expect(lacking.stdout).toMatch(/a change of [a-z, ]*targets[a-z, ]* lacks signatures at _trust.stage/);
    expect(lacking.stdout).toContain(
      `    bulla pending ${repository}, then bulla approve ${repository} ${id}\n`,
    );
    expect(lacking.stdout).not.toContain('nothing that can be included');
    const root = await people.person(NOW, 'root', 'bob');
    await root.run(`approve ${repository} ${id} --yes --wait 0s ${pin}`);
    const waiting = await all.run(`status ${repository} --check`);
    expect(waiting.code).toBe(31);
    expect(waiting.stdout).toMatch(/a change of .* waits at _trust.stage.*\n {4}bulla resign /);
  });

  it('names what does not belong there, and goes on', async () => {
    const place = await servedCollection();
    const image = await pushImage(place.target, 'junk');
    await place.target.pushManifest(image, { tag: tagOf('_trust.next.0123456789ab') });
    const { stdout, code } = await place.run(['status', place.name, '--tofu', '--check']);
    expect(code).toBe(0);
    expect(stdout).toContain('_trust.next.0123456789ab has nothing that can be included (trust-invalid)');
  });

  it('sees bins that expire before their role', async () => {
    const place = await servedCollection();
    const names = Array.from({ length: 1100 }, (_, at) => `v${at}`);
    await changeHead(place.target, (edit) => edit.apply(NAMES_ROLE, [setting(names)]));
    await changeHead(place.target, (edit) => edit.apply(NAMES_ROLE, [setting(['v1'])]), daysLater(10));
    const { stdout } = await place.run(['status', place.name, '--tofu'], { now: daysLater(10) });
    expect(stdout).toMatch(/ {2}names +until 2031-01-01T/);
  });
});

describe('bulla status of several repositories', () => {
  const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');

  it('has a line for each with what is most urgent, and one exit status', async () => {
    const [fine, waits] = [await servedCollection(), await servedCollection()];
    await announce(waits, await copyOf(waits), [setting(['v1'])]);
    const list = join(fine.home, 'list');
    await writeFile(list, `# all of them\n${fine.name}\n${waits.name}\n`);
    const { stdout, stderr, code } = await fine.run(['status', '--from', list, '--tofu', '--check']);
    expect(code, stderr).toBe(31);
    expect(linesOf(stdout)).toEqual([
      `${fine.name}  nothing to do`,
      expect.stringMatching(new RegExp(`^${waits.name}  .*_trust\\.next\\..* \\(and 1 more\\)$`)),
    ]);
    expect(stderr).toContain('2 of 2 shown');
    expect((await fine.run(['status', fine.name, waits.name])).code).toBe(0);
  });

  it('tells an expiry before what waits, of whichever repository', async () => {
    const [expires, waits] = [await servedCollection(), await servedCollection()];
    const at = { now: daysLater(12) };
    await announce(waits, await copyOf(waits), [setting(['v1'])]);
    expect((await expires.run(['status', expires.name, waits.name, '--tofu', '--check'], at)).code).toBe(20);
    const { code } = await expires.run(
      ['status', waits.name, expires.name, '--check', '--warn-before', '1d'],
      at,
    );
    expect(code).toBe(31);
  });

  it('goes on after a repository that cannot be read, and fails', async () => {
    const [first, last] = [await servedCollection(), await servedCollection()];
    const missing = first.name.replace('team/app', 'team/none');
    const argv = ['status', first.name, missing, last.name, '--tofu', '-o', 'json'];
    const { stdout, code } = await first.run(argv);
    expect(code).toBe(22);
    const documents = linesOf(stdout).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(documents.slice(0, 3).map(({ given, ok }) => [given, ok])).toEqual([
      [first.name, true],
      [missing, false],
      [last.name, true],
    ]);
    expect(documents.at(-1)).toMatchObject({ ok: false, details: { total: 3, done: 2, failed: 1, left: 0 } });
  });

  it('takes those that are pinned on this machine, and none without a name', async () => {
    const pinned = await servedCollection();
    expect((await pinned.run(['pin', pinned.name, '--tofu'])).code).toBe(0);
    const { stdout, code } = await pinned.run(['status', '--all', '--check']);
    expect(code).toBe(0);
    expect(stdout).toBe(`${pinned.name}  nothing to do\n`);
    expect((await pinned.run(['status'])).code).toBe(2);
    expect((await pinned.run(['status', pinned.name, '--all'])).code).toBe(2);
  });
});
