import { createPrivateKey } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlgorithmId, algorithm } from '../../src/crypto/algorithm.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { refresh, type TufClient } from '../../src/tuf/client.ts';
import { setTargetIn, spreadOverBins, spreadOverHashBins } from '../../src/tuf/edit/bins.ts';
import { RepositoryEdit } from '../../src/tuf/edit/edit.ts';
import {
  EMPTY_REPOSITORY,
  type RepositoryFiles,
  readRepositoryFiles,
  writeRepositoryFiles,
} from '../../src/tuf/edit/repository.ts';
import { type TufSigner, tufSigner } from '../../src/tuf/edit/signing.ts';
import { MemoryFetcher, MemoryStateStore } from '../../src/tuf/memory.ts';
import { targetFilePath } from '../../src/tuf/role-name.ts';
import { anyOf, signersOf, targetOf } from '../support/tuf/editing.ts';
import { makeKey } from '../support/tuf/keys.ts';
import { readWithTufJs } from '../support/tuf/tuf-js-client.ts';
import { havePeers, ok, peer, run } from './peers.ts';
import { readWithPython, script, TUF_READERS } from './tuf-readers.ts';

/** The peers judge by their own clocks. */
const NOW = new Date();
const KEY = {
  root: makeKey('ES256'),
  other: makeKey('Ed25519'),
  targets: makeKey('ES256'),
  large: makeKey('ES384'),
  names: makeKey('ES256'),
  online: makeKey('Ed25519'),
  rsa: makeKey('PS256'),
};
const SIGNERS = signersOf(...Object.values(KEY));
const NAMES: readonly string[] = Array.from({ length: 12 }, (_, i) => `v${i}`);
const contentOf = (name: string) => `content of ${name}`;

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'bulla-tuf-'));
});
afterAll(() => rm(home, { recursive: true, force: true }));

type Made = { readonly repository: RepositoryFiles; readonly names: readonly string[] };

async function edited(
  base: RepositoryFiles,
  change: (edit: RepositoryEdit) => void,
): Promise<RepositoryFiles> {
  const edit = new RepositoryEdit(base, { now: NOW });
  change(edit);
  return edit.prepare().publish(SIGNERS);
}

function begin(consistentSnapshot = true, hashesInSnapshot = false): Promise<RepositoryFiles> {
  const edit = new RepositoryEdit(EMPTY_REPOSITORY, { now: NOW, policy: { hashesInSnapshot } });
  const online = anyOf(1, KEY.online);
  edit.createRoot(
    { root: anyOf(1, KEY.root), targets: anyOf(1, KEY.targets), snapshot: online, timestamp: online },
    consistentSnapshot,
  );
  edit.extend('root', { bulla: { collection: 'registry.example.com/team/app' } });
  edit.targets('targets').delegate({ ...anyOf(1, KEY.names), name: 'names', paths: ['*'] });
  for (const name of NAMES) edit.targets('names').setTarget(name, targetOf(contentOf(name)));
  edit.extend('names', { bulla: { role: 'names' } });
  return edit.prepare().publish(SIGNERS);
}

