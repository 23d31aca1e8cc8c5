import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import type { Target } from '../../src/oci/target.ts';
import { HEAD_TAG } from '../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../src/trust/publish/publish.ts';
import { readCollection } from '../../src/trust/read/collection.ts';
import { type Server, startServer } from '../support/process.ts';
import { collectionIn, realPublisher } from '../support/resign/service.ts';
import { naming, reading } from '../support/trust/publishing.ts';
import { ONLINE, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { type Cluster, type KubernetesObject, startCluster } from './cluster.ts';
import { BULLA, cleanEnvironment, havePeers } from './peers.ts';
import { type Registry, startRegistry } from './registries.ts';

const NAMESPACE = 'bulla';
const ACCOUNT = 'bulla-resigner';
const LEASES = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
const MAPS = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
const DAY = 86_400_000;

function manifests(name: string): KubernetesObject[] {
  const text = readFileSync(new URL(`../../deploy/kubernetes/${name}`, import.meta.url), 'utf8');
  return parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject);
}

/** The configuration of the manifests, with the paths and names of this machine. */
function configured(host: string, more: object): string {
  const dir = mkdtempSync(join(tmpdir(), 'bulla-replica-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const key = join(dir, 'online.pem');
  writeFileSync(key, poolKey(ONLINE).privateKey.export({ type: 'pkcs8', format: 'pem' }));
  chmodSync(key, 0o600);
  const map = manifests('resigner.yaml').find(({ kind }) => kind === 'ConfigMap');
  const { notify, ...shipped } = parse(
    (map as unknown as { data: Record<string, string> }).data['resigner.yaml'] ?? '',
  );
  expect(notify).toBeDefined();
  const config = {
    ...shipped,
    collections: [{ repositories: `${host}/team/*`, rootKeyIds: [poolKey(ROOT).key.keyid] }],
    key,
    cache: join(dir, 'cache'),
    listen: '127.0.0.1:0',
    lease: { ...shipped.lease, duration: '3s' },
    schedule: { poll: '200ms' },
    ...more,
  };
  const path = join(dir, 'resigner.yaml');
  writeFileSync(path, stringify(config));
  return path;
}

/** A replica of the Deployment: the real command, with what its pod would have. */
interface Replica extends Server {
  /** When it led, in milliseconds since 1970; the end of what goes on is missing. */
  terms(): { from: number; to: number | undefined }[];
  leads(): boolean;
  events(): Record<string, unknown>[];
}

async function replica(cluster: Cluster, config: string): Promise<Replica> {
  const token = await cluster.tokenOf(NAMESPACE, ACCOUNT);
  const argv = cluster.podCommand(NAMESPACE, token, [
    process.execPath,
    BULLA,
    'serve',
    'resigner',
    '--config',
    config,
  ]);
  const server = await startServer({
    file: argv[0] as string,
    args: () => argv.slice(1),
    env: { ...cleanEnvironment(), ...cluster.podEnvironment, BULLA_HOME: join(config, '..', 'home') },
    announces: /http:\/\/127\.0\.0\.1:([0-9]+)/,
  });
  onTestFinished(() => server.stop());
  const events = (): Record<string, unknown>[] =>
    server
      .log()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const terms = (): { from: number; to: number | undefined }[] => {
    const found: { from: number; to: number | undefined }[] = [];
    for (const { event, leading, time } of events()) {
      if (event !== 'leader') continue;
      const at = Date.parse(String(time));
      const last = found.at(-1);
      if (leading === true) found.push({ from: at, to: undefined });
      else if (last !== undefined) last.to = at;
    }
    return found;
  };
  const leads = (): boolean => {
    const last = terms().at(-1);
    return last !== undefined && last.to === undefined;
  };
  return { ...server, terms, leads, events };
}

/** Whether two replicas led at the same time; the end of one that was killed is when that happened. */
function expectOneAtATime(replicas: readonly Replica[], killedAt: ReadonlyMap<Replica, number>): void {
  const all = replicas
    .flatMap((one) => one.terms().map(({ from, to }) => ({ from, to: to ?? killedAt.get(one) ?? Infinity })))
    .sort((a, b) => a.from - b.from);
  for (const [at, term] of all.entries()) {
    const next = all[at + 1];
    if (next !== undefined) expect(term.to).toBeLessThanOrEqual(next.from);
  }
}

const until = (isSo: () => unknown, timeout = 30_000): Promise<void> =>
  expect.poll(isSo, { timeout, interval: 50 }).toBe(true);

describe.runIf(havePeers('etcd', 'kube-apiserver'))('the re-signer in a cluster', () => {
  let cluster: Cluster;
  let registry: Registry;
  beforeAll(async () => {
    cluster = await startCluster();
    for (const name of ['resigner.yaml', 'cronjob.yaml'])
      for (const object of manifests(name)) {
        const { status, body } = await cluster.apply(object);
        expect([200, 201], JSON.stringify(body)).toContain(status);
      }
    registry = await startRegistry('embedded');
  });
  afterAll(async () => {
    await registry?.stop();
    await cluster?.stop();
  });

  const read = async (target: Target, place: string) => {
    const options = reading({ place, now: new Date(), isNamed: (name) => name === place });
    const collection = await readCollection(target, options);
    if (collection === undefined) throw new Error(`nothing at ${place}`);
    return collection;
  };
  const publish = (target: Target, place: string, name: string) =>
    publishNames(
      target,
      reading({ place, now: new Date(), isNamed: (other) => other === place }),
      naming({ [name]: name }),
      realPublisher(),
    );

  it('has pods that the namespace admits, which admits none with privileges', async () => {
    const [deployment] = manifests('resigner.yaml').filter(({ kind }) => kind === 'Deployment');
    const [job] = manifests('cronjob.yaml');
    const specs = [
      (deployment as unknown as { spec: { template: { spec: object } } }).spec.template.spec,
      (job as unknown as { spec: { jobTemplate: { spec: { template: { spec: object } } } } }).spec.jobTemplate
        .spec.template.spec,
    ];
    const pod = (spec: object): KubernetesObject => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'tried', namespace: NAMESPACE },
      spec,
    });
    for (const spec of specs) {
      const { status, body } = await cluster.apply(pod(spec), { dryRun: true });
      expect([200, 201], JSON.stringify(body)).toContain(status);
      const { status: refused, body: why } = await cluster.apply(pod({ ...spec, hostNetwork: true }), {
        dryRun: true,
      });
      expect(refused, JSON.stringify(why)).toBe(403);
    }
  });

  it('may do what it needs, and nothing else', async () => {
    const token = await cluster.tokenOf(NAMESPACE, ACCOUNT);
    const may = async (verb: string, resource: string, group = '', name = '', namespace = NAMESPACE) => {
      const { body } = await cluster.ask(
        'POST',
        '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        { spec: { resourceAttributes: { namespace, verb, resource, group, name } } },
        token,
      );
      return (body['status'] as { allowed: boolean }).allowed;
    };
    const leases = ['leases', 'coordination.k8s.io'] as const;
    expect(await may('create', ...leases)).toBe(true);
    for (const verb of ['get', 'update']) expect(await may(verb, ...leases, 'bulla-resigner')).toBe(true);
    for (const verb of ['get', 'create', 'update']) expect(await may(verb, 'configmaps', '', 'x')).toBe(true);
    for (const verb of ['get', 'update', 'delete']) expect(await may(verb, ...leases, 'another')).toBe(false);
    for (const verb of ['list', 'delete', 'watch']) expect(await may(verb, 'configmaps')).toBe(false);
    for (const resource of ['secrets', 'pods', 'serviceaccounts/token'])
      for (const verb of ['get', 'list', 'create']) expect(await may(verb, resource)).toBe(false);
    expect(await may('get', 'configmaps', '', 'x', 'default')).toBe(false);
  });

  it('has one leader, and another when that one is killed, which goes on from the same state', async () => {
    const place = `${registry.host}/team/killed`;
    const target = await collectionIn(registry, 'team/killed', 10 * DAY);
    const config = () => configured(registry.host, { state: { configMaps: { prefix: 'killed' } } });
    const replicas = [await replica(cluster, config()), await replica(cluster, config())] as const;
    await until(() => replicas.some((one) => one.leads()));
    const [leader, standby] = replicas[0].leads() ? replicas : ([replicas[1], replicas[0]] as const);
    await expect
      .poll(async () => (await read(target, place)).client.trusted.timestamp.content.expires.getTime(), {
        timeout: 20_000,
      })
      .toBeGreaterThan(Date.now() + 13 * DAY);
    const old = await target.fetchManifest(HEAD_TAG);
    await publish(target, place, 'v1');
    const { items } = (await cluster.ask('GET', MAPS)).body as { items: { metadata: { name: string } }[] };
    const states = items.filter(({ metadata }) => metadata.name.startsWith('killed-'));
    expect(states).toHaveLength(1);
    const lease = async () =>
      (await cluster.ask('GET', `${LEASES}/bulla-resigner`)).body as { spec: Record<string, unknown> };
    const before = (await lease()).spec;
    expect(standby.terms()).toEqual([]);

    const killedAt = Date.now();
    process.kill(leader.pid, 'SIGKILL');
    await until(() => standby.leads());
    expect(Date.now() - killedAt).toBeLessThan(10_000);
    expectOneAtATime(replicas, new Map([[leader, killedAt]]));
    const after = (await lease()).spec;
    expect(after['holderIdentity']).not.toBe(before['holderIdentity']);
    expect(after['leaseTransitions']).toBe(Number(before['leaseTransitions']) + 1);
    await publish(target, place, 'v2');
    const { client } = await read(target, place);
    for (const name of ['v1', 'v2']) expect((await client.findTarget(name)).role).toBe('names');

    // What the first one has served is known to the second by the ConfigMap alone.
    for (const tag of await target.listTags()) if (tag !== HEAD_TAG) await target.deleteTag(tag);
    await standby.stop();
    await target.pushManifest(old, { tag: HEAD_TAG });
    const third = await replica(cluster, config());
    await until(() => third.events().some(({ event, kind }) => event === 'alarm' && kind === 'rollback'));
    expect((await target.resolve(HEAD_TAG)).digest).toBe(old.descriptor.digest);
  });

  it('gives the lease back when it is ended, so that nobody has to wait', async () => {
    const config = () =>
      configured(registry.host, {
        lease: { name: 'bulla-resigner', duration: '60s' },
        state: { configMaps: { prefix: 'ended' } },
      });
    const first = await replica(cluster, config());
    // Whoever was killed in another test may hold it still.
    await until(() => first.leads(), 70_000);
    await first.stop();
    const began = Date.now();
    const second = await replica(cluster, config());
    await until(() => second.leads());
    expect(Date.now() - began).toBeLessThan(20_000);
    expectOneAtATime([first, second], new Map());
  });

  it('signs nothing while the API server is away or grants no rights, and goes on afterwards', async () => {
    const place = `${registry.host}/team/away`;
    const target = await collectionIn(registry, 'team/away');
    const config = configured(registry.host, { state: { configMaps: { prefix: 'away' } } });
    const one = await replica(cluster, config);
    await until(() => one.leads(), 70_000);
    await publish(target, place, 'v1');
    await cluster.halt();
    await until(() => !one.leads());
    const staged = publish(target, place, 'v2').catch((error: unknown) => error);
    const before = (await target.resolve(HEAD_TAG)).digest;
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect((await target.resolve(HEAD_TAG)).digest).toBe(before);
    await cluster.resume();
    await until(() => one.leads(), 60_000);
    expect(await staged).not.toBeInstanceOf(Error);

    const [role] = manifests('resigner.yaml').filter(({ kind }) => kind === 'Role') as [KubernetesObject];
    const rules = (role as unknown as { rules: { resources: string[] }[] }).rules;
    await cluster.apply({
      ...role,
      rules: rules.filter(({ resources }) => !resources.includes('configmaps')),
    });
    const withoutRights = publish(target, place, 'v3').catch((error: unknown) => error);
    await until(() =>
      one
        .events()
        .some(({ event, kind, state }) => event === 'alarm' && kind === 'state' && state === 'firing'),
    );
    await cluster.apply(role);
    expect(await withoutRights).not.toBeInstanceOf(Error);
    await until(() =>
      one
        .events()
        .some(({ event, kind, state }) => event === 'alarm' && kind === 'state' && state === 'resolved'),
    );
  });
});
