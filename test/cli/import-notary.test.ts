import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import type { JsonObject } from '../../src/encoding/json.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { forgeKey, forgeRepository, publish, target } from '../support/notary/forge.ts';
import { ground, NOW, PASSPHRASE, signedOf, writeDockerKeys } from '../support/notary/importing.ts';

const LONG_AGO = '2026-11-01T00:00:00Z';

describe('bulla import notary', () => {
  it('makes a collection of the names that docker accepts, and of the signers', async () => {
    const { importIt, run, name, one, two, alice, bob, tags, images } = await ground();
    const result = await importIt('-o', 'json');
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(result.json()).toMatchObject({
      ok: true,
      outcome: 'imported',
      gun: name,
      asOf: null,
      names: [
        { tag: 'v1', digest: one.descriptor.digest, signers: [] },
        { tag: 'v2', digest: two.descriptor.digest, signers: ['alice', 'bob'] },
      ],
      signers: [
        { name: 'alice', paths: ['*'], signed: false, keys: [{ notaryId: alice.keystoreId }] },
        { name: 'bob', paths: ['v*'], signed: false, keys: [{ notaryId: bob.keystoreId }] },
      ],
      notCarried: [
        { kind: 'name', what: 'v3' },
        { kind: 'name', what: 'hidden' },
      ],
    });
    expect(await run(['verify', `${name}:v1`])).toMatchObject({
      code: 0,
      stdout: `${name}@${one.descriptor.digest}\n`,
    });
    expect(await run(['verify', `${name}:v2`])).toMatchObject({
      code: 0,
      stdout: `${name}@${two.descriptor.digest}\n`,
    });
    expect(await run(['verify', `${name}:v3`])).toMatchObject({ code: 23 });
    expect((await run(['docker-trust', 'inspect', '--pretty', name])).stdout).toMatch(/alice[\s\S]*bob/);
    // The evidence is a directory that Notary's rules verify.
    expect(await tags()).toEqual(['_trust', '_trust.notary', 'v1', 'v2']);
    const evidence = JSON.parse(
      new TextDecoder().decode((await images.fetchManifest('_trust.notary' as Tag)).bytes),
    );
    expect(evidence.artifactType).toBe('application/vnd.bulla.notary.evidence.v1');
  });

  it('takes each digest from the registry once, and the metadata once', async () => {
    const { importIt, registry, notary } = await ground();
    const before = registry.log.length;
    expect(await importIt('--dry-run')).toMatchObject({ code: 0 });
    const asked = registry.log.slice(before).filter(({ path }) => path.includes('/manifests/sha256:'));
    expect(asked).toHaveLength(2);
    expect(new Set(notary.requests).size).toBe(notary.requests.length);
  });

  it('changes nothing with --dry-run, and makes no key', async () => {
    const { importIt, run, tags } = await ground({ keys: false });
    const result = await importIt('--dry-run', '-o', 'json');
    expect(result.json()).toMatchObject({ ok: true, dryRun: true, outcome: 'planned', head: null });
    expect(await tags()).toEqual(['v1', 'v2']);
    expect((await run(['key', 'ls', '-o', 'json'])).json()).toMatchObject({ keys: [] });
  });

  it('is idempotent, and refuses another collection', async () => {
    const { importIt, run, name, tags, repository, serve, two } = await ground();
    expect(await importIt()).toMatchObject({ code: 0 });
    const head = (await run(['inspect', name, '-o', 'json'])).json();
    const again = await importIt('-o', 'json');
    expect(again, again.stderr).toMatchObject({ code: 0 });
    expect((await run(['inspect', name, '-o', 'json'])).json()).toEqual(head);
    repository.targets.targets = { ...repository.targets.targets, v4: signedOf(two) };
    serve({ version: 2 });
    expect(await importIt()).toMatchObject({ code: 30 });
    expect(await tags()).toEqual(['_trust', '_trust.notary', 'v1', 'v2']);
  });

  it('signs for signers whose keys are in docker’s directory, and roots the collection in the old root key', async () => {
    const place = await ground({ keys: false });
    const { repository, alice, home, name, run } = place;
    await writeDockerKeys(join(home, 'docker', 'private'), name, [
      [repository.root[0]!, 'root'],
      [repository.targets.keys[0]!, 'targets'],
      [alice, 'alice'],
    ]);
    const result = await place.run(
      [
        'import',
        'notary',
        name,
        '--server',
        place.notary.url,
        ...place.rootKey,
        '--keys',
        'docker',
        '-o',
        'json',
      ],
      {
        DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: PASSPHRASE,
        DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: PASSPHRASE,
      },
    );
    expect(result, result.stderr).toMatchObject({ code: 0 });
    const json = result.json() as {
      keys: Record<string, { keys: { keyid: string }[] }>;
      dockerKeys: unknown;
    };
    expect(json).toMatchObject({
      dockerKeys: [
        { name: 'root', notaryId: repository.root[0]!.keystoreId, role: 'root' },
        { name: 'publisher', notaryId: repository.targets.keys[0]!.keystoreId, role: 'targets', gun: name },
        { name: 'alice', notaryId: alice.keystoreId, role: 'alice' },
      ],
      signers: [
        { name: 'alice', signed: true },
        { name: 'bob', signed: false },
      ],
    });
    expect(await run(['verify', `${name}:v2`, '--signer', 'alice'])).toMatchObject({ code: 0 });
    expect(await run(['verify', `${name}:v2`, '--signer', 'bob'])).toMatchObject({ code: 23 });
    const pretty = await run(['docker-trust', 'inspect', '--pretty', name]);
    expect(pretty.stdout).toMatch(/v1\s+[0-9a-f]{64}\s+\(Repo Admin\)/);
    expect(pretty.stdout).toMatch(/v2\s+[0-9a-f]{64}\s+alice/);
    // Whoever knows the old root key pins the new root by it.
    const other = await temporaryDirectory();
    const pinned = await bulla(['verify', `${name}:v2`, '--root-key-id', json.keys['root']!.keys[0]!.keyid], {
      now: NOW,
      cwd: other,
      env: { BULLA_HOME: join(other, 'bulla') },
    });
    expect(pinned, pinned.stderr).toMatchObject({ code: 0 });
  });

  it('reads saved trust data, and what has expired only if it is told to', async () => {
    const { run, name, notary, rootKey, home, serve } = await ground();
    expect(await run(['export', 'notary-dump', 'saved', name, '--server', notary.url])).toMatchObject({
      code: 0,
    });
    serve({ timestampExpires: LONG_AGO });
    expect(await run(['export', 'notary-dump', 'late', name, '--server', notary.url])).toMatchObject({
      code: 0,
    });
    const from = (dir: string, ...flags: string[]) =>
      run(['import', 'notary', name, '--from', dir, ...rootKey, ...flags, '-o', 'json']);
    expect(await from('late')).toMatchObject({ code: 20 });
    const stale = await from('late', '--allow-expired');
    expect(stale, stale.stderr).toMatchObject({ code: 0 });
    expect(stale.json()).toMatchObject({
      asOf: LONG_AGO,
      expired: ['timestamp'],
      notary: 'saved trust data',
    });
    expect(stale.stdout).not.toContain(home);
    expect(await from('saved', '--check')).toMatchObject({ code: 0 });
  });

  it('lists names whose images are elsewhere, and makes nothing where none is there', async () => {
    const { importIt, repository, serve, run, name } = await ground();
    repository.targets.targets = { ...repository.targets.targets, gone: target('elsewhere') };
    serve({ version: 2 });
    const result = await importIt('-o', 'json');
    expect(result.json()).toMatchObject({
      notCarried: expect.arrayContaining([expect.objectContaining({ kind: 'name', what: 'gone' })]),
    });
    expect(await run(['verify', `${name}:gone`])).toMatchObject({ code: 23 });
    const empty = await ground();
    empty.repository.targets.targets = { gone: target('elsewhere') };
    empty.repository.delegations.clear();
    empty.serve({ version: 2 });
    expect(await empty.importIt()).toMatchObject({ code: 11 });
    expect(await empty.tags()).toEqual(['v1', 'v2']);
  });

  it('says name by name what differs with --check', async () => {
    const { importIt, run, name, repository, serve, one, two } = await ground();
    expect(await importIt('--check')).toMatchObject({ code: 11 });
    await importIt();
    expect(await importIt('--check')).toMatchObject({ code: 0 });
    repository.targets.targets = { ...repository.targets.targets, v4: signedOf(one) };
    serve({ version: 2 });
    const missing = await importIt('--check', '-o', 'json');
    expect(missing.code).toBe(23);
    expect(missing.json()).toMatchObject({
      ok: false,
      details: {
        names: [
          { tag: 'v1', state: 'same' },
          { tag: 'v2', state: 'same' },
          { tag: 'v4', state: 'missing', notary: one.descriptor.digest, collection: null },
        ],
      },
    });
    repository.targets.targets = { v1: signedOf(two) };
    serve({ version: 3 });
    expect(await importIt('--check')).toMatchObject({ code: 24 });
    expect(await run(['verify', `${name}:v1`])).toMatchObject({ code: 0 });
  });

  it('takes over what changed with --update, and leaves to people what both sides changed', async () => {
    const place = await ground();
    const { importIt, run, name, repository, serve, two, images } = place;
    await importIt();
    expect((await importIt('--update', '-o', 'json')).json()).toMatchObject({ outcome: 'unchanged' });
    const three = await pushImage(images, 'three', 'v3');
    repository.targets.targets = { v1: signedOf(two), v3: signedOf(three) };
    repository.delegations.set('targets/releases', { keys: [place.alice], targets: {} });
    const carol = await forgeKey();
    repository.delegations.set('targets/carol', { keys: [carol], targets: {} });
    serve({ version: 2 });
    const planned = await importIt('--update', '--dry-run', '-o', 'json');
    expect(planned.json()).toMatchObject({ outcome: 'planned', newSigners: ['carol'], unset: ['v2'] });
    const updated = await importIt('--update', '-o', 'json');
    expect(updated, updated.stderr).toMatchObject({ code: 0 });
    expect(updated.json()).toMatchObject({ outcome: 'updated' });
    expect(await run(['verify', `${name}:v1`])).toMatchObject({
      stdout: `${name}@${two.descriptor.digest}\n`,
    });
    expect(await run(['verify', `${name}:v2`])).toMatchObject({ code: 23 });
    expect(await run(['verify', `${name}:v3`])).toMatchObject({ code: 0 });
    expect((await importIt('--update', '-o', 'json')).json()).toMatchObject({ outcome: 'unchanged' });
  });

  it('leaves to people what both sides changed since', async () => {
    const { importIt, run, name, repository, serve, one, two, images } = await ground();
    await importIt();
    const three = await pushImage(images, 'three', 'v1');
    expect(await run(['sign', `${name}:v1`, '--name-only'])).toMatchObject({ code: 0 });
    repository.targets.targets = { v1: signedOf(two), v4: signedOf(one) };
    serve({ version: 2 });
    const both = await importIt('--update', '-o', 'json');
    expect(both.code, both.stderr).toBe(30);
    expect(both.json()).toMatchObject({
      details: {
        conflicts: [
          {
            tag: 'v1',
            before: one.descriptor.digest,
            notary: two.descriptor.digest,
            collection: three.descriptor.digest,
          },
        ],
        set: [{ tag: 'v4', digest: one.descriptor.digest }],
      },
    });
    expect(await run(['verify', `${name}:v4`])).toMatchObject({ code: 0 });
  });

  it.each([0, 1, 3, 5, 7])(
    'is whole or not there where write %i is refused, and whole after the next run',
    async (after) => {
      const { importIt, registry, run, name, tags, two } = await ground();
      registry.fault({ method: 'PUT', after, action: { status: 403 } });
      const first = await importIt();
      if (first.code !== 0) expect(await tags()).not.toContain('_trust');
      expect(await importIt(), first.stderr).toMatchObject({ code: 0 });
      expect(await run(['verify', `${name}:v2`])).toMatchObject({
        code: 0,
        stdout: `${name}@${two.descriptor.digest}\n`,
      });
      expect((await tags()).filter((tag) => tag.startsWith('_trust'))).toEqual(['_trust', '_trust.notary']);
    },
  );

  it('asks for a pin, and trusts no other root', async () => {
    const { run, name, notary, tags } = await ground();
    const argv = ['import', 'notary', name, '--server', notary.url];
    expect(await run(argv)).toMatchObject({ code: 25 });
    expect(await run([...argv, '--root-key-id', '0'.repeat(64)])).toMatchObject({ code: 22 });
    expect(await run([...argv, '--tofu'], { CI: 'true' })).toMatchObject({ code: 25 });
    expect(await tags()).toEqual(['v1', 'v2']);
  });
});

