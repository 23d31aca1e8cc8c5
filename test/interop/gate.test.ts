import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import type { RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../src/trust/publish/publish.ts';
import { ProcessSignerState } from '../../src/trust/publish/signer-state.ts';
import { pushImages, until } from '../support/gate.ts';
import { freePort, type Server, startServer } from '../support/process.ts';
import { pem, selfSignedCertificate } from '../support/self-signed.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { publisher, reading } from '../support/trust/publishing.ts';
import { ONLINE, PUBLISHER, ROOT, signersOf } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { type Answer, type Cluster, startCluster } from './cluster.ts';
import { BULLA, cleanEnvironment, havePeers } from './peers.ts';
import { type Registry, startDistribution } from './registries.ts';

const TEAM = 'shop';
const SYSTEM = 'gate-system';
const DAY = 86_400_000;
const HOOKS = '/apis/admissionregistration.k8s.io/v1';
type Json = Record<string, unknown>;

describe.runIf(havePeers('etcd', 'kube-apiserver', 'docker-registry'))(
  'the gate of a real API server',
  () => {
    let directory: string;
    let cluster: Cluster;
    let registry: Registry;
    let gate: Server | undefined;
    let port: number;
    let caBundle: string;
    let digests: ReadonlyMap<string, string>;
    let app: string;

    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), 'bulla-gate-'));
      [cluster, registry] = await Promise.all([startCluster(), startDistribution('docker-registry')]);
      app = `${registry.host}/app`;
      digests = await pushImages(app, ['good', 'other', 'evil'], ['good', 'other']);
      await pushImages(`${registry.host}/audited`, ['evil'], []);
      await pushImages(`${registry.host}/pinned`, ['good'], ['good']);
      await named('named', new Date());
      await named('expired', new Date(Date.now() - 40 * DAY));
      writeFileSync(join(directory, 'key.pub'), publicKeyPem(publicKeyOf(poolKey(8).privateKey)));
      writeFileSync(join(directory, 'policy.yaml'), policy());
      const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const cert = pem('CERTIFICATE', selfSignedCertificate('gate', keys, { loopbackServer: true }));
      writeFileSync(join(directory, 'tls.key'), keys.privateKey.export({ format: 'pem', type: 'pkcs8' }), {
        mode: 0o600,
      });
      writeFileSync(join(directory, 'tls.crt'), cert);
      caBundle = Buffer.from(cert).toString('base64');
      port = await freePort();
      await startGate();
      for (const name of [TEAM, SYSTEM]) {
        await made('/api/v1/namespaces', { metadata: { name } });
        await made(`/api/v1/namespaces/${name}/serviceaccounts`, {
          metadata: { name: 'default' },
          automountServiceAccountToken: false,
        });
      }
      for (const [kind, path] of [
        ['mutating', 'mutate'],
        ['validating', 'validate'],
      ] as const)
        await made(`${HOOKS}/${kind}webhookconfigurations`, {
          metadata: { name: 'gate' },
          webhooks: [webhook(path)],
        });
      await made('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', FLEETS);
      // One is refused by both webhooks, the other by the one that validates alone.
      for (const image of [`${app}:evil`, `${registry.host}/pinned:good`])
        await until(async () => (await createPod(image, '?dryRun=All')).status === 403);
      await until(async () => (await cluster.ask('GET', '/apis/sea.example.com/v1')).status === 200);
    }, 120_000);
    afterAll(async () => {
      await gate?.stop();
      await registry?.stop();
      await cluster?.stop();
      rmSync(directory, { recursive: true, force: true });
    });

    /** A repository whose tag `good` is signed in a collection, as of a time. */
    async function named(name: string, at: Date): Promise<void> {
      const repository = `${registry.host}/${name}`;
      const [, digest = ''] = [...(await pushImages(repository, ['good', 'evil'], []))][0] ?? [];
      const target = openRepository({ registry: registry.host, repository: name } as RegistryReference);
      await pushHead(target, await newCollection(repository, at));
      const { length } = (await target.fetchManifest(digest as never)).bytes;
      const set = new Map([['good', { length, sha256: digest.slice('sha256:'.length) }]]);
      const clock = { now: () => at, sleep: async () => undefined };
      await publishNames(
        target,
        reading({ place: repository, now: at, isNamed: (other) => other === repository }),
        [{ role: NAMES_ROLE, set }],
        publisher(1, {
          clock,
          signers: signersOf(poolKey(PUBLISHER), poolKey(ONLINE)),
          state: new ProcessSignerState(true),
        }).options,
      );
    }

    function policy(): string {
      const trust = `trust: { root: { keyIds: [${poolKey(ROOT).key.keyid}] }, signers: { all: [names] } }`;
      const keys = 'signatures: [{ keys: [key.pub] }]';
      const rules = [
        `{ scope: "${registry.host}/*", ${keys} }`,
        `{ scope: "${registry.host}/named", ${trust} }`,
        `{ scope: "${registry.host}/expired", ${trust} }`,
        `{ scope: "${registry.host}/audited", mode: audit, ${keys} }`,
        `{ scope: "${registry.host}/pinned", mode: validate-only, ${keys} }`,
        '{ scope: registry.k8s.io/*, allow: of Kubernetes }',
        '{ scope: "127.0.0.1:9/*", signatures: [{ keys: [key.pub] }] }',
      ];
      return `version: 1\nrules: [${rules.join(', ')}]\ngate: { images: ["spec.ships[*].image"] }\n`;
    }

    async function startGate(): Promise<void> {
      gate = await startServer({
        file: process.execPath,
        args: () => [
          ...[BULLA, 'serve', 'gate', '--policy', join(directory, 'policy.yaml'), '--deadline', '3s'],
          ...['--tls-cert', join(directory, 'tls.crt'), '--tls-key', join(directory, 'tls.key')],
          ...['--listen', `127.0.0.1:${port}`, '--plain-listen', '127.0.0.1:0'],
        ],
        env: { ...cleanEnvironment(), BULLA_HOME: join(directory, 'home'), BULLA_PLAIN_HTTP: '1' },
        announces: /serving the gate on https:\/\/127\.0\.0\.1:([0-9]+)/,
      });
    }

    const webhook = (path: string, url = `https://127.0.0.1:${port}/${path}`): Json => ({
      name: `${path}.gate.test`,
      admissionReviewVersions: ['v1'],
      sideEffects: 'None',
      failurePolicy: 'Fail',
      timeoutSeconds: 5,
      clientConfig: { url, caBundle },
      rules: [
        {
          apiGroups: ['*'],
          apiVersions: ['*'],
          operations: ['CREATE', 'UPDATE'],
          resources: ['*/*'],
          scope: 'Namespaced',
        },
      ],
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': TEAM } },
    });
    const made = async (path: string, object: Json): Promise<Answer> => {
      const answer = await cluster.ask('POST', path, object);
      expect([200, 201], JSON.stringify(answer.body)).toContain(answer.status);
      return answer;
    };
    let count = 0;
    const podOf = (...images: readonly string[]): Json => ({
      containers: images.map((image, at) => ({ name: `c${at}`, image })),
    });
    const create = (path: string, object: Json, query = ''): Promise<Answer> =>
      cluster.ask('POST', `${path.replace('NS', `namespaces/${TEAM}`)}${query}`, {
        metadata: { name: `o${count++}` },
        ...object,
      });
    const createPod = (image: string, query = ''): Promise<Answer> =>
      create('/api/v1/NS/pods', { spec: podOf(image) }, query);
    const pinned = (tag: string): string => `${app}:${tag}@${digests.get(tag)}`;
    const messageOf = ({ body }: Answer): string => String(body['message']);
    /** The images of the first container, wherever a kind has it. */
    const imageOf = ({ body }: Answer): string | undefined =>
      /"containers":\[\{[^\]]*?"image":"([^"]+)"/.exec(JSON.stringify(body))?.[1];

    const selector = { matchLabels: { a: 'b' } };
    const template = (spec: Json): Json => ({ metadata: { labels: { a: 'b' } }, spec });
    const jobTemplate = (spec: Json): Json => template({ ...spec, restartPolicy: 'Never' });
    const KINDS: readonly (readonly [string, string, (spec: Json) => Json])[] = [
      ['Pod', '/api/v1/NS/pods', (spec) => ({ spec })],
      ['PodTemplate', '/api/v1/NS/podtemplates', (spec) => ({ template: template(spec) })],
      [
        'ReplicationController',
        '/api/v1/NS/replicationcontrollers',
        (spec) => ({ spec: { selector: { a: 'b' }, template: template(spec) } }),
      ],
      [
        'Deployment',
        '/apis/apps/v1/NS/deployments',
        (spec) => ({ spec: { selector, template: template(spec) } }),
      ],
      [
        'ReplicaSet',
        '/apis/apps/v1/NS/replicasets',
        (spec) => ({ spec: { selector, template: template(spec) } }),
      ],
      [
        'DaemonSet',
        '/apis/apps/v1/NS/daemonsets',
        (spec) => ({ spec: { selector, template: template(spec) } }),
      ],
      [
        'StatefulSet',
        '/apis/apps/v1/NS/statefulsets',
        (spec) => ({ spec: { selector, serviceName: 'a', template: template(spec) } }),
      ],
      ['Job', '/apis/batch/v1/NS/jobs', (spec) => ({ spec: { template: jobTemplate(spec) } })],
      [
        'CronJob',
        '/apis/batch/v1/NS/cronjobs',
        (spec) => ({
          spec: { schedule: '0 0 * * *', jobTemplate: { spec: { template: jobTemplate(spec) } } },
        }),
      ],
    ];

    it.each(KINDS)(
      'pins what is verified in a %s, and refuses what is not, wherever it stands',
      async (kind, path, object) => {
        const accepted = await create(path, object(podOf(`${app}:good`)));
        expect(accepted.status, JSON.stringify(accepted.body)).toBe(201);
        expect(imageOf(accepted)).toBe(pinned('good'));
        const refused = await create(
          path,
          object({ ...podOf(`${app}:good`), initContainers: [{ name: 'i', image: `${app}:evil` }] }),
        );
        expect(refused.status).toBe(403);
        expect(messageOf(refused)).toMatch(
          new RegExp(`gate\\.test.*${kind}/o\\d+ is denied: initContainers/i: .*\\[unsigned\\]`),
        );
      },
    );

    it('knows image volumes, ephemeral containers and kinds of others', async () => {
      const volumes = [{ name: 'v', image: { reference: `${app}:evil`, pullPolicy: 'Always' } }];
      const withVolume = await create('/api/v1/NS/pods', { spec: { ...podOf(`${app}:good`), volumes } });
      // A cluster that does not know them drops them, and pods have none then.
      if (withVolume.status === 201) expect(JSON.stringify(withVolume.body)).not.toContain('evil');
      else expect(messageOf(withVolume)).toContain('volumes/v');
      const { body } = await createPod(`${app}:good`);
      const { name } = body['metadata'] as { name: string };
      const path = `/api/v1/namespaces/${TEAM}/pods/${name}/ephemeralcontainers`;
      const debug = (image: string): Json => ({
        ...body,
        spec: { ...(body['spec'] as Json), ephemeralContainers: [{ name: 'debug', image }] },
      });
      expect((await cluster.ask('PUT', path, debug(`${app}:evil`))).status).toBe(403);
      expect(JSON.stringify((await cluster.ask('PUT', path, debug(`${app}:other`))).body)).toContain(
        pinned('other'),
      );
      const fleets = '/apis/sea.example.com/v1/NS/fleets';
      const fleet = (image: string): Json => ({
        apiVersion: 'sea.example.com/v1',
        kind: 'Fleet',
        spec: { ships: [{ image }], crew: podOf(`${app}:good`) },
      });
      expect((await create(fleets, fleet(`${app}:evil`))).status).toBe(403);
      const accepted = await create(fleets, fleet(`${app}:other`));
      expect(JSON.stringify(accepted.body)).toContain(pinned('other'));
      expect(imageOf(accepted)).toBe(pinned('good'));
    });

    it('follows the modes of the policy, signed names and expired collections', async () => {
      const audited = await createPod(`${registry.host}/audited:evil`);
      expect([audited.status, imageOf(audited)]).toEqual([201, `${registry.host}/audited:evil`]);
      const onlyValidated = await createPod(`${registry.host}/pinned:good`);
      expect(onlyValidated.status).toBe(403);
      const [, image = ''] = /write (\S+),/.exec(messageOf(onlyValidated)) ?? [];
      expect(image).toMatch(/pinned:good@sha256:/);
      expect((await createPod(image)).status).toBe(201);
      expect(imageOf(await createPod(`${registry.host}/named:good`))).toMatch(/named:good@sha256:/);
      expect(messageOf(await createPod(`${registry.host}/named:evil`))).toContain('[name-not-signed]');
      expect(messageOf(await createPod(`${registry.host}/expired:good`))).toContain('[trust-expired]');
      expect(imageOf(await createPod('registry.k8s.io/pause:3.10'))).toBe('registry.k8s.io/pause:3.10');
      expect(messageOf(await createPod('elsewhere.example/app:1'))).toContain('no rule');
      const swapped = `${app}:good@${digests.get('evil')}`;
      expect((await createPod(swapped)).status).toBe(403);
    });

    it('takes dry runs, names to be generated, objects without images and a hundred containers', async () => {
      expect((await createPod(`${app}:evil`, '?dryRun=All')).status).toBe(403);
      expect(imageOf(await createPod(`${app}:good`, '?dryRun=All'))).toBe(pinned('good'));
      const generated = { metadata: { generateName: 'g-' }, spec: podOf(`${app}:evil`) };
      expect(messageOf(await create('/api/v1/NS/pods', generated))).toContain('Pod/g-');
      expect((await create('/api/v1/NS/configmaps', { data: { image: `${app}:evil` } })).status).toBe(201);
      const hundred = Array.from({ length: 100 }, (_, at) => `${app}:${at % 2 === 0 ? 'good' : 'other'}`);
      const { status, body } = await create('/api/v1/NS/pods', { spec: podOf(...hundred) });
      expect(status).toBe(201);
      expect(JSON.stringify(body).match(/"image":"[^"]+@sha256:/g)).toHaveLength(100);
      expect((await create('/api/v1/NS/pods', { spec: podOf(...hundred, `${app}:evil`) })).status).toBe(403);
      // About as large as etcd takes.
      const large = (image: string): Json => ({
        containers: [{ name: 'c0', image, env: [{ name: 'A', value: 'x'.repeat(1_300_000) }] }],
      });
      expect((await create('/api/v1/NS/pods', { spec: large(`${app}:evil`) })).status).toBe(403);
      expect(imageOf(await create('/api/v1/NS/pods', { spec: large(`${app}:good`) }))).toBe(pinned('good'));
    });

    it('verifies images that an update brings, and leaves others alone', async () => {
      const { body } = await create('/apis/apps/v1/NS/deployments', {
        spec: { selector, template: template(podOf(`${app}:good`)) },
      });
      const { name } = body['metadata'] as { name: string };
      const path = `/apis/apps/v1/namespaces/${TEAM}/deployments/${name}`;
      const update = async (image: string, replicas: number): Promise<Answer> => {
        const { body: now } = await cluster.ask('GET', path);
        const spec = { ...(now['spec'] as Json), replicas, template: template(podOf(image)) };
        return await cluster.ask('PUT', path, { ...now, spec });
      };
      expect((await update(`${app}:evil`, 2)).status).toBe(403);
      expect(imageOf(await update(`${app}:other`, 2))).toBe(pinned('other'));
      expect((await update(pinned('other'), 3)).status).toBe(200);
      // It belongs to nobody's child: an owner that is verified says nothing.
      const owner = {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        name,
        uid: (body['metadata'] as { uid: string }).uid,
        controller: true,
      };
      const child = {
        metadata: { name: `o${count++}`, ownerReferences: [owner] },
        spec: podOf(`${app}:evil`),
      };
      expect((await create('/api/v1/NS/pods', child)).status).toBe(403);
      expect((await cluster.ask('DELETE', path)).status).toBe(200);
    });

    it('refuses what a webhook behind it has changed', async () => {
      const other = await changingWebhook(directory, `${app}:evil`);
      const url = `https://127.0.0.1:${(other.address() as AddressInfo).port}/`;
      try {
        const changing = {
          ...webhook('zz', url),
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        };
        await made(`${HOOKS}/mutatingwebhookconfigurations`, {
          metadata: { name: 'zz-changes' },
          webhooks: [changing],
        });
        await expect
          .poll(async () => (await createPod(`${app}:good`, '?dryRun=All')).status, { timeout: 20_000 })
          .toBe(403);
        expect(messageOf(await createPod(pinned('good')))).toContain('validate.gate.test');
      } finally {
        await cluster.ask('DELETE', `${HOOKS}/mutatingwebhookconfigurations/zz-changes`);
        other.close();
        other.closeAllConnections();
      }
      await expect
        .poll(async () => (await createPod(`${app}:good`, '?dryRun=All')).status, { timeout: 20_000 })
        .toBe(201);
    });

    it('says in time that a registry cannot be asked, and answers about others', async () => {
      expect((await createPod('127.0.0.1:9/app:1')).status).toBe(503);
      expect((await createPod(pinned('good'))).status).toBe(201);
    });

    it('is a failure while it is killed, and works again when it is back', async () => {
      process.kill(gate?.pid ?? 0, 'SIGKILL');
      await gate?.stop();
      const { status, body } = await createPod(pinned('good'));
      expect([status, JSON.stringify(body)]).toEqual([
        500,
        expect.stringContaining('failed calling webhook'),
      ]);
      await startGate();
      expect((await createPod(pinned('good'))).status).toBe(201);
      expect((await createPod(pinned('evil'))).status).toBe(403);
    });

    it('makes its certificate, and reads policy and pull secrets from the cluster with few rights', async () => {
      const subjects = [{ kind: 'ServiceAccount', name: 'default', namespace: SYSTEM }];
      const rbac = '/apis/rbac.authorization.k8s.io/v1';
      const grant = async (base: string, prefix: string, rules: readonly Json[]): Promise<void> => {
        await made(`${base}/${prefix.toLowerCase()}s`, { metadata: { name: 'gate' }, rules });
        const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: prefix, name: 'gate' };
        await made(`${base}/${prefix.toLowerCase()}bindings`, {
          metadata: { name: 'gate' },
          roleRef,
          subjects,
        });
      };
      const secrets = { apiGroups: [''], resources: ['secrets'] };
      await grant(`${rbac}/namespaces/${SYSTEM}`, 'Role', [
        { ...secrets, verbs: ['create'] },
        { ...secrets, resourceNames: ['gate-tls'], verbs: ['get', 'update'] },
        { apiGroups: [''], resources: ['configmaps'], resourceNames: ['policy'], verbs: ['get'] },
      ]);
      await grant(rbac, 'ClusterRole', [
        {
          apiGroups: ['admissionregistration.k8s.io'],
          resources: ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
          resourceNames: ['gate-own'],
          verbs: ['get', 'patch'],
        },
      ]);
      const data = { 'policy.yaml': policy(), 'key.pub': publicKeyPem(publicKeyOf(poolKey(8).privateKey)) };
      await made(`/api/v1/namespaces/${SYSTEM}/configmaps`, { metadata: { name: 'policy' }, data });
      const configuration = (path: string): Json => ({
        ...webhook(path),
        clientConfig: { service: { namespace: SYSTEM, name: 'gate', path: `/${path}` } },
        // Nothing is sent there.
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'none' } },
      });
      for (const [kind, path] of [
        ['mutating', 'mutate'],
        ['validating', 'validate'],
      ] as const)
        await made(`${HOOKS}/${kind}webhookconfigurations`, {
          metadata: { name: 'gate-own' },
          webhooks: [configuration(path)],
        });
      const token = await cluster.tokenOf(SYSTEM, 'default');
      const argv = cluster.podCommand(SYSTEM, token, [
        ...[
          process.execPath,
          BULLA,
          'serve',
          'gate',
          '--policy',
          'policy.yaml',
          '--policy-configmap',
          `${SYSTEM}/policy`,
        ],
        ...['--self-signed', `${SYSTEM}/gate`, '--webhook-configuration', 'gate-own'],
        ...['--listen', '127.0.0.1:0', '--plain-listen', '127.0.0.1:0'],
      ]);
      const own = await startServer({
        file: argv[0] as string,
        args: () => argv.slice(1),
        env: {
          ...cleanEnvironment(),
          ...cluster.podEnvironment,
          BULLA_HOME: join(directory, 'own'),
          BULLA_PLAIN_HTTP: '1',
        },
        announces: /its metrics on http:\/\/127\.0\.0\.1:([0-9]+)/,
      });
      try {
        const { body } = await cluster.ask('GET', `/api/v1/namespaces/${SYSTEM}/secrets/gate-tls`);
        const certificate = (name: string): X509Certificate =>
          new X509Certificate(Buffer.from((body['data'] as Record<string, string>)[name] ?? '', 'base64'));
        expect(certificate('tls.crt').checkHost(`gate.${SYSTEM}.svc`)).toBeDefined();
        expect(certificate('tls.crt').verify(certificate('ca.crt').publicKey)).toBe(true);
        for (const kind of ['mutating', 'validating']) {
          const { body: found } = await cluster.ask('GET', `${HOOKS}/${kind}webhookconfigurations/gate-own`);
          const [first] = found['webhooks'] as { clientConfig: { caBundle: string } }[];
          expect(first?.clientConfig.caBundle).toBe((body['data'] as Record<string, string>)['ca.crt']);
        }
        const explain = async (): Promise<Json> =>
          (await (
            await fetch(`http://${own.host}/explain?image=${encodeURIComponent(`${app}:good`)}`)
          ).json()) as Json;
        expect(await explain()).toMatchObject({ outcome: 'verified', digest: digests.get('good') });
        const denying = { ...data, 'policy.yaml': 'version: 1\nrules: [{ scope: "*", deny: closed }]\n' };
        await cluster.ask('PUT', `/api/v1/namespaces/${SYSTEM}/configmaps/policy`, {
          metadata: { name: 'policy' },
          data: denying,
        });
        await expect.poll(async () => (await explain())['outcome'], { timeout: 20_000 }).toBe('refused');
      } finally {
        await own.stop();
      }
    });
  },
);

const FLEETS: Json = {
  metadata: { name: 'fleets.sea.example.com' },
  spec: {
    group: 'sea.example.com',
    scope: 'Namespaced',
    names: { kind: 'Fleet', plural: 'fleets', singular: 'fleet', listKind: 'FleetList' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        },
      },
    ],
  },
};

/** A webhook of others that puts an image of its own into every pod. */
function changingWebhook(directory: string, image: string): Promise<HttpsServer> {
  const server = createServer(
    { key: readFileSync(join(directory, 'tls.key')), cert: readFileSync(join(directory, 'tls.crt')) },
    async (request, response) => {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece as Buffer);
      const { request: asked } = JSON.parse(Buffer.concat(pieces).toString('utf8')) as {
        request: { uid: string };
      };
      const patch = Buffer.from(
        JSON.stringify([{ op: 'replace', path: '/spec/containers/0/image', value: image }]),
      ).toString('base64');
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({
          apiVersion: 'admission.k8s.io/v1',
          kind: 'AdmissionReview',
          response: { uid: asked.uid, allowed: true, patchType: 'JSONPatch', patch },
        }),
      );
    },
  );
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}
