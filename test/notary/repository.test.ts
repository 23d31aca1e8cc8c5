import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/encoding/json.ts';
import type { ErrorCode } from '../../src/errors.ts';
import {
  findNotaryName,
  hiddenNames,
  listNotaryNames,
  notarySigners,
  releasedNames,
} from '../../src/notary/names.ts';
import type { NotaryPin } from '../../src/notary/pin.ts';
import {
  type NotaryRepository,
  type NotaryVerifyOptions,
  verifyNotaryRepository,
} from '../../src/notary/repository.ts';
import { rootKeysOf } from '../../src/notary/root-chain.ts';
import type { NotaryMemory, NotaryMemoryState } from '../../src/notary/source.ts';
import { findNotaryDirectory, NotaryDirectory } from '../../src/notary-client/directory.ts';
import { certify } from '../support/certificates.ts';
import {
  digestOf,
  type ForgedFiles,
  type ForgedKeyType,
  type ForgedRepository,
  ForgedSource,
  forgeKey,
  forgeRepository,
  GUN,
  metaOf,
  NOW,
  publish,
  signNotary,
  target,
} from '../support/notary/forge.ts';

const fixture = (name: string): string =>
  new URL(`../../testdata/notary-v1/${name}`, import.meta.url).pathname;

async function verify(
  files: ForgedFiles,
  options: Partial<NotaryVerifyOptions> = {},
): Promise<NotaryRepository> {
  const found = await verifyNotaryRepository(new ForgedSource(files), {
    gun: GUN,
    now: NOW,
    pin: { kind: 'tofu' },
    ...options,
  });
  if (found === undefined) throw new Error('no trust data');
  return found;
}

const refused = (code: ErrorCode, details: Record<string, unknown> = {}) =>
  expect.objectContaining({ code, details: expect.objectContaining(details) });

class Memory implements NotaryMemory {
  state: NotaryMemoryState | undefined;
  async load(): Promise<NotaryMemoryState | undefined> {
    return this.state;
  }
  async keep(state: NotaryMemoryState): Promise<void> {
    this.state = state;
  }
}

/** A repository as docker trust makes it: signers alice and bob, and what is released. */
async function dockerRepository(): Promise<ForgedRepository> {
  const repository = await forgeRepository();
  const [alice, bob] = [await forgeKey('P-256', { cn: 'alice' }), await forgeKey()];
  repository.delegations.set('targets/alice', {
    keys: [alice],
    targets: { v2: target('two'), v3: target('three') },
  });
  repository.delegations.set('targets/bob', { keys: [bob], targets: { v2: target('two') } });
  repository.delegations.set('targets/releases', {
    keys: [alice, bob],
    targets: { v2: target('two'), v3: target('three') },
  });
  return repository;
}

