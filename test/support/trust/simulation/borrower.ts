import type { Digest } from '../../../../src/oci/digest.ts';
import type { ManifestContent } from '../../../../src/oci/manifest.ts';
import type { Tag } from '../../../../src/oci/reference.ts';
import { HEAD_TAG, kindOfTag, TRUST_LAYERS } from '../../../../src/trust/format/vocabulary.ts';
import type { Dice } from './dice.ts';
import type { Pusher } from './registry.ts';
import type { World } from './world.ts';

const BORROWER: Pusher = { name: 'borrower' };
/** What is older than this may have been cleaned up, and would not come back. */
const YOUNG_MS = 3_600_000;

interface Head {
  readonly at: number;
  readonly content: ManifestContent;
}

/**
 * Somebody who may push, holds no key, and takes nothing away: what lay at a tag is there again in the end.
 * So nothing that was finished may be lost.
 */
export async function borrow(world: World, count: number): Promise<void> {
  const dice = world.dice.fork();
  const heads: Head[] = [];
  world.watchTags((tag, to) => {
    const content = to === undefined ? undefined : world.registry.manifests.get(to);
    if (tag === HEAD_TAG && content !== undefined) heads.push({ at: world.scheduler.now, content });
  });
  for (let done = 0; done < count && !world.isOver; done++) {
    await world.untilBusy();
    await world.sleep(dice.magnitude(5, 5_000));
    const kind = dice.fraction();
    if (kind < 0.2) await borrowTag(world, dice);
    else if (kind < 0.5) await hideNews(world, dice, heads);
    else if (kind < 0.7) copyElsewhere(world, dice);
    else if (kind < 0.85) loseLists(world, dice);
    else {
      const young = heads.filter(({ at }) => world.scheduler.now - at < YOUNG_MS);
      if (young.length > 0) push(world, dice.pick(young).content, HEAD_TAG);
    }
  }
}

/** Anything at a tag that leads to something else, for a while. */
async function borrowTag(world: World, dice: Dice): Promise<void> {
  const { registry } = world;
  const tags = world.siblingTags();
  if (tags.length === 0) return;
  const tag = dice.pick(tags);
  const own = registry.manifests.get(registry.tags.get(tag) as Digest);
  if (own === undefined) return;
  const other = dice.happens(0.5) ? registry.manifest(dice.pick(tags)) : dice.pick(registry.everPushed);
  push(world, other, tag);
  await world.sleep(dice.magnitude(5, 20_000));
  push(world, own, tag);
}

/**
 * Buries what the next candidate or stage brings, and puts something older of its kind at its tag until others
 * have published: so that these take it for what they know.
 */
async function hideNews(world: World, dice: Dice, heads: readonly Head[]): Promise<void> {
  const { registry } = world;
  const before = new Set(world.siblingTags());
  const parent = heads.at(-1)?.content;
  for (let looks = 0; looks < 40 && !world.isOver; looks++) {
    await world.sleep(dice.between(50, 400));
    const tag = world.siblingTags().find((one) => !before.has(one));
    const own = tag && registry.manifests.get(registry.tags.get(tag) as Digest);
    if (tag === undefined || own === undefined) continue;
    const known = [...before].filter((one) => kindOfTag(one) === kindOfTag(tag) && registry.tags.has(one));
    if (known.length === 0) return;
    const older = registry.manifest(dice.pick(known));
    await world.sleep(dice.magnitude(5, 2_000));
    push(world, older, tag);
    if (parent !== undefined && kindOfTag(tag) === 'candidate') push(world, parent, HEAD_TAG);
    await world.sleep(dice.magnitude(2_000, 120_000));
    push(world, own, tag);
    return;
  }
}

/** What waits or was folded, at a tag that nobody uses. */
function copyElsewhere(world: World, dice: Dice): void {
  const content = dice.pick(world.registry.everPushed);
  push(world, content, `_trust.${dice.pick(['next', 'stage'])}.${dice.hex(12)}` as Tag);
}

/** Blobs that nobody but publishers reads, and that they can do without. */
function loseLists({ registry }: World, dice: Dice): void {
  for (const { bytes } of registry.everPushed) {
    const { layers = [] } = JSON.parse(Buffer.from(bytes).toString()) as {
      readonly layers?: readonly { readonly mediaType: string; readonly digest: Digest }[];
    };
    for (const { mediaType, digest } of layers)
      if (mediaType === TRUST_LAYERS.folded && dice.happens(0.5)) registry.blobs.delete(digest);
  }
}

/** Its parts are there, or were, and nobody needs to know how they came back. */
function push({ registry }: World, content: ManifestContent, tag: Tag): void {
  registry.manifests.set(content.descriptor.digest, content);
  registry.putManifest(content, tag, undefined, BORROWER);
}