const bins = (bitLength: number) => ({ bitLength, namePrefix: 'names-bin' });
const nested = async (): Promise<Made> => {
  const repository = await edited(await begin(), (edit) => {
    const outer = { ...anyOf(1, KEY.other), name: 'a/b rôle', paths: ['dir/*', 'dir/*/*'] };
    edit.targets('targets').delegate({ ...outer, before: 'names', terminating: true });
    edit.targets('a/b rôle').delegate({ ...anyOf(2, KEY.names, KEY.rsa), name: '1', paths: ['dir/*/*'] });
    for (const [role, name] of [
      ['a/b rôle', 'dir/one'],
      ['1', 'dir/sub/two'],
    ] as const)
      edit.targets(role).setTarget(name, targetOf(contentOf(name)));
  });
  return { repository, names: ['v0', 'dir/one', 'dir/sub/two'] };
};
const withBins = (spread: typeof spreadOverBins, bits: readonly number[]) => async (): Promise<Made> => {
  let repository = await begin();
  for (const bitLength of bits)
    repository = await edited(repository, (edit) =>
      spread(edit, 'names', bins(bitLength), anyOf(1, KEY.names)),
    );
  repository = await edited(repository, (edit) =>
    setTargetIn(edit, 'names', 'later', targetOf(contentOf('later'))),
  );
  return { repository, names: [...NAMES, 'later'] };
};
const rotated = async (): Promise<Made> => {
  const steps: ((edit: RepositoryEdit) => void)[] = [
    (edit) => edit.root().setKeys('root', anyOf(2, KEY.other, KEY.rsa)),
    (edit) => edit.root().setKeys('root', anyOf(1, KEY.other, KEY.root)),
    (edit) => {
      edit.root().setKeys('targets', anyOf(2, KEY.targets, KEY.rsa));
      edit.root().setKeys('snapshot', anyOf(1, KEY.rsa));
      edit.root().setKeys('timestamp', anyOf(1, KEY.names));
    },
    (edit) => edit.targets('targets').setDelegationKeys('names', anyOf(1, KEY.rsa)),
  ];
  let repository = await begin();
  for (const step of steps) repository = await edited(repository, step);
  return { repository, names: NAMES };
};

const largeKeys = async (): Promise<Made> => {
  const repository = await edited(await begin(), (edit) => {
    edit.root().setKeys('targets', anyOf(1, KEY.large));
  });
  return { repository, names: NAMES };
};

/** What a peer cannot read, and why; it is tried all the same, so that we notice when it can. */
const LIMITS: readonly (readonly [peer: string, repository: string, why: string])[] = [
  ['tuf-js', 'with a P-384 key', 'it verifies every ECDSA signature with SHA-256'],
  ['go-tuf', 'with bins by path_hash_prefixes', 'it compares them with base64, TUF says hex'],
];

const repositories: [string, () => Promise<Made>][] = [
  ['flat', async () => ({ repository: await begin(), names: NAMES })],
  ['flat, without consistent snapshots', async () => ({ repository: await begin(false), names: NAMES })],
  ['flat, with hashes in snapshot', async () => ({ repository: await begin(true, true), names: NAMES })],
  ['with nested delegations and odd role names', nested],
  ['with succinct bins', withBins(spreadOverBins, [3])],
  ['with succinct bins that were resized', withBins(spreadOverBins, [4, 2, 5])],
  ['with bins by path_hash_prefixes', withBins(spreadOverHashBins, [3])],
  ['with a P-384 key', largeKeys],
  ['after rotations', rotated],
];

/** Writes a repository as it would be served; targets under their hashes where that is so. */
async function publish({ repository, names }: Made): Promise<string> {
  const directory = await mkdtemp(join(home, 'repository-'));
  const isConsistent = repository.roots.at(-1)?.signed['consistent_snapshot'] === true;
  const files = new Map(writeRepositoryFiles(repository));
  for (const name of names) {
    const { hashes } = targetOf(contentOf(name));
    files.set(
      `targets/${targetFilePath(name, isConsistent ? hashes['sha256'] : undefined)}`,
      utf8(contentOf(name)),
    );
  }
  for (const [name, bytes] of files) {
    const path = join(directory, name.startsWith('targets/') ? name : `metadata/${name}`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
  return directory;
}

const expected = (names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, targetOf(contentOf(name)).hashes['sha256']]));

describe.each(TUF_READERS)('repositories that the editor writes, read by %s', (reader, isThere, read) => {
  it.runIf(isThere).each(repositories)('%s', async (name, make) => {
    const made = await make();
    const found = read(await publish(made), made.names);
    const limit = LIMITS.find(([who, what]) => who === reader && what === name);
    if (limit === undefined) expect(await found).toEqual(expected(made.names));
    else await expect(found, limit[2]).rejects.toThrow();
  });
});

