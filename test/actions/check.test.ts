import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type CheckOptions,
  type CheckReport,
  checkRegistry,
  failureOfReport,
} from '../../src/actions/check/check.ts';
import type { CheckName, Finding, State } from '../../src/actions/check/finding.ts';
import type { CredentialFacts } from '../../src/oci/probes.ts';
import { RegistryClient } from '../../src/registry/client.ts';
import { fixedCredentials } from '../../src/registry/credentials.ts';
import type { Dialect } from '../../src/registry/dialect.ts';
import { registryProbes } from '../../src/registry/probes.ts';
import { pushImage } from '../support/content.ts';
import type { Fault, FaultAction, TagDialect } from '../support/registry/behaviour.ts';
import { FakeTiming, registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry, RegistryOptions } from '../support/registry/server.ts';

const NO_CREDENTIALS: CredentialFacts = {
  source: 'none',
  where: undefined,
  form: undefined,
  problem: undefined,
};

interface Checked {
  readonly registry: FaultyRegistry;
  readonly report: CheckReport;
  readonly dialect: Dialect;
  readonly timing: FakeTiming;
  finding(check: CheckName): Finding;
}

const WRITE = { id: '0123456789abcdef' };

async function checked(
  behaviour: RegistryOptions,
  faults: readonly Fault[],
  options: Partial<CheckOptions> = {},
): Promise<Checked> {
  const { auth, immutableTags, ...rest } = behaviour;
  const registry = await registryFor(rest);
  for (const tag of ['v1', 'v2', 'v3']) await pushImage(repositoryOf(registry), tag, tag);
  registry.forget();
  Object.assign(registry.behaviour, { auth, immutableTags });
  for (const fault of faults) registry.fault({ times: 1_000, ...fault });
  return await check(registry, { repository: 'team/app', ...options });
}

async function check(
  registry: FaultyRegistry,
  options: Partial<CheckOptions>,
  credentials: 'alice' | 'none' = 'none',
): Promise<Checked> {
  const timing = new FakeTiming();
  let dialect: Dialect = {};
  const client = new RegistryClient({
    timing,
    dialects: {
      get: async () => dialect,
      set: async (_, learnt) => {
        dialect = learnt;
      },
    },
    ...(credentials === 'alice' && {
      credentials: fixedCredentials(registry.host, {
        kind: 'basic',
        username: 'alice',
        password: 'wonderland',
      }),
    }),
  });
  onTestFinished(() => client.close());
  const probes = registryProbes({
    client,
    registry: registry.host,
    tls: {},
    isProxied: false,
    credentials: async () => NO_CREDENTIALS,
  });
  const report = await checkRegistry(probes, { now: new Date(timing.now()), ...options });
  const finding = (name: CheckName): Finding => {
    const found = report.findings.find((one) => one.check === name);
    if (found === undefined) throw new Error(`no finding about ${name}`);
    return found;
  };
  return { registry, report, dialect, timing, finding };
}

const at = (method: string, path: RegExp, action: FaultAction, more: Partial<Fault> = {}): Fault => ({
  method,
  path,
  action,
  ...more,
});

const without = (...names: string[]): FaultAction => ({
  reply: (_, headers) => ({
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name))),
  }),
});

const lastIs =
  (answer: (last: string, tags: readonly string[]) => ReturnType<TagDialect>): TagDialect =>
  (query, tags) => {
    const last = query.get('last');
    return last === null ? undefined : answer(last, tags);
  };

const HEAD_REFUSED: Dialect = { head: 'get' };

const HEAD = /manifests\/[^s]/;