describe('trust data that others made', () => {
  const AT = new Date('2026-11-30T12:00:00Z');
  it.each([
    ['a-after-delegation', 'localhost:5000/demo/app', { v1: 'targets', v2: 'targets/releases' }, 2],
    ['b-after-rotations', 'localhost:5000/demo/app', { v1: 'targets', v2: 'targets/releases' }, 5],
    ['d-local-ed25519', 'localhost:5000/demo/local', { v1: 'targets' }, 2],
    ['e-docker-trust', 'localhost:5000/demo/dkr', { v1: 'targets/dave', v2: 'targets/dave' }, 1],
    ['f-ca-pinned', 'localhost:5000/demo/capin2', {}, 1],
  ])('%s is verified, with the names that notary list shows', async (name, gun, names, version) => {
    const source = new NotaryDirectory(fixture(name));
    const found = await verifyNotaryRepository(source, { gun, now: AT, pin: { kind: 'tofu' } });
    expect(Object.fromEntries(listNotaryNames(found!).map((one) => [one.name, one.role]))).toEqual(names);
    expect(found!.root.content.version).toBe(version);
    expect(found!.warnings).toEqual([]);
  });

  it('docker trust: two signers, two keys in a delegation, in the rows of docker trust inspect', async () => {
    const source = new NotaryDirectory(fixture('e-docker-trust'));
    const found = (await verifyNotaryRepository(source, {
      gun: 'localhost:5000/demo/dkr',
      now: AT,
      pin: { kind: 'tofu' },
    }))!;
    expect(releasedNames(found).map(({ name, signers }) => [name, signers])).toEqual([
      ['v1', ['dave']],
      ['v2', ['alice', 'dave']],
    ]);
    expect(notarySigners(found).map(({ name }) => name)).toEqual(['dave', 'alice']);
    const alice = notarySigners(found).find(({ name }) => name === 'alice');
    expect(alice?.keyIds[0]).not.toBe(found.roles.get('targets/alice')?.keyids[0]);
  });

  it('alpine of 2018, with Docker’s own root key: fresh then, expired now', async () => {
    const source = new NotaryDirectory(fixture('hub-alpine-2018'));
    const keyIds = ['a2489bcac7a79aa67b19b96c4a3bf0c675ffdf00c6d2fabe1a5df1115e80adce'];
    const options = { gun: 'docker.io/library/alpine', pin: { kind: 'key-ids', keyIds } } as const;
    const then = await verifyNotaryRepository(source, { ...options, now: new Date('2018-07-25T00:00:00Z') });
    expect(listNotaryNames(then!)).toHaveLength(13);
    expect(findNotaryName(then!, 'latest').digest).toBe(
      'sha256:7043076348bf5040220df6ad703798fd8593a0918d06d3ce30c6c93be117e430',
    );
    await expect(verifyNotaryRepository(source, { ...options, now: AT })).rejects.toEqual(
      refused('trust-expired'),
    );
    const late = await verifyNotaryRepository(source, { ...options, now: AT, allowExpired: true });
    expect(late!.expired.map(({ role }) => role)).toEqual(['root', 'timestamp', 'snapshot', 'targets']);
  });

  it.each(['alice-image', 'sample-image'])('%s, laid out with white space', async (name) => {
    const source = new NotaryDirectory(fixture(`validator/${name}`));
    const found = (await verifyNotaryRepository(source, {
      gun: `docker.io/phbelitz/${name}`,
      now: new Date('2019-10-20T00:00:00Z'),
      pin: { kind: 'tofu' },
    }))!;
    expect(found.warnings.length).toBeGreaterThan(0);
    expect(releasedNames(found).map((one) => [one.name, one.signers])).toEqual(
      name === 'alice-image'
        ? [['test', ['chamsen', 'phbelitz']]]
        : [
            ['sign', []],
            ['v1', []],
          ],
    );
  });

  it.each([
    ['never-expire-image', {}, 'trust-invalid'],
    ['never-expire-with-delegations-image', {}, 'trust-invalid'],
    ['err-image', {}, 'content-invalid'],
    ['never-expire-image', { root: '01_expired_root' }, 'trust-expired'],
    ['never-expire-image', { targets: '02_invalid_signature_targets' }, 'trust-invalid'],
    ['never-expire-image', { snapshot: '03_expired_snapshot' }, 'trust-expired'],
    [
      'never-expire-with-delegations-image',
      { 'targets/del1': '04_invalid_signature_delegation' },
      'trust-invalid',
    ],
    ['never-expire-with-delegations-image', { 'targets/del1': '05_expired_delegation' }, 'trust-expired'],
    ['never-expire-image', { root: '06_no_signature_root' }, 'trust-invalid'],
    ['never-expire-image', { root: '07_root_multiple_signatures' }, 'trust-invalid'],
  ] as const)('%s with %j is refused: %s', async (name, replaced, code) => {
    const base = new NotaryDirectory(fixture(`validator/${name}`));
    const other = new Map<string, string>(Object.entries(replaced));
    const source = {
      place: name,
      fetch: async (file: { role: string }, most: number) => {
        const path = other.get(file.role);
        return path === undefined ? base.fetch(file, most) : readFileSync(fixture(`validator/${path}.json`));
      },
    };
    await expect(
      verifyNotaryRepository(source, { gun: 'securesystems.de', now: AT, pin: { kind: 'tofu' } }),
    ).rejects.toEqual(refused(code));
  });

  it('is found in the places where it is saved', () => {
    expect(findNotaryDirectory(fixture('e-docker-trust'), 'a/b').place).toBe(fixture('e-docker-trust'));
    expect(() => findNotaryDirectory(fixture('nothing'), 'a/b')).toThrow(refused('not-found'));
    expect(() => findNotaryDirectory(fixture('e-docker-trust'), '../b')).toThrow(refused('usage'));
  });
});

