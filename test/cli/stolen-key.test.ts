import { describe, expect, it } from 'vitest';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { CollectionEdit } from '../../src/trust/change/collection-edit.ts';
import { assembleStage } from '../../src/trust/format/assemble.ts';
import type { LogEntry } from '../../src/trust/format/log.ts';
import { trustVersions } from '../../src/trust/format/versions.ts';
import { stageTag } from '../../src/trust/format/vocabulary.ts';
import { WorkingCopy } from '../../src/trust/read/working-copy.ts';
import { versionOf } from '../../src/tuf/edit/repository.ts';
import { metadataFileName } from '../../src/tuf/role-name.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { readAny } from '../support/trust/changing.ts';
import { pushAssembly } from '../support/trust/collection.ts';
import { changeWith } from '../support/trust/heads.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import {
  ALL_KEYS,
  candidateOfStage,
  naming,
  type Somebody,
  somebody,
  stageAs,
} from '../support/trust/thief.ts';
import { anyOf, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const STOLEN = 7;
const NEW = 5;
const CI = 6;
const keyid = (key: number): string => poolKey(key).key.keyid;

interface Lab extends Omit<Served, 'run'> {
  readonly place: Served;
  readonly one: ManifestContent;
  readonly evil: ManifestContent;
  readonly run: Somebody;
}

/** `names` may be signed by the owner's key or by one that is stolen; `ci` is a signer whose key is stolen, too. */
async function lab(): Promise<Lab> {
  const place = await servedCollection();
  const one = await pushImage(place.target, 'one', 'latest');
  const evil = await pushImage(place.target, 'evil', 'evil');
  await changeWith(
    place.target,
    async (edit) => {
      await edit.rekeyNames(anyOf(1, poolKey(PUBLISHER), poolKey(STOLEN)));
      edit.addSigner({ ...anyOf(1, poolKey(CI)), name: 'ci', paths: ['*'] });
    },
    { keys: [poolKey(STOLEN), poolKey(CI)] },
  );
  const run = await somebody(place, [...ALL_KEYS, ['new', NEW]]);
  expect(await run('sign REPO:latest --name-only --no-proof')).toMatchObject({ code: 0 });
  return { ...place, place, one, evil, run };
}

/** A change of roles that only root has signed, as a thief of a root key stages it. */
async function stageRoles({ target }: Lab, key: number, make: (edit: CollectionEdit) => void): Promise<void> {
  const copy = await WorkingCopy.open(await readAny(target));
  const edit = new CollectionEdit(copy, { now: NOW, policy: { versions: trustVersions(() => 9) } });
  make(edit);
  const { edit: prepared, logs } = edit.prepare();
  await prepared.sign(signersOf(poolKey(key), poolKey(STOLEN)));
  const files = new Map(
    prepared.pending().map(({ file }) => [metadataFileName(file.role, versionOf(file)), file.bytes] as const),
  );
  const stage = assembleStage({ files, logs });
  await pushAssembly(target, stage, stageTag(stage.top.descriptor.digest));
}

interface Theft {
  /** What the thief does before the key is dropped. */
  readonly steal: (place: Lab) => Promise<unknown>;
  /** How the owner drops it. */
  readonly drop: string;
  /** What is asked afterwards. */
  readonly verify?: string;
}

const evil = ({ evil: image }: Lab, change: Partial<LogEntry> = {}): LogEntry =>
  naming('latest', image, change);
const DROP = `rotate REPO names --drop ${keyid(STOLEN)}`;

const THEFTS: Readonly<Record<string, Theft>> = {
  'a stage': { steal: (place) => stageAs(place.target, [STOLEN], [evil(place)]), drop: DROP },
  'a stage, agreed to beforehand': {
    steal: (place) => stageAs(place.target, [STOLEN], [evil(place)]),
    drop: `${DROP} --yes`,
  },
  'a stage that names another key as its maker': {
    steal: (place) => stageAs(place.target, [STOLEN], [evil(place, { by: keyid(PUBLISHER) })]),
    drop: `${DROP} --yes`,
  },
  'many stages': {
    steal: async (place) => {
      for (let at = 0; at < 5; at++)
        await stageAs(place.target, [STOLEN], [evil(place, { at: new Date(NOW.getTime() + at * 1000) })]);
    },
    drop: `${DROP} --yes`,
  },
  'a candidate': {
    steal: async (place) => {
      const { content, tag } = await stageAs(place.target, [STOLEN], [evil(place)]);
      await candidateOfStage(place.target, content);
      await place.target.deleteTag(tag);
    },
    drop: `${DROP} --yes`,
  },
  'a stage that somebody honest has folded into a stage': {
    steal: async (place) => {
      const entry = evil(place);
      await stageAs(place.target, [STOLEN], [entry]);
      await stageAs(place.target, [PUBLISHER], [entry, naming('v2', place.one)]);
    },
    drop: `${DROP} --yes`,
  },
  'a stage that somebody honest has folded, and that is gone since': {
    steal: async (place) =>
      await stageAs(place.target, [PUBLISHER], [evil(place, { by: keyid(STOLEN) }), naming('v2', place.one)]),
    drop: `${DROP} --yes`,
  },
  'a stage that is folded, with the maker forged, where nobody agrees': {
    steal: async (place) =>
      await stageAs(
        place.target,
        [PUBLISHER],
        [evil(place, { by: keyid(PUBLISHER) }), naming('v2', place.one)],
      ),
    drop: DROP,
  },
  'a stage, where all keys are replaced': {
    steal: (place) => stageAs(place.target, [STOLEN], [evil(place)]),
    drop: 'rotate REPO names --key new --yes',
  },
  'a stage, where two have to sign from now on': {
    steal: (place) => stageAs(place.target, [STOLEN], [evil(place)]),
    drop: 'rotate REPO names --keep --key new --threshold 2 --yes',
  },
  'a stage of a signer who goes': {
    steal: (place) => stageAs(place.target, [CI], [evil(place)], 'ci'),
    drop: 'signer rm REPO ci --yes',
    verify: 'verify REPO:latest --signer ci',
  },
  'a stage of a signer who gets another key': {
    steal: (place) => stageAs(place.target, [CI], [evil(place)], 'ci'),
    drop: 'rotate REPO ci --key new --yes',
    verify: 'verify REPO:latest --signer ci',
  },
  'a stage by a second key, where nobody agrees': {
    steal: (place) => stageAs(place.target, [PUBLISHER], [evil(place)]),
    drop: DROP,
  },
};

describe('a stolen key that is dropped', () => {
  it.each(Object.entries(THEFTS))('publishes nothing with that: %s', async (_, { steal, drop, verify }) => {
    const place = await lab();
    const { run, evil: image } = place;
    await steal(place);
    const dropped = await run(`${drop} -o json`);
    expect(dropped, dropped.stderr).toMatchObject({ code: 0 });
    const after = await run(verify ?? 'verify REPO:latest');
    expect(after.stdout).not.toContain(image.descriptor.digest);
    expect(after.code).toBe(verify === undefined ? 0 : 23);
    const history = JSON.stringify((await run('log REPO -o json')).json());
    expect(history).not.toContain(image.descriptor.digest.slice(7));
    // What is left is told, and where it lies.
    expect((dropped.json() as { left: unknown[] }).left).not.toEqual([]);
    expect(dropped.json()).toMatchObject({ takenIn: [] });
  });

  it('does not get in later, by whoever publishes next', async () => {
    const place = await lab();
    const { run } = place;
    const { content, tag } = await stageAs(place.target, [STOLEN], [evil(place)]);
    expect(await run(DROP)).toMatchObject({ code: 0 });
    await place.target.pushManifest(content, { tag });
    await pushImage(place.target, 'two', 'v2');
    expect(await run('sign REPO:v2 --name-only --no-proof')).toMatchObject({ code: 0 });
    const service = await somebody(place.place, [['online', ONLINE]]);
    expect(await service('resign REPO --renew')).toMatchObject({ code: 0 });
    expect((await run('verify REPO:latest')).stdout).toContain(place.one.descriptor.digest);
  });

  it('has no change of roles published that it has staged', async () => {
    const place = await lab();
    const { run } = place;
    // A second root key, and it is stolen.
    await changeWith(place.target, (edit) => {
      edit.root().setKeys('root', anyOf(1, poolKey(ROOT), poolKey(STOLEN)));
      edit.root().setKeys('targets', anyOf(1, poolKey(ROOT), poolKey(STOLEN)));
    });
    await stageRoles(place, STOLEN, (edit) =>
      edit.addSigner({ ...anyOf(1, poolKey(STOLEN)), name: 'evil', paths: ['*'] }),
    );
    const dropped = await run(`rotate REPO root --drop ${keyid(STOLEN)} --yes`);
    expect(dropped, dropped.stderr).toMatchObject({ code: 0 });
    expect((await run('signer ls REPO -o json')).stdout).not.toContain('evil');
    expect(await run('resign REPO --renew')).toMatchObject({ code: 0 });
    expect((await run('signer ls REPO -o json')).stdout).not.toContain('evil');
  });

  it('has no change of roles of others published unseen', async () => {
    const place = await lab();
    await stageRoles(place, ROOT, (edit) =>
      edit.addSigner({ ...anyOf(1, poolKey(STOLEN)), name: 'evil', paths: ['*'] }),
    );
    const dropped = await place.run(DROP);
    expect(dropped, dropped.stderr).toMatchObject({ code: 0 });
    expect(dropped.stderr).toContain('evil is new');
    expect((await place.run('signer ls REPO -o json')).stdout).not.toContain('evil');
  });

  it('is an online key whose candidates are left where they are', async () => {
    const place = await lab();
    const { run } = place;
    const head = await place.target.fetchManifest(tagOf('_trust'));
    await pushImage(place.target, 'two', 'v2');
    expect(await run('sign REPO:v2 --name-only --no-proof')).toMatchObject({ code: 0 });
    // An older head in its place: the newer one is a candidate now.
    await place.target.pushManifest(head, { tag: tagOf('_trust') });
    const other = await somebody(place.place, [...ALL_KEYS, ['new', NEW]]);
    const rotated = await other('rotate REPO online --key new --yes -o json');
    expect(rotated, rotated.stderr).toMatchObject({ code: 0 });
    expect(rotated.json()).toMatchObject({ takenIn: [], left: [{ role: 'names' }] });
    // Its names are signed by a key that stays: the next who publishes takes them in.
    expect(await other('sign REPO:latest --again --name-only --no-proof')).toMatchObject({ code: 0 });
    expect(await other('verify REPO:v2')).toMatchObject({ code: 0 });
  });
});

describe('what others have staged with keys that stay', () => {
  it('is shown before the change of roles is signed, and taken in with --yes', async () => {
    const place = await lab();
    const { run } = place;
    await stageAs(place.target, [STOLEN], [evil(place)]);
    const { tag } = await stageAs(place.target, [PUBLISHER], [naming('v2', place.one)]);
    const shown = await run(`${DROP} --yes`);
    expect(shown, shown.stderr).toMatchObject({ code: 0 });
    expect(shown.stderr).toContain(`v2 is ${place.one.descriptor.digest}`);
    expect(shown.stderr).toContain(`signed by ${keyid(PUBLISHER).slice(0, 12)}, at ${tag}`);
    expect(shown.stderr).toContain('because its key loses trust: names: latest is');
    expect(await run('verify REPO:v2')).toMatchObject({ code: 0 });
    expect((await run('verify REPO:latest')).stdout).toContain(place.one.descriptor.digest);
  });

  it('is told as data', async () => {
    const place = await lab();
    await stageAs(place.target, [STOLEN], [evil(place)]);
    const { tag } = await stageAs(place.target, [PUBLISHER], [naming('v2', place.one)]);
    expect((await place.run(`${DROP} --yes -o json`)).json()).toMatchObject({
      takenIn: [{ role: 'names', tags: [tag], signedBy: [keyid(PUBLISHER)] }],
      left: [{ role: 'names', signedBy: [keyid(STOLEN)] }],
    });
  });

  it('waits where nobody agrees, and is taken in by whoever publishes next', async () => {
    const place = await lab();
    const { run } = place;
    await stageAs(place.target, [PUBLISHER], [naming('v2', place.one)]);
    const dropped = await run(DROP);
    expect(dropped, dropped.stderr).toMatchObject({ code: 0 });
    expect(dropped.stderr).toContain('left waiting');
    expect(await run('verify REPO:v2')).toMatchObject({ code: 23 });
    await pushImage(place.target, 'three', 'v3');
    expect(await run('sign REPO:v3 --name-only --no-proof')).toMatchObject({ code: 0 });
    await pushImage(place.target, 'one', 'v2');
    expect(await run('verify REPO:v2')).toMatchObject({ code: 0 });
  });
});
