import { X509Certificate } from 'node:crypto';
import { appendFileSync, closeSync, openSync } from 'node:fs';
import { basename } from 'node:path';
import { type LoadedPolicy as PolicyFiles, readPolicyFiles } from '../../../api/policy-files.ts';
import { readFileBounded } from '../../../disk/atomic.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../../encoding/json.ts';
import { parseDuration } from '../../../encoding/time.ts';
import { BullaError, messageOf } from '../../../errors.ts';
import { HttpPool } from '../../../http/pool.ts';
import { proxyFromEnvironment } from '../../../http/proxy.ts';
import type { RetryPolicy } from '../../../http/retry.ts';
import { readPublicFile } from '../../../keystore/read.ts';
import { clusterAccess } from '../../../kubernetes/access.ts';
import { KubernetesClient } from '../../../kubernetes/client.ts';
import { alertJson, type Denial, type DenialSink, parseTemplate } from '../../../servers/gate/alerts.ts';
import type { LineSink } from '../../../servers/gate/decision-log.ts';
import { DenialEvents } from '../../../servers/gate/events.ts';
import { type CertificateSource, serveGate as start } from '../../../servers/gate/gate.ts';
import { ownCertificate, parseObjectName } from '../../../servers/gate/own-certificate.ts';
import type { PolicySource } from '../../../servers/gate/policy-source.ts';
import { PullSecrets } from '../../../servers/gate/pull-secrets.ts';
import { Registries } from '../../../servers/gate/registries.ts';
import { parseListenAddress, readTlsFiles } from '../../../servers/listener.ts';
import type { LogSink } from '../../../servers/log.ts';
import { SYSTEM_CLOCK } from '../../../servers/system.ts';
import { Webhook } from '../../../servers/webhook.ts';
import { collectionPorts } from '../../flags/collection-flags.ts';
import { trustedRootOf } from '../../flags/keyless-flags.ts';
import { statusPort } from '../../flags/policy-flags.ts';
import { Connections } from '../../shell/connections.ts';
import type { Context } from '../../shell/context.ts';
import { stay } from './stay.ts';

/** Flags of `bulla serve gate`. */
export interface GateFlags {
  readonly policy: string;
  readonly policyConfigmap?: string;
  readonly listen: string;
  readonly plainListen: string;
  readonly host?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly selfSigned?: string;
  readonly webhookConfiguration?: string;
  readonly socket?: string;
  readonly deadline: string;
  readonly auditLog?: string;
  readonly webhookUrl?: string;
  readonly webhookTemplate?: string;
  readonly events?: true;
  readonly emergencyAllow?: true;
}

/** Requests wait in a review: what does not answer is not asked again and again. */
const GATE_RETRY: Partial<RetryPolicy> = { tries: 3, retryAfterCapMs: 1_000, totalMs: 10_000 };
const MAX_DEADLINE_MS = 29_000;
const CLUSTER_MS = 5_000;
const CERTIFICATE_MS = 30_000;
/** How often files of a policy are read though none has changed: a TUF repository may have another trusted root. */
const POLICY_MS = 60_000;
const MAX_TEMPLATE_BYTES = 64 * 1024;

/** Runs the gate until it is asked to end. @throws BullaError */
export async function serveGate(
  context: Context,
  all: Readonly<Record<string, unknown>>,
  flags: GateFlags,
): Promise<void> {
  const { io } = context;
  const log: LogSink = (entry) => io.stderr.write(`${JSON.stringify(entry)}\n`);
  const problem = (message: string): void =>
    log({ time: new Date().toISOString(), level: 'warning', event: 'problem', message });
  const cluster = lazily(() => openCluster(context));
  const files = auditFile(context, flags, problem);
  const server = await start({
    policy: policySource(context, flags, cluster),
    certificate: certificateSource(context, flags, cluster),
    registries: await registriesOf(context, all, problem),
    pullSecrets: new PullSecrets({
      get: async (path) => (await cluster()).get(path),
      monotonic: () => performance.now(),
      problem,
    }),
    listen: parseListenAddress(flags.listen, undefined, 8443),
    plainListen: parseListenAddress(flags.plainListen, undefined, 8080),
    hosts: flags.host ?? [],
    socket: flags.socket === undefined ? undefined : context.path(flags.socket),
    deadlineMs: deadlineOf(flags),
    isEmergency: flags.emergencyAllow === true,
    clock: SYSTEM_CLOCK,
    monotonic: () => performance.now(),
    log,
    decisions: files.write,
    denials: await denialSinks(context, flags, cluster, problem),
  });
  const { url, address, plainUrl } = server;
  const staying = {
    ...{ url, address, close: () => server.close() },
    async reload(): Promise<void> {
      files.reopen();
      await server.reload();
    },
  };
  await stay(context, staying, `serving the gate on ${url}, and its metrics on ${plainUrl}`, { plainUrl });
}

