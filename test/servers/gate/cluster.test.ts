import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { admit } from '../../../src/actions/gate/admit.ts';
import { parseReview, type Review } from '../../../src/actions/gate/review.ts';
import { refusedBy } from '../../../src/actions/gate/verdict.ts';
import type { JsonObject, JsonValue } from '../../../src/encoding/json.ts';
import { BullaError } from '../../../src/errors.ts';
import type { RegistryReference } from '../../../src/oci/reference.ts';
import { alertJson, type Denial, parseTemplate } from '../../../src/servers/gate/alerts.ts';
import { DenialEvents } from '../../../src/servers/gate/events.ts';
import { ownCertificate, parseObjectName } from '../../../src/servers/gate/own-certificate.ts';
import { PullSecrets } from '../../../src/servers/gate/pull-secrets.ts';
import { podOf, review } from '../../actions/gate/reviews.ts';

const NOW = new Date('2030-01-01T00:00:00Z');
const DAY = 86_400_000;
const OWNER = { namespace: 'sys', service: 'gate', configuration: 'hooks' };
const SECRET = '/api/v1/namespaces/sys/secrets/gate-tls';
const HOOKS = (kind: string): string =>
  `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/hooks`;

/** Objects of a cluster by path, with the conflicts that replicas have. */
class FakeApi {
  readonly objects = new Map<string, JsonObject>();
  patches = 0;

  async get(path: string): Promise<JsonObject | undefined> {
    return this.objects.get(path);
  }

  async create(path: string, object: JsonObject): Promise<JsonObject> {
    const name = `${path}/${(object['metadata'] as { name: string }).name}`;
    if (this.objects.has(name)) throw new BullaError('conflict', 'it is there');
    this.objects.set(name, object);
    return object;
  }

  async replace(path: string, object: JsonObject): Promise<JsonObject> {
    this.objects.set(path, object);
    return object;
  }

