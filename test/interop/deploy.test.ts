import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { pushImage } from '../support/content.ts';
import { freePort, type Server, startServer } from '../support/process.ts';
import { ADMINISTRATOR, type Cluster, type KubernetesObject, startCluster } from './cluster.ts';
import { BULLA, cleanEnvironment, havePeers, ok, peer } from './peers.ts';
import { startRegistry } from './registries.ts';

const deploy = new URL('../../deploy/', import.meta.url);
const NAMESPACE = 'bulla-gate';
const TEAM = 'team-a';

interface Webhooks extends KubernetesObject {
  readonly webhooks: readonly Record<string, unknown>[];
}

function documents(text: string): KubernetesObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null);
}

/** What kustomize makes of a folder. */
function kustomized(folder: string): KubernetesObject[] {
  const { status, stdout, stderr } = spawnSync(peer('kustomize-build'), [folder], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return documents(stdout);
}

/** What Helm's engine makes of the chart, in the order in which Helm installs it. */
function rendered(values: object = {}, how: Rendering = {}): KubernetesObject[] {
  const { status, stdout, stderr } = render(values, how);
  expect(status, stderr).toBe(0);
  return documents(stdout);
}

interface Rendering {
  readonly flags?: readonly string[];
  /** Name of the release and of its namespace. */
  readonly as?: string;
  /** That of the API server that it would be installed to. */
  readonly port?: number;
}

function render(
  values: object,
  { flags = [], as = NAMESPACE, port }: Rendering = {},
): SpawnSyncReturns<string> {
  const chart = new URL('helm/bulla-gate', deploy).pathname;
  const server = { HELM_API: `https://127.0.0.1:${port}`, HELM_TOKEN: ADMINISTRATOR };
  return spawnSync(peer('helm-template'), [...flags, chart, as, as], {
    // JSON is YAML of every version.
    input: JSON.stringify(values),
    encoding: 'utf8',
    env: { ...cleanEnvironment(), ...(port !== undefined && server) },
  });
}

const BASE = new URL('kustomize/gate', deploy).pathname;
const podOf = (objects: readonly KubernetesObject[]): Record<string, unknown> => {
  const found = objects.find(({ kind }) => kind === 'Deployment') as unknown as {
    spec: { template: { spec: Record<string, unknown> } };
  };
  return found.spec.template.spec;
};

describe.runIf(havePeers('etcd', 'kube-apiserver', 'helm-template', 'kustomize-build'))(
  'deploying the gate',
  () => {
    let cluster: Cluster;
    let gate: KubernetesObject[];
    let webhooks: Webhooks[];
    beforeAll(async () => {
      gate = kustomized(BASE);
      webhooks = gate.filter(({ kind }) => kind.endsWith('WebhookConfiguration')) as Webhooks[];
      cluster = await startCluster();
      for (const name of [NAMESPACE, TEAM, 'kube-system'])
        for (const object of namespaceWithAccount(name)) await accepted(object);
      for (const object of gate.filter((one) => !webhooks.includes(one as Webhooks))) await accepted(object);
    });
    afterAll(async () => {
      await cluster?.stop();
    });

    const accepted = async (object: KubernetesObject, options = {}): Promise<void> => {
      const { status, body } = await cluster.apply(object, options);
      expect([200, 201], `${object.kind}: ${JSON.stringify(body)}`).toContain(status);
    };
    const pod = (namespace: string, spec: object = { containers: [{ name: 'app', image: 'app:v1' }] }) =>
      ({
        ...{ apiVersion: 'v1', kind: 'Pod', spec },
        metadata: { name: 'tried', namespace },
      }) as KubernetesObject;

    it('with kustomize has only objects that the API server accepts', async () => {
      expect(gate.length).toBeGreaterThan(8);
      for (const object of gate) await accepted(object, { dryRun: true });
    });

    it('with the overlay of docs/gate.md has the image and the policy of the user', async () => {
      const page = readFileSync(new URL('../docs/gate.md', deploy), 'utf8');
      const [, text = ''] = /^```yaml\n# kustomization\.yaml\n([\s\S]*?)^```/m.exec(page) ?? [];
      const folder = mkdtempSync(join(tmpdir(), 'bulla-overlay-'));
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
      const base = relative(realpathSync(folder), realpathSync(BASE));
      writeFileSync(join(folder, 'kustomization.yaml'), text.replace(/https:.*/, base));
      const policy = { 'policy.yaml': 'version: 1\nrules: []\n', 'release.pub': 'PEM' };
      const patch = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'bulla-gate-policy', namespace: NAMESPACE },
      };
      writeFileSync(join(folder, 'policy.yaml'), JSON.stringify({ ...patch, data: policy }));
      const objects = kustomized(folder);
      expect(objects).toHaveLength(gate.length);
      for (const object of objects) await accepted(object, { dryRun: true });
      expect(objects.find(({ kind }) => kind === 'ConfigMap')).toMatchObject({ data: policy });
      expect(podOf(objects)['containers']).toMatchObject([
        { image: expect.stringMatching(/^registry\.example\.com\/team\/bulla@sha256:[0-9a-f]{64}$/) },
      ]);
    });

    it('on nodes has only objects that the API server accepts', async () => {
      const objects = documents(readFileSync(new URL('kubernetes/node-hook.yaml', deploy), 'utf8'));
      expect(objects.map(({ kind }) => kind)).toEqual(['Namespace', 'ConfigMap', 'DaemonSet']);
      for (const object of objects) await accepted(object, { dryRun: object.kind !== 'Namespace' });
    });

    it.each<[string, object]>([
      ['the default values', {}],
      ['mutation off, pods only', { webhooks: { mutate: false, workloads: false } }],
      ['no webhooks yet', { webhooks: { enabled: false } }],
      [
        'a certificate of its own',
        {
          certificates: {
            mode: 'secret',
            secretName: 'given',
            caBundle: Buffer.from('PEM').toString('base64'),
          },
        },
      ],
      ['certificates of cert-manager', { certificates: { mode: 'certManager' } }],
      [
        'an issuer that is there already',
        { certificates: { mode: 'certManager', issuerRef: { kind: 'ClusterIssuer', name: 'cluster' } } },
      ],
      [
        'all options on',
        {
          serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
          ...{
            replicas: 3,
            nameOverride: 'images',
            imagePullSecrets: ['registry'],
            registrySecret: 'registry',
          },
          ...{
            deadline: '5s',
            events: true,
            alertSecret: 'chat',
            emergencyAllow: true,
            extraArgs: ['--host', 'gate.example.com'],
            priorityClassName: '',
          },
          policy: { files: { 'policy.yaml': 'version: 1\nrules: []\n', 'release.pub': 'PEM\n' } },
          webhooks: {
            extraRules: [
              {
                apiGroups: ['argoproj.io'],
                apiVersions: ['*'],
                operations: ['CREATE'],
                resources: ['workflows'],
              },
            ],
            exemptNamespaces: ['storage', 'monitoring'],
            failurePolicy: 'Ignore',
            timeoutSeconds: 7,
          },
          pullSecrets: [{ namespace: TEAM, secrets: ['registry', 'mirror'] }],
          networkPolicy: {
            egressPorts: [443, 5000],
            metricsFrom: [
              { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } },
            ],
          },
          nodeSelector: { 'kubernetes.io/os': 'linux' },
          tolerations: [
            { key: 'node-role.kubernetes.io/control-plane', operator: 'Exists', effect: 'NoSchedule' },
          ],
        },
      ],
    ])('with Helm has only objects that the API server accepts: %s', async (_, values) => {
      // Custom resources are checked where they are rendered: this API server does not know them.
      const objects = rendered(values).filter(
        ({ apiVersion }) => !/^(cert-manager|monitoring)\./.test(apiVersion),
      );
      expect(objects.length).toBeGreaterThan(5);
      for (const object of objects) await accepted(object, { dryRun: object.kind !== 'ServiceAccount' });
      await accepted(pod(NAMESPACE, podOf(objects)), { dryRun: true });
    });

    it('takes the certificate of cert-manager, and its CA for the webhooks', () => {
      const objects = rendered({ certificates: { mode: 'certManager' } });
      const [certificate] = objects.filter(({ kind }) => kind === 'Certificate') as unknown as {
        spec: { secretName: string; dnsNames: string[]; issuerRef: object };
      }[];
      const [service] = objects.filter(({ kind }) => kind === 'Service');
      expect(certificate?.spec.dnsNames).toEqual([`${service?.metadata.name}.${NAMESPACE}.svc`]);
      expect(certificate?.spec.issuerRef).toEqual({ kind: 'Issuer', name: NAMESPACE });
      const { volumes, automountServiceAccountToken } = podOf(objects);
      expect(volumes).toContainEqual({
        name: 'tls',
        secret: { secretName: certificate?.spec.secretName, defaultMode: 0o440 },
      });
      expect(automountServiceAccountToken).toBe(false);
      expect(objects.some(({ kind }) => kind.includes('Role'))).toBe(false);
      for (const { kind, metadata } of objects)
        if (kind.endsWith('WebhookConfiguration'))
          expect(metadata).toMatchObject({
            annotations: { 'cert-manager.io/inject-ca-from': `${NAMESPACE}/${NAMESPACE}` },
          });
    });

    it('takes names that YAML could read as numbers or truth values', async () => {
      for (const name of ['1e3', '007'])
        for (const object of namespaceWithAccount(name)) await accepted(object);
      const objects = rendered(
        {
          ...{
            nameOverride: 'y',
            registrySecret: '0x10',
            alertSecret: '12',
            imagePullSecrets: ['1.0'],
            events: true,
          },
          ...{
            policy: { configMap: '0o7' },
            pullSecrets: [{ namespace: '007', secrets: ['1_000', 'true'] }],
          },
          webhooks: { exemptNamespaces: ['404'] },
        },
        { as: '1e3' },
      );
      for (const object of objects) await accepted(object, { dryRun: object.kind !== 'ServiceAccount' });
      await accepted(pod('1e3', podOf(objects)), { dryRun: true });
    });

    it('says that it has effects only where it has some, and none in a dry run', () => {
      const effects = (values: object): unknown[] =>
        (rendered(values) as Webhooks[]).flatMap(({ webhooks: all = [] }) =>
          all.map(({ sideEffects }) => sideEffects),
        );
      expect(effects({})).toEqual(['None', 'None']);
      for (const values of [{ events: true }, { alertSecret: 'chat' }])
        expect(effects(values)).toEqual(['NoneOnDryRun', 'NoneOnDryRun']);
    });

    it('gives the same with Helm as with kustomize', () => {
      const plain = (object: KubernetesObject): unknown => {
        const { labels = {}, ...metadata } = object.metadata as {
          name: string;
          labels?: Record<string, string>;
        };
        const kept = Object.entries(labels).filter(([name]) => !/managed-by|helm\.sh/.test(name));
        return { ...object, metadata: { ...metadata, labels: Object.fromEntries(kept) } };
      };
      const byKind = (objects: readonly KubernetesObject[]): unknown[] =>
        objects.map(plain).sort((a, b) => (key(a) < key(b) ? -1 : 1));
      const key = (object: unknown): string => JSON.stringify(object).slice(0, 200);
      expect(byKind(rendered())).toEqual(byKind(gate.filter(({ kind }) => kind !== 'Namespace')));
    });

    it.each<[string, object, RegExp]>([
      ['an unknown value', { replica: 3 }, /replica/],
      ['an unknown value inside', { webhooks: { failOpen: true } }, /failOpen/],
      ['an image without tag and digest', { image: 'registry.example.com/bulla' }, /image/],
      [
        'a policy under another name',
        { policy: { files: { 'policy.yaml': null, 'rules.yaml': '' } } },
        /policy\.yaml/,
      ],
      ['a certificate without its CA', { certificates: { mode: 'secret' } }, /caBundle/],
      ['an unknown failure policy', { webhooks: { failurePolicy: 'Open' } }, /failurePolicy/],
      ['a deadline that the API server does not wait for', { deadline: '10s' }, /deadline/],
      ['the same in milliseconds', { deadline: '5000ms', webhooks: { timeoutSeconds: 5 } }, /deadline/],
      ['a limit of no time', { webhooks: { timeoutSeconds: 0 } }, /timeoutSeconds/],
    ])('refuses with Helm %s', (_, values, message) => {
      const { status, stderr } = render(values);
      expect(status).not.toBe(0);
      expect(stderr).toMatch(message);
    });

    it('installs webhooks last, and with Helm deletes them first', () => {
      const kinds = (flags: readonly string[]): boolean[] =>
        rendered({}, { flags }).map(({ kind }) => kind.endsWith('WebhookConfiguration'));
      const installed = kinds([]);
      expect(gate.map(({ kind }) => kind).slice(-2)).toEqual(webhooks.map(({ kind }) => kind));
      expect(installed.slice(-2)).toEqual([true, true]);
      expect(installed.slice(0, -2)).not.toContain(true);
      const deleted = kinds(['--uninstall']);
      expect(deleted.slice(0, 2)).toEqual([true, true]);
      expect(deleted.slice(2)).not.toContain(true);
    });

    it('runs with nothing that restricted pods may not have', async () => {
      await accepted(pod(NAMESPACE, podOf(gate)), { dryRun: true });
      const { status } = await cluster.apply(pod(NAMESPACE, { ...podOf(gate), hostNetwork: true }), {
        dryRun: true,
      });
      expect(status).toBe(403);
    });

    it('may do what it needs, and nothing else', async () => {
      const token = await cluster.tokenOf(NAMESPACE, 'bulla-gate');
      const may = async (verb: string, resource: string, name = '', namespace = NAMESPACE, group = '') => {
        const spec = { resourceAttributes: { namespace, verb, resource, group, name } };
        const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
        const { body } = await cluster.ask('POST', path, { spec }, token);
        return (body['status'] as { allowed: boolean }).allowed;
      };
      expect(await may('create', 'secrets')).toBe(true);
      for (const verb of ['get', 'update']) expect(await may(verb, 'secrets', 'bulla-gate-tls')).toBe(true);
      for (const verb of ['get', 'update', 'delete'])
        expect(await may(verb, 'secrets', 'another')).toBe(false);
      for (const verb of ['get', 'list', 'watch', 'create'])
        for (const resource of ['secrets', 'pods', 'configmaps', 'serviceaccounts'])
          expect(await may(verb, resource, '', TEAM), `${verb} ${resource}`).toBe(false);
      const group = 'admissionregistration.k8s.io';
      for (const resource of ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations']) {
        for (const verb of ['get', 'patch']) {
          expect(await may(verb, resource, 'bulla-gate', '', group)).toBe(true);
          expect(await may(verb, resource, 'another', '', group)).toBe(false);
        }
        for (const verb of ['create', 'delete', 'list', 'update'])
          expect(await may(verb, resource, 'bulla-gate', '', group)).toBe(false);
      }
    });

    it('reads pull secrets only in the namespace that is named, and only those', async () => {
      const values = { pullSecrets: [{ namespace: TEAM, secrets: ['registry'] }] };
      for (const object of rendered(values).filter(({ metadata }) => metadata.namespace === TEAM))
        await accepted(object);
      const token = await cluster.tokenOf(NAMESPACE, 'bulla-gate');
      const get = async (namespace: string, name: string): Promise<number> =>
        (await cluster.ask('GET', `/api/v1/namespaces/${namespace}/secrets/${name}`, undefined, token))
          .status;
      // 404: it may read the Secret, which does not exist.
      expect(await get(TEAM, 'registry')).toBe(404);
      expect(await get(TEAM, 'another')).toBe(403);
      expect(await get('kube-system', 'registry')).toBe(403);
      expect((await cluster.ask('GET', `/api/v1/namespaces/${TEAM}/secrets`, undefined, token)).status).toBe(
        403,
      );
    });

    describe('while no gate answers', () => {
      beforeAll(async () => {
        for (const object of webhooks) await accepted(object);
      });
      afterAll(async () => {
        for (const { kind } of webhooks) await remove(kind);
      });
      const remove = async (kind: string): Promise<void> => {
        const path = `/apis/admissionregistration.k8s.io/v1/${kind.toLowerCase()}s/bulla-gate`;
        expect((await cluster.ask('DELETE', path)).status).toBe(200);
      };
      const until = (namespace: string, status: number): Promise<void> =>
        expect
          .poll(async () => (await cluster.apply(pod(namespace), { dryRun: true })).status, {
            timeout: 20_000,
          })
          .toBe(status);

      it('no pod starts, except where the gate and Kubernetes run themselves', async () => {
        await until(TEAM, 500);
        const { body } = await cluster.apply(pod(TEAM), { dryRun: true });
        expect(JSON.stringify(body)).toContain('mutate.bulla-gate.internal');
        await accepted(pod(NAMESPACE, podOf(gate)), { dryRun: true });
        await accepted(pod('kube-system'), { dryRun: true });
      });

      it('a namespace cannot make itself exempt', async () => {
        await until(TEAM, 500);
        for (const forged of ['kube-system', NAMESPACE]) {
          const labels = { 'kubernetes.io/metadata.name': forged, 'bulla-gate.internal/ignore': 'true' };
          const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: TEAM, labels } };
          await cluster.ask('PUT', `/api/v1/namespaces/${TEAM}`, object);
          const { body } = await cluster.ask('GET', `/api/v1/namespaces/${TEAM}`);
          expect(body).toMatchObject({ metadata: { labels: { 'kubernetes.io/metadata.name': TEAM } } });
          expect((await cluster.apply(pod(TEAM), { dryRun: true })).status).toBe(500);
        }
      });

      it('everything works again when the webhooks are deleted', async () => {
        await until(TEAM, 500);
        for (const { kind } of webhooks) await remove(kind);
        await until(TEAM, 201);
        for (const object of webhooks) await accepted(object);
      });
    });

    describe('with the program that its pods run', () => {
      let home: string;
      const replicas: Server[] = [];
      beforeAll(async () => {
        home = mkdtempSync(join(tmpdir(), 'bulla-gate-'));
        const map = gate.find(({ kind }) => kind === 'ConfigMap') as unknown as {
          data: Record<string, string>;
        };
        for (const [name, text] of Object.entries(map.data)) writeFileSync(join(home, name), text);
        for (const object of webhooks) await accepted(object);
        replicas.push(await replica(), await replica());
      });
      afterAll(async () => {
        for (const { stop } of replicas) await stop();
        for (const { kind } of webhooks) await cluster.ask('DELETE', pathOf(kind));
        rmSync(home, { recursive: true, force: true });
      });
      const pathOf = (kind: string): string =>
        `/apis/admissionregistration.k8s.io/v1/${kind.toLowerCase()}s/bulla-gate`;

      /** The arguments of the manifests, with the paths and ports of this machine. */
      const replica = async (): Promise<Server> => {
        const [container] = podOf(gate)['containers'] as { args: string[] }[];
        const args = (container?.args ?? []).map((arg) =>
          arg.replace(/^0\.0\.0\.0:\d+$/, '127.0.0.1:0').replace('/etc/bulla/policy', home),
        );
        const token = await cluster.tokenOf(NAMESPACE, 'bulla-gate');
        const argv = cluster.podCommand(NAMESPACE, token, [process.execPath, BULLA, ...args]);
        return await startServer({
          file: argv[0] as string,
          args: () => argv.slice(1),
          env: { ...cleanEnvironment(), ...cluster.podEnvironment, BULLA_HOME: join(home, 'home') },
          announces: /https:\/\/127\.0\.0\.1:(\d+)/,
        });
      };
      const plainUrl = ({ log }: Server): string => /http:\/\/127\.0\.0\.1:\d+/.exec(log())?.[0] ?? '';
      const run = async (image: string): Promise<{ status: number; text: string }> => {
        const spec = { containers: [{ name: 'app', image }] };
        const { status, body } = await cluster.apply(pod(TEAM, spec), { dryRun: true });
        return { status, text: JSON.stringify(body) };
      };

      it('has the rights for its certificate, which all replicas share, and the webhooks trust it', async () => {
        const bundles = new Set<string>();
        for (const { kind } of webhooks) {
          const { webhooks: all } = (await cluster.ask('GET', pathOf(kind))).body as unknown as Webhooks;
          for (const { clientConfig } of all) bundles.add((clientConfig as { caBundle: string }).caBundle);
        }
        expect(bundles.size).toBe(1);
        const ca = Buffer.from([...bundles][0] ?? '', 'base64');
        // Webhooks that Helm adds or replaces now are trusted from the beginning.
        const objects = rendered({}, { port: cluster.port }) as Webhooks[];
        for (const { clientConfig } of objects.flatMap(({ webhooks: all = [] }) => all))
          expect(clientConfig).toMatchObject({ caBundle: [...bundles][0] });
        expect(JSON.stringify(rendered())).not.toContain('caBundle');
        const shown = await Promise.all(replicas.map(({ host }) => certificateOf(host, ca)));
        expect(shown[0]).toEqual(shown[1]);
      });

      it('is asked by the API server, and its first policy blocks nothing', async () => {
        // Without a proxy on nodes, a Service leads here by name; the certificate is still that of the Service.
        const [first] = replicas as [Server];
        const spec = { type: 'ExternalName', externalName: '127.0.0.1' };
        const service = {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'bulla-gate', namespace: NAMESPACE },
        };
        await cluster.ask('DELETE', `/api/v1/namespaces/${NAMESPACE}/services/bulla-gate`);
        await accepted({ ...service, spec });
        for (const object of webhooks) {
          const port = Number(first.host.split(':')[1]);
          const all = object.webhooks.map(({ clientConfig, ...webhook }) => ({
            ...webhook,
            clientConfig: { service: { ...(clientConfig as { service: object }).service, port } },
          }));
          await accepted({ ...object, webhooks: all });
        }
        // An upgrade applies the configurations again, and leaves what the gate wrote.
        for (const { kind } of webhooks) {
          const { webhooks: all } = (await cluster.ask('GET', pathOf(kind))).body as unknown as Webhooks;
          for (const { clientConfig } of all)
            expect(clientConfig).toMatchObject({ caBundle: expect.stringMatching(/^[A-Za-z0-9+/]{100,}/) });
        }
        await expect
          .poll(async () => (await run('registry.k8s.io/pause:3')).status, { timeout: 30_000 })
          .toBe(201);
        expect((await run('r.example/app:1')).status).toBe(201);
        const reviews = await (await fetch(`${plainUrl(first)}/metrics`)).text();
        expect(reviews).toMatch(/bulla_gate_reviews_total\{hook="validate",decision="audited"\} [1-9]/);
      });

      it('decides by another policy soon after it was changed', async () => {
        writeFileSync(
          join(home, 'policy.yaml'),
          'version: 1\nrules: [{ scope: registry.k8s.io/*, allow: x }]\n',
        );
        await expect.poll(async () => (await run('r.example/app:1')).status, { timeout: 30_000 }).toBe(403);
        expect((await run('r.example/app:1')).text).toContain('no rule of the policy is about r.example/app');
        expect((await run('registry.k8s.io/pause:3')).status).toBe(201);
      });

      it('does what docs/gate.md shows, with kubectl replaced by the API that it uses', async () => {
        const registry = await startRegistry('embedded');
        onTestFinished(() => registry.stop());
        const page = readFileSync(new URL('../docs/gate.md', deploy), 'utf8');
        const here = (text: string): string => text.replaceAll('registry.example.com', registry.host);
        const [tutorial = '', alone = ''] = page.split(/^## (?:Without a cluster|Introduce .*)$/m);
        const [policy = ''] = [...tutorial.matchAll(/^```yaml\n# policy\.yaml\n([\s\S]*?)^```/gm)].map(
          ([, text]) => text,
        );
        const commands = [...tutorial.matchAll(/^\$ bulla (.*)$/gm)].map(([, line = '']) =>
          here(line).split(' '),
        );
        const image = here('registry.example.com/team/app:v1');
        const target = openRepository(parseReference(image) as RegistryReference);
        const { descriptor } = await pushImage(target, 'of the tutorial', 'v1');
        await target.close();
        const env = {
          ...cleanEnvironment(),
          BULLA_HOME: join(home, 'publisher'),
          BULLA_PASSPHRASE: 'of a test',
        };
        const [generate = [], exported = [], sign = []] = commands;
        expect(commands).toHaveLength(3);
        for (const words of [generate, exported])
          await ok(process.execPath, [BULLA, ...words], { env, cwd: home });
        writeFileSync(join(home, 'policy.yaml'), here(policy));
        const said = (): Promise<string> => run(image).then(({ text }) => text);
        await expect.poll(said, { timeout: 30_000 }).toContain(`${image} has no signature; expected`);
        expect(await said()).toContain('denied the request: Pod/tried is denied: containers/app: ');
        expect(await said()).toContain('[unsigned] (sign it with `bulla sign`');

        await ok(process.execPath, [BULLA, ...sign], { env, cwd: home });
        await expect
          .poll(said, { timeout: 30_000, interval: 500 })
          .toContain(`"image":"${image}@${descriptor.digest}"`);
        expect((await run('r.example/without-a-rule:1')).status).toBe(201);

        const [certificate = '', serve = '', ask = ''] = [...alone.matchAll(/^\$ (.*)$/gm)].map(
          ([, line]) => line,
        );
        await ok('bash', ['-c', certificate], { cwd: home });
        const tlsPort = await freePort();
        const gate = await startServer({
          file: 'bash',
          args: (port) => [
            '-c',
            `cd '${home}' && exec '${process.execPath}' '${BULLA}' ${serve
              .replace(/^bulla /, '')
              .replace('127.0.0.1:8443', `127.0.0.1:${tlsPort}`)
              .replace('127.0.0.1:8080', `127.0.0.1:${port}`)}`,
          ],
          env,
          answers: '/healthz',
        });
        onTestFinished(() => gate.stop());
        const [, url = ''] = /^curl '(.*)'$/.exec(ask) ?? [];
        const answer = await fetch(here(url).replace('127.0.0.1:8080', gate.host));
        expect(await answer.text()).toContain(descriptor.digest);
      });

      it('lets nothing pass when it ends, and does not stand in the way when the webhooks were deleted before', async () => {
        for (const { stop } of replicas.splice(0)) await stop();
        expect((await run('registry.k8s.io/pause:3')).status).toBe(500);
        for (const { kind } of webhooks) await cluster.ask('DELETE', pathOf(kind));
        await expect.poll(async () => (await run('r.example/app:1')).status, { timeout: 20_000 }).toBe(201);
      });
    });
  },
);

/** The certificate that a server shows, if this authority issued it for the Service. */
function certificateOf(host: string, ca: Buffer): Promise<string> {
  const [hostname, port] = host.split(':');
  const servername = `bulla-gate.${NAMESPACE}.svc`;
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), ca, servername }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.end();
    });
    socket.on('error', reject);
  });
}

/** Without a controller nothing else makes the account that pods run as. */
function namespaceWithAccount(name: string): KubernetesObject[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: name } },
  ];
}
