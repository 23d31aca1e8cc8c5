import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Demands, verify } from '../../../src/actions/verify/verify.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import type { ErrorCode } from '../../../src/errors.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { parsePlatform } from '../../../src/oci/platform.ts';
import { formatReference, parseReference } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { requirements } from '../../../src/policy/requirements.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { fixedCredentials } from '../../../src/registry/credentials.ts';
import type { Dialect } from '../../../src/registry/dialect.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { ProcessMemory } from '../../../src/trust/read/memory.ts';
import { pushImage, pushIndex } from '../../support/content.ts';
import { attach, forgeBundle, statement } from '../../support/forge.ts';
import type { FaultAction } from '../../support/registry/behaviour.ts';
import { codeOf, FakeTiming } from '../../support/registry/open.ts';
import { type FaultyRegistry, startRegistry } from '../../support/registry/server.ts';
import { changeHead, setting } from '../../support/trust/changing.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { NOW, ROOT } from '../../support/tuf/editing.ts';
import { poolKey } from '../../support/tuf/keys.ts';

/**
 * Every kind of request that verification sends to a registry, with every way in which it can fail. The others are in
 * test/revocation-client/client.test.ts (OCSP, CRL), test/mirror/http.test.ts (TUF), and, while signing, in
 * test/cli/sign-keyless.test.ts and sign-stamped.test.ts (Fulcio, Rekor, time stamps).
 */
const FAILURES: readonly (readonly [name: string, action: FaultAction, code: ErrorCode])[] = [
  ['a reset connection', { reset: true }, 'registry-unreachable'],
  ['silence', { answer: () => undefined }, 'timeout'],
  ['401', { status: 401 }, 'unauthorized'],
  ['403', { status: 403 }, 'forbidden'],
  ['429', { status: 429 }, 'registry-throttled'],
  ['500', { status: 500 }, 'registry-error'],
  [
    '502 with a page',
    { status: 502, body: '<html>', headers: { 'content-type': 'text/html' } },
    'registry-error',
  ],
  ['504', { status: 504 }, 'timeout'],
  ['a body that is cut off', { cutAfter: 1 }, 'registry-unreachable'],
  ['a redirect to where nothing listens', redirect('http://127.0.0.1:1/'), 'registry-unreachable'],
  ['a redirect to a server without TLS', redirect('https://HOST/'), 'registry-unreachable'],
  ['a redirect to the metadata of a cloud', redirect('http://169.254.169.254/'), 'forbidden'],
  ['a redirect without an end', redirect(''), 'registry-error'],
  [
    'the page of a captive portal',
    { status: 200, body: '<html>', headers: { 'content-type': 'text/html' } },
    'content-invalid',
  ],
];

function redirect(location: string): FaultAction {
  return {
    answer: (request, response) => {
      const { host = '' } = request.headers;
      response
        .writeHead(307, { location: location === '' ? request.url : location.replace('HOST', host) })
        .end();
    },
  };
}

const PORTAL = 'the page of a captive portal';
const REDIRECTED: Readonly<Record<string, ErrorCode>> = Object.fromEntries(
  FAILURES.map(([name]) => name)
    .filter((name) => name.startsWith('a redirect') || name === PORTAL)
    .map((name) => [name, 'registry-error']),
);

const key = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const SCAN = 'https://example.com/scan/v1';

let registry: FaultyRegistry;
let place: string;
let signed: ManifestContent;
let signature: string;
let index: ManifestContent;

/** How long an answer may take: too short only where none comes. */
let patienceMs = 60_000;
const open = (name = place, dialect: Dialect = {}): Target =>
  openRepository(parseReference(name) as Parameters<typeof openRepository>[0], {
    timing: new FakeTiming(),
    retry: { tries: 2 },
    http: { headersTimeoutMs: patienceMs },
    dialects: { get: async () => dialect, set: async () => {} },
    credentials: fixedCredentials(registry.host, { kind: 'basic', username: 'me', password: 'pw' }),
  });

beforeAll(async () => {
  registry = await startRegistry();
  place = `${registry.host}/team/app`;
  const target = open();
  signed = await pushImage(target, 'signed', 'signed');
  const payload = JSON.stringify(statement(signed.descriptor));
  const made = await attach(target, signed.descriptor, {
    envelope: await forgeBundle({ payload, signer: key }),
  });
  signature = made.descriptor.digest;
  await pushImage(target, 'bare', 'bare');
  ({ index } = await pushIndex(target, 'multi', 'multi'));
  await pushCollection(target, place, ['signed']);
  // So many names that they do not go into the head itself.
  const names = Array.from({ length: 900 }, (_, at) => `v${at}`.padEnd(128, '-'));
  const large = open(`${place}-large`);
  await pushImage(large, 'signed', 'signed');
  await pushCollection(large, `${place}-large`, ['signed', ...names]);
  await large.close();
  await target.close();
});
beforeEach(() => {
  patienceMs = 60_000;
  registry.heal();
  registry.forget();
  registry.behaviour.referrersApi = true;
  delete registry.behaviour.auth;
});
afterAll(() => registry.close());

async function pushCollection(target: Target, name: string, names: readonly string[]): Promise<void> {
  await pushHead(target, await newCollection(name));
  const { digest, size } = signed.descriptor;
  const set = new Map(names.map((each) => [each, { length: size, sha256: digest.slice(7) }]));
  await changeHead(target, (edit) => edit.apply(NAMES_ROLE, [{ ...setting([]), set }]));
}

