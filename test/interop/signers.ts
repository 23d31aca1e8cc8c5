import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Outcome, ok, peer, run } from './peers.ts';

/**
 * Stock notation and stock cosign with keys and settings of their own, in one directory that goes with
 * them. notation trusts the authority `test` for every scope.
 */
export class Signers {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'bulla-signers-'));
  /** For every program of a test: none finds the settings of whoever runs it. */
  readonly env: Readonly<Record<string, string>> = {
    HOME: this.directory,
    XDG_CONFIG_HOME: join(this.directory, 'config'),
    XDG_CACHE_HOME: join(this.directory, 'cache'),
    XDG_RUNTIME_DIR: join(this.directory, 'run'),
    BULLA_HOME: join(this.directory, 'bulla'),
    BULLA_PASSPHRASE: 'of a test',
    COSIGN_PASSWORD: 'of a test',
  };
  /** notation's private key (RSA, PKCS#8) and its self-signed certificate. */
  readonly notationKey: string = join(this.directory, 'config/notation/localkeys/test.key');
  readonly notationCertificate: string = join(this.directory, 'config/notation/localkeys/test.crt');
  readonly cosignKey: string = join(this.directory, 'cosign.key');
  readonly cosignPublicKey: string = join(this.directory, 'cosign.pub');

  static async create(): Promise<Signers> {
    const signers = new Signers();
    const { directory, env } = signers;
    await ok(peer('notation'), ['cert', 'generate-test', '--default', 'test'], { env });
    mkdirSync(join(directory, 'config/notation'), { recursive: true });
    writeFileSync(
      join(directory, 'config/notation/trustpolicy.json'),
      JSON.stringify({
        version: '1.0',
        trustPolicies: [
          {
            name: 'test',
            registryScopes: ['*'],
            signatureVerification: { level: 'strict' },
            trustStores: ['ca:test'],
            trustedIdentities: ['*'],
          },
        ],
      }),
    );
    await ok(peer('cosign'), ['generate-key-pair'], { cwd: directory, env });
    return signers;
  }

  /** `api`: whether the registry has the referrers API; notation is told so, for it does not ask. */
  async notationSign(reference: string, api: boolean): Promise<void> {
    const where = api ? ['--force-referrers-tag=false'] : [];
    await ok(peer('notation'), ['sign', '--insecure-registry', ...where, reference], { env: this.env });
  }

  notationVerify(reference: string): Promise<Outcome> {
    return run(peer('notation'), ['verify', '--insecure-registry', reference], { env: this.env });
  }

  /** `legacy`: as a `.sig` tag instead of a bundle. */
  async cosignSign(reference: string, legacy = false): Promise<void> {
    const offline = ['--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry', '-y'];
    const format = legacy ? ['--new-bundle-format=false'] : [];
    const key = ['--key', this.cosignKey];
    await ok(peer('cosign'), ['sign', ...key, ...offline, ...format, reference], { env: this.env });
  }

  cosignVerify(reference: string, legacy = false): Promise<Outcome> {
    const offline = ['--insecure-ignore-tlog', '--allow-http-registry'];
    const format = legacy ? ['--new-bundle-format=false'] : [];
    const key = ['--key', this.cosignPublicKey];
    return run(peer('cosign'), ['verify', ...key, ...offline, ...format, reference], { env: this.env });
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
