import { sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publicKeyPem } from '../../src/crypto/public-key.ts';
import { base64, fromHex } from '../../src/encoding/bytes.ts';
import type { JsonObject } from '../../src/encoding/json.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { type RegistryServer, serveRegistry } from '../../src/servers/registry/server.ts';
import { SIGNATURE_ANNOTATIONS, SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import { copyJson, parseMetadataFile, signedMessage } from '../../src/tuf/metadata-file.ts';
import { blobOf, imageOf, pushBytes, pushImage, tagOf } from '../support/content.ts';
import { setting } from '../support/trust/changing.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { changeWith, type Files, headFiles } from '../support/trust/heads.ts';
import { NOW, ONLINE, PUBLISHER, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { bulla, havePeers, peer, run } from './peers.ts';

/**
 * What protects those who verify with stock cosign, which reads past members that it does not know: that nobody
 * signs metadata with such members (spec/security-model.md, "What each operation signs").
 */
describe.runIf(havePeers('cosign'))(
  'metadata of a trust collection, shown to stock cosign as its own',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'bulla-statements-'));
    let registry: RegistryServer;
    let target: Target;
    let name: string;
    let digest: string;
    let files: Files;

    beforeAll(async () => {
      registry = await serveRegistry({ dir: join(directory, 'registry') });
      name = `${registry.address}/team/app`;
      target = openRepository(parseReference(name) as RegistryReference);
      await pushHead(target, await newCollection(name));
      await changeWith(target, (edit) => edit.apply('names', [setting(['v1'], NOW)]));
      digest = (await pushImage(target, 'evil', 'evil')).descriptor.digest;
      files = await headFiles(target);
      for (const index of [ROOT, PUBLISHER, ONLINE])
        writeFileSync(join(directory, `${index}.pub`), publicKeyPem(poolKey(index).key.verifier!.publicKey));
    });
    afterAll(async () => {
      await target?.close();
      await registry?.close();
      rmSync(directory, { recursive: true, force: true });
    });

    async function show(message: Uint8Array, signature: Uint8Array): Promise<void> {
      const layer = describeBytes(SIGNATURE_TYPES.simpleSigning, message);
      const config = blobOf('{}', 'application/vnd.oci.image.config.v1+json');
      await pushBytes(target, config);
      await pushBytes(target, { descriptor: layer, bytes: message });
      const annotations = { [SIGNATURE_ANNOTATIONS.legacySignature]: base64(signature) };
      const manifest = imageOf(config.descriptor, [{ ...layer, annotations }]);
      await target.pushManifest(manifest, { tag: tagOf(`${digest.replace(':', '-')}.sig`) });
    }

    const cosign = (key: number) =>
      run(
        peer('cosign'),
        [
          'verify',
          '--key',
          join(directory, `${key}.pub`),
          '--insecure-ignore-tlog',
          '--allow-http-registry',
          '--new-bundle-format=false',
          `${name}@${digest}`,
        ],
        { env: { HOME: directory } },
      );
    const ours = (key: number) =>
      bulla(['verify', `${name}@${digest}`, '--key', join(directory, `${key}.pub`), '--no-name'], {
        env: { HOME: directory, BULLA_HOME: join(directory, 'home') },
      });

    it.each([
      ['1.root.json', ROOT],
      ['.targets.json', ROOT],
      ['.names.json', PUBLISHER],
      ['.snapshot.json', ONLINE],
      ['timestamp.json', ONLINE],
    ] as const)('%s is no signature of an image', async (end, key) => {
      const [fileName, bytes] = [...files].find(([one]) => one.endsWith(end))!;
      const role = fileName.replace(/^(?:\d+\.)?(\w+)\.json$/, '$1');
      const file = parseMetadataFile(bytes, role, 1e7);
      await show(file.message, fromHex(file.signatures[0]!.sig)!);
      expect((await cosign(key)).status).not.toBe(0);
      expect((await ours(key)).status).not.toBe(0);
    });

    it('would be one with a member more, which is why nobody signs it; bulla refuses even that', async () => {
      const [, bytes] = [...files].find(([one]) => one.endsWith('.names.json'))!;
      const signed = copyJson(parseMetadataFile(bytes, 'names', 1e7).signed);
      signed['critical'] = {
        identity: { 'docker-reference': '' },
        image: { 'docker-manifest-digest': digest },
        type: 'cosign container image signature',
      } satisfies JsonObject;
      const message = signedMessage(signed);
      await show(message, new Uint8Array(sign('sha256', message, poolKey(PUBLISHER).privateKey)));
      expect(await cosign(PUBLISHER)).toMatchObject({ status: 0 });
      const refused = await ours(PUBLISHER);
      expect(refused.status, refused.stderr).not.toBe(0);
      expect(refused.stdout).toBe('');
    });
  },
);