  async patch(path: string, operations: readonly JsonObject[]): Promise<JsonObject> {
    this.patches++;
    const { webhooks } = this.objects.get(path) as unknown as {
      webhooks: { name: string; clientConfig: JsonObject }[];
    };
    for (const { op, path: pointer, value } of operations) {
      const webhook = webhooks[Number(/^\/webhooks\/(\d+)\//.exec(String(pointer))?.[1])];
      if (op === 'test' && webhook?.name !== value) throw new BullaError('conflict', 'another webhook');
      if (op === 'add' && webhook !== undefined) webhook.clientConfig['caBundle'] = value ?? null;
    }
    return {};
  }

  text(name: string): string {
    const data = this.objects.get(SECRET)?.['data'] as Record<string, string>;
    return Buffer.from(data[name] ?? '', 'base64').toString('latin1');
  }

  hooks(kind: string, ...webhooks: JsonValue[]): void {
    this.objects.set(HOOKS(kind), { webhooks });
  }

  bundles(kind: string): unknown[] {
    const { webhooks } = this.objects.get(HOOKS(kind)) as unknown as {
      webhooks: { clientConfig: JsonObject }[];
    };
    return webhooks.map(({ clientConfig }) => clientConfig['caBundle']);
  }
}

const hook = (name: string, service = 'gate', namespace = 'sys'): JsonObject => ({
  name,
  clientConfig: { service: { name: service, namespace } },
});

describe('a certificate of its own', () => {
  it('is one for all replicas, for the names of the service, and is trusted by the webhooks that lead to it', async () => {
    const api = new FakeApi();
    api.hooks('mutating', hook('other', 'other'), hook('mutate.gate'), {
      name: 'url',
      clientConfig: { url: 'https://x' },
    });
    api.hooks('validating', hook('elsewhere', 'gate', 'other'), hook('validate.gate'));
    const [one, two] = await Promise.all([ownCertificate(api, OWNER, NOW), ownCertificate(api, OWNER, NOW)]);
    expect(one.cert).toBe(two.cert);
    const leaf = new X509Certificate(one.cert);
    for (const name of ['gate.sys.svc', 'gate.sys.svc.cluster.local'])
      expect(leaf.checkHost(name)).toBeDefined();
    expect(leaf.checkHost('gate.other.svc')).toBeUndefined();
    const root = new X509Certificate(api.text('ca.crt'));
    expect(leaf.verify(root.publicKey) && leaf.checkIssued(root)).toBe(true);
    expect(root.ca).toBe(true);
    const bundle = Buffer.from(api.text('ca.crt')).toString('base64');
    expect(api.bundles('mutating')).toEqual([undefined, bundle, undefined]);
    expect(api.bundles('validating')).toEqual([undefined, bundle]);
    // The key of the authority is nowhere.
    expect(JSON.stringify([...api.objects.values()]).match(/UFJJVkFURSBLRVk/g)).toBeNull();
    expect(Object.keys(api.objects.get(SECRET)?.['data'] as object).sort()).toEqual([
      'ca.crt',
      'tls.crt',
      'tls.key',
    ]);
  });

  it('is left alone for most of its life, then renewed, with the old authority still trusted', async () => {
    const api = new FakeApi();
    api.hooks('mutating', hook('mutate.gate'));
    const first = await ownCertificate(api, OWNER, NOW);
    const patches = api.patches;
    expect((await ownCertificate(api, OWNER, new Date(NOW.getTime() + 240 * DAY))).cert).toBe(first.cert);
    expect(api.patches).toBe(patches);
    const second = await ownCertificate(api, OWNER, new Date(NOW.getTime() + 250 * DAY));
    expect(second.cert).not.toBe(first.cert);
    expect(second.authorities).toContain(first.authorities.trim());
    const third = await ownCertificate(api, OWNER, new Date(NOW.getTime() + 500 * DAY));
    expect(third.authorities.match(/BEGIN/g)).toHaveLength(2);
    expect(third.authorities).not.toContain(first.authorities.trim());
    expect(api.bundles('mutating')).toEqual([Buffer.from(third.authorities).toString('base64')]);
  });

  it.each<[string, (data: Record<string, string>) => void]>([
    ['a damaged certificate', (data) => (data['tls.crt'] = 'AAAA')],
    ['no key', (data) => delete data['tls.key']],
    ['no authority', (data) => delete data['ca.crt']],
    ['nothing at all', (data) => void Object.keys(data).map((name) => delete data[name])],
  ])('is made again in place of %s', async (_, damage) => {
    const api = new FakeApi();
    const first = await ownCertificate(api, OWNER, NOW);
    damage(api.objects.get(SECRET)?.['data'] as Record<string, string>);
    const second = await ownCertificate(api, OWNER, NOW);
    expect(second.cert).not.toBe(first.cert);
    expect(api.text('tls.crt')).toBe(second.cert);
  });

  it('is made again where the one that is there is for another service', async () => {
    const api = new FakeApi();
    const first = await ownCertificate(api, { ...OWNER, service: 'old' }, NOW);
    api.objects.set(SECRET, api.objects.get('/api/v1/namespaces/sys/secrets/old-tls') as JsonObject);
    expect((await ownCertificate(api, OWNER, NOW)).cert).not.toBe(first.cert);
  });

  it('sets caBundle again after an upgrade has removed it', async () => {
    const api = new FakeApi();
    api.hooks('validating', hook('validate.gate'));
    await ownCertificate(api, OWNER, NOW);
    api.hooks('validating', hook('validate.gate'));
    await ownCertificate(api, OWNER, NOW);
    expect(api.bundles('validating')).toEqual([expect.any(String)]);
  });

  it.each(['gate', 'a/b/c', '/gate', 'sys/', 'Sys/gate', '../etc/gate', 'sys/../x'])(
    '%s is not the name of a service',
    (text) => {
      expect(() => parseObjectName(text, '--self-signed')).toThrow(
        expect.objectContaining({ code: 'usage' }),
      );
    },
  );
});

describe('pull secrets', () => {
  const app: RegistryReference = { kind: 'registry', registry: 'r.example', repository: 'team/app' };
  const docker = (auths: object, more = {}): JsonObject => ({
    data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths, ...more })).toString('base64') },
  });
  const entry = (user: string, password: string) => ({
    auth: Buffer.from(`${user}:${password}`).toString('base64'),
  });

  function secretsOf(objects: Readonly<Record<string, JsonObject | BullaError>>) {
    const state = { now: 0, asked: [] as string[], problems: [] as string[] };
    const secrets = new PullSecrets({
      get: async (path) => {
        state.asked.push(path);
        const found = objects[path.split('/').slice(-3).join('/')];
        if (found instanceof BullaError) throw found;
        return found;
      },
      monotonic: () => state.now,
      problem: (message) => state.problems.push(message),
    });
    return { secrets, state };
  }

  it('are used for the registries that they are for, and told apart by what they hold', async () => {
    const { secrets, state } = secretsOf({
      'a/secrets/pull': docker({ 'r.example': entry('me', 'one') }),
      'b/secrets/pull': docker({ 'r.example': entry('me', 'two') }),
      'c/secrets/copy': docker({ 'r.example': entry('me', 'one') }),
      'd/secrets/pull': docker({ 'other.example': entry('me', 'one') }),
      'e/secrets/old': {
        data: {
          '.dockercfg': Buffer.from(JSON.stringify({ 'r.example': entry('me', 'old') })).toString('base64'),
        },
      },
    });
    const [a, b, c, d, e] = await Promise.all(
      ['a/pull', 'b/pull', 'c/copy', 'd/pull', 'e/old'].map((one) => {
        const [namespace = '', name = ''] = one.split('/');
        return secrets.find(namespace, [name], app);
      }),
    );
    expect(await a?.provider('r.example', 'team/app')).toEqual({
      kind: 'basic',
      username: 'me',
      password: 'one',
    });
    expect(await e?.provider('r.example', 'team/app')).toMatchObject({ password: 'old' });
    expect(a?.key).toBe(c?.key);
    expect(a?.key).not.toBe(b?.key);
    expect(a?.key).not.toContain('one');
    expect(d).toBeUndefined();
    await secrets.find('a', ['pull'], app);
    expect(state.asked).toHaveLength(5);
    state.now = 30_000;
    await secrets.find('a', ['pull'], app);
    expect(state.asked).toHaveLength(6);
  });

  it.each(['../kube-system', 'a/secrets/x', 'A', '', '.', 'x?y', 'x%2fy', `${'a'.repeat(300)}`])(
    'attack: the namespace or name %j asks the API server nothing',
    async (name) => {
      const { secrets, state } = secretsOf({});
      await secrets.find(name, ['pull'], app);
      await secrets.find('a', [name], app);
      expect(state.asked).toEqual([]);
    },
  );

  it.each<[string, JsonObject | BullaError | undefined]>([
    ['a missing secret', undefined],
    ['a secret that it may not read', new BullaError('forbidden', 'no')],
    ['an API server that is away', new BullaError('registry-unreachable', 'no')],
    ['a secret of another kind', { data: { password: 'aHVudGVyMg==' } }],
    [
      'a secret that is not JSON',
      { data: { '.dockerconfigjson': Buffer.from('hunter2 {').toString('base64') } },
    ],
    ['an entry that is broken', docker({ 'r.example': { auth: 'hunter2' } })],
    ['a credential helper', docker({}, { credsStore: 'evil', credHelpers: { 'r.example': 'evil' } })],
  ])('%s is as good as none, and tells nothing', async (_, secret) => {
    const { secrets, state } = secretsOf(secret === undefined ? {} : { 'a/secrets/pull': secret });
    expect(await secrets.find('a', ['pull'], app)).toBeUndefined();
    expect(state.problems.join()).not.toContain('hunter2');
  });
});