interface Kind {
  readonly path: () => RegExp;
  /** Tag or digest, behind the name of a repository that goes on. */
  readonly reference: () => string;
  readonly demands?: Demands;
  readonly purpose?: string;
  readonly isNamed?: true;
  readonly prepare?: () => void;
  /** Codes of failures that mean something else for this request. */
  readonly codes?: Readonly<Record<string, ErrorCode>>;
  /** What was learnt of the registry before. */
  readonly dialect?: Dialect;
}

const byName = { isNamed: true } as const;
/** Each image is verified in a way that needs the request: it would be unsigned, or verified, without the failure. */
const KINDS: readonly (readonly [string, Kind])[] = [
  [
    'the token',
    {
      path: () => /^\/token/,
      reference: () => ':signed',
      prepare: () => (registry.behaviour.auth = { mode: 'token', users: { me: 'pw' } }),
      // Token servers do not redirect.
      codes: { ...REDIRECTED, [PORTAL]: 'content-invalid' },
    },
  ],
  ['the manifest of a tag', { path: () => /manifests\/signed$/, reference: () => ':signed' }],
  [
    'the manifest of a digest',
    {
      path: () => new RegExp(`manifests/${signed.descriptor.digest}`),
      reference: () => `@${signed.descriptor.digest}`,
    },
  ],
  [
    'the referrers API that the registry is known to have',
    { path: () => /referrers\//, reference: () => ':bare', dialect: { referrers: 'api' }, codes: REDIRECTED },
  ],
  [
    'the referrers API of a registry that is not known',
    {
      path: () => /referrers\//,
      reference: () => ':bare',
      // Registries without the API answer so, ghcr.io among them (decision 11).
      codes: {
        ...Object.fromEntries(Object.keys(REDIRECTED).map((name) => [name, 'unsigned'])),
        // It is followed on the registry itself.
        'a redirect without an end': 'registry-error',
      },
    },
  ],
  [
    'the fallback tag',
    {
      path: () => /manifests\/sha256-[0-9a-f]{64}$/,
      reference: () => ':bare',
      prepare: () => (registry.behaviour.referrersApi = false),
    },
  ],
  ["cosign's .sig tag", { path: () => /\.sig$/, reference: () => ':bare' }],
  ["cosign's .att tag", { path: () => /\.att$/, reference: () => ':bare', purpose: SCAN }],
  [
    'the manifest of a signature',
    {
      path: () => new RegExp(`manifests/${signature}`),
      reference: () => ':signed',
      codes: { [PORTAL]: 'signature-mismatch' },
    },
  ],
  [
    'the envelope of a signature',
    { path: () => /blobs\//, reference: () => ':signed', codes: { [PORTAL]: 'signature-mismatch' } },
  ],
  [
    "the manifest of a platform's image",
    {
      path: () =>
        new RegExp(`manifests/${JSON.parse(Buffer.from(index.bytes).toString()).manifests[0].digest}`),
      reference: () => ':multi',
      demands: { platform: parsePlatform('linux/amd64') },
    },
  ],
  [
    'the head of a collection',
    { path: () => new RegExp(`manifests/${HEAD_TAG}$`), reference: () => ':signed', ...byName },
  ],
  ['the metadata of a collection', { path: () => /blobs\//, reference: () => '-large:signed', ...byName }],
  [
    'the tag that must not have moved',
    { path: () => /manifests\/signed$/, reference: () => ':signed', ...byName, demands: { drift: 'reject' } },
  ],
];

/** What `bulla verify` would say. */
async function outcome({ reference, demands = {}, purpose, isNamed, dialect }: Kind): Promise<string> {
  const text = `${place}${reference()}`;
  const target = open(text.replace(/[:@][^/]*$/, ''), dialect);
  const trust = { kind: 'key-ids', keyIds: [poolKey(ROOT).key.keyid] } as const;
  try {
    return await codeOf(
      verify(
        { text, reference: parseReference(text) },
        isNamed ? { ...demands, trust } : { ...demands, name: false },
        {
          now: NOW,
          memory: new ProcessMemory(),
          pins: async () => [],
          placeOf: (one) => formatReference(one).replace(/[:@][^/]*$/, ''),
          openSource: async () => target,
          isUnattended: true,
          image: async () => target,
          requirements: async () =>
            requirements({
              keys: [key.publicKey],
              now: NOW,
              ...(purpose !== undefined && { purposes: [purpose] }),
            }),
        },
      ),
    );
  } finally {
    await target.close();
  }
}

describe.each(KINDS)('%s', (_, kind) => {
  it('is asked for', async () => {
    kind.prepare?.();
    const expected = /signed|sha256/.test(kind.reference()) ? 'success' : 'unsigned';
    expect(await outcome(kind)).toBe(expected);
    expect(registry.log.some(({ path }) => kind.path().test(path))).toBe(true);
  });

  it.each(FAILURES)('with %s', async (name, action, code) => {
    kind.prepare?.();
    // An honest answer that takes longer on a busy machine times out as well.
    if (code === 'timeout' && 'answer' in action) patienceMs = 100;
    registry.fault({ path: kind.path(), times: 99, action });
    expect(await outcome(kind)).toBe(kind.codes?.[name] ?? code);
  });
});

it('is unreachable where nothing listens', async () => {
  const gone = await startRegistry();
  const { host } = gone;
  await gone.close();
  const kind = { path: () => /x/, reference: () => ':signed' };
  const before = place;
  place = `${host}/team/app`;
  expect(await outcome(kind)).toBe('registry-unreachable');
  expect(await outcome({ ...kind, ...byName })).toBe('registry-unreachable');
  place = before;
});