describe('reading alone', () => {
  const ROWS: readonly (readonly [
    what: string,
    behaviour: RegistryOptions,
    faults: readonly Fault[],
    expected: readonly (readonly [CheckName, State])[],
    dialect: Dialect,
  ])[] = [
    [
      'all is there',
      {},
      [],
      [
        ['listing', 'good'],
        ['head', 'good'],
        ['conditional-get', 'good'],
        ['referrers', 'good'],
        ['api', 'good'],
        ['push', 'unknown'],
        ['mount', 'unknown'],
      ],
      { tags: 'after', head: 'works', conditional: 'etag', referrers: 'api' },
    ],
    [
      'there is no referrers API',
      { referrersApi: false },
      [],
      [['referrers', 'around']],
      { referrers: 'fallback' },
    ],
    [
      'a page for people answers for referrers',
      {},
      [at('GET', /referrers/, { status: 200, body: '<html>', headers: { 'content-type': 'text/html' } })],
      [['referrers', 'around']],
      { referrers: 'fallback' },
    ],
    ['referrers are forbidden', {}, [at('GET', /referrers/, { status: 403 })], [['referrers', 'bad']], {}],
    [
      'the fallback tag names the image (GitLab)',
      { referrersApi: false, gitlabTags: true },
      [],
      [['referrers', 'bad']],
      { referrers: 'fallback' },
    ],
    ['there are no ETags', { etag: false }, [], [['conditional-get', 'around']], { conditional: 'head' }],
    ...[400, 401, 403, 404, 405, 501].map(
      (status) =>
        [
          `HEAD is answered ${status}`,
          {},
          [at('HEAD', HEAD, { status })],
          [['head', 'around']],
          status < 500 ? HEAD_REFUSED : ({} as Dialect),
        ] as const,
    ),
    ['HEAD breaks down', {}, [at('HEAD', HEAD, { status: 503 })], [['head', 'around']], {}],
    [
      'HEAD has no digest',
      {},
      [at('HEAD', HEAD, without('docker-content-digest'))],
      [['head', 'around']],
      HEAD_REFUSED,
    ],
    [
      'HEAD has another length',
      {},
      [at('HEAD', HEAD, { addHeaders: { 'content-length': '0' } })],
      [['head', 'around']],
      HEAD_REFUSED,
    ],
    [
      'HEAD has another type',
      {},
      [at('HEAD', HEAD, { addHeaders: { 'content-type': 'text/html' } })],
      [['head', 'around']],
      HEAD_REFUSED,
    ],
    [
      '`last` is refused',
      { tagDialect: lastIs(() => ({ refuse: 404 })) },
      [],
      [['listing', 'around']],
      { tags: 'whole' },
    ],
    [
      '`last` is refused as unknown',
      { tagDialect: lastIs((last, tags) => (tags.includes(last) ? undefined : { refuse: 400 })) },
      [],
      [['listing', 'good']],
      { tags: 'after' },
    ],
    [
      '`last` gives nothing',
      { tagDialect: lastIs(() => ({ tags: [] })) },
      [],
      [['listing', 'around']],
      { tags: 'whole' },
    ],
    [
      '`last` gives null',
      { tagDialect: lastIs(() => ({ tags: null })) },
      [],
      [['listing', 'around']],
      { tags: 'whole' },
    ],
    [
      '`last` gives what is before',
      { tagDialect: lastIs(() => ({ tags: ['v1'] })) },
      [],
      [['listing', 'around']],
      { tags: 'whole' },
    ],
    ['`last` and `n` are ignored', { unsortedTags: true }, [], [['listing', 'around']], {}],
    ['lists are forbidden', {}, [at('GET', /tags\/list/, { status: 403 })], [['listing', 'bad']], {}],
    [
      '`n` is refused',
      { tagDialect: (query) => (query.get('n') === '1' ? { refuse: 400 } : undefined) },
      [],
      [['listing', 'good']],
      { tags: 'after' },
    ],
  ];

  it.each(ROWS)('%s', async (_, behaviour, faults, expected, dialect) => {
    const result = await checked(behaviour, faults);
    for (const [name, state] of expected) expect([name, result.finding(name).state]).toEqual([name, state]);
    expect(result.dialect).toMatchObject(dialect);
    expect(result.registry.log.map(({ method }) => method)).not.toContain('PUT');
    expect(result.registry.log.every(({ method }) => method === 'GET' || method === 'HEAD')).toBe(true);
  });

  it('tells each check once, in the order of the report, and says nothing of what was not tried', async () => {
    const { report } = await checked({}, []);
    expect(report.findings.map(({ check: name }) => name)).toEqual([
      ...new Set(report.findings.map(({ check: name }) => name)),
    ]);
    expect(report.findings).toHaveLength(16);
    expect(report.works).toEqual({ verifying: 'yes', signing: 'unknown', collections: 'unknown' });
    expect(failureOfReport(report, {})).toBeUndefined();
  });

  it('takes the first repository that the registry lists, where none is named', async () => {
    const { report } = await checked({}, [], { repository: undefined });
    expect(report.repository).toBe('team/app');
    const closed = await checked({}, [at('GET', /_catalog/, { status: 403 })], { repository: undefined });
    expect(closed.report.repository).toBeUndefined();
    expect(closed.finding('referrers').state).toBe('unknown');
    expect(failureOfReport(closed.report, {})).toBeUndefined();
  });

  it.each([
    ['nothing at /v2/', [at('GET', /^\/v2\/$/, { status: 404, body: 'not found' })], 'yes', undefined],
    [
      'nothing at all',
      [at('GET', /./, { status: 404, body: 'not found' }), at('HEAD', /./, { status: 404 })],
      'no',
      'registry-error',
    ],
    ['a forbidden registry', [at('GET', /./, { status: 403 })], 'no', 'forbidden'],
    ['a broken one', [at('GET', /./, { status: 500 })], 'no', 'registry-error'],
    ['one that cuts the connection', [at('GET', /./, { reset: true })], 'no', 'registry-unreachable'],
  ] as const)('%s', async (_, faults, verifying, code) => {
    const { report } = await checked({}, faults);
    expect(report.works.verifying).toBe(verifying);
    expect(failureOfReport(report, {})?.code).toBe(code);
  });

  it('tells how far the clocks are apart', async () => {
    const ours = Date.UTC(2026, 0, 1);
    for (const [seconds, state, about] of [
      [0, 'good', 0],
      [3600, 'warn', 3600],
      [-86_400, 'warn', -86_399],
    ] as const) {
      const date = new Date(ours + seconds * 1000).toUTCString();
      const result = await checked({}, [at('GET', /^\/v2\/$/, { addHeaders: { date } })]);
      expect(result.finding('clock')).toMatchObject({ state, facts: { skewSeconds: about } });
    }
    const silent = await checked({}, [at('GET', /^\/v2\/$/, { addHeaders: { date: 'yesterday' } })]);
    expect(silent.finding('clock').state).toBe('unknown');
  });
});

