import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { type Chain, EKU, type IssueOptions, issueChain } from '../support/issue.ts';
import { pushDemoImage } from './artifacts.ts';
import { bulla, havePeers, ok, peer, run } from './peers.ts';
import { HAS_REFERRERS_API, type Registry, type RegistryKind, startRegistry } from './registries.ts';
import { Signers } from './signers.ts';

const RELEASE = 'https://sigstore.dev/cosign/sign/v1';
const SCAN = 'https://example.com/scan-failed/v1';
const HOUR = 3_600_000;

type KeyName = 'P-256' | 'P-384' | 'P-521' | 'RSA 2048' | 'RSA 3072' | 'Ed25519';

function generate(name: KeyName): { publicKey: KeyObject; privateKey: KeyObject } {
  if (name === 'Ed25519') return generateKeyPairSync('ed25519');
  if (name.startsWith('RSA')) return generateKeyPairSync('rsa', { modulusLength: Number(name.slice(4)) });
  return generateKeyPairSync('ec', { namedCurve: name });
}

describe.each<RegistryKind>(['docker-registry', 'olareg'])('signatures on %s', (kind) => {
  describe.runIf(havePeers(kind as 'olareg', 'notation', 'cosign', 'oras'))(
    'between bulla and stock tools',
    () => {
      let signers: Signers;
      let registry: Registry;
      const image = (name: string): string => `${registry.host}/${name}:v1`;
      const file = (name: string): string => join(signers.directory, name);
      const our = (...args: string[]) => bulla(args, { env: signers.env });

      beforeAll(async () => {
        signers = await Signers.create();
        registry = await startRegistry(kind);
      });
      afterAll(async () => {
        await registry?.stop();
        signers?.remove();
      });

      function writePrivateKey(name: string, key: KeyObject): string {
        writeFileSync(file(name), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
        return file(name);
      }

      /** A chain that is valid now, with its key, for bulla; its root is trusted by notation. */
      async function certify(
        key: KeyName,
        leaf: Partial<IssueOptions> = {},
        root: Partial<IssueOptions> = {},
      ): Promise<Chain> {
        const valid = { notBefore: new Date(Date.now() - HOUR), notAfter: new Date(Date.now() + 24 * HOUR) };
        const made = issueChain({ ...valid, keys: generate(key), ...leaf }, { ...valid, ...root });
        writePrivateKey('certified.key', made.leaf.privateKey);
        writeFileSync(file('chain.crt'), made.chain.map(({ x509 }) => x509.toString()).join(''));
        writeFileSync(file('root.crt'), made.root.certificate.x509.toString());
        const store = `root-${made.root.certificate.thumbprint.slice(0, 8)}`;
        await ok(peer('notation'), ['cert', 'add', '--type', 'ca', '--store', store, file('root.crt')], {
          env: signers.env,
        });
        const policy = {
          version: '1.0',
          trustPolicies: [
            {
              name: 'test',
              registryScopes: ['*'],
              signatureVerification: { level: 'strict' },
              trustStores: ['ca:test', `ca:${store}`],
              trustedIdentities: ['*'],
            },
          ],
        };
        writeFileSync(file('config/notation/trustpolicy.json'), JSON.stringify(policy));
        return made;
      }

      const certified: [KeyName, string][] = [
        ['P-256', 'jws'],
        ['P-384', 'jws'],
        ['P-521', 'jws'],
        ['RSA 2048', 'jws'],
        ['RSA 3072', 'jws'],
        ['P-256', 'cose'],
        ['P-521', 'cose'],
        ['RSA 2048', 'cose'],
      ];
      it.each(certified)(
        'notation verifies what bulla signs: %s with a certificate, %s',
        async (key, format) => {
          const name = image(`ours-${key.toLowerCase().replace(' ', '')}-${format}`);
          const digest = await pushDemoImage(name, signers);
          await certify(key);
          const flags = [
            '--key',
            file('certified.key'),
            '--cert-chain',
            file('chain.crt'),
            '--signature-format',
            format,
          ];
          const signed = await our('sign', name, ...flags, '-a', 'build=17', '--expires', '1d');
          expect(signed).toMatchObject({ status: 0, stdout: `${name.slice(0, -3)}@${digest}\n` });
          const verify = ['verify', '--insecure-registry', name, '-m'];
          expect(await run(peer('notation'), [...verify, 'build=17'], { env: signers.env })).toMatchObject({
            status: 0,
          });
          expect(await run(peer('notation'), [...verify, 'build=18'], { env: signers.env })).toMatchObject({
            status: 1,
          });
          expect(await our('verify', name, '--ca', file('root.crt'), '-a', 'build=17')).toMatchObject({
            status: 0,
          });
        },
      );

      it.each([
        ['P-256', RELEASE],
        ['Ed25519', RELEASE],
        ['P-256', SCAN],
      ] as const)('cosign verifies what bulla signs: a bare %s key, for %s', async (key, purpose) => {
        const name = image(`ours-bare-${key.toLowerCase()}-${purpose === SCAN ? 'scan' : 'release'}`);
        await pushDemoImage(name, signers);
        const { privateKey, publicKey } = generate(key);
        writeFileSync(file('bare.pub'), publicKeyPem(publicKeyOf(publicKey)));
        const flags = [
          '--key',
          writePrivateKey('bare.key', privateKey),
          '--purpose',
          purpose,
          '-a',
          'build=17',
        ];
        expect(await our('sign', name, ...flags)).toMatchObject({ status: 0 });
        const verify = [
          'verify',
          '--key',
          file('bare.pub'),
          '--insecure-ignore-tlog',
          '--allow-http-registry',
        ];
        const cosign = (build: string) =>
          run(peer('cosign'), [...verify, '-a', build, name], { env: signers.env });
        // Whatever the purpose: stock cosign does not ask for it, which is why a purpose needs a key of its own.
        expect(await cosign('build=17')).toMatchObject({
          status: 0,
          stdout: expect.stringContaining(purpose),
        });
        expect((await cosign('build=18')).status).not.toBe(0);
        const status = purpose === RELEASE ? 0 : 12;
        expect(await our('verify', name, '--key', file('bare.pub'))).toMatchObject({ status });
        expect(await our('verify', name, '--key', file('bare.pub'), '--purpose', purpose)).toMatchObject({
          status: 0,
        });
      });

      it.each(['P-384', 'P-521', 'RSA 2048'] as const)(
        'bulla does not sign with a bare %s key',
        async (key) => {
          const name = image('never-signed');
          await pushDemoImage(name, signers);
          const flags = ['--key', writePrivateKey('bare.key', generate(key).privateKey)];
          expect(await our('sign', name, ...flags)).toMatchObject({ status: 2, stdout: '' });
        },
      );

      it('a cosign key signs as it is, and cosign verifies it', async () => {
        const name = image('cosign-key');
        await pushDemoImage(name, signers);
        // With BULLA_PASSPHRASE; COSIGN_PASSWORD is the same.
        expect(await our('sign', name, '--key', signers.cosignKey)).toMatchObject({ status: 0 });
        expect(await signers.cosignVerify(name)).toMatchObject({ status: 0 });
      });

      // Decision 242: where stock notation does not check its own specification, or that leaves a hole.
      it.each<[string, Partial<IssueOptions>, Partial<IssueOptions>, number]>([
        ['as it should be', {}, {}, 0],
        ['of an authority whose basic constraints are not critical', {}, { constraints: false }, 13],
        ['for VPN', { extended: [EKU.ipsecEndSystem] }, {}, 13],
        ['for a purpose that nobody knows', { extended: ['1.3.9.9'] }, {}, 13],
      ])('notation signs and verifies with a certificate %s', async (_, leaf, root, status) => {
        const name = image(`loose-${digestOf(utf8(JSON.stringify([leaf, root]))).slice(7, 19)}`);
        await pushDemoImage(name, signers);
        const made = await certify('P-256', leaf, root);
        const keys = file('config/notation/signingkeys.json');
        const before = readFileSync(keys, 'utf8');
        const key = { name: 'loose', keyPath: file('certified.key'), certPath: file('chain.crt') };
        writeFileSync(keys, JSON.stringify({ default: 'loose', keys: [key] }));
        await signers.notationSign(name, HAS_REFERRERS_API[kind]).finally(() => writeFileSync(keys, before));
        expect(await signers.notationVerify(name)).toMatchObject({ status: 0 });
        expect(await our('verify', name, '--ca', file('root.crt'))).toMatchObject({ status });
        // A key that is trusted by itself needs no certificate.
        writeFileSync(file('loose.pub'), publicKeyPem(made.leaf.signer.publicKey));
        expect(await our('verify', name, '--key', file('loose.pub'))).toMatchObject({ status: 0 });
      });

      it.each(['jws', 'cose'])('bulla verifies what notation signs: %s', async (format) => {
        const name = image(`notation-${format}`);
        const digest = await pushDemoImage(name, signers);
        const where = HAS_REFERRERS_API[kind] ? ['--force-referrers-tag=false'] : [];
        const sign = [
          'sign',
          '--insecure-registry',
          ...where,
          '--signature-format',
          format,
          '-m',
          'a=b',
          name,
        ];
        await ok(peer('notation'), sign, { env: signers.env });
        const ca = ['--ca', signers.notationCertificate];
        const verified = await our('verify', name, ...ca, '-a', 'a=b', '-o', 'json');
        expect(JSON.parse(verified.stdout)).toMatchObject({
          digest,
          signatures: [{ kind: `notation-${format}` }],
        });
        expect(
          await our('verify', name, ...ca, '--certificate-identity', 'x509.subject: CN=test'),
        ).toMatchObject({
          status: 0,
        });
        expect(
          await our('verify', name, ...ca, '--certificate-identity', 'x509.subject: CN=other'),
        ).toMatchObject({
          status: 12,
        });
        expect(await our('verify', name, '--key', signers.cosignPublicKey)).toMatchObject({ status: 12 });
      });

      it.each(['bundle', 'legacy'])('bulla verifies what cosign signs: %s', async (format) => {
        const name = image(`cosign-${format}`);
        const digest = await pushDemoImage(name, signers);
        await signers.cosignSign(name, format === 'legacy');
        const key = ['--key', signers.cosignPublicKey];
        const verified = await our('verify', name, ...key, '-o', 'json');
        const kindOf = format === 'legacy' ? 'cosign-legacy' : 'sigstore-bundle';
        expect(JSON.parse(verified.stdout)).toMatchObject({ digest, signatures: [{ kind: kindOf }] });
        expect(await our('verify', name, '--ca', signers.notationCertificate)).toMatchObject({ status: 12 });
        expect(await our('verify', name)).toMatchObject({ status: 25, stdout: '' });
      });

      it.each(['P-384', 'P-521', 'RSA 2048'] as const)(
        'bulla verifies what cosign signs with an imported %s key',
        async (key) => {
          const name = image(`imported-${key.toLowerCase().replace(' ', '')}`);
          await pushDemoImage(name, signers);
          const prefix = file(`imported-${key.replace(' ', '')}`);
          const { privateKey, publicKey } = generate(key);
          const path = writePrivateKey('plain.key', privateKey);
          await ok(peer('cosign'), ['import-key-pair', '--key', path, '--output-key-prefix', prefix], {
            env: signers.env,
          });
          writeFileSync(file('imported.pub'), publicKeyPem(publicKeyOf(publicKey)));
          const offline = [
            '--tlog-upload=false',
            '--use-signing-config=false',
            '--allow-http-registry',
            '-y',
          ];
          for (const format of [[], ['--new-bundle-format=false']]) {
            await ok(peer('cosign'), ['sign', '--key', `${prefix}.key`, ...offline, ...format, name], {
              env: signers.env,
            });
            expect(await our('verify', name, '--key', file('imported.pub'))).toMatchObject({ status: 0 });
          }
        },
      );

      it('the signatures of all three live side by side, and can be removed one by one', async () => {
        const name = image('together');
        await pushDemoImage(name, signers);
        const where = HAS_REFERRERS_API[kind];
        await signers.notationSign(name, where);
        await signers.cosignSign(name);
        // By the same keys: without --again the image would be signed already.
        const cosigned = await our('sign', name, '--key', signers.cosignKey, '-r', '--again');
        expect(cosigned).toMatchObject({ status: 0 });
        const chain = ['--cert-chain', signers.notationCertificate];
        expect(await our('sign', name, '--key', signers.notationKey, ...chain, '--again')).toMatchObject({
          status: 0,
        });
        const listed = JSON.parse((await our('signature', 'ls', name, '-o', 'json')).stdout);
        expect(listed.signatures.map(({ kind: of }: { kind: string }) => of).sort()).toEqual([
          'notation-jws',
          'notation-jws',
          'sigstore-bundle',
          'sigstore-bundle',
        ]);
        for (const { signature, kind: of } of listed.signatures) {
          if (of === 'notation-jws') await our('signature', 'rm', name, signature);
        }
        expect((await signers.notationVerify(name)).status).not.toBe(0);
        expect(await signers.cosignVerify(name)).toMatchObject({ status: 0 });
        expect(await our('verify', name, '--ca', signers.notationCertificate)).toMatchObject({ status: 12 });
        for (const platform of ['linux/amd64', 'linux/arm64']) {
          const flags = ['--key', signers.cosignPublicKey, '--platform', platform];
          expect(await our('verify', name, ...flags)).toMatchObject({ status: 0 });
        }
      });
    },
  );
});
