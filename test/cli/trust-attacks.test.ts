import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { privateKeyPem } from '../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { base64 } from '../../src/encoding/bytes.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-types.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { CollectionEdit } from '../../src/trust/change/collection-edit.ts';
import { createCollection } from '../../src/trust/change/create.ts';
import { assembleHead, assembleStage } from '../../src/trust/format/assemble.ts';
import { announceHead } from '../../src/trust/format/candidate.ts';
import { emptyLog, encodeLog } from '../../src/trust/format/log.ts';
import { trustVersions } from '../../src/trust/format/versions.ts';
import { CANDIDATE_MARK, candidateTag, HEAD_TAG, stageTag } from '../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../src/trust/read/working-copy.ts';
import { versionOf } from '../../src/tuf/edit/repository.ts';
import { metadataFileName } from '../../src/tuf/role-name.ts';
import { type CliResult, temporaryDirectory } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { type FaultyRegistry, type RegistryOptions, startRegistry } from '../support/registry/server.ts';
import { readAny, setting, unsetting } from '../support/trust/changing.ts';
import { newCollection, pushAssembly, pushHead } from '../support/trust/collection.ts';
import { changeWith, type Files, fileOf, headFiles, pushFiles, resigned } from '../support/trust/heads.ts';
import { type RunOptions, type Served, servedCollection } from '../support/trust/served.ts';
import { anyOf, daysLater, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

/** Late enough for no race to be suspected. */
const LATER = new Date(NOW.getTime() + 300_000);
const BELIEVE = () => ['--root-key-id', poolKey(ROOT).key.keyid];
const STRANGER = 8;

/** A repository with a collection that names v1, whose owner has the keys, and which an attacker may push to. */
class Lab {
  readonly place: Served;
  readonly target: Target;
  readonly image: ManifestContent;
  /** The newest genuine head. */
  newest: Files = new Map();

  private constructor(place: Served, image: ManifestContent) {
    this.place = place;
    this.target = place.target;
    this.image = image;
  }

  static async make(registry?: FaultyRegistry): Promise<Lab> {
    const place = await servedCollection(registry);
    const lab = new Lab(place, await pushImage(place.target, 'one', 'v1'));
    await lab.name('v1');
    return lab;
  }

  async change(
    make: (edit: CollectionEdit) => Promise<void> | void,
    options: { readonly now?: Date; readonly keys?: readonly number[] } = {},
  ): Promise<void> {
    const { now = NOW, keys = [] } = options;
    await changeWith(this.target, make, { now, keys: keys.map(poolKey) });
    this.newest = await headFiles(this.target);
  }

  name(tag: string, now: Date = NOW): Promise<void> {
    return this.change((edit) => edit.apply('names', [this.naming(tag)]), { now });
  }

  naming(tag: string): ReturnType<typeof setting> {
    const { digest, size } = this.image.descriptor;
    return { ...setting([]), set: new Map([[tag, { length: size, sha256: digest.slice(7) }]]) };
  }

  verify(tag: string, flags: readonly string[] = [], options: RunOptions = {}): Promise<CliResult> {
    return this.place.run(['verify', `${this.place.name}:${tag}`, ...flags], { now: LATER, ...options });
  }

  /** Another repository of the same registry. */
  beside(repository: string): { readonly name: string; readonly target: Target } {
    const name = `${this.place.name.split('/')[0]}/${repository}`;
    const target = openRepository(parseReference(name) as RegistryReference);
    onTestFinished(() => target.close());
    return { name, target };
  }

  /** Another collection by the same keys, with v1 in it, under this name. */
  async other(name = this.beside('team/other').name): Promise<Files> {
    const { target } = this.beside(`x${Math.random().toString(16).slice(2)}/y`);
    // Signatures are deterministic: made at the same time, it would be the same collection.
    await pushHead(target, await newCollection(name, new Date(NOW.getTime() + 1000)));
    await changeWith(target, (edit) => edit.apply('names', [setting(['v1'], NOW, 'evil')]), {
      now: new Date(NOW.getTime() + 1000),
    });
    return await headFiles(target);
  }
}

interface Shown {
  /** What is asked for, if not v1 in the repository. */
  readonly reference?: string;
  readonly flags?: readonly string[];
  readonly now?: Date;
  readonly env?: Readonly<Record<string, string>>;
}

interface Attack {
  attack(lab: Lab, registry: FaultyRegistry): Promise<Shown | undefined>;
  /** Exit status and code of the refusal. */
  readonly refusal: readonly [number, string];
  readonly says?: string;
  readonly reader?: 'who remembers' | 'who is new';
  /** The registry itself lies. */
  readonly lies?: true;
}

const TRUST_INVALID = [22, 'trust-invalid'] as const;
const ROLLBACK = [21, 'trust-rollback'] as const;

const change = (files: Files, role: string, bytes: Uint8Array): Files =>
  files.set(fileOf(files, role).name, bytes);

const ATTACKS: Readonly<Record<string, Attack>> = {
  'an old head': {
    reader: 'who remembers',
    attack: async (lab) => {
      const old = await headFiles(lab.target);
      await lab.name('v2');
      await lab.place.run(['verify', `${lab.place.name}:v1`]);
      await pushFiles(lab.target, old);
      return undefined;
    },
    refusal: ROLLBACK,
  },
  'a head that is frozen': {
    attack: async () => ({ now: daysLater(15) }),
    refusal: [20, 'trust-expired'],
  },
  'the head of another repository': {
    attack: async (lab) => void (await pushFiles(lab.target, await lab.other())) as undefined,
    refusal: TRUST_INVALID,
  },
  // Who knows these names already, by their hash, does not even ask.
  'names of another collection that shares keys': {
    reader: 'who is new',
    attack: async (lab) => {
      const evil = fileOf(await lab.other(), 'names').bytes;
      await pushFiles(lab.target, change(await headFiles(lab.target), 'names', evil));
      return undefined;
    },
    refusal: TRUST_INVALID,
  },
  'all but the first root of another collection that shares keys': {
    attack: async (lab) => {
      const files = await lab.other();
      await pushFiles(lab.target, files.set('1.root.json', lab.newest.get('1.root.json')!));
      return undefined;
    },
    refusal: TRUST_INVALID,
  },
  "the same collection under another registry's name": {
    reader: 'who is new',
    attack: async (lab) => ({ reference: lab.place.name.replace('127.0.0.1', 'localhost') }),
    refusal: TRUST_INVALID,
    says: 'was made for "127.0.0.1',
  },
  'the same collection in another repository': {
    reader: 'who is new',
    attack: async (lab) => {
      const { name, target } = lab.beside('mirror/app');
      await pushFiles(target, lab.newest);
      return { reference: name };
    },
    refusal: TRUST_INVALID,
  },
  'a neighbour that the pattern of a pin would match': {
    reader: 'who is new',
    attack: async (lab) => {
      const { name, target } = lab.beside('mirror/app');
      const [host] = name.split('/') as [string];
      await pushFiles(target, await lab.other(`${host}/team/other`));
      const pin = ['pin', `${host}/mirror/*`, ...BELIEVE(), '--collection', `${host}/team/*`];
      expect(await lab.place.run(pin)).toMatchObject({ code: 0 });
      return { reference: name, flags: [] };
    },
    refusal: TRUST_INVALID,
    says: 'team/other',
  },
  'a pattern given for a name': {
    attack: async (lab) => ({ flags: ['--collection', lab.place.name.replace('/app', '/*')] }),
    refusal: [2, 'usage'],
  },
  'a tag that was moved, where drift is refused': {
    attack: async (lab) => {
      await pushImage(lab.target, 'evil', 'v1');
      return { flags: [...BELIEVE(), '--drift', 'reject'] };
    },
    refusal: [24, 'digest-mismatch'],
  },
  'a tag that nobody signed': {
    attack: async (lab) => {
      await pushImage(lab.target, 'evil', 'v9');
      return { reference: `${lab.place.name}:v9` };
    },
    refusal: [23, 'name-not-signed'],
  },
  'no head where one was seen': {
    reader: 'who remembers',
    attack: async (lab) => void (await lab.target.deleteTag(HEAD_TAG)) as undefined,
    refusal: TRUST_INVALID,
    says: 'is gone',
  },
  'no head where one is pinned': {
    reader: 'who is new',
    attack: async (lab) => {
      await lab.place.run(['pin', lab.place.name, ...BELIEVE()]);
      await lab.target.deleteTag(HEAD_TAG);
      return { flags: [] };
    },
    refusal: TRUST_INVALID,
    says: 'there is no tag _trust',
  },
  'the snapshot of one moment with role files of another': {
    attack: async (lab) => {
      const old = fileOf(lab.newest, 'targets').bytes;
      const alice = { ...anyOf(1, poolKey(7)), name: 'alice', paths: ['*'] };
      await lab.change((edit) => edit.addSigner(alice), { keys: [7] });
      await pushFiles(lab.target, change(await headFiles(lab.target), 'targets', old));
      return undefined;
    },
    refusal: TRUST_INVALID,
  },
  'the role file that lost a race, under the newest snapshot': {
    attack: async (lab) => {
      const before = lab.newest;
      await lab.change((edit) => edit.apply('names', [setting(['v1'], NOW, 'lost')]));
      const lost = fileOf(lab.newest, 'names').bytes;
      await pushFiles(lab.target, before);
      await lab.name('v3');
      await pushFiles(lab.target, change(await headFiles(lab.target), 'names', lost));
      return undefined;
    },
    refusal: TRUST_INVALID,
  },
  'a candidate as head': {
    attack: async (lab) => {
      await pushFiles(lab.target, lab.newest, { annotations: { [CANDIDATE_MARK]: 'true' } });
      return undefined;
    },
    refusal: TRUST_INVALID,
    says: 'is a candidate, not a head',
  },
  'an image as head': {
    attack: async (lab) => void (await pushImage(lab.target, 'evil', HEAD_TAG)) as undefined,
    refusal: TRUST_INVALID,
  },
  'inlined data that differs from what its digest says': {
    lies: true,
    attack: async (lab) => {
      const evil = base64(fileOf(await lab.other(), 'timestamp').bytes);
      await pushFiles(lab.target, await headFiles(lab.target), {
        layers: (list) =>
          list.map((layer) =>
            layer.annotations?.['tuf.io/filename'] === 'timestamp.json' ? { ...layer, data: evil } : layer,
          ),
      });
      return undefined;
    },
    refusal: [40, 'content-invalid'],
  },
  'a manifest that is image and index at once': {
    lies: true,
    attack: async (lab, registry) => {
      const { bytes } = await lab.target.fetchManifest(HEAD_TAG);
      const both = { ...(JSON.parse(Buffer.from(bytes).toString()) as object), manifests: [] };
      return void answer(registry, JSON.stringify(both)) as undefined;
    },
    refusal: [40, 'content-invalid'],
  },
  'an oversized head': {
    lies: true,
    attack: async (_, registry) =>
      void answer(registry, JSON.stringify({ padding: 'x'.repeat(4 * 1024 * 1024) })) as undefined,
    refusal: [40, 'content-invalid'],
  },
  'a body without end': {
    lies: true,
    attack: async (_, registry) =>
      void registry.fault({ method: 'GET', path: /_trust$/, action: { endless: true } }) as undefined,
    refusal: [40, 'content-invalid'],
  },
  'an answer of 401': {
    lies: true,
    attack: async (_, registry) => void deny(registry, 401) as undefined,
    refusal: [4, 'unauthorized'],
  },
  'an answer of 403': {
    lies: true,
    attack: async (_, registry) => void deny(registry, 403) as undefined,
    refusal: [4, 'forbidden'],
  },
  'a page of a proxy, with status 200': {
    lies: true,
    attack: async (_, registry) => void answer(registry, '<html></html>', 'text/html') as undefined,
    refusal: [40, 'content-invalid'],
  },
  'a root that merely lists the pinned key': {
    reader: 'who is new',
    attack: async (lab) => {
      const [own, publisher] = [poolKey(STRANGER), poolKey(STRANGER + 1)];
      const evil = await createCollection(
        {
          name: lab.place.name,
          now: NOW,
          policy: { versions: trustVersions(() => 0) },
          root: anyOf(1, own, poolKey(ROOT)),
          names: anyOf(1, publisher),
          online: anyOf(1, publisher),
        },
        signersOf(own, publisher),
      );
      await pushHead(lab.target, evil);
      return undefined;
    },
    refusal: TRUST_INVALID,
  },
  "a pinned later root with another collection's first": {
    reader: 'who is new',
    attack: async (lab) => {
      await lab.change((edit) => void edit.root());
      const file = join(lab.place.home, '2.root.json');
      await writeFile(file, lab.newest.get('2.root.json')!);
      const files = new Map(lab.newest);
      await pushFiles(lab.target, files.set('1.root.json', (await lab.other()).get('1.root.json')!));
      return { flags: ['--root', file] };
    },
    refusal: TRUST_INVALID,
    says: 'begin with those of the collection',
  },
  'a chain of roots that was cut short': {
    reader: 'who remembers',
    attack: async (lab) => {
      const old = lab.newest;
      await lab.change((edit) => edit.root().setKeys('root', anyOf(1, poolKey(7))), { keys: [7] });
      await lab.verify('v1');
      await pushFiles(lab.target, old);
      return { now: new Date(LATER.getTime() + 120_000) };
    },
    refusal: ROLLBACK,
    says: 'the root went back',
  },
  'a chain of roots that was cut short, against a pin that says how long it is': {
    reader: 'who is new',
    attack: async (lab) => {
      const old = lab.newest;
      await lab.change((edit) => void edit.root());
      await lab.place.run(['pin', lab.place.name, ...BELIEVE(), '--min-root-version', '2']);
      await pushFiles(lab.target, old);
      return { flags: [] };
    },
    refusal: ROLLBACK,
  },
  'another root of the version that was seen': {
    reader: 'who remembers',
    attack: async (lab) => {
      await lab.change((edit) => void edit.root());
      await lab.verify('v1');
      const other = resigned(
        lab.newest.get('2.root.json')!,
        (signed) => {
          signed['expires'] = '2031-01-01T00:00:00Z';
        },
        poolKey(ROOT),
      );
      await pushFiles(lab.target, new Map(lab.newest).set('2.root.json', other));
      return undefined;
    },
    refusal: TRUST_INVALID,
    says: 'two roots of version 2',
  },
  'nobody to be believed but whoever is there, in CI': {
    reader: 'who is new',
    attack: async () => ({ flags: ['--tofu'], env: { CI: 'true' } }),
    refusal: [25, 'trust-unpinned'],
  },
};

/** What the registry says of the head, once. */
function answer(registry: FaultyRegistry, body: string, mediaType: string = MEDIA_TYPES.ociManifest): void {
  const action = { status: 200, body, headers: { 'content-type': mediaType } };
  registry.fault({ method: 'GET', path: /_trust$/, action });
}

function deny(registry: FaultyRegistry, status: number): void {
  registry.fault({ method: 'GET', path: /_trust$/, action: { status } });
}

const CASES = Object.entries(ATTACKS).flatMap(([name, attack]) =>
  (['who remembers', 'who is new'] as const)
    .filter((reader) => attack.reader === undefined || attack.reader === reader)
    .map((reader) => ({ name, reader, ...attack })),
);

async function lyingRegistry(options: RegistryOptions = {}): Promise<FaultyRegistry> {
  const registry = await startRegistry(options);
  onTestFinished(() => registry.close());
  return registry;
}

describe('bulla verify', () => {
  it.each(CASES)('by somebody $reader refuses $name', async ({ reader, attack, refusal, says, lies }) => {
    const registry = lies === undefined ? undefined : await lyingRegistry();
    const lab = await Lab.make(registry);
    const isNew = reader === 'who is new';
    if (!isNew) expect(await lab.verify('v1', BELIEVE(), { now: NOW })).toMatchObject({ code: 0 });
    const shown = await attack(lab, registry as FaultyRegistry);
    const {
      reference = `${lab.place.name}:v1`,
      flags = isNew ? BELIEVE() : [],
      now = LATER,
      env,
    } = shown ?? {};
    const asked = ['verify', reference.includes(':v') ? reference : `${reference}:v1`, ...flags];
    const refused = await lab.place.run(asked, { now, ...(env !== undefined && { env }) });
    const [code, word] = refusal;
    expect(refused, refused.stderr).toMatchObject({ code, stdout: '' });
    expect(refused.stderr).toContain(`[${word}]`);
    expect(refused.stderr).toContain(says ?? '');
    // What is genuine is verified as ever, and needs no new pin where one was seen.
    await pushFiles(lab.target, lab.newest);
    const genuine = await lab.verify('v1', isNew ? BELIEVE() : []);
    const stdout = `${lab.place.name}@${lab.image.descriptor.digest}\n`;
    expect(genuine, genuine.stderr).toMatchObject({ code: 0, stdout });
  });

  it('puts up with the same files under other annotations, and prints what is signed', async () => {
    const lab = await Lab.make();
    await lab.verify('v1', BELIEVE());
    await pushFiles(lab.target, lab.newest, { annotations: { anything: 'else' }, bare: true });
    expect(await lab.verify('v1')).toMatchObject({ code: 0 });
  });

  it('prints what was signed where the tag was moved without a signature', async () => {
    const lab = await Lab.make();
    const evil = await pushImage(lab.target, 'evil', 'v1');
    const verified = await lab.verify('v1', BELIEVE());
    expect(verified.stdout).toBe(`${lab.place.name}@${lab.image.descriptor.digest}\n`);
    expect(verified.stderr).toContain(evil.descriptor.digest);
  });

  it('cannot tell an old head without having seen a newer one, and says so', async () => {
    const lab = await Lab.make();
    const old = lab.newest;
    await lab.name('v2');
    await pushFiles(lab.target, old);
    const verified = await lab.verify('v1', BELIEVE());
    expect(verified).toMatchObject({ code: 0 });
    expect(verified.stderr).toContain('nothing was known of this collection before');
  });
});

const ALL_KEYS = [
  ['publisher', PUBLISHER],
  ['root', ROOT],
  ['online', ONLINE],
] as const;

/** A machine with keys of the collection in its key store, all of them if none are named. */
async function owner(
  lab: Lab,
  keys: readonly (readonly [string, number])[] = ALL_KEYS,
): Promise<(line: string, now?: Date) => Promise<CliResult>> {
  const home = await temporaryDirectory();
  await mkdir(join(home, 'keys'), { mode: 0o700 });
  for (const [name, index] of keys) {
    const { privateKey } = poolKey(index);
    await writeFile(join(home, 'keys', `${name}.key`), privateKeyPem(privateKey), { mode: 0o600 });
    await writeFile(join(home, 'keys', `${name}.pub`), publicKeyPem(publicKeyOf(privateKey)));
  }
  const env = { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' };
  const run = (line: string, now = LATER) =>
    lab.place.run(line.replaceAll('REPO', lab.place.name).split(' '), { now, env });
  expect(await run(`pin REPO --root-key-id ${poolKey(ROOT).key.keyid}`)).toMatchObject({ code: 0 });
  return run;
}

/** A stage as somebody makes it who has these keys, whatever they are worth. */
async function stageBy(lab: Lab, key: number, role: string, tag: string): Promise<ManifestContent> {
  const copy = await WorkingCopy.open(await readAny(lab.target));
  const versions = trustVersions(() => 7);
  const edit = new CollectionEdit(copy, { now: NOW, policy: { versions } });
  await edit.apply(role, [lab.naming(tag)]);
  const { edit: prepared, logs } = edit.prepare();
  await prepared.sign(signersOf(poolKey(key)));
  const files = new Map(
    prepared.pending().map(({ file }) => [metadataFileName(file.role, versionOf(file)), file.bytes] as const),
  );
  const stage = assembleStage({ files, logs });
  await pushAssembly(lab.target, stage, stageTag(stage.top.descriptor.digest));
  return stage.top;
}

const siblings = async ({ target }: Lab): Promise<readonly string[]> =>
  (await target.listTags()).filter((tag) => tag.startsWith('_trust.'));

describe('somebody who may push', () => {
  it.each([
    ['soon', LATER, undefined],
    ['after the log was cut', daysLater(3), daysLater(2)],
  ])('cannot have a revoked name back by pushing its candidate again: %s', async (_, now, cut) => {
    const lab = await Lab.make();
    const run = await owner(lab);
    await pushImage(lab.target, 'two', 'v2');
    const signed = await run('sign REPO:v2 --name-only --no-proof');
    expect(signed, signed.stderr).toMatchObject({ code: 0 });
    const old = announceHead(assembleHead(await allOf(lab)), undefined).top;
    expect(await run('revoke REPO:v2')).toMatchObject({ code: 0 });
    if (cut !== undefined)
      await lab.change((edit) => edit.apply('names', [unsetting(['nothing'], now)], cut), { now });
    await lab.target.pushManifest(old, { tag: candidateTag(old.descriptor.digest) });
    expect(await run('resign REPO', now)).toMatchObject({ code: 0 });
    expect(await run('sign REPO:v1 --name-only --no-proof', now)).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v2', now)).toMatchObject({ code: 23, stdout: '' });
    expect(await run('verify REPO:v1', now)).toMatchObject({ code: 0 });
  });

  it.each([
    ['soon', LATER, undefined],
    ['after the log was cut', daysLater(3), daysLater(2)],
  ])('cannot have a revoked name back by pushing its stage again: %s', async (_, now, cut) => {
    const lab = await Lab.make();
    const run = await owner(lab);
    const stage = await stageBy(lab, PUBLISHER, 'names', 'v2');
    expect(await run('resign REPO')).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v2 --no-drift')).toMatchObject({ code: 0 });
    expect(await run('revoke REPO:v2')).toMatchObject({ code: 0 });
    if (cut !== undefined)
      await lab.change((edit) => edit.apply('names', [unsetting(['nothing'], now)], cut), { now });
    for (const tag of [stageTag(stage.descriptor.digest), tagOf('_trust.stage.0123456789ab')])
      await lab.target.pushManifest(stage, { tag });
    expect(await run('resign REPO', now)).toMatchObject({ code: 0 });
    expect(await run('sign REPO:v1 --name-only --no-proof', now)).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v2', now)).toMatchObject({ code: 23, stdout: '' });
    expect(await run('verify REPO:v1', now)).toMatchObject({ code: 0 });
  });

  it('cannot stop publishers with a flood of stages', async () => {
    const lab = await Lab.make();
    const run = await owner(lab);
    const junk = await stageBy(lab, STRANGER, 'names', 'v9');
    for (let index = 0; index < 300; index++)
      await lab.target.pushManifest(junk, { tag: tagOf(`_trust.stage.${String(index).padStart(12, '0')}`) });
    await pushImage(lab.target, 'two', 'v2');
    const signed = await run('sign REPO:v2 --name-only --no-proof');
    expect(signed, signed.stderr).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v2')).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v9')).toMatchObject({ code: 23, stdout: '' });
  });

  it('cannot keep publishers waiting with copies of a candidate that is always young', async () => {
    const lab = await Lab.make();
    const run = await owner(lab);
    const before = await lab.target.fetchManifest(HEAD_TAG);
    await pushImage(lab.target, 'two', 'v2');
    expect(await run('sign REPO:v2 --name-only --no-proof')).toMatchObject({ code: 0 });
    const [tag = ''] = await siblings(lab);
    const young = await lab.target.fetchManifest(tagOf(tag));
    await lab.target.pushManifest(before, { tag: HEAD_TAG });
    let [copies, isOver] = [0, false];
    const copying = (async () => {
      for (; !isOver; copies++) {
        const json = JSON.parse(Buffer.from(young.bytes).toString()) as object;
        const bytes = Buffer.from(
          JSON.stringify({ ...json, annotations: { [CANDIDATE_MARK]: String(copies) } }),
        );
        const copy = { bytes, descriptor: describeBytes(MEDIA_TYPES.ociManifest, bytes) };
        await lab.target.pushManifest(copy, { tag: candidateTag(copy.descriptor.digest) });
      }
    })();
    const signed = await run('sign REPO:v1 --name-only --no-proof');
    isOver = true;
    await copying;
    expect(signed, signed.stderr).toMatchObject({ code: 0 });
    expect(copies).toBeGreaterThan(1);
    expect(await run('verify REPO:v2')).toMatchObject({ code: 0 });
  });

  it('who deletes candidates takes nothing away from the head', async () => {
    const lab = await Lab.make();
    const run = await owner(lab);
    await pushImage(lab.target, 'two', 'v2');
    expect(await run('sign REPO:v2 --name-only --no-proof')).toMatchObject({ code: 0 });
    for (const tag of await siblings(lab)) await lab.target.deleteTag(tagOf(tag));
    expect(await run('resign REPO --renew')).toMatchObject({ code: 0 });
    for (const tag of await siblings(lab)) await lab.target.deleteTag(tagOf(tag));
    expect(await run('sign REPO:v1 --name-only --no-proof')).toMatchObject({ code: 0 });
    for (const tag of ['v1', 'v2']) expect(await run(`verify REPO:${tag}`)).toMatchObject({ code: 0 });
  });

  it('cannot hide or remove what waits by lending its tag, or by copies at tags that were folded', async () => {
    const registry = await lyingRegistry({ deletion: 'manifests' });
    const lab = await Lab.make(registry);
    const run = await owner(lab);
    const stage = await stageBy(lab, PUBLISHER, 'names', 'v2');
    const tag = stageTag(stage.descriptor.digest);
    await lab.target.deleteManifest(stage.descriptor.digest);
    expect(await run('sign REPO:v1 --again --name-only --no-proof')).toMatchObject({ code: 0 });
    const [folded = ''] = await siblings(lab);
    // Made for an older head, it waits for somebody who has the key of `names`, and a re-signer has not.
    await lab.target.pushManifest(stage, { tag });
    await lab.target.pushManifest(stage, { tag: tagOf(folded) });
    const resign = await owner(lab, [['online', ONLINE]]);
    const resigned = await resign('resign REPO --renew', daysLater(2));
    expect(resigned, resigned.stderr).toMatchObject({ code: 0 });
    expect(await siblings(lab)).toContain(tag);
  });

  it('cannot forge a stage', async () => {
    const lab = await Lab.make();
    const run = await owner(lab);
    await stageBy(lab, STRANGER, 'names', 'v9');
    await stageBy(lab, ONLINE, 'names', 'v9');
    expect(await run('resign REPO')).toMatchObject({ code: 0 });
    expect(await run('sign REPO:v1 --name-only --no-proof')).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v9')).toMatchObject({ code: 23, stdout: '' });
    expect(await run('verify REPO:v1')).toMatchObject({ code: 0 });
  });

  it('cannot have a signer speak who was removed', async () => {
    const lab = await Lab.make();
    const run = await owner(lab);
    const ci = { ...anyOf(1, poolKey(7)), name: 'ci', paths: ['*'] };
    await lab.change((edit) => edit.addSigner(ci), { keys: [7] });
    const stage = await stageBy(lab, 7, 'ci', 'v1');
    await lab.target.deleteTag(stageTag(stage.descriptor.digest));
    expect(await run('signer rm REPO ci')).toMatchObject({ code: 0 });
    await lab.target.pushManifest(stage, { tag: stageTag(stage.descriptor.digest) });
    expect(await run('resign REPO')).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v1 --signer ci')).toMatchObject({ code: 23, stdout: '' });
    expect(await run('verify REPO:v1 --any-signer')).toMatchObject({ code: 0 });
  });

  it('cannot use versions up with a candidate', async () => {
    const lab = await Lab.make();
    const run = await owner(lab);
    const copy = await WorkingCopy.open(await readAny(lab.target));
    const edit = new CollectionEdit(copy, { now: NOW, policy: { versions: () => 2 ** 52 } });
    const made = await edit.prepare().edit.publish(signersOf(poolKey(ONLINE)));
    const huge = made.timestamp!;
    const bytes = resigned(huge.bytes, () => undefined, poolKey(STRANGER));
    const parts = { ...(await allOf(lab)), files: { ...made, timestamp: { ...huge, bytes } } };
    const { top, blobs } = announceHead(assembleHead(parts), undefined);
    await pushAssembly(lab.target, { top, blobs, children: [] }, candidateTag(top.descriptor.digest));
    expect(await run('sign REPO:v1 --name-only --no-proof')).toMatchObject({ code: 0 });
    const { client } = await readAny(lab.target);
    expect(client.trusted.timestamp.content.version).toBeLessThan(2 ** 29);
    expect(await run('verify REPO:v1')).toMatchObject({ code: 0 });
  });

  it('cannot have the head removed along with a candidate', async () => {
    const registry = await lyingRegistry({ deletion: 'manifests' });
    const lab = await Lab.make(registry);
    const run = await owner(lab);
    const head = await lab.target.fetchManifest(HEAD_TAG);
    await lab.target.pushManifest(head, { tag: candidateTag(head.descriptor.digest) });
    await lab.target.pushManifest(head, { tag: tagOf('_trust.stage.000000000000') });
    expect(await run('resign REPO --renew', daysLater(3))).toMatchObject({ code: 0 });
    expect(await run('resign REPO', daysLater(3))).toMatchObject({ code: 0 });
    const verified = await run('verify REPO:v1', daysLater(3));
    expect(verified, verified.stderr).toMatchObject({ code: 0 });
  });

  it('cannot have an old head built upon by somebody who published a newer one', async () => {
    const lab = await Lab.make();
    const run = await owner(lab);
    const old = await lab.target.fetchManifest(HEAD_TAG);
    expect(await run('revoke REPO:v1')).toMatchObject({ code: 0 });
    for (const tag of await siblings(lab)) await lab.target.deleteTag(tagOf(tag));
    await lab.target.pushManifest(old, { tag: HEAD_TAG });
    await pushImage(lab.target, 'two', 'v2');
    const late = new Date(LATER.getTime() + 120_000);
    expect(await run('sign REPO:v2 --name-only', late)).toMatchObject({ code: 21, stdout: '' });
    // What is remembered is put back, and then there is nothing old to be built upon.
    expect(await run('resign REPO', late)).toMatchObject({ code: 0 });
    expect(await run('sign REPO:v2 --name-only --no-proof', late)).toMatchObject({ code: 0 });
    expect(await run('verify REPO:v1', late)).toMatchObject({ code: 23, stdout: '' });
    expect(await run('verify REPO:v2', late)).toMatchObject({ code: 0 });
  });
});

/** Files and logs of the head. */
async function allOf({ target }: Lab): Promise<Parameters<typeof assembleHead>[0]> {
  const { files, collection } = await WorkingCopy.open(await readAny(target));
  const { object } = collection;
  const logs = object.logs.size > 0 ? object.logs : new Map([['names', encodeLog(emptyLog(NOW))]]);
  return { files, logs };
}
