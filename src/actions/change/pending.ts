import { BullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { TYPED_DIGITS } from '../../trust/approve/change-id.ts';
import type { PendingChange } from '../../trust/approve/pending-change.ts';
import { readStagedChanges, stageChange } from '../../trust/approve/stage-change.ts';
import { assembleNames, readStagedNames, type StagedNames } from '../../trust/approve/staged-names.ts';
import { type RefusedSibling, SiblingReader } from '../../trust/candidates/siblings.ts';
import { linesOf, tellChange } from '../../trust/change/describe-change.ts';
import { namesOf } from '../../trust/change/fold.ts';
import type { TrustObject } from '../../trust/format/object.ts';
import type { Random, TrustTarget } from '../../trust/format/ports.ts';
import { pushObject } from '../../trust/format/push.ts';
import { stageTag } from '../../trust/format/vocabulary.ts';
import { removeStages } from '../../trust/publish/removal.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { formatVersion } from '../../tuf/edit/policy.ts';
import { versionOf } from '../../tuf/edit/repository.ts';
import {
  type MissingSignatures,
  type SignatureDemand,
  signFiles,
  type TufSigner,
} from '../../tuf/edit/signing.ts';

/** Something that waits beside a head. */
export interface Waiting {
  /** {@link changeIdOf}: 64 hex digits, the same for every set of signatures. */
  readonly id: string;
  readonly roles: readonly string[];
  readonly tags: readonly Tag[];
  /** What was read at the tags that were listed. */
  readonly digests: ReadonlyMap<Tag, Digest>;
  /** What it changes, in sentences, compared with the head: everything. */
  readonly changes: readonly string[];
  /** The same, but for very many new names. */
  readonly summary: readonly string[];
  /** When the oldest of its changes was made, or when a change of roles was signed first, by what it says. */
  readonly since: Date | undefined;
  /** Ids of keys that have signed any of its files; which counts for what, {@link progress} says. */
  readonly signedBy: readonly string[];
  /** How far each threshold is met, by the keys of exactly that role. */
  readonly progress: readonly MissingSignatures[];
  /** Those of {@link progress} that lack signatures. */
  readonly missing: readonly MissingSignatures[];
  /**
   * `signatures` are missing; all are there and the `online` key is to take it over; or the head has moved
   * on without it, and it is `outdated`: its author has to make it again.
   */
  readonly state: 'signatures' | 'online' | 'outdated';
  /** Who may sign, in the order of {@link progress}. */
  readonly demands: readonly SignatureDemand[];
  /** Ids of the changes of names in it. */
  readonly entries: readonly string[];
  /**
   * Signs what is open, and puts it beside the head again.
   * @returns what waits now, as far as it is known here, at its new tag
   * @throws BullaError usage
   */
  sign(signers: readonly TufSigner[]): Promise<Waiting & { readonly tags: readonly [Tag] }>;
  /** For a change of roles and keys: the change itself. */
  readonly change?: PendingChange | undefined;
}

/** The pending changes, and the objects that are not valid changes. */
export interface PendingList {
  readonly waiting: readonly Waiting[];
  readonly refused: readonly RefusedSibling[];
}

export interface PendingOptions extends CallOptions {
  readonly now: Date;
  readonly chance: Pick<Random, 'fraction'>;
}

/**
 * Lists what waits for signatures, or for the online key, beside a head (spec/trust-roles.md, "Staged
 * changes"): changes of names, and of roles and keys.
 * @throws BullaError what the target throws
 */
export async function listPending(
  target: TrustTarget,
  copy: WorkingCopy,
  options: PendingOptions,
): Promise<PendingList> {
  const { now, chance, signal } = options;
  const { siblings, refused, roleChanges } = await new SiblingReader(target, chance, { signal }).read(
    copy,
    now,
  );
  const stages = siblings.filter(({ kind }) => kind === 'stage');
  const reasons = new Map<Tag, BullaError>();
  const onRefused = (tag: Tag, why: BullaError) => reasons.set(tag, why);
  const changes = await readStagedChanges(target, copy, roleChanges, now, { signal, onRefused });
  const known = new Set(changes.flatMap(({ tags }) => tags));
  const names = await readStagedNames(
    target,
    copy,
    stages.filter(({ tag }) => !known.has(tag)),
    { now, signal },
  );
  return {
    waiting: [
      ...names.staged.map((staged) => waitingNames(target, copy, staged, options)),
      ...changes.map(({ id, tags, change }) => {
        const digests = new Map(tags.map((tag) => [tag, digestAt(roleChanges, tag)]));
        return waitingChange(target, id, digests, change, options);
      }),
    ],
    refused: [...refused, ...names.refused]
      .filter(({ tag }) => !known.has(tag))
      // What it lacks to be anything is of less concern than what is wrong with it as a change.
      .map(({ tag, code, message }) => ({
        tag,
        code: reasons.get(tag)?.code ?? code,
        message: reasons.get(tag)?.message ?? message,
      })),
  };
}

/**
 * The waiting change of an id, or of the beginning of one that no other has.
 * @throws BullaError not-found
 */
export function findPending({ waiting }: PendingList, id: string): Waiting {
  const isTyped = id.length >= TYPED_DIGITS;
  const found = waiting.filter((one) => isTyped && one.id.startsWith(id));
  const [only, another] = found;
  if (only !== undefined && another === undefined) return only;
  const why =
    another !== undefined
      ? `${found.length} changes that wait have an id that begins with ${id}`
      : `no change that waits has the id ${JSON.stringify(id.slice(0, 80))}`;
  throw new BullaError(
    'not-found',
    isTyped ? why : `${why}, of which at least ${TYPED_DIGITS} digits are needed`,
    {
      hint:
        waiting.length === 0
          ? 'nothing waits; it may be in the head already: bulla log'
          : `these wait: ${waiting.map((one) => one.id).join(', ')}`,
    },
  );
}

function digestAt(objects: ReadonlyMap<Tag, TrustObject>, tag: Tag): Digest {
  return (objects.get(tag) as TrustObject).content.descriptor.digest;
}

function waitingChange(
  target: TrustTarget,
  id: string,
  digests: ReadonlyMap<Tag, Digest>,
  change: PendingChange,
  options: CallOptions,
): Waiting {
  const missing = change.missing();
  const tags = [...digests.keys()];
  return {
    ...{ id, tags, digests, missing, change },
    roles: change.roles,
    changes: change.describe(),
    summary: change.tell().flatMap((told) => linesOf(told, true)),
    progress: change.progress(),
    since: change.signedAt,
    entries: [],
    signedBy: [...new Set(change.roles.flatMap((role) => change.signedBy(role)))],
    state: missing.length > 0 ? 'signatures' : 'online',
    demands: change.allDemands(),
    sign: async (signers) => {
      await change.sign(signers);
      const tag = await stageChange(target, change, { signal: options.signal });
      // The new stage has all signatures of those that it was put together from; other publishers would not remove these.
      const replaced = tags.filter((one) => one !== tag);
      await removeStages(target, replaced, options);
      return { ...waitingChange(target, id, digests, change, options), tags: [tag] };
    },
  };
}

function waitingNames(
  target: TrustTarget,
  copy: WorkingCopy,
  staged: StagedNames,
  options: CallOptions,
): Waiting {
  const { id, offer, isCurrent, entries, files, from } = staged;
  const { role } = offer;
  const [pending] = files;
  const progress = files.flatMap((file) => file.progress());
  const missing = files.flatMap((file) => file.missing());
  const told = isCurrent
    ? files.map(({ role: of, file }) => tellChange(copy.files.roles.get(of), file, copy.collection.id))
    : [];
  // Beside a head that it does not know, a file seems to take back what others did.
  const names = entries.flatMap((entry) => [...namesOf(entry)]).join(', ');
  const outdatedText = `${role} ${formatVersion(versionOf(pending.file))}: ${names}`;
  return {
    ...{ id, progress, missing },
    roles: [role],
    tags: from.map(({ tag }) => tag),
    digests: new Map(from.map(({ tag, digest }) => [tag, digest])),
    changes: isCurrent ? told.flatMap((one) => linesOf(one)) : [outdatedText],
    summary: isCurrent ? told.flatMap((one) => linesOf(one, true)) : [outdatedText],
    since: new Date(Math.min(...entries.map(({ at }) => at.getTime()))),
    entries: entries.map((entry) => entry.id),
    signedBy: pending.file.signatures.map(({ keyid }) => keyid),
    state: !isCurrent ? 'outdated' : missing.length > 0 ? 'signatures' : 'online',
    demands: files.flatMap(({ demands }) => demands),
    sign: async (signers) => {
      if (!isCurrent) throw outdated(role);
      await signFiles(files, signers);
      const assembly = assembleNames(staged);
      const tag = stageTag(assembly.top.descriptor.digest);
      await pushObject(target, assembly, tag, new Set(), { signal: options.signal });
      return { ...waitingNames(target, copy, staged, options), tags: [tag] };
    },
  };
}

function outdated(role: string): BullaError {
  return new BullaError('conflict', `the head has moved on, and this file of ${role} was made without that`, {
    hint: 'its author must run bulla sign again; a bulla sign that is still waiting does so by itself',
    details: { role, reason: 'outdated' },
  });
}