describe.runIf(havePeers('python'))('a repository that python-tuf writes', () => {
  let directory: string;
  let about: { readonly targets: Record<string, string>; readonly keyids: Record<string, string> };
  let files: Map<string, Uint8Array>;
  beforeAll(async () => {
    directory = await mkdtemp(join(home, 'python-'));
    about = JSON.parse(await ok(peer('python'), [script('tuf_repository.py'), directory]));
    files = await filesIn(join(directory, 'metadata'));
  });

  const read = (metadata: ReadonlyMap<string, Uint8Array>): Promise<TufClient> =>
    refresh(new MemoryFetcher(metadata), new MemoryStateStore(), NOW, {
      initialRoot: files.get('1.root.json')!,
    });

  it('is verified here, name by name', async () => {
    const client = await read(files);
    expect(client.trusted.root.content.version).toBe(2);
    expect(Object.keys(about.targets).length).toBeGreaterThan(30);
    for (const [name, sha256] of Object.entries(about.targets)) {
      expect((await client.findTarget(name)).target.hashes.get('sha256')).toBe(sha256);
    }
  });

  it('is read and written back without a byte of difference', () => {
    expect(writeRepositoryFiles(readRepositoryFiles(files))).toEqual(
      new Map([...files].sort(([a], [b]) => Number(b.includes('root')) - Number(a.includes('root')))),
    );
  });

  it('has the key ids that are computed here', async () => {
    const signers = await pythonSigners(directory);
    for (const [name, keyid] of Object.entries(about.keyids))
      expect(signers.get(name)?.key.keyid).toBe(keyid);
  });

  it('is edited here with its own keys, and then read by python-tuf', async () => {
    const signers = await pythonSigners(directory);
    const edit = new RepositoryEdit(readRepositoryFiles(files), { now: NOW });
    setTargetIn(edit, 'succinct', 'v100', targetOf(contentOf('v100')));
    setTargetIn(edit, 'prefixes', 'p100', targetOf(contentOf('p100')));
    edit.targets('a/b rôle').setDelegationKeys('nested', anyOf(1, KEY.names));
    edit.root().setKeys('root', anyOf(2, KEY.root, KEY.other));
    edit.root().setKeys('snapshot', anyOf(1, KEY.rsa));
    const next = await edit.prepare().publish([...signers.values(), ...SIGNERS]);
    expect(next.roots[2]?.signed['x-owner']).toEqual(next.roots[0]?.signed['x-owner']);
    const client = await read(writeRepositoryFiles(next));
    expect(client.trusted.root.content.version).toBe(3);
    for (const name of Object.keys(about.targets)) await client.findTarget(name);
    const names = ['v100', 'p100'];
    const written = await publish({ repository: next, names });
    expect(await readWithPython(written, names)).toEqual(expected(names));
    expect(await readWithTufJs(written, names)).toEqual(expected(names));
  });
});

describe.runIf(havePeers('python'))('what python-tuf refuses and we refuse', () => {
  it('a succinct role beside roles', async () => {
    const program = `
import json, sys
from tuf.api.metadata import Delegations, DelegatedRole, SuccinctRoles
try:
    Delegations({}, {"a": DelegatedRole("a", [], 1, False, paths=["*"])}, SuccinctRoles([], 1, 2, "b"))
except ValueError:
    sys.exit(7)`;
    expect((await run(peer('python'), ['-c', program])).status).toBe(7);
  });
});

async function filesIn(directory: string): Promise<Map<string, Uint8Array>> {
  const names = await readdir(directory);
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, new Uint8Array(await readFile(join(directory, name)))] as const),
    ),
  );
}

async function pythonSigners(directory: string): Promise<Map<string, TufSigner>> {
  const algorithms = new Map<string | undefined, AlgorithmId>([
    ['ec', 'ES256'],
    ['rsa', 'PS256'],
    ['ed25519', 'Ed25519'],
  ]);
  const files = await filesIn(join(directory, 'keys'));
  return new Map(
    [...files].map(([name, pem]) => {
      const key = createPrivateKey(Buffer.from(pem));
      const id = algorithms.get(key.asymmetricKeyType);
      return [name.replace('.pem', ''), tufSigner(createSigner(key, id && algorithm(id)))];
    }),
  );
}
