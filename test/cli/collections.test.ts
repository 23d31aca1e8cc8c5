import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { HEAD_TAG } from '../../src/trust/format/vocabulary.ts';
import { pushImage } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry } from '../support/registry/server.ts';
import { setting } from '../support/trust/changing.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { changeWith, headFiles, pushFiles } from '../support/trust/heads.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import { daysLater, NOW, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

let registry: FaultyRegistry;
let place: Served;
let image: ManifestContent;
beforeEach(async () => {
  registry = await registryFor();
  place = await servedCollection(registry);
  image = await pushImage(place.target, 'one', 'v1');
  await sign();
});

async function sign(tag = 'v1', now = NOW): Promise<void> {
  const { digest, size } = image.descriptor;
  const set = new Map([[tag, { length: size, sha256: digest.slice(7) }]]);
  await changeWith(place.target, (edit) => edit.apply('names', [{ ...setting([]), set }]), { now });
}

const ID = () => poolKey(ROOT).key.keyid;
const CI = { env: { CI: 'true' } };
const verify = (name: string, flags: readonly string[] = [], options = {}) =>
  place.run(['verify', `${name}:v1`, ...flags], options);

/** A repository beside, to which the image and the head were copied. */
async function mirrored(): Promise<string> {
  const name = `${registry.host}/mirror/app`;
  const target = openRepository(parseReference(name) as RegistryReference);
  onTestFinished(() => target.close());
  await pushFiles(target, await headFiles(place.target));
  await pushImage(target, 'one', 'v1');
  return name;
}

describe('whom a command line believes', () => {
  it('is a pin, of the repository or of a prefix', async () => {
    expect(await verify(place.name, ['--any-signer'])).toMatchObject({ code: 25, stdout: '' });
    await place.run(['pin', `${registry.host}/*`, '--root-key-id', 'a'.repeat(64)]);
    expect(await verify(place.name)).toMatchObject({ code: 22, stdout: '' });
    await place.run(['pin', `${registry.host}/team/*`, '--root-key-id', ID()]);
    expect(await verify(place.name)).toMatchObject({ code: 0 });
  });

  it('is a root file, from a flag or a pin', async () => {
    const root = join(place.home, 'root.json');
    await writeFile(root, (await headFiles(place.target)).get('1.root.json')!);
    expect(await verify(place.name, ['--root', root])).toMatchObject({ code: 0 });
    await place.run(['pin', place.name, '--root', root]);
    expect(await verify(place.name)).toMatchObject({ code: 0 });
  });

  it('is only one at a time', async () => {
    expect(await verify(place.name, ['--tofu', '--root-key-id', ID()])).toMatchObject({ code: 2 });
    expect(await verify(place.name, ['--root-key-id', 'a1'])).toMatchObject({ code: 2 });
    expect(await verify(place.name, ['--root', 'not-there'])).toMatchObject({ code: 11 });
    expect(await verify(place.name, ['--tofu', '--max-staleness', 'soon'])).toMatchObject({ code: 2 });
  });

  it('is whoever is there first, on request, and not in CI', async () => {
    const refused = await verify(place.name, ['--tofu'], CI);
    expect(refused).toMatchObject({ code: 25, stdout: '' });
    expect(refused.stderr).toContain('--tofu is ignored in CI');
    const first = await verify(place.name, ['--tofu']);
    expect(first).toMatchObject({ code: 0 });
    expect(first.stderr).toContain(ID());
    expect(await verify(place.name, [], CI)).toMatchObject({ code: 0 });
  });

  it('is whoever is there first in CI where a pin says so', async () => {
    await place.run(['pin', place.name, '--tofu'], CI);
    expect(await verify(place.name, [], CI)).toMatchObject({ code: 0 });
  });

  it('does not depend on how the host is written', async () => {
    const upper = place.name.replace('127.0.0.1', 'LOCALHOST');
    const lower = place.name.replace('127.0.0.1', 'localhost');
    await place.run(['pin', upper, '--root-key-id', ID(), '--collection', place.name]);
    expect((await place.run(['pin', 'ls'])).stdout).toContain(lower);
    expect(await verify(lower)).toMatchObject({ code: 0 });
    await repositoryOf(registry).deleteTag(HEAD_TAG);
    expect(await verify(upper)).toMatchObject({ code: 22 });
  });
});

describe('a copy of a collection', () => {
  it('is believed for the name that it is said to be of, by the pin of that name', async () => {
    const name = await mirrored();
    await place.run(['pin', place.name, '--root-key-id', ID()]);
    expect(await verify(name, ['--root-key-id', ID()])).toMatchObject({ code: 22 });
    expect(await verify(name, ['--collection', `${place.name}2`, '--root-key-id', ID()])).toMatchObject({
      code: 22,
    });
    expect(await verify(name, ['--collection', `${registry.host}/team/*`])).toMatchObject({ code: 2 });
    expect(await verify(name, ['--collection', place.name])).toMatchObject({ code: 0 });
  });

  it('is mapped by the pin of a prefix', async () => {
    const name = await mirrored();
    const pin = ['pin', `${registry.host}/mirror/*`, '--root-key-id', ID(), '--collection'];
    await place.run([...pin, `${registry.host}/other/*`]);
    expect(await verify(name)).toMatchObject({ code: 22 });
    await place.run([...pin, `${registry.host}/team/*`]);
    expect(await verify(name)).toMatchObject({ code: 0 });
  });

  it('that is behind what was seen at the origin is a rollback', async () => {
    const name = await mirrored();
    await place.run(['pin', place.name, '--root-key-id', ID()]);
    await sign('v2');
    expect(await verify(place.name)).toMatchObject({ code: 0 });
    expect(await verify(name, ['--collection', place.name])).toMatchObject({ code: 21 });
  });

  it('lies elsewhere, where a flag or the pin says so', async () => {
    const trust = repositoryOf(registry, {}, 'trust/app');
    await pushFiles(trust, await headFiles(place.target));
    await place.target.deleteTag(HEAD_TAG);
    const at = `${registry.host}/trust/app`;
    expect(await verify(place.name, ['--root-key-id', ID()])).toMatchObject({ code: 22 });
    expect(await verify(place.name, ['--root-key-id', ID(), '--at', at])).toMatchObject({ code: 0 });
    await place.run(['pin', place.name, '--root-key-id', ID(), '--at', at]);
    expect(await verify(place.name)).toMatchObject({ code: 0 });
  });
});

describe('what is remembered between runs', () => {
  it('tells an old head from the newest, and one that is gone from one that never was', async () => {
    await place.run(['pin', place.name, '--root-key-id', ID()]);
    const old = await headFiles(place.target);
    await sign('v2');
    expect(await verify(place.name)).toMatchObject({ code: 0 });
    await pushFiles(place.target, old);
    const soon = await verify(place.name);
    expect(soon).toMatchObject({ code: 0 });
    expect(soon.stderr).toContain('went back');
    const now = new Date(NOW.getTime() + 61_000);
    expect(await verify(place.name, [], { now })).toMatchObject({ code: 21 });
    await place.target.deleteTag(HEAD_TAG);
    expect(await verify(place.name, [], { now })).toMatchObject({ code: 22 });
    await place.run(['pin', 'rm', place.name]);
    expect(await verify(place.name, ['--no-name', '--key', 'none'])).not.toMatchObject({ code: 22 });
  });

  it('keeps to a collection until it is pinned anew', async () => {
    await verify(place.name, ['--tofu']);
    await pushHead(place.target, await newCollection(place.name, daysLater(1)));
    expect(await verify(place.name)).toMatchObject({ code: 22 });
    expect((await verify(place.name)).stderr).toContain('bulla pin');
    await place.run(['pin', place.name, '--root-key-id', ID()]);
    // The new one names nothing.
    expect(await verify(place.name)).toMatchObject({ code: 23 });
  });

  it('is stale for as long as is allowed', async () => {
    await verify(place.name, ['--tofu']);
    const now = daysLater(20);
    expect(await verify(place.name, [], { now })).toMatchObject({ code: 20 });
    expect(await verify(place.name, ['--max-staleness', '7d'], { now })).toMatchObject({ code: 0 });
    expect(await verify(place.name, ['--max-staleness', '5d'], { now })).toMatchObject({ code: 20 });
  });

  it('costs one request where nothing has changed, with ETags or without', async () => {
    for (const etag of [true, false]) {
      registry.behaviour.etag = etag;
      await place.run(['verify', `${place.name}:v1`, '--no-drift', '--tofu']);
      await place.run(['verify', `${place.name}:v1`, '--no-drift']);
      registry.forget();
      expect(await place.run(['verify', `${place.name}:v1`, '--no-drift'])).toMatchObject({ code: 0 });
      const method = etag ? 'GET' : 'HEAD';
      expect(registry.requests()).toEqual([`${method} /v2/team/app/manifests/_trust`]);
    }
  });
});
