import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, type Server, startServer } from '../support/process.ts';
import { cleanEnvironment, peer } from './peers.ts';

/** What the API server answered. */
export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** A real API server with its etcd, with RBAC and without nodes: nothing runs there, but all rules hold. */
export interface Cluster {
  readonly port: number;
  /** Asks as somebody: the administrator where no token is given. */
  ask(method: string, path: string, body?: unknown, token?: string): Promise<Answer>;
  /** As `kubectl apply --server-side`, of an object with its kind; unknown members are refused. */
  apply(object: KubernetesObject, options?: { readonly dryRun?: boolean }): Promise<Answer>;
  /** A token of a service account, as its pods get it. */
  tokenOf(namespace: string, account: string): Promise<string>;
  /** Arguments that run a program as a pod of that account would see the world, in place of the program's own. */
  podCommand(namespace: string, token: string, argv: readonly string[]): readonly string[];
  /** What a pod's environment says. */
  readonly podEnvironment: Readonly<Record<string, string>>;
  /** Ends the API server alone, or starts it again. */
  halt(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [member: string]: unknown;
}

/** The token of the administrator. */
export const ADMINISTRATOR = 'the-administrator-of-one-test';
const PLURALS: Readonly<Record<string, string>> = {
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  ConfigMap: 'configmaps',
  CronJob: 'cronjobs',
  DaemonSet: 'daemonsets',
  Deployment: 'deployments',
  MutatingWebhookConfiguration: 'mutatingwebhookconfigurations',
  Namespace: 'namespaces',
  NetworkPolicy: 'networkpolicies',
  Pod: 'pods',
  PodDisruptionBudget: 'poddisruptionbudgets',
  Role: 'roles',
  RoleBinding: 'rolebindings',
  Service: 'services',
  ServiceAccount: 'serviceaccounts',
  ValidatingWebhookConfiguration: 'validatingwebhookconfigurations',
};

export async function startCluster(): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), 'bulla-cluster-'));
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(join(directory, 'sa.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(join(directory, 'sa.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(join(directory, 'tokens.csv'), `${ADMINISTRATOR},admin,1,"system:masters"\n`);
  let etcd: Server | undefined;
  try {
    etcd = await startEtcd(directory);
    const port = await freePort();
    const cluster = new RunningCluster(
      directory,
      etcd,
      await startApiServer(directory, etcd.host, port),
      port,
    );
    await cluster.ready();
    return cluster;
  } catch (error) {
    await etcd?.stop();
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

async function startEtcd(directory: string): Promise<Server> {
  const peers = `http://127.0.0.1:${await freePort()}`;
  return await startServer({
    file: peer('etcd'),
    args: (port) => [
      ...['--data-dir', join(directory, 'etcd')],
      ...['--listen-client-urls', `http://127.0.0.1:${port}`],
      ...['--advertise-client-urls', `http://127.0.0.1:${port}`],
      ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers],
      ...['--initial-cluster', `default=${peers}`],
    ],
    env: cleanEnvironment(),
    answers: '/health',
  });
}

async function startApiServer(directory: string, etcd: string, port: number): Promise<Server> {
  const at = (name: string): string => join(directory, name);
  const server = await startServer({
    file: peer('kube-apiserver'),
    args: () => [
      ...[`--etcd-servers=http://${etcd}`, '--bind-address=127.0.0.1', `--secure-port=${port}`],
      ...[`--cert-dir=${at('certificates')}`, `--token-auth-file=${at('tokens.csv')}`],
      ...['--authorization-mode=RBAC', '--service-account-issuer=https://kubernetes.default.svc'],
      ...[`--service-account-key-file=${at('sa.pub')}`],
      ...[`--service-account-signing-key-file=${at('sa.key')}`],
      // No nodes, so that nobody has to find the API server by its Service.
      ...['--service-cluster-ip-range=10.0.0.0/24', '--endpoint-reconciler-type=none'],
    ],
    env: cleanEnvironment(),
    announces: /Serving securely on 127\.0\.0\.1:(\d+)/,
  });
  return server;
}

class RunningCluster implements Cluster {
  readonly port: number;
  readonly podEnvironment: Readonly<Record<string, string>>;
  private readonly directory: string;
  private readonly etcd: Server;
  private server: Server;

  constructor(directory: string, etcd: Server, server: Server, port: number) {
    this.directory = directory;
    this.etcd = etcd;
    this.server = server;
    this.port = port;
    this.podEnvironment = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: `${port}` };
  }

  ask(method: string, path: string, body?: unknown, token: string = ADMINISTRATOR): Promise<Answer> {
    return this.send(method, path, body === undefined ? undefined : JSON.stringify(body), token, 'json');
  }

  async apply(object: KubernetesObject, { dryRun = false } = {}): Promise<Answer> {
    const query = `fieldManager=test&fieldValidation=Strict${dryRun ? '&dryRun=All' : ''}`;
    return await this.send(
      'PATCH',
      `${pathOf(object)}?${query}`,
      // JSON is YAML of every version.
      JSON.stringify(object),
      ADMINISTRATOR,
      'apply-patch+yaml',
    );
  }

  async tokenOf(namespace: string, account: string): Promise<string> {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
    const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
    const { status, body } = await this.ask('POST', path, request);
    if (status !== 201) throw new Error(`no token for ${account}: ${JSON.stringify(body)}`);
    return (body['status'] as { token: string }).token;
  }

  podCommand(namespace: string, token: string, argv: readonly string[]): readonly string[] {
    const mounted = mkdtempSync(join(this.directory, 'pod-'));
    writeFileSync(join(mounted, 'namespace'), namespace);
    writeFileSync(join(mounted, 'token'), token);
    writeFileSync(join(mounted, 'ca.crt'), this.authority());
    const script =
      'mount -t tmpfs none /var/run && mkdir -p /var/run/secrets/kubernetes.io && ' +
      'ln -s "$1" /var/run/secrets/kubernetes.io/serviceaccount && shift && exec "$@"';
    const own = process.getuid?.() === 0 ? [] : ['--map-root-user'];
    return ['unshare', '--mount', ...own, 'sh', '-c', script, 'sh', mounted, ...argv];
  }

  async halt(): Promise<void> {
    await this.server.stop();
  }

  async resume(): Promise<void> {
    this.server = await startApiServer(this.directory, this.etcd.host, this.port);
    await this.ready();
  }

  /** Waits until its own rules and namespaces are there. */
  async ready(): Promise<void> {
    for (let tries = 0; tries < 600; tries++) {
      const { status } = await this.ask('GET', '/readyz').catch(() => ({ status: 0 }));
      if (status === 200) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`the API server is not ready\n${this.server.log()}`);
  }

  async stop(): Promise<void> {
    await this.server.stop();
    await this.etcd.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** The server's certificate is its own authority. */
  private authority(): Buffer {
    mkdirSync(join(this.directory, 'certificates'), { recursive: true });
    return readFileSync(join(this.directory, 'certificates', 'apiserver.crt'));
  }

  private send(
    method: string,
    path: string,
    body: string | undefined,
    token: string,
    type: string,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          ...{ host: '127.0.0.1', port: this.port, method, path, ca: this.authority(), agent: false },
          headers: { authorization: `Bearer ${token}`, 'content-type': `application/${type}` },
        },
        (response) => {
          const pieces: Buffer[] = [];
          response.on('data', (piece: Buffer) => pieces.push(piece));
          response.on('end', () => {
            const text = Buffer.concat(pieces).toString('utf8');
            resolve({
              status: response.statusCode ?? 0,
              body: text.startsWith('{') ? JSON.parse(text) : { text },
            });
          });
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

function pathOf({ apiVersion, kind, metadata: { name, namespace } }: KubernetesObject): string {
  const plural = PLURALS[kind];
  if (plural === undefined) throw new Error(`no plural for ${kind}`);
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return `${base}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${plural}/${name}`;
}
