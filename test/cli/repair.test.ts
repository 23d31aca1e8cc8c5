import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { encodeLog, type LogEntry, logBinding } from '../../src/trust/format/log.ts';
import { pushImage } from '../support/content.ts';
import { changeWith } from '../support/trust/heads.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import { ALL_KEYS, naming, type Somebody, siblingsOf, somebody, stageAs } from '../support/trust/thief.ts';
import { anyOf, daysLater, NOW, ONLINE, PUBLISHER, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const CI = 6;
const NEW = 5;

/** Logs as nobody should write them, and as a head may hold them all the same. */
const BROKEN: Readonly<Record<string, (text: string) => string>> = {
  'a raw line feed in a text': (text) => text.replace('"by":"', '"by":"a\n'),
  'half of it': (text) => text.slice(0, text.length / 2),
  'nothing in it': () => '',
  'an unknown member': (text) => text.replace('"version":1', '"also":1,"version":1'),
  'another version': (text) => text.replace('"version":1', '"version":2'),
  'an entry twice': (text) => text.replace(/"entries":\[(.*)\]/, '"entries":[$1,$1]'),
};

interface Lab {
  readonly place: Served;
  readonly one: ManifestContent;
  readonly run: Somebody;
  /** Has signed v1 and revoked v0; its candidates were kept. */
  readonly candidates: readonly ManifestContent[];
}

async function lab(breakLog: (text: string) => string): Promise<Lab> {
  const place = await servedCollection();
  const one = await pushImage(place.target, 'one', 'v1');
  await pushImage(place.target, 'zero', 'v0');
  const { target } = place;
  await changeWith(target, (edit) => edit.addSigner({ ...anyOf(1, poolKey(CI)), name: 'ci', paths: ['*'] }), {
    keys: [poolKey(CI)],
  });
  const run = await somebody(place, [...ALL_KEYS, ['ci', CI], ['new', NEW]]);
  expect(await run('sign REPO:v0 REPO:v1 --name-only --no-proof')).toMatchObject({ code: 0 });
  const candidates = await Promise.all((await siblingsOf(target)).map((tag) => target.fetchManifest(tag)));
  expect(await run('revoke REPO:v0')).toMatchObject({ code: 0 });
  for (const tag of await siblingsOf(target)) await target.deleteTag(tag);
  await changeWith(target, async (edit) => {
    const entry: LogEntry = { id: 'f'.repeat(32), at: NOW, by: 'x', unset: new Set(['v0']) };
    await edit.apply('names', [entry]);
    const bytes = utf8(breakLog(Buffer.from(encodeLog(await edit.log('names'))).toString()));
    (edit as unknown as { logs: Map<string, Uint8Array> }).logs.set('names', bytes);
    edit.bind('names', { names: 1, ...logBinding(bytes) });
  });
  return { place, one, run, candidates };
}

describe('a head whose log cannot be read', () => {
  it.each(Object.entries(BROKEN))(
    'is told, stops its role alone, and is repaired: %s',
    async (_, breakLog) => {
      const { place, one, run, candidates } = await lab(breakLog);
      const status = await run('status REPO');
      expect(status).toMatchObject({ code: 40 });
      expect(status.stdout).toContain('--repair');
      expect((await run('status REPO -o json')).json()).toMatchObject({
        findings: expect.arrayContaining([expect.objectContaining({ kind: 'broken', role: 'names' })]),
      });
      const refused = await run('sign REPO:v1 --again --name-only --no-proof');
      expect(refused).toMatchObject({ code: 40 });
      expect(refused.stderr).toContain('rotate');
      expect(await run('log REPO')).toMatchObject({ code: 40 });
      // Whoever verifies reads no log; another role, and the time, go on.
      expect(await run('verify REPO:v1')).toMatchObject({ code: 0 });
      expect(await run('sign REPO:v1 --signer ci --name-only --no-proof')).toMatchObject({ code: 0 });
      const service = await somebody(place, [['online', ONLINE]]);
      await stageAs(place.target, [CI], [naming('v3', one)], 'ci');
      expect(await service('resign REPO --renew')).toMatchObject({ code: 0 });

      const repaired = await run('rotate REPO names --repair');
      expect(repaired, repaired.stderr).toMatchObject({ code: 0 });
      expect(await run('status REPO')).toMatchObject({ code: 0 });
      expect(await run('verify REPO:v1')).toMatchObject({ code: 0 });
      // What was revoked before stays so, whatever is pushed again.
      for (const content of candidates)
        await place.target.pushManifest(content, {
          tag: `_trust.next.${content.descriptor.digest.slice(7, 19)}` as never,
        });
      await pushImage(place.target, 'two', 'v2');
      const signed = await run('sign REPO:v2 --name-only --no-proof');
      expect(signed, signed.stderr).toMatchObject({ code: 0 });
      expect(await run('verify REPO:v0')).toMatchObject({ code: 23 });
      expect(await run('verify REPO:v2')).toMatchObject({ code: 0 });
      expect(await run('log REPO')).toMatchObject({ code: 0 });
    },
  );

  it.each([
    ['without the root key', ALL_KEYS.filter(([name]) => name !== 'root')],
    ['without the key of names', ALL_KEYS.filter(([name]) => name !== 'publisher')],
  ])('is not repaired %s', async (_, keys) => {
    const { place } = await lab((text) => text.slice(1));
    const somebodyElse = await somebody(place, keys);
    expect(await somebodyElse('rotate REPO names --repair')).toMatchObject({ code: 12 });
    expect(await somebodyElse('status REPO')).toMatchObject({ code: 40 });
  });

  it('is repaired with the root key and another key of names', async () => {
    const { place } = await lab((text) => text.slice(1));
    const admin = await somebody(place, [
      ['root', ROOT],
      ['online', ONLINE],
      ['new', NEW],
    ]);
    const repaired = await admin('rotate REPO names --key new --repair');
    expect(repaired, repaired.stderr).toMatchObject({ code: 0 });
    expect(await admin('status REPO')).toMatchObject({ code: 0 });
    expect(await admin('verify REPO:v1')).toMatchObject({ code: 0 });
  });

  it('is repaired by a re-signer, where that is staged and signed', async () => {
    const { place } = await lab((text) => text.slice(1));
    const admin = await somebody(place, [
      ['root', ROOT],
      ['publisher', PUBLISHER],
    ]);
    expect(await admin('rotate REPO names --repair --wait 0s')).toMatchObject({ code: 31 });
    const service = await somebody(place, [['online', ONLINE]]);
    expect(await service('resign REPO')).toMatchObject({ code: 0 });
    expect(await admin('status REPO')).toMatchObject({ code: 0 });
    expect(await admin('verify REPO:v1')).toMatchObject({ code: 0 });
  });

  it('is the only one that is', async () => {
    const { run } = await lab((text) => text);
    expect(await run('rotate REPO names --repair')).toMatchObject({ code: 2 });
    expect(await run('rotate REPO root --repair')).toMatchObject({ code: 2 });
    expect(await run('rotate REPO names --repair --stage')).toMatchObject({ code: 2 });
    expect(await run('status REPO', daysLater(1))).toMatchObject({ code: 0 });
  });
});
