import type { FoundSiblings } from '../candidates/siblings.ts';
import { LOG_KEPT_MS } from '../format/log.ts';
import type { TrustTarget } from '../format/ports.ts';
import { pushObject } from '../format/push.ts';
import type { Base } from './publish-base.ts';
import type { PublishOptions } from './publish-options.ts';
import type { AnnouncedObject } from './signer-state.ts';

/** A pending object younger than this may be another process's, which is at work on it. In milliseconds. */
const AT_WORK_MS = 10_000;

/**
 * Pushes again what this signer announced, whose changes are in no head, and which is not there any more:
 * after a crash, or if its tag was removed or moved.
 * @returns what was pushed
 * @throws BullaError storage-error; what the target throws
 */
export async function announceAgain(
  target: TrustTarget,
  { copy }: Base,
  found: FoundSiblings,
  { state, clock, signal, onWarning }: PublishOptions,
): Promise<readonly AnnouncedObject[]> {
  const { id } = copy.collection;
  const pending = await state.pending(id);
  if (pending.length === 0) return [];
  const applied = await idsIn(copy);
  const again: AnnouncedObject[] = [];
  for (const object of pending) {
    const { tag, ids, madeAt, assembly } = object;
    const age = clock.now().getTime() - madeAt.getTime();
    if (age < AT_WORK_MS) continue;
    if (ids.every((change) => applied.has(change)) || age >= LOG_KEPT_MS) await state.drop(id, tag);
    else if (isLost(object, found)) {
      onWarning?.(`${tag}, which was announced before, is gone, and is announced again`);
      await pushObject(target, assembly, tag, new Set(), { signal });
      again.push(object);
    }
  }
  return again;
}

/** Whether the tag is not listed, or was moved to something else, which is as good as its removal. */
function isLost({ tag, assembly }: AnnouncedObject, { tags, digests }: FoundSiblings): boolean {
  const { digest } = assembly.top.descriptor;
  return !tags.has(tag) || (digests.get(tag) ?? digest) !== digest;
}

/** Ids that the logs of all roles hold, as far as they can be read. */
export async function idsIn(copy: Base['copy']): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  for (const { name } of copy.delegations.roles) {
    const log = await copy.readableLog(name);
    if ('entries' in log) for (const { id } of log.entries) ids.add(id);
  }
  return ids;
}
