import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MAX_REVIEW_BYTES } from '../../src/actions/gate/review.ts';
import { signImage } from '../../src/actions/sign/signature.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../src/trust/publish/publish.ts';
import { podOf, review } from '../actions/gate/reviews.ts';
import { bulla } from '../support/cli.ts';
import { tagOf } from '../support/content.ts';
import { gatePlace, patchOf, post, pushImages, startGate, until, writeCertificate } from '../support/gate.ts';
import { listen } from '../support/listen.ts';
import { startRegistry } from '../support/registry/server.ts';
import { makeResponse, statusAuthority } from '../support/revocation.ts';
import { StatusServer } from '../support/status-server.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { publisher, reading } from '../support/trust/publishing.ts';
import { ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const registry = await startRegistry();
const app = `${registry.host}/app`;
const digests = await pushImages(app, ['signed', 'unsigned'], ['signed']);
const signed = `${app}:signed@${digests.get('signed')}`;
const rule = (more = ''): string =>
  `{ scope: "${registry.host}/*", signatures: [{ keys: [key.pub] }]${more} }`;
const policy = (...rules: readonly string[]): string => `version: 1\nrules: [${rules.join(', ')}]\n`;

const pod = (...images: readonly string[]): Uint8Array => review({ object: podOf(...images) });

describe('bulla serve gate', () => {
  it('writes verified digests, lets only those pass, and says why', async () => {
    const gate = await startGate(await gatePlace(policy(rule())));
    const mutated = await post(gate, '/mutate', pod(`${app}:signed`));
    expect(mutated).toMatchObject({
      status: 200,
      response: { uid: 'd1f0', allowed: true, patchType: 'JSONPatch' },
    });
    expect(patchOf(mutated)).toEqual([{ op: 'replace', path: '/spec/containers/0/image', value: signed }]);
    expect((await post(gate, '/validate', pod(signed))).response).toMatchObject({ allowed: true });
    expect((await post(gate, '/validate', pod(`${app}:signed`))).response).toMatchObject({
      allowed: false,
      status: { code: 403, message: expect.stringContaining(`write ${signed}`) },
    });
    for (const hook of ['/mutate', '/validate'])
      expect((await post(gate, hook, pod(signed, `${app}:unsigned`))).response).toMatchObject({
        allowed: false,
        status: {
          code: 403,
          reason: 'Forbidden',
          message: expect.stringMatching(/^Pod\/web is denied: containers\/c1: .*\[unsigned\]/),
        },
      });
    expect((await post(gate, '/validate', pod('elsewhere.example/app:1'))).response).toMatchObject({
      allowed: false,
      status: { message: expect.stringContaining('no rule') },
    });
    // Attack: the tag of what is signed, with the digest of what is not.
    const swapped = `${app}:signed@${digests.get('unsigned')}`;
    expect((await post(gate, '/validate', pod(swapped))).response).toMatchObject({ allowed: false });
    const { code } = await gate.end();
    expect(code).toBe(0);
  });

  it('fails where the API server has to take it for a failure, and denies what it can answer to', async () => {
    const gate = await startGate(await gatePlace(policy(rule())));
    expect(await post(gate, '/validate', '{')).toMatchObject({ status: 400 });
    expect(await post(gate, '/validate', pod(signed), { type: 'text/plain' })).toMatchObject({ status: 415 });
    expect(
      await post(gate, '/validate', pod(signed), { type: 'application/json; charset=utf-8' }),
    ).toMatchObject({ status: 200 });
    expect(await post(gate, '/validate', '', { method: 'GET' })).toMatchObject({ status: 405 });
    expect(await post(gate, '/elsewhere', pod(signed))).toMatchObject({ status: 404 });
    expect(
      await post(gate, '/validate', Buffer.alloc(MAX_REVIEW_BYTES + 1, 32)).catch(() => ({ status: 413 })),
    ).toMatchObject({ status: 413 });
    const odd = review({ object: podOf(signed) }, { apiVersion: 'admission.k8s.io/v1beta1' });
    expect(await post(gate, '/validate', odd)).toMatchObject({
      status: 200,
      response: { uid: 'd1f0', allowed: false },
    });
    // What it tells to everyone who reaches its port: nothing about what it does.
    expect((await post(gate, '/metrics', '', { method: 'GET' })).text).toBe('');
    expect(await post(gate, '/explain?image=x', '', { method: 'GET' })).toMatchObject({ status: 404 });
  });

  it('takes another policy at once, and forgets what the old one said; one that is broken changes nothing', async () => {
    const cwd = await gatePlace(policy(rule()));
    const gate = await startGate(cwd);
    const isAllowed = async (): Promise<unknown> =>
      (await post(gate, '/validate', pod(signed))).response['allowed'];
    expect(await isAllowed()).toBe(true);
    await writeFile(join(cwd, 'policy.yaml'), policy(`{ scope: "${registry.host}/*", deny: compromised }`));
    await until(async () => (await isAllowed()) === false);
    await writeFile(join(cwd, 'policy.yaml'), 'version: 1\nrules: [{}]\n');
    await until(() => gate.log().some(({ event, code }) => event === 'policy' && code === 'policy-invalid'));
    expect(await isAllowed()).toBe(false);
    expect(await (await fetch(`${gate.plainUrl}/metrics`)).text()).toContain('bulla_gate_policy_stale 1');
    await writeFile(join(cwd, 'policy.yaml'), policy(rule()));
    await until(async () => (await isAllowed()) === true);
    // A key that it names is a part of it.
    await writeFile(join(cwd, 'key.pub'), 'none');
    await until(() => gate.log().filter(({ event }) => event === 'policy').length >= 3);
    expect(await isAllowed()).toBe(true);
  });

  it('uses another certificate for new connections', async () => {
    const cwd = await gatePlace(policy(rule()));
    const gate = await startGate(cwd);
    await writeCertificate(cwd);
    await until(
      async () => (await post(gate, '/validate', pod(signed)).catch(() => undefined))?.status === 200,
    );
  });

  it('explains, counts and logs', async () => {
    const cwd = await gatePlace(policy(rule()));
    const gate = await startGate(cwd, ['--audit-log', 'decisions.log']);
    await post(gate, '/validate', pod(signed, `${app}:unsigned`));
    const explained = await fetch(`${gate.plainUrl}/explain?image=${encodeURIComponent(`${app}:signed`)}`);
    expect(await explained.json()).toMatchObject({
      outcome: 'verified',
      digest: digests.get('signed'),
      rule: `${registry.host}/*`,
    });
    expect((await fetch(`${gate.plainUrl}/explain?image=oci:/etc`)).status).toBe(400);
    const nothing = await fetch(`${gate.plainUrl}/explain`);
    expect(nothing.status).toBe(400);
    expect(await nothing.json()).toMatchObject({ error: { code: 'usage', message: 'no image was given' } });
    expect((await fetch(`${gate.plainUrl}/readyz`)).status).toBe(200);
    const metrics = await (await fetch(`${gate.plainUrl}/metrics`)).text();
    expect(metrics).toContain('bulla_gate_reviews_total{hook="validate",decision="denied"} 1');
    expect(metrics).toContain('bulla_gate_images_total{action="denied",code="unsigned"} 1');
    expect(metrics).toMatch(/bulla_gate_certificate_expires_timestamp_seconds [1-9]/);
    const [line = ''] = (await readFile(join(cwd, 'decisions.log'), 'utf8')).split('\n');
    expect(JSON.parse(line)).toMatchObject({
      event: 'decision',
      allowed: false,
      user: 'dev',
      images: [
        { image: signed, action: 'passes' },
        { action: 'denied', code: 'unsigned' },
      ],
    });
  });

  it('answers also where decisions cannot be logged', async () => {
    const gate = await startGate(await gatePlace(policy(rule())), ['--audit-log', '/dev/full']);
    expect((await post(gate, '/validate', pod(signed))).response).toMatchObject({ allowed: true });
    expect(gate.log()).toContainEqual(
      expect.objectContaining({ event: 'problem', message: expect.stringContaining('/dev/full') }),
    );
  });

  it('alerts a webhook as Slack takes it, but not for a dry run', async () => {
    const bodies: string[] = [];
    const server = createServer((request, response) => {
      request
        .on('data', (piece: Buffer) => bodies.push(piece.toString('utf8')))
        .on('end', () => response.end());
    });
    const { host, stop } = await listen(server);
    const gate = await startGate(await gatePlace(policy(rule())), [
      '--webhook-url',
      `http://${host}/T0/secret`,
    ]);
    onTestFinished(stop);
    await post(gate, '/validate', review({ object: podOf(`${app}:unsigned`), dryRun: true }));
    await post(
      gate,
      '/validate',
      review({ object: { ...podOf(`${app}:unsigned`), metadata: { name: '<!channel>' } } }),
    );
    await until(() => bodies.length > 0);
    expect(bodies).toHaveLength(1);
    const { text } = JSON.parse(bodies[0] ?? '') as { text: string };
    expect(text).toContain('shop/Pod/&lt;!channel&gt;: denied');
    expect(
      gate
        .log()
        .map((entry) => JSON.stringify(entry))
        .join(''),
    ).not.toContain('/T0/secret');
  });

  it('admits everything in an emergency, loudly', async () => {
    const gate = await startGate(await gatePlace(policy(rule())), ['--emergency-allow']);
    const { response } = await post(gate, '/validate', pod(`${app}:unsigned`));
    expect(response).toMatchObject({ allowed: true, warnings: [expect.stringContaining('EMERGENCY')] });
    expect(gate.log()).toContainEqual(expect.objectContaining({ level: 'error', event: 'emergency' }));
    expect(await (await fetch(`${gate.plainUrl}/metrics`)).text()).toContain('bulla_gate_emergency 1');
  });

  it.each<[string, readonly string[]]>([
    ['no certificate', ['--tls-cert', 'tls.crt']],
    ['two certificates', ['--tls-cert', 'tls.crt', '--tls-key', 'tls.key', '--self-signed', 'a/b']],
    ['a deadline that is too long', ['--tls-cert', 'tls.crt', '--tls-key', 'tls.key', '--deadline', '60s']],
    ['an address that is none', ['--tls-cert', 'tls.crt', '--tls-key', 'tls.key', '--listen', 'x:y:z']],
    ['a Service without a namespace', ['--self-signed', 'gate', '--webhook-configuration', 'gate']],
    [
      'a ConfigMap without a namespace',
      ['--tls-cert', 'tls.crt', '--tls-key', 'tls.key', '--policy-configmap', 'x'],
    ],
  ])('%s is a mistake', async (_, flags) => {
    const cwd = await gatePlace(policy(rule()));
    const { code } = await bulla(['serve', 'gate', '--policy', 'policy.yaml', ...flags], {
      cwd,
      env: { BULLA_HOME: cwd },
    });
    expect(code).toBe(2);
  });

  it.each<[string, string, 'good' | 'revoked' | undefined, boolean, string?]>([
    ['enforce', 'good', 'good', true],
    ['enforce', 'revoked', 'revoked', false, 'revoked'],
    ['enforce', 'silent', undefined, false, 'registry-error'],
    ['soft', 'revoked', 'revoked', false, 'revoked'],
    ['soft', 'silent', undefined, true],
    ['log', 'revoked', 'revoked', true],
  ])('asks about revocation where the policy says %s: %s', async (mode, how, says, allowed, code) => {
    const status = await StatusServer.start();
    onTestFinished(status.stop);
    const now = Date.now();
    const { root, leaf, chain } = statusAuthority({ ocsp: [`${status.url}/ocsp`] });
    if (says !== undefined)
      status.answers.set(
        '/ocsp',
        makeResponse({
          ...{ about: leaf.certificate, issuer: root },
          ...{ thisUpdate: new Date(now - 60_000), nextUpdate: new Date(now + 600_000) },
          status: says === 'good' ? says : { revokedAt: new Date(now - 60_000) },
        }),
      );
    const name = `${registry.host}/revocation/${mode}-${how}`;
    const [digest = ''] = (await pushImages(name, ['v1'], [])).values();
    const target = openRepository(parseReference(name) as RegistryReference);
    await signImage(
      target,
      { tag: tagOf('v1') },
      { name, signer: leaf.signer, chain, now: new Date(now), agent: 'bulla/test' },
    );
    await target.close();
    const text = `{ scope: "${name}", signatures: [{ authorities: [ca.pem], revocation: { mode: ${mode}, privateHosts: [127.0.0.1] } }] }`;
    const cwd = await gatePlace(policy(rule()));
    await writeFile(join(cwd, 'ca.pem'), root.certificate.x509.toString());
    const isLater = how === 'good';
    if (!isLater) await writeFile(join(cwd, 'policy.yaml'), policy(rule(), text));
    const gate = await startGate(cwd);
    // The policy that demands it may come later.
    if (isLater) await writeFile(join(cwd, 'policy.yaml'), policy(rule(), text));
    if (isLater) await until(() => gate.log().some(({ event }) => event === 'reload'));
    const { response } = await post(gate, '/validate', pod(`${name}@${digest}`));
    expect(response['allowed'], JSON.stringify(response)).toBe(allowed);
    if (code !== undefined)
      expect((response['status'] as { message: string }).message).toContain(`[${code}]`);
    expect(status.asked.length).toBeGreaterThan(0);
  });

  it('does not start without a policy', async () => {
    const cwd = await gatePlace(policy(rule()));
    await rm(join(cwd, 'policy.yaml'));
    const flags = [
      '--tls-cert',
      'tls.crt',
      '--tls-key',
      'tls.key',
      '--listen',
      '127.0.0.1:0',
      '--plain-listen',
      '127.0.0.1:0',
    ];
    const { code } = await bulla(['serve', 'gate', '--policy', 'policy.yaml', ...flags], {
      cwd,
      env: { BULLA_HOME: cwd },
    });
    expect(code).toBe(11);
  });
});

describe('a registry that does not answer', () => {
  it('is answered about before the deadline, does not delay others, and blocks nothing where it is only audited', async () => {
    const silent = createServer(() => undefined);
    const { host, stop } = await listen(silent);
    onTestFinished(stop);
    const of = (mode: string, name: string): string =>
      `{ scope: "${host}/${name}/*", mode: ${mode}, signatures: [{ keys: [key.pub] }] }`;
    const gate = await startGate(await gatePlace(policy(rule(), of('enforce', 'a'), of('audit', 'b'))), [
      '--deadline',
      '300ms',
    ]);
    const denied = post(gate, '/validate', pod(signed, `${host}/a/app:1`));
    expect((await post(gate, '/validate', pod(signed))).response).toMatchObject({ allowed: true });
    expect((await denied).response).toMatchObject({
      allowed: false,
      status: { code: 503, reason: 'ServiceUnavailable', message: expect.stringContaining('[timeout]') },
    });
    expect((await post(gate, '/validate', pod(`${host}/b/app:1`))).response).toMatchObject({
      allowed: true,
      warnings: [expect.stringContaining('[timeout]')],
    });
  });
});

describe('pull secrets of a namespace', () => {
  it('are used where the policy says so, and what they have shown is told to no other namespace', async () => {
    const own = await startRegistry();
    await pushImages(`${own.host}/app`, ['signed'], ['signed']);
    own.behaviour.auth = { mode: 'basic', users: { me: 'of-the-team' } };
    const config = { auths: { [own.host]: { username: 'me', password: 'of-the-team' } } };
    const data = { '.dockerconfigjson': Buffer.from(JSON.stringify(config)).toString('base64') };
    const asked: string[] = [];
    const api = createServer((request, response) => {
      asked.push(request.url ?? '');
      const isThere = request.url?.endsWith('/secrets/pull') === true;
      response.writeHead(isThere ? 200 : 404, { 'content-type': 'application/json' });
      response.end(JSON.stringify(isThere ? { kind: 'Secret', data } : {}));
    });
    const { host, stop } = await listen(api);
    onTestFinished(stop);
    const trusted = `{ scope: "${own.host}/*", signatures: [{ keys: [key.pub] }] }`;
    const cwd = await gatePlace(`version: 1\nrules: [${trusted}]\ngate: { pullSecrets: [team] }\n`);
    await writeFile(
      join(cwd, 'kubeconfig'),
      JSON.stringify({
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        clusters: [{ name: 'c', cluster: { server: `http://${host}` } }],
        users: [{ name: 'u', user: { token: 't' } }],
      }),
    );
    const gate = await startGate(cwd, [], { KUBECONFIG: join(cwd, 'kubeconfig') });
    const ask = async (namespace: string, secret: string) => {
      const object = podOf(`${own.host}/app:signed`);
      const spec = { ...(object['spec'] as object), imagePullSecrets: [{ name: secret }] };
      return (await post(gate, '/mutate', review({ namespace, object: { ...object, spec } }))).response;
    };
    expect(await ask('other', 'pull')).toMatchObject({
      allowed: false,
      status: { message: expect.stringContaining('[unauthorized]') },
    });
    expect(asked).toEqual([]);
    expect(await ask('team', 'pull')).toMatchObject({ allowed: true });
    expect(asked).toEqual(['/api/v1/namespaces/team/secrets/pull']);
    expect(await ask('team', 'none')).toMatchObject({ allowed: false });
    expect(await ask('other', 'pull')).toMatchObject({ allowed: false });
    expect(JSON.stringify(gate.log())).not.toContain('of-the-team');
  });
});

describe('a collection with many names', () => {
  it('is read once for many of them at the same time', async () => {
    const own = await startRegistry();
    const repository = `${own.host}/named`;
    const [digest = ''] = (await pushImages(repository, ['v0'], [])).values();
    const now = new Date();
    const target = openRepository({ registry: own.host, repository: 'named' });
    await pushHead(target, await newCollection(repository, now));
    const { bytes } = await target.fetchManifest(digest as Digest);
    const content = { length: bytes.byteLength, sha256: digest.slice('sha256:'.length) };
    const tags = Array.from({ length: 20 }, (_, at) => `v${at}`);
    await publishNames(
      target,
      reading({ place: repository, now, isNamed: (other) => other === repository }),
      [{ role: NAMES_ROLE, set: new Map(tags.map((tag) => [tag, content])) }],
      publisher(1, { clock: { now: () => now, sleep: async () => undefined } }).options,
    );
    const trust = `trust: { root: { keyIds: [${poolKey(ROOT).key.keyid}] } }`;
    const gate = await startGate(await gatePlace(policy(`{ scope: "${own.host}/*", ${trust} }`)));
    own.forget();
    const { response } = await post(gate, '/mutate', pod(...tags.map((tag) => `${repository}:${tag}`)));
    expect(response).toMatchObject({ allowed: true });
    expect(own.requests(/manifests\/_trust/)).toHaveLength(1);
    own.forget();
    const pinned = tags.map((tag) => `${repository}:${tag}@${digest}`);
    expect((await post(gate, '/validate', pod(...pinned))).response).toMatchObject({ allowed: true });
    expect(own.requests()).toEqual([]);
  });
});
