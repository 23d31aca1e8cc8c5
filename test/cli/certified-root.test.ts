import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createCertificate } from '../../src/crypto/certificate-build.ts';
import { formatPem } from '../../src/crypto/pem.ts';
import { parsePublicKeyPem } from '../../src/crypto/public-key.ts';
import { certify } from '../support/certificates.ts';
import { registryFor } from '../support/registry/open.ts';
import { People } from '../support/trust/people.ts';
import { daysLater, NOW } from '../support/tuf/editing.ts';

const VALID = { notBefore: NOW, notAfter: daysLater(365) };

describe('root keys that an authority certifies', () => {
  it('are believed by the pin of the authority, through init and rotations', async () => {
    const registry = await registryFor();
    const people = new People();
    const { home, run } = await people.person(NOW, 'root', 'publisher', 'online', 'alice', 'bob');
    const reader = await people.person(NOW);
    const name = `${registry.host}/team/app`;
    const authority = await certify('C=DE, ST=Berlin, O=Acme, CN=Trust', { ...VALID, authority: {} });
    await writeFile(join(reader.home, 'ca.pem'), authority.certificate.x509.toString());

    const uri = `oci://${registry.host}/team/*`;
    const csr = await run(`key csr root --subject C=DE,ST=Berlin,O=Acme,CN=app --uri ${uri}`);
    expect(Buffer.from(csr.stdout.split('-----')[2]!, 'base64').toString('latin1')).toContain(uri);
    expect(await run('key csr root --subject C=DE,ST=Berlin,O=Acme,CN=app --uri nonsense')).toMatchObject({
      code: 2,
    });
    for (const key of ['root', 'alice']) await giveCertificate(key);

    expect(await run(`init ${name}`)).toMatchObject({ code: 0 });
    expect(await reader.run(`pin ${registry.host}/team/* --ca ca.pem`)).toMatchObject({ code: 0 });
    const believes = async () => (await reader.run(`verify ${name}:v1`)).code;
    // Believed: it names nothing yet.
    expect(await believes()).toBe(23);
    expect(await run(`rotate ${name} root --key alice`)).toMatchObject({ code: 0 });
    expect(await believes()).toBe(23);
    expect(await run(`rotate ${name} root --renew`)).toMatchObject({ code: 0 });
    expect(await believes()).toBe(23);
    expect(await run(`rotate ${name} root --key bob`)).toMatchObject({ code: 0 });
    expect(await believes()).toBe(22);

    async function giveCertificate(key: string): Promise<void> {
      const pem = (await run(`key export ${key} --public`)).stdout;
      const publicKey = parsePublicKeyPem(pem, key);
      const der = await createCertificate(
        { subject: 'C=DE, ST=Berlin, O=Acme, CN=app', publicKey, uris: [uri], ...VALID },
        authority,
      );
      const chain = [der, authority.certificate.der].map((each) => formatPem('CERTIFICATE', each)).join('');
      await writeFile(join(home, `${key}.crt`), chain);
      expect(await run(`key cert ${key} --chain ${key}.crt`)).toMatchObject({ code: 0 });
    }
  });
});
