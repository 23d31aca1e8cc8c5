import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { issueChain } from '../support/issue.ts';
import { pushDemoImage } from './artifacts.ts';
import { bulla, havePeers, type Outcome, ok, peer, run } from './peers.ts';
import { type Registry, type RegistryKind, startRegistry } from './registries.ts';
import { Signers } from './signers.ts';
import { SigstoreStack, STACK_PEERS } from './sigstore-stack.ts';

const ALICE = 'alice@example.com';
const PROVENANCE = {
  buildDefinition: { buildType: 'https://example.com/make', externalParameters: {} },
  runDetails: { builder: { id: 'https://ci.example.com/runner' } },
};

/**
 * Who signs how, and who verifies it. Stock cosign 3 writes no other cells: at `.sig` and `.att` tags it writes keyless
 * signatures only for Rekor v1, which needs a database; test/signatures/cosign-legacy-keyless.test.ts covers them. It
 * neither reads nor writes layouts.
 */
const KINDS: readonly RegistryKind[] = ['docker-registry', 'olareg', 'embedded'];

describe.runIf(havePeers('docker-registry', 'olareg', 'oras', 'notation', ...STACK_PEERS))(
  'with a whole Sigstore',
  () => {
    let stack: SigstoreStack;
    let signers: Signers;
    const registries = new Map<RegistryKind, Registry>();
    let count = 0;

    beforeAll(async () => {
      [stack, signers] = await Promise.all([SigstoreStack.start(), Signers.create()]);
      for (const kind of KINDS) registries.set(kind, await startRegistry(kind));
      mkdirSync(join(signers.directory, 'work'));
      writeFileSync(file('provenance.json'), JSON.stringify(PROVENANCE));
    });
    afterAll(async () => {
      for (const registry of registries.values()) await registry.stop();
      await stack?.stop();
      signers?.remove();
    });

    const file = (name: string): string => join(signers.directory, 'work', name);
    const our = (...args: string[]): Promise<Outcome> => bulla(args, { env: signers.env });
    const cosign = (...args: string[]): Promise<Outcome> => run(peer('cosign'), args, { env: signers.env });
    const services = (): string[] => [
      '--signing-config',
      stack.signingConfig,
      '--trusted-root',
      stack.trustedRoot,
    ];
    const token = (): string[] => ['--identity-token', stack.tokenFor(ALICE)];
    const identity = (subject = ALICE): string[] => [
      ...['--certificate-identity', subject, '--certificate-oidc-issuer', stack.issuer],
      ...['--trusted-root', stack.trustedRoot],
    ];

    async function image(kind: RegistryKind): Promise<string> {
      const name = `${registries.get(kind)?.host}/sigstore-${++count}:v1`;
      await pushDemoImage(name, signers);
      return name;
    }

    async function cosignReads(name: string, flags: readonly string[], type?: string): Promise<number> {
      const command = type === undefined ? ['verify'] : ['verify-attestation', '--type', type];
      return (await cosign(...command, '--allow-http-registry', ...flags, name)).status;
    }

    describe.each(KINDS)('on %s', (kind) => {
      it('stock cosign verifies what bulla signs keyless, and bulla does', async () => {
        const name = await image(kind);
        expect(await our('sign', name, '--keyless', ...token(), ...services())).toMatchObject({ status: 0 });
        expect(await cosignReads(name, identity())).toBe(0);
        expect(await cosignReads(name, identity('bob@example.com'))).not.toBe(0);
        expect(await our('verify', name, ...identity())).toMatchObject({ status: 0 });
        expect(await our('verify', name, ...identity('bob@example.com'))).toMatchObject({ status: 12 });
      });

      it('stock cosign verifies a key’s signature from the log, without a flag for that', async () => {
        const name = await image(kind);
        const key = ['--key', signers.cosignPublicKey];
        expect(await our('sign', name, '--key', signers.cosignKey, '--tlog', ...services())).toMatchObject({
          status: 0,
        });
        expect(await cosignReads(name, [...key, '--trusted-root', stack.trustedRoot])).toBe(0);
        expect(await our('verify', name, ...key)).toMatchObject({ status: 0 });
        // The log takes each entry only once, and still an image can be signed again.
        expect(await our('sign', name, '--key', signers.cosignKey, '--tlog', ...services())).toMatchObject({
          status: 0,
        });
      });

      it.each(['keyless', 'key', 'logged key'] as const)(
        'stock cosign verifies what bulla attests: %s',
        async (how) => {
          const name = await image(kind);
          const withKey = ['--key', signers.cosignKey];
          const flags = {
            keyless: ['--keyless', ...token(), ...services()],
            key: withKey,
            'logged key': [...withKey, '--tlog', ...services()],
          }[how];
          const attested = await our(
            'attest',
            name,
            '--type',
            'slsaprovenance1',
            '--predicate',
            file('provenance.json'),
            ...flags,
          );
          expect(attested).toMatchObject({ status: 0 });
          const trust = {
            keyless: identity(),
            key: ['--key', signers.cosignPublicKey, '--insecure-ignore-tlog'],
            'logged key': ['--key', signers.cosignPublicKey, '--trusted-root', stack.trustedRoot],
          }[how];
          expect(await cosignReads(name, trust, 'slsaprovenance1')).toBe(0);
          expect(await cosignReads(name, trust, 'cyclonedx')).not.toBe(0);
          const ours = how === 'keyless' ? identity() : ['--key', signers.cosignPublicKey];
          expect(await our('verify', name, '--type', 'slsaprovenance1', ...ours)).toMatchObject({
            status: 0,
          });
        },
      );

      it.each([true, false])('bulla verifies what stock cosign signs (keyless: %s)', async (isKeyless) => {
        const name = await image(kind);
        const how = isKeyless ? token() : ['--key', signers.cosignKey];
        await ok(peer('cosign'), ['sign', '--allow-http-registry', '-y', ...how, ...services(), name], {
          env: signers.env,
        });
        const trust = isKeyless ? identity() : ['--key', signers.cosignPublicKey];
        expect(await our('verify', name, ...trust)).toMatchObject({ status: 0 });
        expect(await our('verify', name, ...identity('bob@example.com'))).toMatchObject({ status: 12 });
        const demand = isKeyless
          ? { keyless: [{ identity: ALICE, issuer: stack.issuer }] }
          : { keys: [signers.cosignPublicKey] };
        const proof = { transparency: 'required', timestamp: 'required', trustedRoot: stack.trustedRoot };
        const rules = [{ scope: '*', signatures: [{ ...demand, ...proof }] }];
        writeFileSync(file('policy.json'), JSON.stringify({ version: 1, rules }));
        expect(await our('verify', name, '--policy', file('policy.json'))).toMatchObject({ status: 0 });
      });

      it.each([true, false])('bulla verifies what stock cosign attests (keyless: %s)', async (isKeyless) => {
        const name = await image(kind);
        const how = isKeyless ? token() : ['--key', signers.cosignKey];
        const attest = ['attest', '--allow-http-registry', '-y', '--type', 'slsaprovenance1', '--predicate'];
        await ok(peer('cosign'), [...attest, file('provenance.json'), ...how, ...services(), name], {
          env: signers.env,
        });
        const trust = isKeyless ? identity() : ['--key', signers.cosignPublicKey];
        expect(await our('verify', name, '--type', 'slsaprovenance1', ...trust)).toMatchObject({ status: 0 });
        expect((await our('verify', name, ...trust)).status).toBe(12);
      });

      it('bulla verifies what stock cosign attests at an .att tag', async () => {
        const name = await image(kind);
        const offline = ['--tlog-upload=false', '--use-signing-config=false', '--new-bundle-format=false'];
        const attest = ['attest', '--allow-http-registry', '-y', '--type', 'slsaprovenance1', '--predicate'];
        await ok(
          peer('cosign'),
          [...attest, file('provenance.json'), '--key', signers.cosignKey, ...offline, name],
          { env: signers.env },
        );
        const trust = ['--type', 'slsaprovenance1', '--key', signers.cosignPublicKey];
        const verified = await our('verify', name, ...trust, '-o', 'json');
        expect(JSON.parse(verified.stdout)).toMatchObject({ signatures: [{ kind: 'cosign-legacy' }] });
      });

      it('a copy in a layout verifies without the registry', async () => {
        const name = await image(kind);
        await our('sign', name, '--keyless', ...token(), ...services());
        const layout = `oci:${file(`layout-${kind}`)}:v1`;
        expect(await our('copy', name, layout)).toMatchObject({ status: 0 });
        expect(await our('verify', layout, '--offline', ...identity())).toMatchObject({ status: 0 });
        // A layout is signed like a registry.
        expect(await our('sign', layout, '--key', signers.cosignKey, '--tlog', ...services())).toMatchObject({
          status: 0,
        });
        expect(await our('verify', layout, '--key', signers.cosignPublicKey)).toMatchObject({ status: 0 });
      });
    });

    it('bulla verifies in a layout what stock cosign made', async () => {
      const name = await image('embedded');
      const web = ['--allow-http-registry', '-y'];
      const offline = ['--tlog-upload=false', '--use-signing-config=false', '--new-bundle-format=false'];
      const attested = ['--type', 'slsaprovenance1', '--predicate', file('provenance.json')];
      const key = ['--key', signers.cosignKey];
      for (const args of [
        ['sign', ...web, ...token(), ...services()],
        ['sign', ...web, ...key, ...services()],
        ['attest', ...web, ...attested, ...token(), ...services()],
        ['attest', ...web, ...attested, ...key, ...offline],
      ])
        await ok(peer('cosign'), [...args, name], { env: signers.env });
      const layout = `oci:${file('layout-of-cosign')}:v1`;
      expect(await our('copy', name, layout)).toMatchObject({ status: 0 });
      const verified = async (...flags: string[]): Promise<unknown> => {
        const { stdout } = await our('verify', layout, '--offline', '-o', 'json', ...flags);
        return JSON.parse(stdout).signatures?.map(({ kind }: { kind: string }) => kind);
      };
      const publicKey = ['--key', signers.cosignPublicKey];
      const provenance = ['--type', 'slsaprovenance1'];
      expect(await verified(...identity())).toEqual(['sigstore-bundle']);
      expect(await verified(...publicKey)).toEqual(['sigstore-bundle']);
      expect(await verified(...identity(), ...provenance)).toEqual(['sigstore-bundle']);
      expect(await verified(...publicKey, ...provenance)).toEqual(['cosign-legacy']);
    });

    it('bulla verifies what stock cosign signs at a .sig tag', async () => {
      const name = await image('embedded');
      const layout = `oci:${file('layout-of-sig')}:v1`;
      await signers.cosignSign(name, true);
      expect(await our('copy', name, layout)).toMatchObject({ status: 0 });
      for (const place of [name, layout]) {
        const { stdout } = await our('verify', place, '--key', signers.cosignPublicKey, '-o', 'json');
        expect(JSON.parse(stdout)).toMatchObject({ signatures: [{ kind: 'cosign-legacy' }] });
      }
    });

    it('bulla refuses a chain of certificates in a bundle of version 0.3', async () => {
      const name = await image('embedded');
      const { leaf, root } = issueChain({ notAfter: new Date(Date.now() + 3_600_000) });
      const key = leaf.privateKey.export({ type: 'pkcs8', format: 'pem' });
      writeFileSync(file('certified.key'), key, { mode: 0o600 });
      writeFileSync(file('leaf.crt'), leaf.certificate.x509.toString());
      writeFileSync(file('root.crt'), root.certificate.x509.toString());
      const imported = [
        'import-key-pair',
        '-y',
        '--key',
        file('certified.key'),
        '--output-key-prefix',
        file('own'),
      ];
      await ok(peer('cosign'), imported, { env: signers.env });
      const certificate = ['--certificate', file('leaf.crt'), '--certificate-chain', file('root.crt')];
      const offline = ['--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry', '-y'];
      await ok(peer('cosign'), ['sign', '--key', file('own.key'), ...certificate, ...offline, name], {
        env: signers.env,
      });
      for (const trust of [['--key', file('own.pub')], ['--ca', file('root.crt')], identity()])
        expect(await our('verify', name, ...trust)).toMatchObject({ status: 12 });
    });

    it('is not signed for by a token for another audience, or without one', async () => {
      const name = await image('embedded');
      writeFileSync(file('bad.token'), 'eyJhbGciOiJub25lIn0.eyJhdWQiOiJ4In0.AAAA');
      const refused = await our(
        'sign',
        name,
        '--keyless',
        '--identity-token',
        file('bad.token'),
        ...services(),
      );
      expect(refused).toMatchObject({ status: 4, stdout: '' });
      expect(refused.stderr).toContain('audience');
      expect(await our('verify', name, ...identity())).toMatchObject({ status: 10 });
    });

    it('an Ed25519 key cannot use --tlog', async () => {
      const name = await image('embedded');
      const { privateKey, publicKey } = generateKeyPairSync('ed25519');
      writeFileSync(file('ed.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
      writeFileSync(file('ed.pub'), publicKeyPem(publicKeyOf(publicKey)));
      expect(await our('sign', name, '--key', file('ed.key'), '--tlog', ...services())).toMatchObject({
        status: 2,
      });
    });
  },
);