async function denial(
  name: string,
  mode: 'enforce' | 'audit' = 'enforce',
  namespace = 'shop',
): Promise<Denial> {
  const asked = parseReview(
    review({ object: { ...podOf('r.example/app:1'), metadata: { name } }, namespace }),
    [],
  ) as Review;
  const verdict = refusedBy(new BullaError('unsigned', 'it has no <signature>'), { mode });
  const { images } = await admit(asked, 'validate', async () => verdict);
  return { at: NOW, review: asked, images };
}

describe('events about denials', () => {
  function rig(fail?: BullaError) {
    const state = { now: 0, created: [] as [string, JsonObject][], problems: [] as string[] };
    const events = new DenialEvents({
      create: async (path, object) => {
        state.created.push([path, object]);
        if (fail !== undefined) throw fail;
      },
      monotonic: () => state.now,
      problem: (message) => state.problems.push(message),
    });
    return { events, state };
  }

  it('stand beside the object, once for a while', async () => {
    const { events, state } = rig();
    events.tell(await denial('web'));
    events.tell(await denial('web'));
    events.tell(await denial('api'));
    await events.close();
    expect(state.created).toHaveLength(2);
    expect(state.created[0]).toMatchObject([
      '/api/v1/namespaces/shop/events',
      {
        kind: 'Event',
        type: 'Warning',
        reason: 'ImageDenied',
        involvedObject: { kind: 'Pod', name: 'web', namespace: 'shop' },
      },
    ]);
    state.now = 600_000;
    events.tell(await denial('web'));
    await events.close();
    expect(state.created).toHaveLength(3);
  });

  it('are not written about audits, or into what is not a namespace, or for a while after a refusal', async () => {
    const { events, state } = rig(new BullaError('forbidden', 'no'));
    events.tell(await denial('web', 'audit'));
    events.tell(await denial('web', 'enforce', '../x'));
    expect(state.created).toEqual([]);
    events.tell(await denial('web'));
    await events.close();
    events.tell(await denial('api'));
    await events.close();
    expect(state.created).toHaveLength(1);
    expect(state.problems).toHaveLength(1);
  });
});

