import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseJsonObject } from '../../src/encoding/json.ts';
import type { Target } from '../../src/oci/target.ts';
import { emptyLog, encodeLog, logBinding } from '../../src/trust/format/log.ts';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../src/trust/read/working-copy.ts';
import { delegationsIn, versionOf } from '../../src/tuf/edit/repository.ts';
import { PendingFile } from '../../src/tuf/edit/signing.ts';
import { parseMetadataFile } from '../../src/tuf/metadata-file.ts';
import { metadataFileName } from '../../src/tuf/role-name.ts';
import { pushImage } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import { altered, pushStage } from '../support/trust/altered.ts';
import { readAny } from '../support/trust/changing.ts';
import { People, type Person } from '../support/trust/people.ts';

// A signer whose log begins early takes in what was staged early: changes that were revoked, or of before its removal.

const DAY = 86_400_000;
const at = (day: number): Date => new Date(Date.parse('2030-01-01T00:00:00Z') + day * DAY);
const people = new People();

let repository: string;
let target: Target;
let all: Person;
let change: Exported;
beforeEach(async () => {
  const registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  all = await people.person(at(0), 'root', 'publisher', 'online', 'alice');
  await good(`init ${repository}`, 0);
  await pushImage(target, 'app', 'v1');
  await good(`signer add ${repository} alice --key alice.pub`, 0);
  await good(`signer rm ${repository} alice`, 5);
  await good(`signer add ${repository} alice --key alice.pub --export-unsigned change.json`, 6);
  change = JSON.parse(await readFile(join(all.home, 'change.json'), 'utf8')) as Exported;
});

async function good(line: string, day: number): Promise<string> {
  const result = await all.run(line, { now: at(day) });
  expect(result, `${line}: ${result.stderr}`).toMatchObject({ code: 0 });
  return result.stdout;
}

interface Exported {
  readonly files: { readonly name: string; content: string }[];
  readonly logs: { readonly name: string; content: string }[];
}
const bytesOf = ({ content }: { readonly content: string }) => new Uint8Array(Buffer.from(content, 'base64'));
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

/** The change with a log of the new role that begins at another time. */
function beginning(since: Date): Exported {
  const log = encodeLog(emptyLog(since));
  const file = change.files.find(({ name }) => name === 'alice')!;
  const bytes = altered(bytesOf(file), (signed) => {
    Object.assign(signed['bulla'] as object, logBinding(log));
  });
  return {
    ...change,
    files: change.files.map((one) => (one.name === 'alice' ? { ...one, content: textOf(bytes) } : one)),
    logs: [{ name: 'alice', content: textOf(log) }],
  };
}

/** The same, signed by all whose keys it takes, with a tool that looks at nothing. */
async function signed(one: Exported): Promise<Exported> {
  const collection = await readAny(target, { now: at(6) });
  const root = collection.client.trusted.root.content;
  const next = parseMetadataFile(bytesOf(one.files.find(({ name }) => name === 'targets')!), 'targets', 1e6);
  const delegations = delegationsIn(next)!;
  const files = [];
  for (const { name, content } of one.files) {
    const file = parseMetadataFile(bytesOf({ content }), name, 1e6);
    const [keys, role] =
      name === 'targets'
        ? [root.keys, root.roles.get('targets')!]
        : [delegations.keys, delegations.roles.find((each) => each.name === name)!];
    const pending = new PendingFile(name, file.signed, [{ delegator: 'test', keys, role }]);
    await pending.sign([people.signer('root'), people.signer('publisher'), people.signer('alice')]);
    expect(pending.missing()).toEqual([]);
    files.push({ name, content: textOf(pending.file.bytes) });
  }
  return { ...one, files };
}

async function stage(one: Exported): Promise<string> {
  const files = new Map(
    one.files.map((file) => {
      const bytes = bytesOf(file);
      return [metadataFileName(file.name, versionOf(parseMetadataFile(bytes, file.name, 1e6))), bytes];
    }),
  );
  return await pushStage(target, { files, logs: new Map(one.logs.map((log) => [log.name, bytesOf(log)])) });
}

/** Times that no honest maker of this change writes. */
const ODD: readonly (readonly [string, Date])[] = [
  ['before the role was there', at(-30)],
  ['when the role was there', at(2)],
  ['just before it was removed', new Date(at(5).getTime() - 1000)],
  ['when it was removed', at(5)],
  ['in the year 1970', new Date(0)],
  ['far ahead', at(400)],
];

describe('a new role with an odd log', () => {
  it.each(ODD)('is neither approved, imported nor taken over: it begins %s', async (_, since) => {
    const evil = beginning(since);
    const write = async (one: Exported) => await writeFile(join(all.home, 'evil.json'), JSON.stringify(one));
    const run = async (line: string) => await all.run(line, { now: at(7) });
    const refused = { code: 22 };
    const isBefore = since < at(4) || since > at(100);
    await write(evil);
    // Without the registry, only what is before the state that the change is made for is known to be odd.
    if (isBefore) expect(await run('approve evil.json --yes')).toMatchObject(refused);
    await write(await signed(evil));
    expect(await run(`signer add ${repository} alice --import-signed evil.json`)).toMatchObject(refused);
    const tag = await stage(await signed(evil));
    await run(`resign ${repository}`);
    const { delegations } = await WorkingCopy.open(await readAny(target, { now: at(7) }));
    expect(delegations.roles.map(({ name }) => name)).toEqual([NAMES_ROLE]);
    await target.deleteManifest?.((await target.fetchManifest(tag as never)).descriptor.digest);
  });

  it('is told with that time before it is approved', async () => {
    const { stderr } = await all.run('approve change.json --dry-run', { now: at(6) });
    const log = parseJsonObject(bytesOf(change.logs[0]!), { what: 'log' });
    expect(stderr).toContain(`before ${String(log['since'])}`);
  });
});

describe('the same role as an honest maker adds it again', () => {
  it.each([6, 26, 100])('can be approved on day %i', async (day) => {
    await good('approve change.json --yes', day);
    expect(await all.run('approve change.json --yes', { now: at(day) })).toMatchObject({ code: 12 });
  });

  it('is published, and may sign', async () => {
    await good(`approve change.json --yes`, 8);
    await good(`signer add ${repository} alice --import-signed change.json`, 9);
    await good(`sign ${repository}:v1 --signer alice --name-only`, 10);
  });
});