function deadlineOf({ deadline }: GateFlags): number {
  const ms = parseDuration(deadline);
  if (ms !== undefined && ms > 0 && ms <= MAX_DEADLINE_MS) return ms;
  throw new BullaError('usage', `--deadline is ${JSON.stringify(deadline)}, not a duration of up to 29s`, {
    hint: 'write 8s: less than timeoutSeconds of the webhook configuration',
  });
}

type Cluster = () => Promise<KubernetesClient>;

/** The API server is asked only where a flag or the policy needs it. */
function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}

async function openCluster(context: Context): Promise<KubernetesClient> {
  const { env, home } = context.io;
  const access = await clusterAccess(env, home);
  const pool = new HttpPool({ tls: access.tls });
  context.defer(() => pool.close());
  return new KubernetesClient(access, pool);
}

function policySource(context: Context, flags: GateFlags, cluster: Cluster): PolicySource {
  const trustedRoot = (place: string | undefined) => trustedRootOf(context, place);
  if (flags.policyConfigmap === undefined) {
    const { cwd } = context.io;
    return {
      where: flags.policy,
      everyMs: POLICY_MS,
      async read() {
        const files = new Set<string>();
        const read = (file: string): Promise<Uint8Array> => {
          files.add(file);
          return readPublicFile(file);
        };
        return loaded(await readPolicyFiles(flags.policy, { cwd, trustedRoot, read }), [...files]);
      },
    };
  }
  const { namespace, name } = parseObjectName(flags.policyConfigmap, '--policy-configmap');
  const where = `the ConfigMap ${namespace}/${name}`;
  return {
    where,
    everyMs: CLUSTER_MS,
    async read() {
      const map = await (await cluster()).get(`/api/v1/namespaces/${namespace}/configmaps/${name}`);
      if (map === undefined)
        throw new BullaError('not-found', `there is no ${where.slice('the '.length)}`, {
          hint: 'create it with the policy in policy.yaml',
        });
      const read = async (file: string): Promise<Uint8Array> => contentOf(map, basename(file), where);
      return loaded(await readPolicyFiles(basename(flags.policy), { cwd: '/', trustedRoot, read }), []);
    },
  };
}

function loaded(
  { files: _, sha256, ...policy }: PolicyFiles,
  files: readonly string[],
): Awaited<ReturnType<PolicySource['read']>> {
  return { policy, hash: sha256, files };
}

function contentOf(map: JsonObject, name: string, where: string): Uint8Array {
  const member = (of: JsonValue | undefined): JsonValue | undefined =>
    isJsonObject(of) && Object.hasOwn(of, name) ? of[name] : undefined;
  const text = member(map['data']);
  if (typeof text === 'string') return Buffer.from(text);
  const binary = member(map['binaryData']);
  if (typeof binary === 'string') return Buffer.from(binary, 'base64');
  throw new BullaError('not-found', `${where} has no ${name}`, {
    hint: 'add it under data: policies, keys and certificates by their file names',
  });
}

function certificateSource(context: Context, flags: GateFlags, cluster: Cluster): CertificateSource {
  const { tlsCert, tlsKey, selfSigned, webhookConfiguration } = flags;
  if (selfSigned !== undefined && tlsCert === undefined && tlsKey === undefined) {
    const { namespace, name: service } = parseObjectName(selfSigned, '--self-signed');
    if (webhookConfiguration === undefined)
      throw new BullaError('usage', '--self-signed needs --webhook-configuration', {
        hint: 'add --webhook-configuration with the name of the webhook configurations',
      });
    const owner = { namespace, service, configuration: webhookConfiguration };
    return {
      files: [],
      everyMs: CERTIFICATE_MS,
      read: async () => ownCertificate(await cluster(), owner, new Date()),
    };
  }
  if (tlsCert === undefined || tlsKey === undefined || selfSigned !== undefined)
    throw new BullaError('usage', 'the gate needs one certificate', {
      hint: 'give --tls-cert and --tls-key, or --self-signed and --webhook-configuration',
    });
  const paths = { cert: context.path(tlsCert), key: context.path(tlsKey) };
  return {
    files: [paths.cert, paths.key],
    async read() {
      const files = await readTlsFiles(paths);
      return { ...files, expires: expiryOf(files.cert) };
    },
  };
}