describe('keys and methods', () => {
  it.each<[ForgedKeyType, string | undefined]>([
    ['P-256', undefined],
    ['P-384', undefined],
    ['P-521', undefined],
    ['RSA', 'rsapss'],
    ['RSA', 'rsapkcs1v15'],
    ['RSA', 'pycrypto-pkcs#1 pss'],
    ['Ed25519', undefined],
  ])('%s %s signs every role', async (type, method) => {
    const key = () => forgeKey(type, method === undefined ? {} : { method: method as 'rsapss' });
    const isRoot =
      type === 'Ed25519' ? {} : { cn: GUN, ...(method !== undefined && { method: method as 'rsapss' }) };
    const repository = await forgeRepository(GUN, {
      root: await forgeKey(type, isRoot),
      targets: await key(),
      snapshot: await key(),
      timestamp: await key(),
    });
    repository.delegations.set('targets/alice', {
      keys: [await forgeKey(type, type === 'Ed25519' ? {} : { cn: 'alice' })],
      targets: { 'a&b<c>': target('odd', { 'x>y': 'ü\u2028' }) },
    });
    expect(listNotaryNames(await verify(publish(repository))).map(({ name }) => name)).toEqual([
      'a&b<c>',
      'v1',
    ]);
  });

  it.each<[string, ForgedKeyType, string]>([
    ['RSA of 1024 bits', 'RSA-1024', 'rsapss'],
    ['another curve', 'P-224', 'ecdsa'],
    ['a method of another type of key', 'P-256', 'rsapss'],
    ['an unknown method', 'P-256', 'hmac'],
    ['no method', 'P-256', ''],
  ])('%s counts for nothing', async (_what, type, method) => {
    const weak = { ...(await forgeKey(type)), method };
    const repository = await forgeRepository(GUN, { targets: weak });
    await expect(verify(publish(repository))).rejects.toEqual(
      refused('trust-invalid', { role: 'targets', reason: 'signatures' }),
    );
  });

  it('a signature in DER counts for nothing', async () => {
    const key = await forgeKey();
    const { sign } = await import('node:crypto');
    const repository = await forgeRepository(GUN, {
      targets: { ...key, sign: (message) => sign('sha256', message, key.privateKey) },
    });
    await expect(verify(publish(repository))).rejects.toEqual(refused('trust-invalid', { role: 'targets' }));
  });

  it('one key counts once, bare and in two certificates', async () => {
    const key = await forgeKey();
    const dressed = [
      await forgeKey('P-256', { of: key, cn: 'a' }),
      await forgeKey('P-256', { of: key, cn: 'b' }),
    ];
    const repository = await forgeRepository();
    repository.targets = { ...repository.targets, keys: [key, ...dressed], threshold: 2 };
    await expect(verify(publish(repository))).rejects.toEqual(
      refused('trust-invalid', { role: 'targets', valid: [key.id], threshold: 2 }),
    );
    repository.targets.keys.push(await forgeKey());
    expect((await verify(publish(repository))).roles.get('targets')?.content?.version).toBe(1);
  });

  it('a key under an id that is not its own counts for nothing', async () => {
    const key = await forgeKey();
    const repository = await forgeRepository(GUN, { targets: { ...key, id: 'f'.repeat(64) } });
    await expect(verify(publish(repository))).rejects.toEqual(refused('trust-invalid', { role: 'targets' }));
  });

  it('a threshold of two root keys needs both', async () => {
    const repository = await forgeRepository();
    repository.root.push(await forgeKey('P-384', { cn: GUN }));
    repository.rootThreshold = 2;
    const files = publish(repository);
    expect((await verify(files)).root.content.roles.get('root')?.threshold).toBe(2);
    const lacking = publish({
      ...repository,
      tamper: new Map([
        [
          'root',
          (signed) => {
            signed['version'] = 1;
          },
        ],
      ]),
    });
    const root = JSON.parse(Buffer.from(lacking.get('root')!).toString()) as { signatures: unknown[] };
    root.signatures.pop();
    lacking.set('root', Buffer.from(JSON.stringify(root)));
    await expect(verify(lacking)).rejects.toEqual(refused('trust-invalid', { role: 'root' }));
  });
});

