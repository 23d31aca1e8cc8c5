import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/encoding/json.ts';
import { type ForgedKey, forgeKey } from '../support/notary/forge.ts';
import {
  ground,
  type ImportGround,
  PASSPHRASE,
  signedOf,
  writeDockerKeys,
} from '../support/notary/importing.ts';

const DOCKER = {
  DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: PASSPHRASE,
  DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: PASSPHRASE,
};

async function withKeys(
  place: ImportGround,
  keys: readonly (readonly [key: ForgedKey, role: string])[],
  ...flags: string[]
) {
  await writeDockerKeys(join(place.home, 'docker'), place.name, keys);
  const argv = [
    'import',
    'notary',
    place.name,
    '--server',
    place.notary.url,
    ...place.rootKey,
    '--keys',
    'docker',
  ];
  return await place.run([...argv, ...flags, '-o', 'json'], DOCKER);
}

describe('an import never lets fewer keys do more', () => {
  async function twoOfTwo() {
    const place = await ground({ keys: false });
    const { repository } = place;
    repository.root.push(await forgeKey('P-256', { cn: place.name }));
    repository.rootThreshold = 2;
    repository.targets.keys.push(await forgeKey('RSA'));
    repository.targets.threshold = 2;
    place.serve({ version: 2 });
    const keys = [
      ...repository.root.map((key) => [key, 'root'] as const),
      ...repository.targets.keys.map((key) => [key, 'targets'] as const),
    ];
    return { ...place, keys };
  }

  it('keeps the thresholds of root and targets with their keys', async () => {
    const { keys, ...place } = await twoOfTwo();
    const result = await withKeys(place, keys);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(result.json()).toMatchObject({ keys: { root: { threshold: 2 }, names: { threshold: 2 } } });
    const rootKeyIds = (result.json()['keys'] as { root: { keys: { keyid: string }[] } }).root.keys;
    expect(rootKeyIds).toHaveLength(2);
  });

  it.each([
    ['root', 1],
    ['targets', 3],
  ] as const)('asks for the missing keys of %s rather than take one', async (role, left) => {
    const { keys, ...place } = await twoOfTwo();
    const result = await withKeys(
      place,
      keys.filter((_, index) => index !== left),
    );
    expect(result.json()).toMatchObject({
      code: 'threshold-not-met',
      details: { role, threshold: 2, keys: 1 },
    });
    expect(await place.tags()).toEqual(['v1', 'v2']);
  });

  it.each([
    ['two of which must release', { threshold: 2 }],
    ['that may release some names', { paths: ['v'] }],
    ['that may release nothing', { paths: [] as string[] }],
  ] as const)('gives names no keys %s', async (_, change) => {
    const place = await ground();
    Object.assign(place.repository.delegations.get('targets/releases')!, change);
    place.serve({ version: 2 });
    const result = await place.importIt('-o', 'json');
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(result.json()).toMatchObject({
      notCarried: expect.arrayContaining([
        expect.objectContaining({ kind: 'signer', what: 'targets/releases' }),
      ]),
    });
    const { signers } = (await place.run(['signer', 'ls', place.name, '-o', 'json'])).json() as {
      signers: { role: string; keys: unknown[] }[];
    };
    expect(signers.find(({ role }) => role === 'names')?.keys).toHaveLength(1);
  });

  it('leaves a signer that was removed here removed, its key included', async () => {
    const { importIt, run, name, serve, repository, one } = await ground();
    await importIt();
    expect(await run(['docker-trust', 'signer', 'remove', '--force', 'alice', name])).toMatchObject({
      code: 0,
    });
    expect((await importIt('--update', '-o', 'json')).json()).toMatchObject({ outcome: 'unchanged' });
    repository.targets.targets = { ...repository.targets.targets, v4: signedOf(one) };
    serve({ version: 2 });
    const updated = await importIt('--update', '-o', 'json');
    expect(updated.json()).toMatchObject({ outcome: 'updated', newSigners: [], newReleases: [] });
    const { signers } = (await run(['signer', 'ls', name, '-o', 'json'])).json() as {
      signers: { role: string; keys: unknown[] }[];
    };
    expect(signers.map(({ role }) => role)).toEqual(['names', 'bob']);
    expect(signers[0]?.keys).toHaveLength(2);
  });

  it('takes in a key that may release since, and tells of one that may not any more', async () => {
    const { importIt, run, name, serve, repository, alice } = await ground();
    await importIt();
    const carol = await forgeKey();
    repository.delegations.get('targets/releases')!.keys = [alice, carol];
    serve({ version: 2 });
    const updated = (await importIt('--update', '-o', 'json')).json();
    expect(updated).toMatchObject({ outcome: 'updated', toDo: [expect.stringContaining('rotate')] });
    expect(updated['newReleases']).toHaveLength(1);
    const shown = await run(['signer', 'ls', name, '-o', 'json']);
    expect(shown.stdout).toContain(String((updated['newReleases'] as string[])[0]));
  });
});

