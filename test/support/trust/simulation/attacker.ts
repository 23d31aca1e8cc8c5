import { base64, fromBase64, utf8 } from '../../../../src/encoding/bytes.ts';
import { describe } from '../../../../src/oci/descriptor.ts';
import type { Digest } from '../../../../src/oci/digest.ts';
import type { ManifestContent } from '../../../../src/oci/manifest.ts';
import type { Tag } from '../../../../src/oci/reference.ts';
import {
  CANDIDATE_MARK,
  FILE_NAME,
  HEAD_TAG,
  kindOfTag,
  TRUST_LAYERS,
} from '../../../../src/trust/format/vocabulary.ts';
import type { Dice } from './dice.ts';
import type { Pusher } from './registry.ts';
import type { World } from './world.ts';

const ATTACKER: Pusher = { name: 'attacker' };

interface Layer {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly data?: string;
  readonly annotations?: Readonly<{ [name: string]: string }>;
}

interface Listing {
  readonly mediaType: string;
  readonly layers: readonly Layer[];
  readonly annotations?: Readonly<{ [name: string]: string }>;
}

/** Deletes a share of the candidates and stages soon after they came. */
export function deleteSiblings(world: World, share: number): void {
  const dice = world.dice.fork();
  world.watchTags((tag, to) => {
    if (to === undefined || tag === HEAD_TAG || kindOfTag(tag) === undefined || !dice.happens(share)) return;
    world.scheduler.after(dice.magnitude(5, 5_000), () => {
      if (world.registry.tags.get(tag) === to) remove(world, tag);
    });
  });
}

/** Somebody who may push and holds no key: does `count` things while others publish. */
export async function attack(world: World, count: number): Promise<void> {
  const dice = world.dice.fork();
  for (let done = 0; done < count && !world.isOver; done++) {
    await world.untilBusy();
    await world.sleep(dice.magnitude(5, 5_000));
    dice.pick(MEANS)(world, dice);
  }
}

const MEANS: readonly ((world: World, dice: Dice) => void)[] = [
  deleteSome,
  flood,
  replay,
  replay,
  moveBack,
  moveBack,
  rewrap,
  mix,
  forge,
];

function deleteSome(world: World, dice: Dice): void {
  for (const tag of world.siblingTags()) if (dice.happens(0.5)) remove(world, tag);
  if (dice.happens(0.05)) remove(world, HEAD_TAG);
}

/** Junk and copies, all of them with young tags. */
function flood(world: World, dice: Dice): void {
  for (let left = dice.between(3, 20); left > 0; left--) {
    const copied = dice.pick(world.registry.everPushed);
    const content = dice.happens(0.3)
      ? changed(copied, { artifactType: 'application/vnd.example.junk' })
      : changed(copied, { annotations: { ...listingOf(copied).annotations, noise: dice.hex(8) } });
    push(world, content, anySiblingTag(dice));
  }
}

/** Anything that was ever pushed, at any tag. */
function replay(world: World, dice: Dice): void {
  const content = dice.pick(world.registry.everPushed);
  push(world, content, dice.happens(0.3) ? HEAD_TAG : anySiblingTag(dice));
}

/** An older head, or a candidate that never became one, as the head. */
function moveBack(world: World, dice: Dice): void {
  push(world, unmarked(dice.pick(world.registry.everPushed)), HEAD_TAG);
}

function rewrap(world: World, dice: Dice): void {
  const content = dice.pick(world.registry.everPushed);
  const { layers } = listingOf(content);
  const renamed = layers.map((layer) => {
    const name = layer.annotations?.[FILE_NAME];
    return name === undefined || dice.happens(0.7)
      ? layer
      : {
          ...layer,
          annotations: { [FILE_NAME]: name.replace(/^[0-9]+/, String(dice.below(2 ** 30) + 2 ** 21)) },
        };
  });
  const mark = dice.happens(0.5) ? { [CANDIDATE_MARK]: 'true' } : {};
  push(world, changed(content, { layers: renamed, annotations: mark }), anyTag(dice));
}

/** Files of two objects in one. */
function mix(world: World, dice: Dice): void {
  const [one, other] = [dice.pick(world.registry.everPushed), dice.pick(world.registry.everPushed)];
  const [mine, theirs] = [listingOf(one).layers, listingOf(other).layers];
  const layers = mine.map((layer) => {
    const role = roleOf(layer);
    const same = theirs.find((candidate) => roleOf(candidate) === role);
    return same !== undefined && dice.happens(0.4) ? same : layer;
  });
  push(world, changed(one, { layers }), anyTag(dice));
}

/** A file with another version or another target than was signed. */
function forge(world: World, dice: Dice): void {
  const content = dice.pick(world.registry.everPushed);
  const layers = listingOf(content).layers.map((layer) => {
    if (layer.mediaType !== TRUST_LAYERS.metadata || dice.happens(0.6)) return layer;
    const bytes = world.registry.blobs.get(layer.digest) ?? fromBase64(layer.data ?? '');
    if (bytes === undefined) return layer;
    const text = Buffer.from(bytes).toString();
    const forged = utf8(
      dice.happens(0.5)
        ? text.replace(/"version":[0-9]+/g, `"version":${2 ** 50 + dice.below(2 ** 20)}`)
        : text.replace(/"sha256":"[0-9a-f]{8}/g, `"sha256":"${dice.hex(8)}`),
    );
    const { digest, size } = describe(layer.mediaType, forged);
    world.registry.putBlob({ mediaType: layer.mediaType, digest, size }, forged, ATTACKER);
    return { ...layer, digest, size, ...(layer.data !== undefined && { data: base64(forged) }) };
  });
  push(world, changed(content, { layers }), anyTag(dice));
}

function push(world: World, content: ManifestContent, tag: Tag): void {
  world.registry.putManifest(content, tag, undefined, ATTACKER);
}

function remove({ registry }: World, tag: Tag): void {
  if (registry.tags.has(tag) && registry.dialect.tagDeletion !== 'refused') registry.deleteTag(tag, ATTACKER);
  else if (registry.tags.has(tag)) registry.deleteManifest(registry.tags.get(tag) as Digest, ATTACKER);
}

function anySiblingTag(dice: Dice): Tag {
  return `_trust.${dice.pick(['next', 'next', 'stage'])}.${dice.hex(12)}` as Tag;
}

function anyTag(dice: Dice): Tag {
  return dice.happens(0.5) ? HEAD_TAG : anySiblingTag(dice);
}

function roleOf({ annotations }: Layer): string | undefined {
  return annotations?.[FILE_NAME]?.replace(/^[0-9]+\./, '');
}

function listingOf(content: ManifestContent): Listing {
  return JSON.parse(Buffer.from(content.bytes).toString()) as Listing;
}

function unmarked(content: ManifestContent): ManifestContent {
  const { [CANDIDATE_MARK]: _, ...annotations } = listingOf(content).annotations ?? {};
  return changed(content, { annotations });
}

function changed(content: ManifestContent, changes: object): ManifestContent {
  const bytes = utf8(JSON.stringify({ ...listingOf(content), ...changes }));
  return { bytes, descriptor: describe(content.descriptor.mediaType, bytes) };
}