describe('with --write', () => {
  const ROWS: readonly (readonly [
    what: string,
    behaviour: RegistryOptions,
    faults: readonly Fault[],
    expected: readonly (readonly [CheckName, State])[],
    works: Partial<CheckReport['works']>,
    code: string | undefined,
  ])[] = [
    [
      'all is there',
      {},
      [],
      [
        ['push', 'good'],
        ['types', 'good'],
        ['tag-moves', 'good'],
        ['read-after-write', 'good'],
        ['conditional-put', 'around'],
        ['mount', 'good'],
        ['referrers', 'good'],
        ['delete-tags', 'good'],
        ['delete-manifests', 'good'],
      ],
      { verifying: 'yes', signing: 'yes', collections: 'yes' },
      undefined,
    ],
    ['conditions count', { conditionalPut: true }, [], [['conditional-put', 'good']], {}, undefined],
    [
      'no referrers API',
      { referrersApi: false },
      [],
      [['referrers', 'around']],
      { signing: 'yes' },
      undefined,
    ],
    [
      'OCI-Subject without an API',
      { referrersApi: false, ociSubject: true },
      [],
      [['referrers', 'around']],
      { signing: 'yes' },
      undefined,
    ],
    [
      'an API that lists nothing',
      { forgetReferrers: 1_000 },
      [],
      [['referrers', 'around']],
      { signing: 'yes' },
      undefined,
    ],
    [
      'GitLab',
      { referrersApi: false, gitlabTags: true },
      [],
      [['referrers', 'bad']],
      { signing: 'no', collections: 'yes' },
      'registry-error',
    ],
    [
      'immutable tags',
      { immutableTags: /./ },
      [],
      [
        ['tag-moves', 'bad'],
        ['conditional-put', 'unknown'],
      ],
      { collections: 'no', signing: 'yes' },
      'conflict',
    ],
    [
      'tags that are refused in other words',
      {},
      [at('PUT', /manifests\/_trust/, { status: 409, body: 'nope' }, { after: 1 })],
      [['tag-moves', 'bad']],
      { collections: 'no' },
      'conflict',
    ],
    [
      'immutable tags but for ours',
      { immutableTags: /^(?!_trust|sha256-)/ },
      [],
      [['tag-moves', 'around']],
      { collections: 'yes', signing: 'yes' },
      undefined,
    ],
    [
      'immutable fallback tags',
      { referrersApi: false, immutableTags: /^sha256-/ },
      [],
      [['referrers', 'bad']],
      { signing: 'no', collections: 'yes' },
      'conflict',
    ],
    ['no mounts', { mounts: false }, [], [['mount', 'around']], { signing: 'yes' }, undefined],
    [
      'mounts that are forbidden',
      {},
      [at('POST', /mount=/, { status: 403 })],
      [['mount', 'around']],
      { signing: 'yes' },
      undefined,
    ],
    [
      'no removal',
      { deletion: 'none' },
      [],
      [
        ['delete-tags', 'around'],
        ['delete-manifests', 'around'],
      ],
      { signing: 'yes', collections: 'yes' },
      undefined,
    ],
    [
      'removal of manifests only',
      { deletion: 'manifests' },
      [],
      [
        ['delete-tags', 'around'],
        ['delete-manifests', 'good'],
      ],
      {},
      undefined,
    ],
    [
      'removal that is acknowledged and not done',
      {},
      [at('DELETE', /manifests/, { status: 202 })],
      [
        ['delete-tags', 'around'],
        ['delete-manifests', 'around'],
      ],
      {},
      undefined,
    ],
    [
      'stale tags',
      { staleReads: 3 },
      [],
      [['read-after-write', 'around']],
      { collections: 'yes' },
      undefined,
    ],
    [
      'tags that stay stale',
      { staleReads: 1_000 },
      [],
      [['read-after-write', 'bad']],
      { collections: 'no' },
      'registry-error',
    ],
    [
      'no right to push',
      {},
      [at('POST', /uploads/, { status: 403 })],
      [
        ['push', 'bad'],
        ['types', 'unknown'],
        ['head', 'good'],
      ],
      { verifying: 'yes', signing: 'no', collections: 'no' },
      'forbidden',
    ],
    [
      'a right to push blobs alone',
      {},
      [at('PUT', /manifests/, { status: 403 })],
      [['push', 'bad']],
      { signing: 'no' },
      'forbidden',
    ],
    ...[400, 415, 422].map(
      (status) =>
        [
          `artifacts refused with ${status}`,
          {},
          [at('PUT', /manifests/, { status, body: '{"errors":[{"code":"MANIFEST_INVALID"}]}' })],
          [['types', 'bad']],
          { verifying: 'yes', signing: 'no', collections: 'no' },
          'registry-policy',
        ] as const,
    ),
    [
      'indexes with a type refused',
      {},
      [at('PUT', /manifests\/sha256:/, { status: 400 }, { times: 1 })],
      [['types', 'bad']],
      { signing: 'yes', collections: 'no' },
      'registry-policy',
    ],
  ];

  it.each(ROWS)('%s', async (_, behaviour, faults, expected, works, code) => {
    const result = await checked(behaviour, faults, { write: WRITE });
    for (const [name, state] of expected) expect([name, result.finding(name).state]).toEqual([name, state]);
    expect(result.report.works).toMatchObject(works);
    const failure = failureOfReport(result.report, {});
    expect(failure?.code).toBe(code);
    if (failure !== undefined) expect(failure.hint).toBeTruthy();
  });

  it.each([
    ['the referrers API', {}],
    ['the fallback tag', { referrersApi: false }],
    ['removal of manifests alone', { deletion: 'manifests' }],
  ] as const)('leaves nothing behind with %s', async (_, behaviour) => {
    const { registry, report } = await checked(behaviour, [], { write: WRITE });
    const store = registry.repository('team/app');
    expect(report.left).toEqual([]);
    expect([...store.tags.keys()].sort()).toEqual(['v1', 'v2', 'v3']);
    expect(store.manifests.size).toBe(3);
  });

  it('works in a repository of its own where none is named', async () => {
    const { registry, report } = await checked({}, [], { repository: undefined, write: WRITE });
    expect(report.repository).toBe('bulla-check');
    expect(report.works).toEqual({ verifying: 'yes', signing: 'yes', collections: 'yes' });
    expect(registry.repository('bulla-check').tags.size).toBe(0);
    expect(registry.repository('bulla-check').manifests.size).toBe(0);
    expect(registry.requests(/team\/app/)).toEqual([]);
  });

  it('names what it could not remove', async () => {
    const { registry, report } = await checked({ deletion: 'none' }, [], { write: WRITE });
    expect(report.left).toContain(`${registry.host}/team/app:bulla-check-${WRITE.id}`);
    expect(report.left.length).toBeGreaterThan(4);
  });

  it('removes what it pushed after an interruption', async () => {
    const registry = await registryFor();
    const ended = new AbortController();
    registry.behaviour.afterTagPut = () => ended.abort();
    await expect(
      check(registry, { repository: 'team/app', write: WRITE, signal: ended.signal }),
    ).rejects.toMatchObject({ code: 'interrupted' });
    expect(registry.repository('team/app').tags.size).toBe(0);
    expect(registry.repository('team/app').manifests.size).toBe(0);
  });

  it('gives up cleaning where the registry no longer answers, and names what is left', async () => {
    const registry = await registryFor();
    const ended = new AbortController();
    registry.fault({
      method: 'DELETE',
      times: 1_000,
      action: { answer: () => setImmediate(() => ended.abort()) },
    });
    const write = { ...WRITE, cleanUpEnds: () => ended.signal };
    const { report, finding } = await check(registry, { repository: 'team/app', write });
    expect(finding('delete-manifests').state).toBe('around');
    expect(report.left).toContain(`${registry.host}/team/app:bulla-check-${WRITE.id}`);
  });

  it('never removes a blob that others may use', async () => {
    const { registry } = await checked({}, [], { write: WRITE });
    const removed = registry.requests(/blobs\/sha256/).filter((line) => line.startsWith('DELETE'));
    expect(removed).toHaveLength(1);
    expect(removed[0]).not.toContain('44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
  });
});

describe('a registry that asks who we are', () => {
  const users = { alice: 'wonderland' };

  it.each([
    ['basic', { mode: 'basic', users }],
    ['bearer', { mode: 'token', users }],
  ] as const)('is asked with %s', async (login, auth) => {
    const registry = await registryFor({ auth });
    const { report, finding } = await check(registry, { repository: 'team/app', write: WRITE }, 'alice');
    expect(finding('credentials').facts).toMatchObject({ asked: login });
    expect(report.works).toEqual({ verifying: 'yes', signing: 'yes', collections: 'yes' });
  });

  it.each([
    ['basic', { mode: 'basic', users }],
    ['bearer', { mode: 'token', users }],
  ] as const)('refuses a stranger with %s', async (_, auth) => {
    const registry = await registryFor({ auth });
    const { report } = await check(registry, { repository: 'team/app' });
    expect(report.works.verifying).toBe('no');
    expect(failureOfReport(report, {})?.code).toBe('unauthorized');
  });

  it('lets a stranger read: signing will not work', async () => {
    const { report, finding } = await checked({ auth: { mode: 'token', users, anonymous: ['pull'] } }, [], {
      write: WRITE,
    });
    expect(finding('head').state).toBe('good');
    expect(report.works).toEqual({ verifying: 'yes', signing: 'no', collections: 'no' });
    expect(failureOfReport(report, {})?.code).toBe('unauthorized');
  });
});
