import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { streamOf } from '../../src/oci/content.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import type { Tag } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { HEAD_TAG, stageTag, TRUST_LAYERS, TRUST_TYPES } from '../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../src/trust/publish/publish.ts';
import { listen } from '../support/listen.ts';
import { collectionIn, realPublisher } from '../support/resign/service.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { naming, reading } from '../support/trust/publishing.ts';
import { havePeers } from './peers.ts';
import type { RegistryKind } from './registries.ts';
import { alarms, type Ground, ground, publish, read, serve } from './resigner-ground.ts';

const KINDS: readonly (readonly [RegistryKind, boolean])[] = [
  ['docker-registry', havePeers('docker-registry')],
  ['olareg', havePeers('olareg')],
];
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A stage whose content anybody can make up. */
async function junk(target: Target, text: string, more: object = {}): Promise<ManifestContent> {
  const push = async (bytes: Uint8Array, mediaType: string) => {
    const descriptor = describeBytes(mediaType, bytes);
    await target.pushBlob(descriptor, async () => streamOf(bytes));
    return descriptor;
  };
  const config = await push(utf8('{}'), 'application/vnd.oci.empty.v1+json');
  const layer = await push(utf8(text), TRUST_LAYERS.metadata);
  const layers = [{ ...layer, ...more, annotations: { 'tuf.io/filename': '9.names.json' } }];
  const json = { schemaVersion: 2, mediaType: MANIFEST, artifactType: TRUST_TYPES.stage, config, layers };
  const bytes = utf8(JSON.stringify(json));
  return { bytes, descriptor: describeBytes(MANIFEST, bytes) };
}

/** Copies an object, with what it is made of, as whoever may push can. */
async function copyObject(from: Target, to: Target, tag: Tag): Promise<void> {
  const content = await from.fetchManifest(tag);
  const { config, layers } = JSON.parse(Buffer.from(content.bytes).toString('utf8'));
  for (const { mediaType, digest, size } of [config, ...layers]) {
    const descriptor = { mediaType, digest, size };
    const bytes = await from.fetchBlob(descriptor, 2 ** 24);
    await to.pushBlob(descriptor, async () => streamOf(bytes));
  }
  await to.pushManifest(content, { tag });
}

async function removeWork({ target }: Ground): Promise<void> {
  for (const tag of await target.listTags())
    if (tag !== HEAD_TAG) await target.deleteManifest((await target.resolve(tag)).digest);
}

describe.each(KINDS)('whoever may push to %s and has no key', (kind, isThere) => {
  describe.runIf(isThere)('and the built re-signer', () => {
    it('cannot have an old head made young after a restart that has kept the state alone', async () => {
      const on = await ground(kind, 'state');
      const first = await serve(on);
      await publish(on, 'v1');
      const old = await on.target.fetchManifest(HEAD_TAG);
      await publish(on, 'v2');
      await first.server.stop();
      await removeWork(on);
      await on.target.pushManifest(old, { tag: HEAD_TAG });
      rmSync(join(on.dir, 'state', 'trust'), { recursive: true, force: true });
      const { events } = await serve(on);
      await expect.poll(() => alarms(events(), 'rollback'), { timeout: 20_000 }).toEqual(['firing']);
      await publish(on, 'v3', 3_000).catch(() => undefined);
      expect((await on.target.resolve(HEAD_TAG)).digest).toBe(old.descriptor.digest);
    });

    it('cannot have names of another collection taken in, nor keep out those that are signed', async () => {
      const on = await ground(kind, 'state');
      const other = openRepository({ registry: on.registry.host, repository: 'evil/app' });
      const place = `${on.registry.host}/evil/app`;
      await pushHead(other, await newCollection(place, new Date()));
      const named = reading({ place, now: new Date(), isNamed: (name) => name === place });
      await publishNames(other, named, naming({ evil: 'evil' }), { ...realPublisher(), wait: 0 }).catch(
        () => undefined,
      );
      const [stage] = (await other.listTags()).filter((tag) => tag.startsWith('_trust.stage.')) as [Tag];
      await copyObject(other, on.target, stage);
      await serve(on);
      await publish(on, 'v1');
      const { client } = await read(on);
      expect((await client.findTarget('v1')).role).toBe('names');
      await expect(client.findTarget('evil')).rejects.toThrow();
      // A whole head of another collection is not signed, and the right one is put back by whoever knows it.
      await copyObject(other, on.target, HEAD_TAG);
      const there = (await on.target.resolve(HEAD_TAG)).digest;
      await pause(3_000);
      const after = (await on.target.resolve(HEAD_TAG)).digest;
      if (after !== there) expect((await (await read(on)).client.findTarget('v1')).role).toBe('names');
    });

    it('cannot starve others by a flood of stages, nor have it connect elsewhere', async () => {
      const asked: string[] = [];
      const elsewhere = await listen(
        createServer((request, response) => {
          asked.push(request.url ?? '');
          response.end();
        }),
      );
      onTestFinished(() => elsewhere.stop());
      const on = await ground(kind, 'state', ['team/app', 'team/flooded']);
      const flooded = await collectionIn(on.registry, 'team/flooded');
      const place = `${on.registry.host}/team/flooded`;
      const { events } = await serve(on);
      await publish(on, 'v0');
      const urls = { urls: [`http://${elsewhere.host}/layer`] };
      for (let n = 0; n < 150; n++) {
        const stage = await junk(flooded, `{"n":${n}}`, n % 2 === 0 ? urls : {});
        await flooded.pushManifest(stage, { tag: stageTag(stage.descriptor.digest) });
      }
      // Waits for twenty seconds at most.
      await publish(on, 'v1');
      await publish({ target: flooded, place }, 'v1', 60_000);
      const { client } = await read({ target: flooded, place });
      expect((await client.findTarget('v1')).role).toBe('names');
      expect(asked).toEqual([]);
      expect(events().filter(({ event }) => event === 'alarm')).toEqual([]);
    });
  });
});
