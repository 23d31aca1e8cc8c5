import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { base64 } from '../../src/encoding/bytes.ts';
import type { JsonObject } from '../../src/encoding/json.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { pushImage } from '../support/content.ts';
import { pushStage, readStage } from '../support/trust/altered.ts';
import { fileOf, resigned } from '../support/trust/heads.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import { naming, somebody, stageAs } from '../support/trust/thief.ts';
import { ONLINE, PUBLISHER, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

interface Lab extends Served {
  readonly one: ManifestContent;
}

async function lab(): Promise<Lab> {
  const place = await servedCollection();
  const one = await pushImage(place.target, 'one', 'v1');
  const run = await somebody(place);
  expect(await run('sign REPO:v1 --name-only --no-proof')).toMatchObject({ code: 0 });
  return { ...place, one };
}

/** Stages a name as a publisher does, and says something else of the file as a whole. */
async function stageOdd(place: Lab, change: (signed: JsonObject) => void): Promise<void> {
  const { tag } = await stageAs(place.target, [PUBLISHER], [naming('v9', place.one)]);
  const { files, logs } = await readStage(place.target, tag);
  await place.target.deleteTag(tag);
  const { name, bytes } = fileOf(files, 'names');
  files.set(
    name,
    resigned(bytes, (signed) => change(signed as JsonObject), poolKey(PUBLISHER)),
  );
  await pushStage(place.target, { files, logs });
}

const binding = (signed: JsonObject): JsonObject => signed['bulla'] as JsonObject;

describe('a publisher whose file says a number of names that it has not', () => {
  it.each([
    ['the largest that can be counted', Number.MAX_SAFE_INTEGER],
    ['so many that bins are made for them', 1_000_000],
    ['none', 0],
    ['one more', 3],
    ['one less', 1],
  ])(
    'stops nobody, and makes nobody spread names over bins: %s',
    async (_, names) => {
      const place = await lab();
      await stageOdd(place, (signed) => Object.assign(binding(signed), { names }));
      const service = await somebody(place, [['online', ONLINE]]);
      expect(await service('resign REPO --renew')).toMatchObject({ code: 0 });
      const run = await somebody(place);
      await pushImage(place.target, 'two', 'v2');
      const signed = await run('sign REPO:v2 --name-only --no-proof');
      expect(signed, signed.stderr).toMatchObject({ code: 0 });
      expect(await run('revoke REPO:v1')).toMatchObject({ code: 0 });
      const renewed = await run('rotate REPO names --renew');
      expect(renewed, renewed.stderr).toMatchObject({ code: 0 });
      expect(await run('verify REPO:v2')).toMatchObject({ code: 0 });
      const copied = await readStage(place.target, '_trust' as never);
      const { bytes } = fileOf(copied.files, 'names');
      const { signed: now } = JSON.parse(Buffer.from(bytes).toString()) as { signed: JsonObject };
      expect(binding(now)['names']).toBe(Object.keys(now['targets'] as JsonObject).length);
      expect(now['delegations']).toBeUndefined();
    },
    120_000,
  );
});

interface Change {
  files: { name: string; content: string }[];
}

describe('a change of roles after whose versions none could come', () => {
  it.each([
    ['names', [PUBLISHER], Number.MAX_SAFE_INTEGER],
    ['names', [PUBLISHER], 2 ** 52],
    ['names', [PUBLISHER], 2 ** 49 + 1],
    ['targets', [ROOT], Number.MAX_SAFE_INTEGER],
    ['targets', [ROOT], 2 ** 50],
  ] as const)('is neither signed nor published from a file: %s by %j, %d', async (role, keys, version) => {
    const place = await lab();
    const run = await somebody(place);
    const path = join(run.home, 'change.json');
    const made = await run(`rotate REPO ${role} --renew --export-unsigned ${path}`);
    expect(made, made.stderr).toMatchObject({ code: 0 });
    const change = JSON.parse(await readFile(path, 'utf8')) as Change;
    const file = change.files.find(({ name }) => name === role)!;
    const bytes = resigned(
      Buffer.from(file.content, 'base64'),
      (signed) => Object.assign(signed, { version }),
      ...keys.map(poolKey),
    );
    file.content = base64(bytes);
    await writeFile(path, JSON.stringify(change));
    const published = await run(`rotate REPO ${role} --import-signed ${path} -o json`);
    expect(published.json(), published.stdout).toMatchObject({ ok: false, code: 'trust-invalid' });
    expect(await run(`approve ${path} --yes`)).toMatchObject({ code: 22 });
    expect(await run(`rotate REPO ${role} --renew`)).toMatchObject({ code: 0 });
  });

  it.each([
    ['names', '2020-01-01T00:00:00Z'],
    ['targets', '2020-01-01T00:00:00Z'],
  ])('is not published where it has expired: %s', async (role, expires) => {
    const place = await lab();
    const run = await somebody(place);
    const path = join(run.home, 'change.json');
    expect(await run(`rotate REPO ${role} --renew --export-unsigned ${path}`)).toMatchObject({ code: 0 });
    const change = JSON.parse(await readFile(path, 'utf8')) as Change;
    const file = change.files.find(({ name }) => name === role)!;
    const key = role === 'names' ? PUBLISHER : ROOT;
    file.content = base64(
      resigned(
        Buffer.from(file.content, 'base64'),
        (signed) => Object.assign(signed, { expires }),
        poolKey(key),
      ),
    );
    await writeFile(path, JSON.stringify(change));
    const published = await run(`rotate REPO ${role} --import-signed ${path} -o json`);
    expect(published.json(), published.stdout).toMatchObject({ ok: false });
    expect(await run('verify REPO:v1')).toMatchObject({ code: 0 });
  });
});