type Attack = (place: Awaited<ReturnType<typeof ground>>) => void | Promise<void>;
const edit = (bytes: Uint8Array, change: (json: Record<string, never>) => void): Uint8Array => {
  const json = JSON.parse(new TextDecoder().decode(bytes));
  change(json);
  return utf8(JSON.stringify(json));
};

/** What is served instead; whatever it is, nothing may be published. */
const ATTACKS: readonly (readonly [name: string, code: number, attack: Attack])[] = [
  [
    'a target that was swapped',
    22,
    ({ notary, name }) => {
      const files = notary.repositories.get(name)!;
      files.set(
        'targets',
        edit(files.get('targets')!, (json) => {
          const { targets } = (json as unknown as { signed: { targets: Record<string, unknown> } }).signed;
          targets['v1'] = target('evil');
        }),
      );
    },
  ],
  [
    'an old snapshot beside new targets',
    22,
    ({ notary, name, serve, repository, two }) => {
      const old = notary.repositories.get(name)!.get('snapshot')!;
      repository.targets.targets = { v1: signedOf(two) };
      serve({ version: 2 });
      notary.repositories.get(name)!.set('snapshot', old);
    },
  ],
  [
    'targets that were dropped',
    22,
    ({ notary, name }) => void notary.repositories.get(name)!.delete('targets'),
  ],
  [
    'another repository’s root',
    22,
    async ({ notary, name }) => {
      const other = publish(await forgeRepository('registry.example.com/evil'));
      notary.repositories.set(name, other);
    },
  ],
  [
    'another repository’s metadata by the same keys',
    22,
    async ({ name, repository, serve }) => {
      const root = await forgeKey('P-256', { cn: `${name}-other`, of: repository.root[0]! });
      serve({ root: [root] });
    },
  ],
  [
    'a chain of roots that is broken',
    22,
    async ({ name, serve }) => void serve({ root: [await forgeKey('P-256', { cn: name })], rootVersion: 2 }),
  ],
  [
    'a delegation of a thief, signed by itself',
    22,
    async ({ notary, name, two }) => {
      const files = notary.repositories.get(name)!;
      const thief = await forgeRepository(name);
      thief.targets.targets = { v1: signedOf(two) };
      files.set('targets', publish(thief).get('targets')!);
    },
  ],
  ['expired metadata', 20, ({ serve }) => void serve({ timestampExpires: LONG_AGO })],
  [
    'a role that says it is huge',
    40,
    ({ serve }) =>
      void serve({
        version: 2,
        tamper: new Map([
          [
            'snapshot',
            (signed) => {
              const meta = signed['meta'] as unknown as Record<string, { length: number }>;
              meta['targets']!.length = 2 ** 40;
            },
          ],
        ]),
      }),
  ],
];