describe('alerts', () => {
  it('name what was denied, and neither call a channel nor make a link', async () => {
    const denials = [await denial('<!channel> @here <https://evil.example|ok>'), await denial('b', 'audit')];
    const { text } = alertJson(denials, 'gate-0') as { text: string };
    expect(text).toContain('r.example/app:1 [unsigned] it has no &lt;signature&gt;');
    expect(text).toContain('only audited');
    expect(text).not.toMatch(/<|>|@h/);
  });

  it.each([
    '[why](https://evil.example)',
    '![x](http://evil.example/x.png)',
    'https://evil.example/login',
    '[why][1]',
    '[1]: ftp://evil.example',
  ])('attack: %s does not become a link where Markdown is shown', async (name) => {
    const { text } = alertJson([await denial(name)], 'gate-0') as { text: string };
    expect(text).not.toMatch(/:\/\/|\]\(|\]\[|\]:/);
  });

  it('fill a template, and are bounded', async () => {
    const template = parseTemplate(
      Buffer.from('{"channel":"#x","blocks":[{"text":"{{count}} at {{gate}}: {{text}} {{other}}"}]}'),
      't',
    );
    const many = await Promise.all(Array.from({ length: 50 }, (_, at) => denial(`p${at}`)));
    const { channel, blocks } = alertJson(many, 'gate"0', template) as {
      channel: string;
      blocks: { text: string }[];
    };
    expect(channel).toBe('#x');
    expect(blocks[0]?.text).toMatch(/^50 at gate"0: .*\{\{other\}\}$/s);
    expect(blocks[0]?.text.split('\n').length).toBeLessThan(25);
  });
});
