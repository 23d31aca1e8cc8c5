import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { base64 } from '../../src/encoding/bytes.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { emptyLog, encodeLog } from '../../src/trust/format/log.ts';
import { pushImage } from '../support/content.ts';
import { resigned } from '../support/trust/heads.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import { naming, SPELLINGS, siblingsOf, somebody, stageAs } from '../support/trust/thief.ts';
import { NOW, ONLINE, PUBLISHER } from '../support/tuf/editing.ts';
import { poolKey, type TestKey } from '../support/tuf/keys.ts';

interface Lab extends Served {
  readonly one: ManifestContent;
  readonly evil: ManifestContent;
}

/** A collection that names v1, with an image beside it that is never to be named. */
async function lab(): Promise<Lab> {
  const place = await servedCollection();
  const one = await pushImage(place.target, 'one', 'v1');
  const evil = await pushImage(place.target, 'evil', 'evil');
  const run = await somebody(place);
  expect(await run('sign REPO:v1 --name-only --no-proof')).toMatchObject({ code: 0 });
  return { ...place, one, evil };
}

const ODD_TEXTS: readonly (readonly [string, string])[] = [
  ['a line feed', 'alice\nevil'],
  ['a carriage return', 'alice\r'],
  ['a null', 'a\0b'],
  ['an escape sequence', '\u001b[2Jalice'],
  ['a delete', 'alice\u007f'],
  ['a C1 control', 'alice\u0085'],
  ['a line separator', 'alice\u2028evil'],
  ['text that is turned around', 'alice\u202eecila'],
  ['a space without width', 'ali\u200bce'],
  ['another normal form', 'ame\u0301lie'],
  ['nothing', ''],
  ['very much', 'a'.repeat(1100)],
];

describe('a publisher who stages text that is not plain', () => {
  it.each(
    ODD_TEXTS.map(([what, text], at) =>
      at % 2 === 0 ? ([what, 'by', { by: text }] as const) : ([what, 'origin', { origin: text }] as const),
    ),
  )('stops nobody: %s in %s', async (_what, _where, change) => {
    const place = await lab();
    const run = await somebody(place);
    const { tag } = await stageAs(place.target, [PUBLISHER], [naming('v9', place.evil, change)]);
    const pending = await run('pending REPO -o json');
    expect(pending.json()).toMatchObject({ pending: [], refused: [{ tag, code: 'trust-invalid' }] });
    expect((await run('status REPO')).stdout).toContain(tag);
    await pushImage(place.target, 'two', 'v2');
    expect(await run('sign REPO:v2 --name-only --no-proof')).toMatchObject({ code: 0 });
    expect(await run('resign REPO --renew')).toMatchObject({ code: 0 });
    expect(await run('revoke REPO:v1')).toMatchObject({ code: 0 });
    expect(await run('rotate REPO names --renew')).toMatchObject({ code: 0 });
    expect(await run('log REPO')).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v2')).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v9')).toMatchObject({ code: 23 });
  });

  it.each([
    ['a line feed', 'application/x\ny'],
    ['letters of no media type', 'äpplication/x'],
    ['very much', `application/${'x'.repeat(300)}`],
  ])('stops nobody: %s in a media type', async (_, mediaType) => {
    const place = await lab();
    const run = await somebody(place);
    const { size, digest } = place.evil.descriptor;
    const set = new Map([['v9', { length: size, sha256: digest.slice(7), mediaType }]]);
    const { tag } = await stageAs(place.target, [PUBLISHER], [{ ...naming('v9', place.evil), set }]);
    expect((await run('pending REPO -o json')).json()).toMatchObject({ refused: [{ tag }] });
    const service = await somebody(place, [['online', ONLINE]]);
    expect(await service('resign REPO --renew')).toMatchObject({ code: 0 });
    expect(await run('sign REPO:v1 --name-only --no-proof')).toMatchObject({ code: 0 });
    expect(await run('log REPO')).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v9')).toMatchObject({ code: 23 });
  });
});

it.each([
  ['a name', 'rotate\u202e', '*'],
  ['a pattern', 'ci', 'v\n*'],
])('signer add refuses %s that is not plain text', async (_, name, pattern) => {
  const place = await lab();
  const run = await somebody(place);
  const added = await run(`signer add REPO ${name} --key HOME/keys/online.pub --path ${pattern}`);
  expect(added, added.stderr).toMatchObject({ code: 2 });
  expect(added.stderr).toContain('plain text');
});

