import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BULLA, havePeers, ok, peer } from './peers.ts';

const SUBJECT = 'C=DE, ST=Berlin, O=Acme, CN=release';
const layout = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
let directory: string;
let env: Record<string, string>;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'bulla-keys-'));
  env = {
    HOME: directory,
    XDG_CONFIG_HOME: join(directory, 'config'),
    BULLA_HOME: join(directory, 'bulla'),
    BULLA_PASSPHRASE: 'of a test',
    COSIGN_PASSWORD: 'of a test',
    NOTARY_ROOT_PASSPHRASE: 'of a test',
    NOTATION_EXPERIMENTAL: '1',
  };
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const key = (...args: string[]): Promise<string> =>
  ok(process.execPath, [BULLA, 'key', ...args], { cwd: directory, env });

describe.runIf(havePeers('cosign'))('cosign', () => {
  it.each(['p256', 'p384', 'ed25519'])('opens a %s key of ours', async (type) => {
    await key('generate', '--type', type, '--output-key-prefix', 'ours');
    const told = await ok(peer('cosign'), ['public-key', '--key', 'ours.key'], { cwd: directory, env });
    expect(told.trim()).toBe(readFileSync(join(directory, 'ours.pub'), 'utf8').trim());
  });

  it('makes keys that we open as they are', async () => {
    await ok(peer('cosign'), ['generate-key-pair'], { cwd: directory, env });
    await key('import', 'cosign.key', 'theirs');
    expect(await key('export', 'theirs', '--public')).toBe(
      readFileSync(join(directory, 'cosign.pub'), 'utf8'),
    );
    expect(await key('csr', 'cosign.key', '--subject', SUBJECT)).toContain('CERTIFICATE REQUEST');
  });
});

describe.runIf(havePeers('notary'))('notary', () => {
  it('makes keys that we open, with their role', async () => {
    await ok(peer('notary'), ['-d', join(directory, 'trust'), 'key', 'generate', 'ecdsa'], { env });
    const [file = ''] = readdirSync(join(directory, 'trust/private'));
    const imported = await key('import', join('trust/private', file), 'root', '-o', 'json');
    expect(JSON.parse(imported)).toMatchObject({ name: 'root', type: 'P-256', role: 'root' });
  });
});

describe.runIf(havePeers('notation'))('notation', () => {
  it.each(['p256', 'p384', 'p521', 'rsa'])(
    'signs and verifies with a %s key and our certificate',
    async (type) => {
      if (type === 'rsa') {
        const vector = new URL('../../testdata/keys/pkcs1.pem', import.meta.url);
        writeFileSync(join(directory, 'rsa.pem'), readFileSync(vector), { mode: 0o600 });
        await key('import', 'rsa.pem', 'release');
      } else await key('generate', 'release', '--type', type);
      await key('cert', 'release', '--self-signed', '--subject', SUBJECT);
      const config = join(directory, 'config/notation');
      const store = join(config, 'truststore/x509/ca/acme');
      mkdirSync(store, { recursive: true });
      const certificate = join(store, 'release.crt');
      await key('export', 'release', '--cert', '--out', certificate);
      await key('export', 'release', '--pkcs8', '--unencrypted', '--out', join(config, 'release.key'));
      const keys = [{ name: 'release', keyPath: join(config, 'release.key'), certPath: certificate }];
      writeFileSync(join(config, 'signingkeys.json'), JSON.stringify({ default: 'release', keys }));
      writeFileSync(join(config, 'trustpolicy.json'), JSON.stringify(policy(`x509.subject: ${SUBJECT}`)));

      cpSync(layout, join(directory, 'image'), { recursive: true });
      const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
        manifests: { digest: string }[];
      };
      const image = `${join(directory, 'image')}@${index.manifests[0]!.digest}`;
      await ok(peer('notation'), ['sign', '--oci-layout', image], { env });
      const verified = await ok(
        peer('notation'),
        ['verify', '--oci-layout', image, '--scope', 'example.com/app'],
        { env },
      );
      expect(verified).toContain('Successfully verified');
    },
  );
});

function policy(identity: string): Record<string, unknown> {
  return {
    version: '1.0',
    trustPolicies: [
      {
        name: 'acme',
        registryScopes: ['*'],
        signatureVerification: { level: 'strict' },
        trustStores: ['ca:acme'],
        trustedIdentities: [identity],
      },
    ],
  };
}