describe('an import of trust data that somebody altered publishes nothing', () => {
  it.each(ATTACKS)('%s', async (_, code, attack) => {
    const place = await ground();
    await attack(place);
    const result = await place.importIt();
    expect(result.code, result.stderr).toBe(code);
    expect(result.stdout).toBe('');
    expect(await place.tags()).toEqual(['v1', 'v2']);
  });

  it.each(['targets/alice', 'targets/releases'])('%s that was altered or withheld', async (role) => {
    const { notary, name, importIt, two, tags } = await ground();
    const files = notary.repositories.get(name)!;
    const before = files.get(role)!;
    const altered = edit(before, (json) => {
      const { targets } = (json as unknown as { signed: { targets: Record<string, unknown> } }).signed;
      targets['v1'] = signedOf(two);
    });
    for (const change of [() => files.set(role, altered), () => files.delete(role)]) {
      change();
      expect(await importIt()).toMatchObject({ code: 22, stdout: '' });
    }
    expect(await tags()).toEqual(['v1', 'v2']);
  });

  it('but leaves out a delegation that its keys do not sign any more, unless that decides what names are', async () => {
    const { serve, importIt, repository } = await ground();
    const others = (role: string) => (signed: JsonObject) => {
      const { roles } = signed['delegations'] as unknown as { roles: { name: string; keyids: string[] }[] };
      roles.find((one) => one.name === role)!.keyids = [repository.snapshot.id];
    };
    serve({ version: 2, tamper: new Map([['targets', others('targets/alice')]]) });
    expect((await importIt('--dry-run', '-o', 'json')).json()).toMatchObject({
      signers: [{ name: 'bob' }],
      notCarried: expect.arrayContaining([expect.objectContaining({ kind: 'signer', what: 'alice' })]),
    });
    serve({ version: 3, tamper: new Map([['targets', others('targets/releases')]]) });
    expect(await importIt('--dry-run')).toMatchObject({ code: 22, stdout: '' });
  });

  it('and says as of when it is where the certificate of the root key has expired', async () => {
    const { serve, importIt, name, tags } = await ground();
    const notAfter = new Date('2026-11-15T00:00:00Z');
    const root = await forgeKey('P-256', { cn: name, notAfter });
    serve({ version: 2, root: [root] });
    const pin = ['--root-key-id', root.id, '-o', 'json'];
    expect(await importIt(...pin)).toMatchObject({ code: 20 });
    expect(await tags()).toEqual(['v1', 'v2']);
    expect((await importIt(...pin, '--allow-expired', '--dry-run')).json()).toMatchObject({
      asOf: '2026-11-15T00:00:00Z',
      expired: ['root'],
    });
  });
});
