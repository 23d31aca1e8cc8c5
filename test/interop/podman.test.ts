import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pushDemoImage } from './artifacts.ts';
import { bulla, havePeers, type Outcome, ok, peer, run } from './peers.ts';
import { type Registry, type RegistryKind, startRegistry } from './registries.ts';
import { Signers } from './signers.ts';

const PAGE = readFileSync(new URL('../../docs/podman.md', import.meta.url), 'utf8');

/** An example of docs/podman.md, for this registry and this key. */
function example(name: string, host: string, key: string): string {
  const [, text = ''] =
    new RegExp(`\`\`\`[a-z]+ ${name.replace('.', '\\.')}\n([^]*?)\`\`\``).exec(PAGE) ?? [];
  return text.replaceAll('registry.example.com', host).replaceAll('/etc/containers/release.pub', key);
}

describe.each<RegistryKind>(['docker-registry', 'olareg', 'embedded'])(
  'the recipe for podman, on %s',
  (kind) => {
    describe.runIf(havePeers('docker-registry', 'olareg', 'oras', 'notation', 'cosign', 'skopeo-sigstore'))(
      'with skopeo, which has the code that podman and CRI-O verify with,',
      () => {
        let signers: Signers;
        let registry: Registry;
        let count = 0;
        const file = (name: string): string => join(signers.directory, name);
        const our = (...args: string[]): Promise<Outcome> => bulla(args, { env: signers.env });

        beforeAll(async () => {
          signers = await Signers.create();
          registry = await startRegistry(kind);
          mkdirSync(file('registries.d'));
          const { host } = registry;
          writeFileSync(file('policy.json'), example('policy.json', host, signers.cosignPublicKey));
          writeFileSync(
            file('registries.d/default.yaml'),
            example('registries.d', host, signers.cosignPublicKey),
          );
        });
        afterAll(async () => {
          await registry?.stop();
          signers?.remove();
        });

        const image = async (): Promise<string> => {
          const name = `${registry.host}/team/podman-${++count}:v1`;
          await pushDemoImage(name, signers);
          return name;
        };
        const pull = (name: string): Promise<Outcome> =>
          run(
            peer('skopeo-sigstore'),
            [
              ...['--policy', file('policy.json'), '--registries.d', file('registries.d')],
              ...['copy', '--src-tls-verify=false', `docker://${name}`, `dir:${file(`out-${++count}`)}`],
            ],
            { env: signers.env },
          );
        const sign = (name: string, ...flags: string[]): Promise<Outcome> =>
          our('sign', name, '--key', signers.cosignKey, ...flags);

        it('signed passes; unsigned, a bundle alone, and another key fail', async () => {
          const name = await image();
          const unsigned = await pull(name);
          expect(unsigned).toMatchObject({ status: 1 });
          expect(unsigned.stderr).toContain('A signature was required, but no signature exists');
          await sign(name);
          expect(await pull(name)).toMatchObject({ status: 1 });
          expect(await sign(name, '--also', 'simplesigning')).toMatchObject({ status: 0 });
          expect(await pull(name)).toMatchObject({ status: 0 });
          const other = await image();
          await ok(peer('cosign'), ['generate-key-pair', '--output-key-prefix', 'other'], {
            cwd: signers.directory,
            env: signers.env,
          });
          expect(
            await our('sign', other, '--key', file('other.key'), '--also', 'simplesigning'),
          ).toMatchObject({ status: 0 });
          expect(await pull(other)).toMatchObject({ status: 1 });
        });

        it('a signed image at another tag fails, and so does a signed tag that was moved', async () => {
          const name = await image();
          expect(await sign(name, '--also', 'simplesigning')).toMatchObject({ status: 0 });
          await ok(peer('oras'), ['tag', '--plain-http', name, 'v2'], { env: signers.env });
          const moved = await pull(name.replace(/v1$/, 'v2'));
          expect(moved).toMatchObject({ status: 1 });
          expect(moved.stderr).toContain('is not accepted');
          const fetch = ['manifest', 'fetch', '--plain-http', '--platform', 'linux/amd64', name];
          const other = JSON.parse(await ok(peer('oras'), fetch, { env: signers.env }));
          writeFileSync(file('moved.json'), JSON.stringify({ ...other, annotations: { moved: 'yes' } }));
          await ok(peer('oras'), ['manifest', 'push', '--plain-http', name, file('moved.json')], {
            env: signers.env,
          });
          const unsigned = await pull(name);
          expect(unsigned).toMatchObject({ status: 1 });
          expect(unsigned.stderr).toContain('A signature was required, but no signature exists');
        });

        it('stock cosign verifies it as well, and bulla what stock cosign adds', async () => {
          const name = await image();
          expect(await sign(name, '--also', 'simplesigning', '-a', 'build=17')).toMatchObject({ status: 0 });
          expect(await signers.cosignVerify(name, true)).toMatchObject({ status: 0 });
          await signers.cosignSign(name, true);
          expect(await signers.cosignVerify(name, true)).toMatchObject({ status: 0 });
          // Ours is still there, and is not made again.
          const again = await sign(name, '--also', 'simplesigning', '-a', 'build=17');
          expect(again.stderr.match(/already signed [^ ]+ for podman/g)).toHaveLength(3);
          expect(await pull(name)).toMatchObject({ status: 0 });
        });
      },
    );
  },
);
