import { describe, expect, it } from 'vitest';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { Intake, identityOfEntry } from '../../src/trust/candidates/intake.ts';
import type { LogEntry } from '../../src/trust/format/log.ts';
import { pushImage } from '../support/content.ts';
import { changeWith } from '../support/trust/heads.ts';
import { type Served, servedCollection } from '../support/trust/served.ts';
import {
  ALL_KEYS,
  candidateOfStage,
  type NamedKeys,
  naming,
  type Somebody,
  somebody,
  stageAs,
} from '../support/trust/thief.ts';
import { anyOf, NOW, ONLINE, PUBLISHER } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const STOLEN = 7;
const CI = 6;
const NEW = 5;
const keyid = (key: number): string => poolKey(key).key.keyid;
const WITHOUT_ONLINE: NamedKeys = ALL_KEYS.filter(([name]) => name !== 'online');

interface Lab {
  readonly place: Served;
  readonly target: Served['target'];
  readonly one: ManifestContent;
  readonly evil: ManifestContent;
  /** The owner, who has all keys. */
  readonly run: Somebody;
  /** The owner on a machine without the online key. */
  readonly away: Somebody;
  /** Whoever has the online key, and no other. */
  readonly service: Somebody;
}

async function lab(): Promise<Lab> {
  const place = await servedCollection();
  const { target } = place;
  const one = await pushImage(target, 'one', 'latest');
  const evil = await pushImage(target, 'evil', 'evil');
  await changeWith(
    target,
    async (edit) => {
      await edit.rekeyNames(anyOf(1, poolKey(PUBLISHER), poolKey(STOLEN)));
      edit.addSigner({ ...anyOf(1, poolKey(CI)), name: 'ci', paths: ['*'] });
    },
    { keys: [poolKey(STOLEN), poolKey(CI)] },
  );
  const [run, away, service] = await Promise.all([
    somebody(place, [...ALL_KEYS, ['new', NEW]]),
    somebody(place, [...WITHOUT_ONLINE, ['new', NEW]]),
    somebody(place, [['online', ONLINE]]),
  ]);
  expect(await run('sign REPO:latest --name-only --no-proof')).toMatchObject({ code: 0 });
  return { place, target, one, evil, run, away, service };
}

const evil = ({ evil: image }: Lab, change: Partial<LogEntry> = {}): LogEntry =>
  naming('latest', image, change);
const DROP = `rotate REPO names --drop ${keyid(STOLEN)}`;

async function assertNothingEvil(
  { run, one, evil: image }: Lab,
  verify = 'verify REPO:latest',
): Promise<void> {
  const after = await run(verify);
  expect(after.stdout).not.toContain(image.descriptor.digest);
  if (verify === 'verify REPO:latest') expect(after.stdout).toContain(one.descriptor.digest);
  const history = JSON.stringify((await run('log REPO -o json')).json());
  expect(history).not.toContain(image.descriptor.digest.slice(7));
}

/** Ways of a thief to have something lie beside the head once the key is dropped. */
const THEFTS: Readonly<Record<string, (place: Lab) => Promise<unknown>>> = {
  'a stage': (place) => stageAs(place.target, [STOLEN], [evil(place)]),
  'a stage with another maker': (place) =>
    stageAs(place.target, [STOLEN], [evil(place, { by: keyid(PUBLISHER) })]),
  'a candidate': async (place) => {
    const { content, tag } = await stageAs(place.target, [STOLEN], [evil(place)]);
    await candidateOfStage(place.target, content);
    await place.target.deleteTag(tag);
  },
};

