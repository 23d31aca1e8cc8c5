import type { Digest } from '../../../../src/oci/digest.ts';
import { CollectionEdit } from '../../../../src/trust/change/collection-edit.ts';
import type { LogEntry } from '../../../../src/trust/format/log.ts';
import type { TrustTarget } from '../../../../src/trust/format/ports.ts';
import { HEAD_TAG } from '../../../../src/trust/format/vocabulary.ts';
import type { PublishOptions } from '../../../../src/trust/publish/publish-options.ts';
import { type ReadOptions, readCollection } from '../../../../src/trust/read/collection.ts';
import { WorkingCopy } from '../../../../src/trust/read/working-copy.ts';
import type { VersionPolicy } from '../../../../src/tuf/edit/policy.ts';
import { pushAssembly } from '../collection.ts';
import type { PublishingCode } from './publishing-code.ts';

interface Naivety {
  readonly versions: (options: PublishOptions) => VersionPolicy;
  /** Cuts each log at once, and applies what it has cut again some time later. */
  readonly forgets?: boolean;
}

/**
 * Publishes as one would who is alone: reads the head, changes it, puts the next one in its place. What
 * comes of that must be noticed, or the simulation would notice nothing.
 */
export function naivePublisher({ versions, forgets = false }: Naivety): PublishingCode {
  const forgotten: { readonly role: string; readonly entry: LogEntry }[] = [];
  const publish = async (
    target: TrustTarget,
    read: ReadOptions,
    role: string,
    make: (at: Date) => readonly LogEntry[],
    options: PublishOptions,
  ): Promise<Digest> => {
    const now = options.clock.now();
    const collection = await readCollection(target, { ...read, now });
    if (collection === undefined) throw new Error('there is no collection');
    const copy = await WorkingCopy.open(collection);
    const edit = new CollectionEdit(copy, { now, policy: { versions: versions(options) } });
    const { since } = await copy.log(role);
    const second = Math.max(since.getTime(), Math.floor(now.getTime() / 1000) * 1000);
    const at = new Date(forgets ? second + 1000 : second);
    const again = forgotten.filter((one) => one.role === role && one.entry.at < since).slice(0, 1);
    const entries = make(at);
    if (forgets) await edit.apply(role, [], at);
    await edit.apply(role, [...entries, ...again.map(({ entry }) => entry)]);
    forgotten.push(...entries.map((entry) => ({ role, entry })));
    const prepared = edit.prepare();
    const assembly = await prepared.assemble(await prepared.edit.publish(options.signers));
    await pushAssembly(target, assembly, HEAD_TAG);
    return assembly.top.descriptor.digest;
  };
  return {
    publishNames: async (target, read, changes, options) => {
      const id = options.chance.changeId();
      const [{ role = 'names', set, unset } = {}] = changes;
      const make = (at: Date): readonly LogEntry[] => [
        { id, at, ...(set !== undefined && { set }), ...(unset !== undefined && { unset }) },
      ];
      return { head: await publish(target, read, role, make, options), ids: [id], rounds: 1, conflicts: [] };
    },
    resignCollection: async (target, read, options) => {
      await publish(target, read, 'names', () => [], options);
      return { conflicts: [] };
    },
  };
}