function expiryOf(pem: string | Uint8Array): Date | undefined {
  try {
    return new Date(new X509Certificate(pem).validTo);
  } catch {
    // The listener says what is wrong with it.
    return undefined;
  }
}

async function registriesOf(
  context: Context,
  all: Readonly<Record<string, unknown>>,
  problem: (message: string) => void,
): Promise<Registries> {
  const { io, settings, directories, output } = context;
  const { memory, cache, pins, placeOf, isUnattended } = await collectionPorts(context);
  return new Registries({
    connect: (credentials) => {
      const connections = new Connections({
        ...{ io, settings, directories, output, flags: all, retry: GATE_RETRY },
        ...(credentials !== undefined && {
          credentials: (stored) => async (registry, repository) =>
            (await credentials(registry, repository)) ?? (await stored(registry, repository)),
        }),
      });
      const servers = new Map<string, ReturnType<typeof connectNotary>>();
      const connectNotary = async (url: URL) => {
        const { connectNotaryServer } = await import('../../flags/notary-flags.ts');
        const warn = (message: string): void => output.warn(message);
        return await connectNotaryServer(connections, settings.concurrency, io, url, { warn });
      };
      return {
        repository: async (reference) =>
          (await connections.client(reference.registry, undefined)).repository(reference),
        async notary(url, gun, signal) {
          const opening = servers.get(url.href) ?? connectNotary(url);
          servers.set(url.href, opening);
          // What cannot be read now, such as a file of its authority, is read again for the next image.
          opening.catch(() => servers.delete(url.href));
          const { notaryMemory } = await import('../../flags/notary-flags.ts');
          const source = (await opening).server.repository(gun, signal);
          return { source, memory: await notaryMemory(context, source) };
        },
        async close() {
          for (const opening of servers.values())
            await opening.then((opened) => opened.close()).catch(() => undefined);
          await connections.close();
        },
      };
    },
    ports: { memory, cache, pins, placeOf, isUnattended, status: statusPort(context) },
    clock: SYSTEM_CLOCK,
    monotonic: () => performance.now(),
    problem,
  });
}

/** Where decisions are logged: a file that is opened again on SIGHUP, standard output, or the log. */
function auditFile(
  context: Context,
  { auditLog }: GateFlags,
  problem: (message: string) => void,
): { readonly write: LineSink; readonly reopen: () => void } {
  const { stdout, stderr } = context.io;
  const nothing = (): void => undefined;
  if (auditLog === undefined) return { write: (line) => stderr.write(`${line}\n`), reopen: nothing };
  if (auditLog === '-') return { write: (line) => stdout.write(`${line}\n`), reopen: nothing };
  const path = context.path(auditLog);
  let file = openSync(path, 'a', 0o600);
  context.defer(async () => closeSync(file));
  // A full disk must not stop a cluster.
  const trying = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      problem(`${path}: ${messageOf(error)}`);
    }
  };
  return {
    write: (line) => trying(() => appendFileSync(file, `${line}\n`)),
    reopen: () =>
      trying(() => {
        const next = openSync(path, 'a', 0o600);
        closeSync(file);
        file = next;
      }),
  };
}

async function denialSinks(
  context: Context,
  flags: GateFlags,
  cluster: Cluster,
  problem: (message: string) => void,
): Promise<readonly DenialSink[]> {
  const sinks: DenialSink[] = [];
  if (flags.events === true) {
    const client = await cluster();
    const events = new DenialEvents({
      create: (path, object) => client.create(path, object),
      monotonic: () => performance.now(),
      problem,
    });
    context.defer(() => events.close());
    sinks.push((denial) => events.tell(denial));
  }
  if (flags.webhookUrl !== undefined) {
    if (!URL.canParse(flags.webhookUrl) || !/^https?:/.test(flags.webhookUrl))
      throw new BullaError('usage', '--webhook-url is not an http or https URL', { hint: 'write https://…' });
    const template =
      flags.webhookTemplate === undefined
        ? undefined
        : parseTemplate(
            await readFileBounded(context.path(flags.webhookTemplate), MAX_TEMPLATE_BYTES, { pipes: true }),
            flags.webhookTemplate,
          );
    const pool = new HttpPool({ proxy: proxyFromEnvironment(context.io.env) });
    const gate = context.io.env['HOSTNAME'] ?? 'bulla';
    const alarms = new Webhook<Denial>(
      { url: new URL(flags.webhookUrl), headers: {} },
      pool,
      problem,
      (denials) => alertJson(denials, gate, template),
    );
    context.defer(async () => {
      await alarms.close(3_000);
      await pool.close();
    });
    sinks.push((denial) => alarms.send([denial]));
  }
  return sinks;
}
