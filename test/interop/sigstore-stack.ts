import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatPem } from '../../src/crypto/pem.ts';
import { listen } from '../support/listen.ts';
import { freePort, type Server, startServer } from '../support/process.ts';
import { SigstoreInstance } from '../support/sigstore/instance.ts';
import { cleanEnvironment, ok, type PeerName, peer } from './peers.ts';
import { startTimeStamps } from './time-stamps.ts';

/** What a {@link SigstoreStack} needs. */
export const STACK_PEERS: readonly PeerName[] = ['fulcio', 'tesseract', 'rekor-server', 'cosign'];

const START = '2026-01-01T00:00:00Z';

interface TimeStamps {
  readonly url: string;
  /** File with its certificates. */
  readonly chain: string;
}

/** A whole Sigstore on this machine: Fulcio, a certificate log, Rekor v2, a time-stamp authority, an issuer of tokens. */
export class SigstoreStack {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'bulla-sigstore-'));
  /** Of stock cosign's making. */
  readonly trustedRoot: string = join(this.directory, 'trusted_root.json');
  readonly signingConfig: string = join(this.directory, 'signing_config.json');
  issuer = '';
  /** By the name of the program: what it has printed. */
  readonly logs: Map<string, () => string> = new Map();
  private readonly closers: (() => Promise<void>)[] = [];
  private readonly tokenKey = generateKeyPairSync('rsa', { modulusLength: 2048 });

  static async start(): Promise<SigstoreStack> {
    const stack = new SigstoreStack();
    try {
      await stack.startServices();
      return stack;
    } catch (error) {
      await stack.stop();
      throw error;
    }
  }

  /** A file with a token for an email address. */
  tokenFor(email: string): string {
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.issuer, sub: email, aud: 'sigstore', iat: now, nbf: now - 5, exp: now + 600 };
    const signed = `${part({ alg: 'RS256', kid: '1' })}.${part({ ...claims, email, email_verified: true })}`;
    const signature = sign('sha256', Buffer.from(signed), this.tokenKey.privateKey).toString('base64url');
    const path = join(this.directory, `${email}.token`);
    writeFileSync(path, `${signed}.${signature}`, { mode: 0o600 });
    return path;
  }

  async stop(): Promise<void> {
    for (const close of this.closers.reverse()) await close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async startServices(): Promise<void> {
    const instance = new SigstoreInstance();
    const root = this.write('root.pem', formatPem('CERTIFICATE', instance.rootCertificate));
    await this.startIssuer();
    const logKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const ct = await this.startCertificateLog(root, logKey.privateKey);
    const [fulcio, rekor, tsa] = await Promise.all([
      this.startFulcio(root, instance.root.privateKey, ct.host),
      this.startRekor(),
      this.startTimeStamps(instance),
    ]);
    const ctKey = this.writeKey('ct.pub', logKey.publicKey);
    const since = `start-time=${START}`;
    await ok(peer('cosign'), [
      ...['trusted-root', 'create', '--out', this.trustedRoot],
      `--fulcio=url=http://${fulcio.host},certificate-chain=${root}`,
      `--rekor=url=http://${rekor.server.host},public-key=${rekor.key},${since},origin=127.0.0.1`,
      `--ctfe=url=http://${ct.host},public-key=${ctKey},${since}`,
      `--tsa=url=${tsa.url},certificate-chain=${tsa.chain},${since}`,
    ]);
    const service = (url: string, version: number): string =>
      `url=${url},api-version=${version},${since},operator=test`;
    await ok(peer('cosign'), [
      ...['signing-config', 'create', '--out', this.signingConfig],
      `--fulcio=${service(`http://${fulcio.host}`, 1)}`,
      `--oidc-provider=${service(this.issuer, 1)}`,
      `--rekor=${service(`http://${rekor.server.host}`, 2)}`,
      '--rekor-config=ANY',
      `--tsa=${service(tsa.url, 1)}`,
      '--tsa-config=ANY',
    ]);
  }

  private async startIssuer(): Promise<void> {
    const server = createServer((request, response) => {
      const key = {
        ...this.tokenKey.publicKey.export({ format: 'jwk' }),
        kid: '1',
        alg: 'RS256',
        use: 'sig',
      };
      const discovery = {
        issuer: this.issuer,
        jwks_uri: `${this.issuer}/keys`,
        authorization_endpoint: `${this.issuer}/auth`,
        token_endpoint: `${this.issuer}/token`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'],
      };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(request.url === '/keys' ? { keys: [key] } : discovery));
    });
    const { host, stop } = await listen(server);
    this.issuer = `http://${host}`;
    this.closers.push(stop);
  }

  private async startCertificateLog(roots: string, key: KeyObject): Promise<Server> {
    const storage = this.make('ct');
    const file = this.write('ct.key', key.export({ type: 'sec1', format: 'pem' }) as string);
    return await this.startOne('tesseract', (port) => [
      `--http_endpoint=127.0.0.1:${port}`,
      '--origin=localhost',
      `--private_key=${file}`,
      `--storage_dir=${storage}`,
      `--roots_pem_file=${roots}`,
      '--checkpoint_interval=100ms',
      '--batch_max_age=50ms',
    ]);
  }

  /** Its port for metrics listens on all addresses, and there is no flag for that. */
  private async startFulcio(certificate: string, key: KeyObject, ct: string): Promise<Server> {
    const password = 'of a test';
    const encrypted = key.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: password,
    });
    const keyFile = this.write('fulcio.key', encrypted as string);
    const issuers = {
      [this.issuer]: { IssuerURL: this.issuer, ClientID: 'sigstore', Type: 'email' },
    };
    const config = this.write('fulcio.json', JSON.stringify({ OIDCIssuers: issuers }));
    const [grpc, metrics] = [await freePort(), await freePort()];
    return await this.startOne('fulcio', (port) => [
      ...['serve', '--host', '127.0.0.1', '--port', `${port}`],
      ...['--grpc-host', '127.0.0.1', '--grpc-port', `${grpc}`, '--metrics-port', `${metrics}`],
      ...['--legacy-unix-domain-socket', `@bulla-fulcio-${port}`],
      ...['--ca', 'fileca', '--fileca-cert', certificate, '--fileca-key', keyFile],
      ...['--fileca-key-passwd', password, '--fileca-watch=false'],
      ...['--ct-log-url', `http://${ct}`, '--config-path', config],
    ]);
  }

  private async startRekor(): Promise<{ readonly server: Server; readonly key: string }> {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const signer = this.write('rekor.key', privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    const storage = this.make('rekor');
    const [grpc, metrics] = [await freePort(), await freePort()];
    const server = await this.startOne('rekor-server', (port) => [
      ...['serve', '--http-address', '127.0.0.1', '--http-port', `${port}`, '--grpc-port', `${grpc}`],
      ...['--http-metrics-port', `${metrics}`, '--hostname', '127.0.0.1', '--signer-filepath', signer],
      ...['--storage-dir', storage, '--checkpoint-interval', '1s', '--batch-max-age', '50ms'],
    ]);
    return { server, key: this.writeKey('rekor.pub', publicKey) };
  }

  private async startTimeStamps({
    tsa,
    tsaCertificate,
    rootCertificate,
  }: SigstoreInstance): Promise<TimeStamps> {
    const [certificate = '', root = ''] = [tsaCertificate, rootCertificate].map((der) =>
      formatPem('CERTIFICATE', der),
    );
    const { url, stop } = await startTimeStamps(this.make('tsa'), tsa.privateKey, [certificate, root]);
    this.closers.push(stop);
    return { url, chain: this.write('tsa.pem', `${certificate}${root}`) };
  }

  private async startOne(name: PeerName, args: (port: number) => readonly string[]): Promise<Server> {
    const server = await startServer({ file: peer(name), args, env: cleanEnvironment(), answers: '/' });
    this.closers.push(() => server.stop());
    this.logs.set(name, () => server.log());
    return server;
  }

  private make(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path);
    return path;
  }

  private write(name: string, text: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  private writeKey(name: string, key: KeyObject): string {
    return this.write(name, key.export({ type: 'spki', format: 'pem' }) as string);
  }
}