describe('what a thief has staged before the key is dropped', () => {
  // Another publish lies between the making of the change and its taking over, so that it cannot be taken as it is.
  it.each(
    Object.entries(THEFTS).flatMap(([what, steal]) => [
      [what, 'sign', steal] as const,
      [what, 'resign', steal] as const,
    ]),
  )('gets in by nobody while the change waits for the online key: %s, by %s', async (_, by, steal) => {
    const place = await lab();
    const { run, away, service, target } = place;
    const staged = await away(`${DROP} --wait 0s`);
    expect(staged, staged.stderr).toMatchObject({ code: 31 });
    // Somebody who can see no stages moves the head on.
    const hidden = await hideStages(target);
    await pushImage(target, 'two', 'v2');
    expect(await run('sign REPO:v2 --name-only --no-proof')).toMatchObject({ code: 0 });
    await hidden();
    await steal(place);
    if (by === 'sign') {
      await pushImage(target, 'three', 'v3');
      expect(await run('sign REPO:v3 --name-only --no-proof')).toMatchObject({ code: 0 });
    }
    for (let pass = 0; pass < 3; pass++)
      expect(await service('resign REPO --renew')).toMatchObject({ code: 0 });
    await assertNothingEvil(place);
  });

  it.each(Object.entries(THEFTS))(
    'does not get in with a change that is staged with all keys at hand: %s',
    async (_, steal) => {
      const place = await lab();
      await steal(place);
      const staged = await place.run(`${DROP} --stage`);
      expect(staged, staged.stderr).toMatchObject({ code: 0 });
      await assertNothingEvil(place);
    },
  );

  it.each(Object.entries(THEFTS))(
    'does not get in with a change that was signed elsewhere: %s',
    async (_, steal) => {
      const place = await lab();
      const file = `${place.run.home}/change.json`;
      const made = await place.away(`${DROP} --export-unsigned ${file}`);
      expect(made, made.stderr).toMatchObject({ code: 0 });
      expect(await place.run(`approve ${file} --yes`)).toMatchObject({ code: 0 });
      await steal(place);
      const imported = await place.run(`rotate REPO names --import-signed ${file} --yes`);
      expect(imported, imported.stderr).toMatchObject({ code: 0 });
      await assertNothingEvil(place);
      expect(await place.run('resign REPO --renew')).toMatchObject({ code: 0 });
      await assertNothingEvil(place);
    },
  );
});

async function hideStages(target: Lab['target']): Promise<() => Promise<void>> {
  const tags = (await target.listTags()).filter((tag) => tag.startsWith('_trust.stage.'));
  const kept: (readonly [Tag, ManifestContent])[] = [];
  for (const tag of tags) {
    kept.push([tag, await target.fetchManifest(tag)]);
    await target.deleteTag(tag);
  }
  return async () => {
    for (const [tag, content] of kept) await target.pushManifest(content, { tag });
  };
}

/** What somebody honest has signed together with what a thief made, under the maker's own account. */
describe('what somebody honest has folded of a thief', () => {
  it.each([
    ['sign', 'sign REPO:v3 --name-only --no-proof'],
    ['a re-signer', 'resign REPO --renew'],
    ['revoke', 'revoke REPO:old'],
    ['a later rotation', 'rotate REPO names --renew --yes'],
  ])('does not get in after the key was dropped, by %s', async (_, next) => {
    const place = await lab();
    const { run, one, target } = place;
    await pushImage(target, 'one', 'old');
    expect(await run('sign REPO:old --name-only --no-proof')).toMatchObject({ code: 0 });
    const entry = evil(place, { by: keyid(STOLEN) });
    await stageAs(target, [PUBLISHER], [entry, naming('v2', one, { by: keyid(PUBLISHER) })]);
    const dropped = await run(DROP);
    expect(dropped, dropped.stderr).toMatchObject({ code: 0 });
    await pushImage(target, 'three', 'v3');
    const after = await run(next);
    expect(after, after.stderr).toMatchObject({ code: 0 });
    expect(await run('resign REPO --renew')).toMatchObject({ code: 0 });
    await assertNothingEvil(place);
    // What its own maker is trusted with still gets in, where it can be told apart.
    if (next.startsWith('sign')) expect(await run('verify REPO:v2')).toMatchObject({ code: 0 });
  });
});

describe('what a person has agreed to take in', () => {
  const sha256 = 'a'.repeat(64);
  const shown: LogEntry = {
    ...{ id: 'd'.repeat(32), at: NOW, by: keyid(PUBLISHER) },
    set: new Map([['v2', { length: 7, sha256 }]]),
  };
  const reason = (role: string, entry: LogEntry): string | undefined =>
    new Intake(new Set([identityOfEntry('names', shown)])).reasonAgainst(role, entry, [keyid(PUBLISHER)]);

  it('is taken in', () => {
    expect(reason('names', { ...shown, set: new Map(shown.set) })).toBeUndefined();
  });

  it.each<[string, string, Partial<LogEntry>]>([
    ['another digest', 'names', { set: new Map([['v2', { length: 7, sha256: 'b'.repeat(64) }]]) }],
    ['another name', 'names', { set: new Map([['latest', { length: 7, sha256 }]]) }],
    ['one more name', 'names', { set: new Map([...shown.set!, ['latest', { length: 7, sha256 }]]) }],
    ['another length', 'names', { set: new Map([['v2', { length: 8, sha256 }]]) }],
    ['a media type', 'names', { set: new Map([['v2', { length: 7, sha256, mediaType: 'a/b' }]]) }],
    ['an origin', 'names', { origin: 'registry.example.com/x' }],
    ['the taking out of it', 'names', { set: undefined, unset: new Set(['v2']) }],
    ['another role', 'ci', {}],
  ])('is not, under its id: %s', (_, role, change) => {
    expect(reason(role, { ...shown, ...change })).toBe('unseen');
  });
});
