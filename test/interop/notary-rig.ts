import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Server, startServer } from '../support/process.ts';
import { pem, selfSignedCertificate } from '../support/self-signed.ts';
import { ok, peer, type RunOptions, run } from './peers.ts';

/** A Notary v1 server with its signer, both with TLS, in memory; and a client's directory. */
export interface NotaryRig {
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  /** Directory that goes with it. */
  readonly directory: string;
  /** Certificate of the server, which is its own authority. */
  readonly caFile: string;
  /** Runs Notary's client, which keeps its keys in `trust`. @throws Error where it fails */
  notary(...args: string[]): Promise<string>;
  /** A new key in a certificate, as `NAME.key` and `NAME.crt`, of a type that openssl knows. */
  certificate(name: string, ...algorithm: string[]): Promise<string>;
  stop(): Promise<void>;
}

/** Passphrases of the keys; Notary wants eight characters. */
export const PASSPHRASES: Readonly<Record<string, string>> = {
  NOTARY_ROOT_PASSPHRASE: 'of the root',
  NOTARY_TARGETS_PASSPHRASE: 'of the targets',
  NOTARY_SNAPSHOT_PASSPHRASE: 'of the snapshot',
  NOTARY_DELEGATION_PASSPHRASE: 'of delegations',
};

/** Starts the two servers on free ports of 127.0.0.1. */
export async function startNotaryRig(): Promise<NotaryRig> {
  const directory = mkdtempSync(join(tmpdir(), 'bulla-notary-'));
  for (const name of ['server', 'signer']) writeCertificate(directory, name);
  const signer = await startSigner(directory);
  const server = await startNotaryServer(directory, signer).catch(async (error: unknown) => {
    await signer.stop();
    throw error;
  });
  const url = `https://${server.host}`;
  const caFile = join(directory, 'server.crt');
  const options: RunOptions = { cwd: directory, env: { ...PASSPHRASES, HOME: directory } };
  return {
    url,
    directory,
    caFile,
    notary: (...args) =>
      ok(peer('notary'), ['-d', join(directory, 'trust'), '-s', url, '--tlscacert', caFile, ...args], {
        ...options,
        input: 'yes\n',
      }),
    async certificate(name, ...algorithm) {
      const [key, certificate] = [join(directory, `${name}.key`), join(directory, `${name}.crt`)];
      const kind = algorithm.length > 0 ? algorithm : ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
      const args = ['req', '-x509', '-newkey', ...kind, '-nodes', '-days', '825', '-subj', `/CN=${name}`];
      const made = await run('openssl', [...args, '-keyout', key, '-out', certificate]);
      if (made.status !== 0) throw new Error(made.stderr);
      return certificate;
    },
    async stop() {
      await server.stop();
      await signer.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function writeCertificate(directory: string, name: string): void {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const der = selfSignedCertificate(`notary-${name}`, keys, { loopbackServer: true });
  writeFileSync(join(directory, `${name}.crt`), pem('CERTIFICATE', der));
  writeFileSync(
    join(directory, `${name}.tls`),
    String(keys.privateKey.export({ type: 'pkcs8', format: 'pem' })),
    { mode: 0o600 },
  );
}

function startSigner(directory: string): Promise<Server> {
  return start(directory, 'notary-signer', (port) => ({
    server: {
      grpc_addr: `127.0.0.1:${port}`,
      tls_cert_file: './signer.crt',
      tls_key_file: './signer.tls',
      client_ca_file: './server.crt',
    },
  }));
}

function startNotaryServer(directory: string, signer: Server): Promise<Server> {
  return start(directory, 'notary-server', (port) => ({
    server: {
      http_addr: `127.0.0.1:${port}`,
      tls_cert_file: './server.crt',
      tls_key_file: './server.tls',
    },
    trust_service: {
      type: 'remote',
      hostname: '127.0.0.1',
      port: signer.host.split(':')[1],
      key_algorithm: 'ecdsa',
      tls_ca_file: './signer.crt',
      tls_client_cert: './server.crt',
      tls_client_key: './server.tls',
    },
  }));
}

function start(
  directory: string,
  name: 'notary-server' | 'notary-signer',
  configure: (port: number) => Readonly<Record<string, unknown>>,
): Promise<Server> {
  const config = join(directory, `${name}.json`);
  return startServer({
    file: peer(name),
    args: (port) => {
      const common = { logging: { level: 'error' }, storage: { backend: 'memory' } };
      writeFileSync(config, JSON.stringify({ ...configure(port), ...common }));
      return [`-config=${config}`, '-logf=logfmt'];
    },
    isMute: true,
  });
}