describe('an update never goes back', () => {
  it.each(['targets', 'targets/releases', 'root'])(
    'to an older state of %s, on another machine too',
    async (role) => {
      const { importIt, serve, repository, run, name, notary, rootKey } = await ground();
      const old = notary.repositories.get(name)!;
      if (role === 'root')
        serve({ rootVersion: 2, oldRoot: repository.root, root: [await forgeKey('P-256', { cn: name })] });
      else {
        const newer = role === 'targets' ? repository.targets : repository.delegations.get(role)!;
        newer.version = 3;
        serve();
      }
      expect(await importIt()).toMatchObject({ code: 0 });
      notary.repositories.set(name, old);
      // A machine that has never seen the Notary server: what was imported is known by the evidence alone.
      const forgotten = await run(['pin', 'rm', name, '--notary', notary.url]);
      expect(forgotten.code, forgotten.stderr).toBe(0);
      const result = await run([
        'import',
        'notary',
        name,
        '--server',
        notary.url,
        ...rootKey,
        '--update',
        '-o',
        'json',
      ]);
      expect(result.json()).toMatchObject({ code: 'trust-rollback', details: { role } });
    },
  );
});

describe('odd names', () => {
  it('are listed, cut to a length that can be read, and not carried', async () => {
    const { importIt, repository, serve, one, two, run, name } = await ground();
    const odd = [
      '_trust',
      '_trust.evil',
      '\u001b[31mred',
      'a/b',
      '',
      ' v1',
      'v1\n',
      '../v1',
      'x'.repeat(100_000),
    ];
    const sha512 = { length: 3, hashes: { sha512: Buffer.alloc(64, 1).toString('base64') } };
    const fine = ['v1', '__proto__x', 'constructor', 'toString', 'sha256-0000', 'x'.repeat(128)];
    repository.targets.targets = Object.fromEntries<JsonObject>([
      ...[...odd, ...fine].map((tag) => [tag, signedOf(one)] as const),
      ['only512', sha512],
      ['huge', { ...signedOf(two), length: 5_000_000 }],
    ]);
    serve({ version: 2 });
    const result = await importIt('-o', 'json');
    const { names, notCarried } = result.json() as {
      names: { tag: string }[];
      notCarried: { what: string }[];
    };
    expect(names.map(({ tag }) => tag).sort()).toEqual([...fine, 'v2'].sort());
    const listed = notCarried.map(({ what }) => what);
    for (const tag of [...odd.slice(0, -1), 'only512', 'huge']) expect(listed).toContain(tag);
    expect(Math.max(...listed.map(({ length }) => length))).toBeLessThan(300);
    expect(await run(['verify', `${name}:constructor`])).toMatchObject({ code: 0 });
  });
});

