import { generateKeyPairSync } from 'node:crypto';
import { selfSignedCertificate } from '../self-signed.ts';

export interface ServerCertificate {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
}

/** A certificate for 127.0.0.1 and localhost that is its own CA, with its key. */
export function certificateForLoopback(name = 'registry under test'): ServerCertificate {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const der = selfSignedCertificate(name, keys, { loopbackServer: true });
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
    key: keys.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}