interface Change {
  files: { name: string; content: string }[];
  logs: { name: string; content: string }[];
}
type Signed = Record<string, Record<string, unknown>>;

/** What somebody makes of the file of a change, on its way from one machine to another. */
const ALTERED: Readonly<Record<string, (change: Change, keys: readonly TestKey[]) => void>> = {
  'an empty log': (change, keys) => replaceLog(change, keys, encodeLog(emptyLog(NOW))),
  'an empty log that begins long ago': (change, keys) =>
    replaceLog(change, keys, encodeLog(emptyLog(new Date(0)))),
  'the log that it has': (change) => {
    change.logs.push({ name: 'names', content: base64(encodeLog(emptyLog(NOW))) });
  },
  'the hash of another log, and no log': (change, keys) => {
    replaceLog(change, keys, encodeLog(emptyLog(NOW)));
    change.logs = [];
  },
  'a name more': (change, keys) =>
    alter(change, keys, (signed) => {
      signed['targets'] = { ...signed['targets'], v9: { length: 1, hashes: { sha256: 'a'.repeat(64) } } };
    }),
  'a name less': (change, keys) =>
    alter(change, keys, (signed) => {
      signed['targets'] = {};
    }),
};

function alter(change: Change, keys: readonly TestKey[], edit: (signed: Signed) => void): void {
  const file = change.files.find(({ name }) => name === 'names')!;
  const bytes = resigned(Buffer.from(file.content, 'base64'), (signed) => edit(signed as Signed), ...keys);
  file.content = base64(bytes);
}

function replaceLog(change: Change, keys: readonly TestKey[], log: Uint8Array): void {
  alter(change, keys, (signed) => {
    signed['bulla']!['log'] = { length: log.byteLength, sha256: digestOf(log).slice(7) };
  });
  change.logs = [{ name: 'names', content: base64(log) }];
}

describe('a file of a change that somebody alters', () => {
  it.each(
    Object.entries(ALTERED).flatMap(([what, edit]) => [
      [what, 'unsigned', [] as TestKey[], edit] as const,
      [what, 'signed by the publisher', [poolKey(PUBLISHER)], edit] as const,
    ]),
  )('cannot bring %s: %s', async (_what, _how, keys, edit) => {
    const place = await lab();
    const run = await somebody(place);
    const before = await run('log REPO -o json');
    const path = join(run.home, 'change.json');
    expect(await run(`rotate REPO names --renew --export-unsigned ${path}`)).toMatchObject({ code: 0 });
    const change = JSON.parse(await readFile(path, 'utf8')) as Change;
    edit(change, keys);
    await writeFile(path, JSON.stringify(change));
    expect(await run(`approve ${path} --yes`)).toMatchObject({ code: 22 });
    expect(await run(`rotate REPO names --import-signed ${path}`)).toMatchObject({ code: 22 });
    expect((await run('log REPO -o json')).stdout).toBe(before.stdout);
  });

  it('goes through where nobody altered it', async () => {
    const place = await lab();
    const run = await somebody(place);
    const path = join(run.home, 'change.json');
    expect(await run(`rotate REPO names --renew --export-unsigned ${path}`)).toMatchObject({ code: 0 });
    expect(await run(`approve ${path} --yes`)).toMatchObject({ code: 0 });
    expect(await run(`rotate REPO names --import-signed ${path}`)).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v1')).toMatchObject({ code: 0 });
  });
});

describe('a candidate that somebody pushes again', () => {
  it.each(Object.entries(SPELLINGS))('brings no revoked name back: %s', async (_, respell) => {
    const place = await lab();
    const run = await somebody(place);
    const [candidate] = await siblingsOf(place.target);
    const old = await place.target.fetchManifest(candidate!);
    expect(await run('revoke REPO:v1')).toMatchObject({ code: 0 });
    for (const tag of await siblingsOf(place.target)) await place.target.deleteTag(tag);
    await respell(place.target, old);
    await pushImage(place.target, 'two', 'v2');
    const signed = await run('sign REPO:v2 --name-only --no-proof');
    expect(signed, signed.stderr).toMatchObject({ code: 0 });
    const service = await somebody(place, [['online', ONLINE]]);
    expect(await service('resign REPO --renew')).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v2')).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v1')).toMatchObject({ code: 23 });
  });
});