describe('pins', () => {
  /** Three roots, whose keys were rotated twice. */
  async function rotated(): Promise<{
    files: ForgedFiles;
    repository: ForgedRepository;
    keys: Awaited<ReturnType<typeof forgeKey>>[];
  }> {
    const repository = await forgeRepository();
    const keys = [repository.root[0]!];
    let files = publish(repository);
    for (const version of [2, 3]) {
      const key = await forgeKey(version === 2 ? 'P-384' : 'RSA', {
        cn: version === 2 ? GUN : 'registry.example.com/team/*',
      });
      keys.push(key);
      Object.assign(repository, { rootVersion: version, version, oldRoot: repository.root, root: [key] });
      files = publish(repository, files);
    }
    return { files, repository, keys };
  }

  it('any root key of the chain is enough, by each of its ids, as a bare key, or as a root file', async () => {
    const { files, keys } = await rotated();
    for (const [index, { id, keystoreId, publicPem }] of keys.entries()) {
      const pins: NotaryPin[] = [
        { kind: 'key-ids', keyIds: [id] },
        { kind: 'key-ids', keyIds: ['0'.repeat(64), keystoreId.toUpperCase()] },
        { kind: 'public-key', pem: publicPem },
        { kind: 'root', bytes: files.get(`${index + 1}.root`)! },
      ];
      for (const pin of pins) {
        const found = await verify(files, { pin });
        expect(found.roots.map(({ content }) => content.version)).toEqual([1, 2, 3].slice(index));
      }
    }
  });

  it('without a pin, nothing is trusted, and the ids are told', async () => {
    const { files, keys } = await rotated();
    await expect(verify(files, { pin: undefined })).rejects.toEqual(
      refused('trust-unpinned', { keyIds: [keys[2]!.id] }),
    );
  });

  it.each([
    ['key ids', () => ({ kind: 'key-ids', keyIds: ['a'.repeat(64)] }) as const],
    ['a key', async () => ({ kind: 'public-key', pem: (await forgeKey()).publicPem }) as const],
  ])('other %s are refused', async (_what, pin) => {
    const { files } = await rotated();
    await expect(verify(files, { pin: await pin() })).rejects.toEqual(
      refused('trust-invalid', { reason: 'pin' }),
    );
  });

  it('a key that the root lists and that has not signed it pins nothing', async () => {
    const repository = await forgeRepository();
    const listed = await forgeKey('P-256', { cn: GUN });
    const files = publish({
      ...repository,
      tamper: new Map([
        [
          'root',
          (signed) => {
            (signed['keys'] as JsonObject)[listed.id] = listed.json;
            ((signed['roles'] as JsonObject)['root'] as { keyids: string[] }).keyids.push(listed.id);
          },
        ],
      ]),
    });
    await expect(verify(files, { pin: { kind: 'key-ids', keyIds: [listed.id] } })).rejects.toEqual(
      refused('trust-invalid', { reason: 'pin' }),
    );
  });

  it('a root key that belongs to another role of the repository is no root key', async () => {
    const repository = await forgeRepository();
    const pin = { kind: 'key-ids', keyIds: [repository.timestamp.id] } as const;
    await expect(verify(publish(repository), { pin })).rejects.toEqual(
      refused('trust-invalid', { reason: 'pin' }),
    );
  });

  it.each([
    ['2.root', 'missing', (files: ForgedFiles) => void files.delete('2.root')],
    ['2.root', 'version', (files: ForgedFiles) => void files.set('2.root', files.get('1.root')!)],
  ])('a broken chain is refused: %s %s', async (_file, reason, breakIt) => {
    const { files, keys } = await rotated();
    breakIt(files);
    await expect(verify(files, { pin: { kind: 'root', bytes: files.get('1.root')! } })).rejects.toEqual(
      refused('trust-invalid', { role: 'root', reason }),
    );
    // Who pins the newest needs no chain.
    expect(await verify(files, { pin: { kind: 'key-ids', keyIds: [keys[2]!.id] } })).toBeDefined();
  });

  it('a root that the old keys did not sign is refused, and so is one that its own keys did not sign', async () => {
    const repository = await forgeRepository();
    const first = publish(repository);
    const key = await forgeKey('P-256', { cn: GUN });
    const pin = { kind: 'key-ids', keyIds: [repository.root[0]!.id] } as const;
    const unsigned = publish({ ...repository, rootVersion: 2, root: [key] }, first);
    await expect(verify(unsigned, { pin })).rejects.toEqual(
      refused('trust-invalid', { reason: 'signatures' }),
    );
    const old = repository.root[0]!;
    const half = publish(
      { ...repository, rootVersion: 2, root: [{ ...key, sign: () => new Uint8Array(64) }], oldRoot: [old] },
      first,
    );
    await expect(verify(half, { pin })).rejects.toEqual(refused('trust-invalid', { reason: 'signatures' }));
  });

  it('another repository’s root is refused, also where it has the same key', async () => {
    const ours = await forgeRepository();
    const key = ours.root[0]!;
    const other = 'registry.example.com/team/other';
    const theirs = await forgeRepository(other, { root: await forgeKey('P-256', { of: key, cn: other }) });
    const pins: NotaryPin[] = [
      { kind: 'public-key', pem: key.publicPem },
      { kind: 'key-ids', keyIds: [key.keystoreId] },
      { kind: 'key-ids', keyIds: [theirs.root[0]!.id] },
      { kind: 'tofu' },
    ];
    for (const pin of pins)
      await expect(verify(publish(theirs), { pin })).rejects.toEqual(refused('trust-invalid'));
  });

  it.each([
    [GUN, true],
    ['registry.example.com/team/*', true],
    ['registry.example.com/team/app*', true],
    ['registry.example.com/team/ap', false],
    ['registry.example.com/team/*/app', false],
    ['REGISTRY.example.com/team/app', false],
  ])('a certificate for %s: %s', async (cn, isGood) => {
    const files = publish(await forgeRepository(GUN, { root: await forgeKey('P-256', { cn }) }));
    if (isGood) expect(await verify(files)).toBeDefined();
    else await expect(verify(files)).rejects.toEqual(refused('trust-invalid'));
  });

  it('an authority certifies root keys, and no other does', async () => {
    const long = { notBefore: new Date('2020-01-01T00:00:00Z'), notAfter: new Date('2040-01-01T00:00:00Z') };
    const [authority, stranger] = [
      await certify('CN=Root', { authority: {}, ...long }),
      await certify('CN=Root', { authority: {}, ...long }),
    ];
    const root = await forgeKey('P-256', { cn: GUN, issuer: authority });
    const files = publish(await forgeRepository(GUN, { root }));
    const pem = (one: typeof authority) =>
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(one.certificate.der).toString('base64')}\n-----END CERTIFICATE-----\n`;
    expect(await verify(files, { pin: { kind: 'ca', pem: pem(authority) } })).toBeDefined();
    await expect(verify(files, { pin: { kind: 'ca', pem: pem(stranger) } })).rejects.toEqual(
      refused('trust-invalid', { reason: 'pin' }),
    );
    const self = publish(await forgeRepository());
    await expect(verify(self, { pin: { kind: 'ca', pem: pem(authority) } })).rejects.toEqual(
      refused('trust-invalid'),
    );
  });

  it('the fixture of a real authority', async () => {
    const pem = readFileSync(fixture('f-ca-pinned/orgca.crt'), 'utf8');
    const found = await verifyNotaryRepository(new NotaryDirectory(fixture('f-ca-pinned')), {
      gun: 'localhost:5000/demo/capin2',
      now: new Date('2026-11-30T00:00:00Z'),
      pin: { kind: 'ca', pem },
    });
    expect(rootKeysOf(found!.root.content)).toHaveLength(1);
  });

  it('a certificate that has expired', async () => {
    const root = await forgeKey('P-256', { cn: GUN, notAfter: new Date('2026-01-01T00:00:00Z') });
    const files = publish(await forgeRepository(GUN, { root }));
    await expect(verify(files)).rejects.toEqual(refused('trust-expired', { reason: 'certificate' }));
    expect(await verify(files, { allowExpired: true })).toBeDefined();
  });
});

describe('attacks', () => {
  it.each<[string, ErrorCode, (files: ForgedFiles, repository: ForgedRepository) => void | Promise<void>]>([
    [
      'a target swapped under the old signature',
      'trust-invalid',
      (files) => {
        const text = Buffer.from(files.get('targets/releases')!).toString();
        const document = JSON.parse(text) as { signed: { targets: Record<string, unknown> } };
        document.signed.targets['v2'] = target('evil');
        files.set('targets/releases', Buffer.from(JSON.stringify(document)));
      },
    ],
    [
      'an older file of a role',
      'trust-invalid',
      (files, repository) => {
        const old = publish({
          ...repository,
          delegations: new Map(
            [...repository.delegations].map(([name, role]) => [name, { ...role, targets: {} }]),
          ),
        });
        files.set('targets/releases', old.get('targets/releases')!);
      },
    ],
    ['a dropped delegation', 'trust-invalid', (files) => void files.delete('targets/alice')],
    ['a dropped snapshot', 'trust-invalid', (files) => void files.delete('snapshot')],
    ['a dropped timestamp', 'trust-invalid', (files) => void files.delete('timestamp')],
    [
      'a delegation’s file in place of another’s',
      'trust-invalid',
      (files) => void files.set('targets/alice', files.get('targets/bob')!),
    ],
    [
      'unsigned members beside the signed part',
      'trust-invalid',
      (files) => {
        const document = JSON.parse(Buffer.from(files.get('targets')!).toString()) as Record<string, unknown>;
        files.set('targets', Buffer.from(JSON.stringify({ ...document, delegations: {} })));
      },
    ],
    [
      'a member added to the signed part',
      'trust-invalid',
      (files) => {
        const document = JSON.parse(Buffer.from(files.get('timestamp')!).toString()) as {
          signed: Record<string, unknown>;
        };
        document.signed['extra'] = 1;
        files.set('timestamp', Buffer.from(JSON.stringify(document)));
      },
    ],
    [
      'a key twice in one object',
      'content-invalid',
      (files) => {
        const text = Buffer.from(files.get('timestamp')!).toString();
        files.set('timestamp', Buffer.from(text.replace('"version":1', '"version":1,"version":2')));
      },
    ],
    ['no JSON', 'content-invalid', (files) => void files.set('root', Buffer.from('\\\\\\\n'))],
    [
      'a role of another kind',
      'content-invalid',
      (files) => void files.set('timestamp', files.get('snapshot')!),
    ],
    [
      'a huge role',
      'content-invalid',
      (files) => void files.set('targets/alice', Buffer.alloc(1_000_000, 0x20)),
    ],
  ])('%s: %s', async (_what, code, attack) => {
    const repository = await dockerRepository();
    const files = publish(repository);
    expect(await verify(files)).toBeDefined();
    await attack(files, repository);
    await expect(verify(files)).rejects.toEqual(refused(code));
  });

  it.each([
    ['targets/../../x'],
    ['targets/a/b'],
    ['targets/A'],
    ['targets/'],
    ['other/a'],
    ['targets'],
    ['targets/a b'],
    [`targets/${'a'.repeat(300)}`],
  ])('a delegation called %s', async (name) => {
    const key = await forgeKey();
    const files = publish({
      ...(await forgeRepository()),
      tamper: new Map([
        [
          'targets',
          (signed) => {
            signed['delegations'] = {
              keys: { [key.id]: key.json },
              roles: [{ name, keyids: [key.id], threshold: 1, paths: [''] }],
            };
          },
        ],
      ]),
    });
    await expect(verify(files)).rejects.toEqual(refused('content-invalid', { role: 'targets' }));
  });

  it.each([
    [
      'a threshold of 0',
      (signed: JsonObject) => {
        ((signed['roles'] as JsonObject)['targets'] as JsonObject)['threshold'] = 0;
      },
    ],
    ['no version', (signed: JsonObject) => void delete signed['version']],
    [
      'version 0',
      (signed: JsonObject) => {
        signed['version'] = 0;
      },
    ],
    ['no expiry', (signed: JsonObject) => void delete signed['expires']],
    ['no timestamp role', (signed: JsonObject) => void delete (signed['roles'] as JsonObject)['timestamp']],
    [
      'keys that are no objects',
      (signed: JsonObject) => {
        signed['keys'] = { a: 'b' };
      },
    ],
  ])('a root with %s', async (_what, change) => {
    const files = publish({ ...(await forgeRepository()), tamper: new Map([['root', change]]) });
    await expect(verify(files)).rejects.toEqual(refused('content-invalid', { role: 'root' }));
  });

  it.each([
    ['sha256', 'AAAA'],
    ['sha512', 'AAAA'],
    ['sha256', '%'],
  ])('a target whose %s is %s', async (algorithm, text) => {
    const repository = await forgeRepository();
    repository.targets.targets = { v1: { length: 1, hashes: { [algorithm]: text } } };
    await expect(verify(publish(repository))).rejects.toEqual(
      refused('content-invalid', { role: 'targets' }),
    );
  });

  it('a snapshot that lists a role without a hash that is known', async () => {
    const repository = await forgeRepository();
    repository.tamper = new Map([
      [
        'snapshot',
        (signed) => {
          const { length } = (signed['meta'] as JsonObject)['targets'] as JsonObject;
          (signed['meta'] as JsonObject)['targets'] = { length: length!, hashes: { md5: 'AAAA' } };
        },
      ],
    ]);
    await expect(verify(publish(repository))).rejects.toEqual(
      refused('trust-invalid', { role: 'targets', reason: 'hash' }),
    );
  });

  it('only the sha512 is wrong', async () => {
    const repository = await forgeRepository();
    repository.tamper = new Map([
      [
        'snapshot',
        (signed) => {
          const meta = (signed['meta'] as JsonObject)['targets'] as JsonObject;
          (meta['hashes'] as JsonObject)['sha512'] = Buffer.alloc(64).toString('base64');
        },
      ],
    ]);
    await expect(verify(publish(repository))).rejects.toEqual(
      refused('trust-invalid', { role: 'targets', reason: 'hash' }),
    );
  });

  it.each(['root', 'timestamp', 'snapshot', 'targets', 'targets/alice'])('%s has expired', async (role) => {
    const repository = await dockerRepository();
    repository.tamper = new Map([
      [
        role,
        (signed) => {
          signed['expires'] = '2026-11-30T11:59:59.999999999Z';
        },
      ],
    ]);
    const files = publish(repository);
    await expect(verify(files)).rejects.toEqual(refused('trust-expired', { role }));
    const taken = await verify(files, { allowExpired: true });
    expect(taken.expired.map((one) => one.role)).toEqual([role]);
  });

  it('a role of ten gigabytes is not asked for', async () => {
    const repository = await forgeRepository();
    repository.tamper = new Map([
      [
        'snapshot',
        (signed) => {
          ((signed['meta'] as JsonObject)['targets'] as JsonObject)['length'] = 10_000_000_000;
        },
      ],
    ]);
    const source = new ForgedSource(publish(repository));
    const asking = verifyNotaryRepository(source, { gun: GUN, now: NOW, pin: { kind: 'tofu' } });
    await expect(asking).rejects.toEqual(refused('content-invalid', { role: 'targets' }));
    expect(source.asked.map(({ role }) => role)).not.toContain('targets');
  });

  it('roots without end, each as large as one may be', async () => {
    const repository = await forgeRepository();
    const files = publish({ ...repository, rootVersion: 1000 });
    let read = 0;
    const source = {
      place: 'hostile',
      fetch: async ({ role, version }: { role: string; version?: number | undefined }) => {
        if (version === undefined) return files.get(role);
        read++;
        const tamper = new Map([
          ['root', (signed: JsonObject) => void Object.assign(signed, { pad: 'x'.repeat(1_000_000) })],
        ]);
        return publish({ ...repository, rootVersion: version, tamper }).get('root');
      },
    };
    const pin = { kind: 'key-ids', keyIds: ['0'.repeat(64)] } as const;
    await expect(verifyNotaryRepository(source, { gun: GUN, now: NOW, pin })).rejects.toEqual(
      refused('content-invalid'),
    );
    expect(read).toBeLessThan(50);
  });

  it('keys that have signed nothing spoil nothing', async () => {
    const repository = await forgeRepository();
    const keys = Object.fromEntries(
      Array.from({ length: 2000 }, (_, index) => [`k${index}`, repository.snapshot.json]),
    );
    repository.tamper = new Map([
      ['root', (signed) => void Object.assign(signed['keys'] as JsonObject, keys)],
    ]);
    const root = (await verify(publish(repository))).root.content;
    expect(root.keys.size).toBe(2004);
    expect(root.keys.get('k7')?.problem).toContain('not its own');
  });

  it('more bytes than the budget', async () => {
    const files = publish(await dockerRepository());
    await expect(verify(files, { maxBytes: 3000 })).rejects.toEqual(refused('content-invalid'));
  });

  it('the root that snapshot lists is another', async () => {
    const repository = await forgeRepository();
    repository.tamper = new Map([
      [
        'snapshot',
        (signed) => {
          (signed['meta'] as JsonObject)['root'] = metaOf(Buffer.from('x'));
        },
      ],
    ]);
    await expect(verify(publish(repository))).rejects.toEqual(
      refused('trust-invalid', { role: 'root', reason: 'hash' }),
    );
  });
});

describe('memory', () => {
  async function seen(): Promise<{ memory: Memory; repository: ForgedRepository; files: ForgedFiles }> {
    const memory = new Memory();
    const repository = await dockerRepository();
    repository.version = 5;
    const files = publish(repository);
    await verify(files, { memory });
    return { memory, repository, files };
  }

  it('needs no pin the second time', async () => {
    const { memory, files } = await seen();
    expect((await verify(files, { memory, pin: undefined })).wasKnown).toBe(true);
  });

  it.each(['timestamp', 'snapshot', 'targets', 'targets/alice'])('an older %s is refused', async (role) => {
    const { memory, repository } = await seen();
    const tamper = new Map([
      [
        role,
        (signed: JsonObject) => {
          signed['version'] = 4;
        },
      ],
    ]);
    const files = publish({ ...repository, version: 6, tamper });
    await expect(verify(files, { memory })).rejects.toEqual(
      refused('trust-rollback', { role, from: 5, to: 4 }),
    );
  });

  it('a delegation that snapshot lists no more is refused while it is delegated to', async () => {
    const { memory, repository } = await seen();
    repository.delegations.get('targets/releases')!.unsigned = true;
    await expect(verify(publish({ ...repository, version: 6 }), { memory })).rejects.toEqual(
      refused('trust-rollback', { role: 'targets/releases', to: null }),
    );
    repository.delegations.delete('targets/releases');
    expect(await verify(publish({ ...repository, version: 6 }), { memory })).toBeDefined();
  });

  it('all trust data gone is refused', async () => {
    const { memory } = await seen();
    await expect(verify(new Map(), { memory })).rejects.toEqual(refused('trust-rollback'));
  });

  it('an older root, and another root of the same version, are refused', async () => {
    const { memory, repository, files } = await seen();
    const newer = publish({ ...repository, rootVersion: 2, version: 6 }, files);
    await verify(newer, { memory });
    await expect(verify(files, { memory })).rejects.toEqual(refused('trust-rollback', { role: 'root' }));
    const fork = publish(
      { ...repository, rootVersion: 2, version: 7, rootExpires: '2035-01-01T00:00:00Z' },
      files,
    );
    await expect(verify(fork, { memory })).rejects.toEqual(refused('trust-invalid', { reason: 'fork' }));
  });

  it('a root of other keys is refused, also with first use and with a pin of its own', async () => {
    const { memory } = await seen();
    const other = await forgeRepository();
    const files = publish({ ...other, rootVersion: 2, version: 9 }, publish(other));
    for (const pin of [
      undefined,
      { kind: 'tofu' },
      { kind: 'key-ids', keyIds: [other.root[0]!.id] },
    ] as const)
      await expect(verify(files, { memory, pin })).rejects.toEqual(refused('trust-invalid'));
  });

  it('a rotated timestamp key lets versions begin anew', async () => {
    const { memory, repository, files } = await seen();
    const recovered = { ...repository, rootVersion: 2, version: 6, timestamp: await forgeKey() };
    recovered.tamper = new Map([
      [
        'timestamp',
        (signed) => {
          signed['version'] = 1;
        },
      ],
    ]);
    expect(await verify(publish(recovered, files), { memory })).toBeDefined();
  });

  it('nothing is remembered of what was refused', async () => {
    const { memory, repository } = await seen();
    const before = memory.state;
    const files = publish({ ...repository, version: 6 });
    files.delete('targets/alice');
    await expect(verify(files, { memory })).rejects.toEqual(refused('trust-invalid'));
    expect(memory.state).toBe(before);
  });
});

describe('names', () => {
  it('are those of notary list and docker trust inspect', async () => {
    const found = await verify(publish(await dockerRepository()));
    expect(listNotaryNames(found).map(({ name, role }) => [name, role])).toEqual([
      ['v1', 'targets'],
      ['v2', 'targets/alice'],
      ['v3', 'targets/alice'],
    ]);
    expect(releasedNames(found)).toMatchObject([
      { name: 'v1', signers: [], digest: digestOf('one') },
      { name: 'v2', signers: ['alice', 'bob'] },
      { name: 'v3', signers: ['alice'] },
    ]);
  });

  it('outside of a role’s paths are hidden, also where the role above it has fewer', async () => {
    const repository = await forgeRepository();
    const [a, b, c] = [await forgeKey(), await forgeKey(), await forgeKey()];
    repository.delegations.set('targets/a', {
      keys: [a],
      paths: ['dev-', 'ci/'],
      targets: { 'dev-1': target('1'), 'prod-1': target('2') },
    });
    repository.delegations.set('targets/a/b', {
      keys: [b],
      paths: ['dev-x', ''],
      targets: { 'dev-x1': target('3'), 'dev-2': target('4') },
    });
    repository.delegations.set('targets/none', { keys: [c], paths: null, targets: { any: target('5') } });
    const found = await verify(publish(repository));
    expect(listNotaryNames(found).map(({ name }) => name)).toEqual(['dev-1', 'dev-x1', 'v1']);
    expect(hiddenNames(found).map(({ name }) => name)).toEqual(['prod-1', 'any', 'dev-2']);
    expect(() => findNotaryName(found, 'prod-1', { delegations: ['a'] })).toThrow(refused('name-not-signed'));
    expect(findNotaryName(found, 'dev-x1', { delegations: ['a/b'] }).digest).toBe(digestOf('3'));
  });

  it('targets/releases is read before targets', async () => {
    const repository = await dockerRepository();
    repository.targets.targets = { v1: target('one'), v2: target('old') };
    const found = await verify(publish(repository));
    expect(findNotaryName(found, 'v2').digest).toBe(digestOf('two'));
    expect(findNotaryName(found, 'v1')).toMatchObject({
      digest: digestOf('one'),
      role: 'targets',
      signers: [],
    });
    expect(releasedNames(found).filter(({ name }) => name === 'v2')).toHaveLength(2);
  });

  it('what only a signer has signed is not released', async () => {
    const repository = await dockerRepository();
    repository.delegations.get('targets/alice')!.targets = { own: target('own') };
    const found = await verify(publish(repository));
    expect(() => findNotaryName(found, 'own')).toThrow(refused('name-not-signed'));
    expect(findNotaryName(found, 'own', { delegations: ['targets/alice'] }).signers).toEqual(['alice']);
  });

  it('a name below targets/releases hides one of targets, as docker does it', async () => {
    const repository = await dockerRepository();
    repository.targets.targets = { sub: target('one') };
    repository.delegations.set('targets/releases/sub', {
      keys: [await forgeKey()],
      targets: { sub: target('two') },
    });
    const found = await verify(publish(repository));
    expect(() => findNotaryName(found, 'sub')).toThrow(refused('name-not-signed'));
  });

  it.each<[readonly string[], string, ErrorCode | string]>([
    [['alice', 'bob'], 'v2', digestOf('two')],
    [['alice', 'bob'], 'v3', 'name-not-signed'],
    [['alice', 'carol'], 'v2', 'name-not-signed'],
    [['alice'], 'conflict', 'digest-mismatch'],
    [['alice', 'bob'], 'conflict', 'digest-mismatch'],
    [['releases'], 'conflict', digestOf('b')],
    [['../alice'], 'v2', 'name-not-signed'],
  ])('required of %j: %s → %s', async (delegations, name, outcome) => {
    const repository = await dockerRepository();
    const { alice, bob, releases } = Object.fromEntries(
      [...repository.delegations].map(([role, content]) => [role.slice('targets/'.length), content.targets!]),
    );
    alice!['conflict'] = target('a');
    bob!['conflict'] = target('b');
    releases!['conflict'] = target('b');
    const found = await verify(publish(repository));
    const find = () => findNotaryName(found, name, { delegations }).digest;
    if (outcome.startsWith('sha256:')) expect(find()).toBe(outcome);
    else expect(find).toThrow(refused(outcome as ErrorCode));
  });

  it('without a SHA-256 a name stands for nothing', async () => {
    const repository = await forgeRepository();
    const { length, hashes } = target('x') as { length: number; hashes: JsonObject };
    repository.targets.targets = { v1: { length, hashes: { sha512: hashes['sha512']! } } };
    const found = await verify(publish(repository));
    expect(() => findNotaryName(found, 'v1')).toThrow(refused('trust-invalid'));
    expect(releasedNames(found)).toEqual([]);
  });

  it('names like those of JavaScript’s own are names like any other', async () => {
    const repository = await forgeRepository();
    repository.targets.targets = Object.fromEntries(
      ['constructor', 'toString', 'hasOwnProperty'].map((name) => [name, target(name)]),
    );
    const found = await verify(publish(repository));
    expect(findNotaryName(found, 'constructor').digest).toBe(digestOf('constructor'));
    expect(() => findNotaryName(found, '__proto__')).toThrow(refused('name-not-signed'));
  });

  it('a bad delegation is reported where that is asked for, and never used', async () => {
    const repository = await dockerRepository();
    repository.delegations.get('targets/alice')!.expires = '2020-01-01T00:00:00Z';
    const files = publish(repository);
    await expect(verify(files)).rejects.toEqual(refused('trust-expired'));
    const found = await verify(files, { badDelegation: 'report' });
    expect(found.roles.get('targets/alice')?.problem).toEqual(refused('trust-expired'));
    expect(found.roles.get('targets/alice')?.content).toBeUndefined();
    expect(findNotaryName(found, 'v2').signers).toEqual(['bob']);
    expect(() => findNotaryName(found, 'v2', { delegations: ['alice'] })).toThrow(refused('trust-expired'));
    repository.delegations.get('targets/releases')!.keys = [await forgeKey()];
    const other = publish(repository);
    other.set('targets/releases', files.get('targets/releases')!);
    const broken = await verify(other, { badDelegation: 'report' });
    expect(() => findNotaryName(broken, 'v1')).toThrow(refused('trust-invalid'));
  });

  it('nested delegations and thresholds', async () => {
    const repository = await forgeRepository();
    const keys = [await forgeKey(), await forgeKey('Ed25519'), await forgeKey('RSA')];
    repository.delegations.set('targets/team', { keys, threshold: 3, targets: { t: target('t') } });
    repository.delegations.set('targets/team/dev', { keys: [keys[0]!], targets: { d: target('d') } });
    repository.delegations.set('targets/team/dev/ci', { keys: [keys[1]!], targets: { c: target('c') } });
    const found = await verify(publish(repository));
    expect([...found.roles.keys()]).toEqual([
      'targets',
      'targets/team',
      'targets/team/dev',
      'targets/team/dev/ci',
    ]);
    expect(findNotaryName(found, 'c', { delegations: ['team/dev/ci'] }).digest).toBe(digestOf('c'));
  });

  it('ten thousand names take a moment', async () => {
    const repository = await forgeRepository();
    repository.targets.targets = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [`v${index}`, target(`c${index}`)]),
    );
    const found = await verify(publish(repository));
    expect(releasedNames(found)).toHaveLength(10_000);
  });
});

describe('keys of the test', () => {
  it('sign what Go would sign', () => {
    expect(Buffer.from(signNotary({ a: '<&>' }, [])).toString()).toBe(
      '{"signatures":[],"signed":{"a":"\\u003c\\u0026\\u003e"}}',
    );
  });
});
