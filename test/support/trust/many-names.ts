import type { Target } from '../../../src/oci/target.ts';
import type { LogEntry } from '../../../src/trust/format/log.ts';
import { NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import { NOW } from '../tuf/editing.ts';
import { changeHead, contentOf } from './changing.ts';
import { newCollection, pushHead } from './collection.ts';

/** So many different tags as people and their pipelines give them; the same for the same number. */
export function* realTags(count: number): Generator<string> {
  const shapes: readonly ((at: number) => string)[] = [
    (at) => `v${at % 30}.${Math.floor(at / 30) % 100}.${Math.floor(at / 3000)}`,
    (at) => `sha-${contentOf(`commit ${at}`).sha256.slice(0, 7)}`,
    (at) => `main-${contentOf(`commit ${at}`).sha256.slice(0, 40)}`,
    (at) => `2026.${1 + (at % 12)}.${1 + (at % 28)}-build.${at}`,
    (at) => `${at % 9}.${Math.floor(at / 9)}-alpine3.${at % 20}`,
  ];
  const seen = new Set<string>();
  for (let at = 0; seen.size < count; at++) {
    const tag = (shapes[at % shapes.length] as (typeof shapes)[number])(at);
    if (seen.has(tag)) continue;
    seen.add(tag);
    yield tag;
  }
}

/** Most names of one change: a log holds no more. */
const AT_ONCE = 100_000;

/**
 * Makes a collection with so many names, `latest` among them, and pushes its head; its log is short, as
 * days afterwards.
 */
export async function pushLargeHead(target: Target, name: string, count: number): Promise<void> {
  await pushHead(target, await newCollection(name));
  const tags = [...realTags(count - 1), 'latest'];
  const entries: LogEntry[] = [];
  for (let from = 0; from < tags.length; from += AT_ONCE) {
    const set = new Map(tags.slice(from, from + AT_ONCE).map((tag) => [tag, contentOf(tag)]));
    entries.push({ id: (from + 1).toString(16).padStart(32, '0'), at: NOW, set });
  }
  const dayAfter = new Date(NOW.getTime() + 1000);
  await changeHead(target, (edit) => edit.apply(NAMES_ROLE, entries, dayAfter), dayAfter);
}