describe('a registry that cannot be asked', () => {
  it.each([
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [429, 'registry-throttled'],
    [500, 'registry-error'],
    [503, 'registry-error'],
  ])('because it answers %i does not count as one without the image', async (status, code) => {
    const { importIt, registry, tags, two } = await ground();
    // A server that asks for more patience than a command has is not asked again.
    const action = { status, headers: { 'retry-after': '86400' } };
    registry.fault({ path: new RegExp(`manifests/${two.descriptor.digest}`), times: 99, action });
    const result = await importIt('-o', 'json');
    expect(result.json()).toMatchObject({ ok: false, code });
    expect(await tags()).toEqual(['v1', 'v2']);
  });

  it('because it cuts connections does not count as one without the image', async () => {
    const { importIt, registry, tags, two } = await ground();
    registry.fault({
      path: new RegExp(`manifests/${two.descriptor.digest}`),
      times: 99,
      action: { reset: true },
    });
    expect((await importIt('-o', 'json')).json()).toMatchObject({ ok: false, code: 'registry-unreachable' });
    expect(await tags()).toEqual(['v1', 'v2']);
  });

  it('for another image than was signed gives none', async () => {
    const { importIt, registry, tags, two } = await ground();
    registry.fault({
      path: new RegExp(`manifests/${two.descriptor.digest}`),
      times: 99,
      action: { corrupt: true },
    });
    expect((await importIt('-o', 'json')).json()).toMatchObject({ ok: false });
    expect(await tags()).toEqual(['v1', 'v2']);
  });

  it('to move a tag gets no collection', async () => {
    const { importIt, registry, tags } = await ground();
    registry.behaviour.immutableTags = /^_trust/;
    expect((await importIt('-o', 'json')).json()).toMatchObject({ ok: false, code: 'conflict' });
    expect(await tags()).not.toContain('_trust');
  });
});

describe('the directory of --keys', () => {
  it('with another key under an id is refused before anything gets into the key store', async () => {
    const place = await ground({ keys: false });
    const [root] = place.repository.root;
    const other = { ...(await forgeKey()), keystoreId: root!.keystoreId };
    expect((await withKeys(place, [[other, 'root']])).json()).toMatchObject({ code: 'key-invalid' });
    expect((await place.run(['key', 'ls', '-o', 'json'])).json()).toMatchObject({ keys: [] });
    expect(await place.tags()).toEqual(['v1', 'v2']);
  });

  it('that is not there is told', async () => {
    const { importIt, tags } = await ground({ keys: false });
    expect((await importIt('--keys', 'nowhere', '-o', 'json')).json()).toMatchObject({ code: 'not-found' });
    expect(await tags()).toEqual(['v1', 'v2']);
  });

  it('with a passphrase that does not fit is told, and the passphrase is not', async () => {
    const place = await ground({ keys: false });
    await writeDockerKeys(join(place.home, 'docker'), place.name, [[place.repository.root[0]!, 'root']]);
    const wrong = 'not the one that opens it';
    const argv = ['import', 'notary', place.name, '--server', place.notary.url, ...place.rootKey];
    const result = await place.run([...argv, '--keys', 'docker', '--trace', '-o', 'json'], {
      DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: wrong,
    });
    expect(result.json()).toMatchObject({ ok: false });
    for (const secret of [wrong, PASSPHRASE]) expect(result.stdout + result.stderr).not.toContain(secret);
    expect(await place.tags()).toEqual(['v1', 'v2']);
  });
});

describe('a place that is elsewhere', () => {
  it('gets the collection with --at, and the GUN may have another name', async () => {
    const { run, notary, name, repository, rootKey, two, registry, serve } = await ground();
    const gun = 'docker.io/team/old';
    repository.root = [await forgeKey('P-256', { cn: gun, of: repository.root[0]! })];
    serve({ version: 2 });
    notary.repositories.set(gun, notary.repositories.get(name)!);
    const at = `${registry.host}/team/trust`;
    const flags = ['--gun', gun, '--server', notary.url, '--root-key-id', repository.root[0]!.keystoreId];
    expect(rootKey).not.toContain(repository.root[0]!.keystoreId);
    const result = await run(['import', 'notary', name, ...flags, '--at', at, '-o', 'json']);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(await run(['verify', `${name}:v2`, '--at', at])).toMatchObject({
      stdout: `${name}@${two.descriptor.digest}\n`,
    });
    expect(await run(['import', 'notary', name, ...flags, '--at', at, '--check'])).toMatchObject({ code: 0 });
  });

  it.each(['oci:layout', 'oci-archive:image.tar'])('cannot be %s', async (place) => {
    const { run, notary, name } = await ground();
    const argv = ['import', 'notary', place, '--gun', name, '--server', notary.url, '--tofu', '-o', 'json'];
    expect((await run(argv)).json()).toMatchObject({ code: 'usage' });
  });
});
