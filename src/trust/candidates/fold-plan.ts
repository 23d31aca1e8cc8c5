import { equalBytes } from '../../encoding/bytes.ts';
import { type BullaError, isBullaError } from '../../errors.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import { publishedVersion, versionOf } from '../../tuf/edit/repository.ts';
import { parseTargets } from '../../tuf/targets.ts';
import { extendLog, type FoldConflict, holdsAll, isBuiltUpon, planFold } from '../change/fold.ts';
import { type ChangeLog, type LogEntry, leavesSpace } from '../format/log.ts';
import { fetchFile } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import { HIGHEST_FOLLOWED, leavesVersions } from '../format/versions.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import { type Adoption, AdoptionReader, type OfferedRole, poolFiles } from './adoption.ts';
import { Intake, type LeftChange } from './intake.ts';
import { readStructuralOffer, type StructuralOffer } from './key-change-offer.ts';
import type { RefusedSibling, Sibling } from './siblings.ts';
import type { Abilities } from './signing-power.ts';

/** What a head has to take over from what lies beside it. */
export interface SiblingPlan {
  /** Changes to apply, by role, in order: for roles that can be signed here. */
  readonly folds: ReadonlyMap<string, readonly LogEntry[]>;
  /** Files to take as they are: for the others. */
  readonly adoptions: readonly Adoption[];
  readonly conflicts: readonly FoldConflict[];
  /** Changes that another publisher must adopt, or that wait for signatures. */
  readonly waiting: readonly LogEntry[];
  /** A staged change of keys or delegations: it goes into a head of its own, before all else. */
  readonly structure?: StructuralOffer | undefined;
  /** Staged changes of keys that only others can sign for, and files that would use versions up. */
  readonly refused: readonly RefusedSibling[];
  /** Changes that are not taken in now: of keys that lose trust, or not among those that were agreed to. */
  readonly left: readonly LeftChange[];
}

/** Whether a plan changes anything. */
export function hasWork({ folds, adoptions, structure }: SiblingPlan): boolean {
  return folds.size > 0 || adoptions.length > 0 || structure !== undefined;
}

/**
 * What to take over from siblings into a head (spec/trust-publishing.md, "Folding and adopting").
 * @param own ids of changes that are applied by their own maker, who is at work on it
 * @throws BullaError what the target throws
 */
export async function planSiblings(
  target: TrustTarget,
  copy: WorkingCopy,
  siblings: readonly Sibling[],
  abilities: Abilities,
  now: Date,
  own: readonly string[] = [],
  intake: Intake = new Intake(),
): Promise<SiblingPlan> {
  const left = new Map<string, LeftChange>();
  const isOwn = ({ id }: LogEntry) => own.includes(id);
  const counting = intake.candidates(siblings);
  const folds = new Map<string, readonly LogEntry[]>();
  const adoptions: Adoption[] = [];
  const conflicts: FoldConflict[] = [];
  const waiting = new Map<string, LogEntry>();
  const unsound: RefusedSibling[] = [];
  for (const { name: role, keyids } of copy.delegations.roles) {
    const all = offersOf(copy, siblings, role);
    if (all.length === 0) continue;
    const log = await copy.readableLog(role);
    if (!('entries' in log)) {
      unsound.push(...all.flatMap((offer) => refuseUnreadable(offer, log)));
      continue;
    }
    const offers = countedOffers(all, log, counting, intake, left);
    const isLeft = (entry: LogEntry): boolean => {
      const reason = isOwn(entry) ? undefined : intake.reasonAgainst(role, entry, keyids);
      if (reason !== undefined) left.set(entry.id, { role, entry, reason });
      return reason !== undefined;
    };
    if (offers.length === 0) continue;
    const reader = new AdoptionReader(target, copy, now);
    if (abilities.canFold(role)) {
      const plan = foldAll(
        log,
        copy.logDescriptor(role).size,
        offers,
        (entry) => isOwn(entry) || isLeft(entry),
      );
      unsound.push(...plan.tooLarge.flatMap(refuseTooLarge));
      conflicts.push(...plan.conflicts);
      const isDue = plan.apply.length > 0 || offers.some((offer) => isAhead(offer, log, copy));
      if (isDue) folds.set(role, plan.apply);
      else adoptions.push(...(await chooseRenewal(reader, log, offers, copy)));
      continue;
    }
    const clean = offers.filter((offer) => newIn(offer, log).filter(isLeft).length === 0);
    const { sound, refused } = soundOf(copy, role, clean);
    unsound.push(...refused);
    const adopted = await chooseAdoption(reader, log, sound, copy);
    const taken = new Set(adopted.flatMap(({ entries }) => entries.map(({ id }) => id)));
    adoptions.push(...adopted);
    for (const { log: other } of offers)
      for (const entry of planFold(log, other).apply) if (!taken.has(entry.id)) waiting.set(entry.id, entry);
  }
  const { structure, refused } = await chooseStructure(target, copy, siblings, abilities, now, intake);
  return {
    left: [...left.values()],
    folds,
    adoptions,
    conflicts,
    waiting: [...waiting.values()],
    structure,
    refused: [...unsound, ...refused],
  };
}

/** Offers that still count with the change that is being made; of the others is noted what they would bring. */
function countedOffers(
  all: readonly OfferedRole[],
  log: ChangeLog,
  candidates: readonly Sibling[],
  intake: Intake,
  left: Map<string, LeftChange>,
): readonly OfferedRole[] {
  // First all of them: what a key brought that loses trust may be in the file of another one, too.
  const counted = intake.offers(all, log);
  const present = new Set(candidates);
  const offers = counted.filter(({ from }) => from.some((sibling) => present.has(sibling)));
  for (const offer of all)
    for (const entry of offers.includes(offer) ? [] : newIn(offer, log))
      if (!left.has(entry.id)) left.set(entry.id, { role: offer.role, entry, reason: 'key' });
  return offers;
}

/** What a file would bring. */
function newIn({ log: { entries } }: OfferedRole, log: ChangeLog): readonly LogEntry[] {
  const known = new Set(log.entries.map(({ id }) => id));
  return entries.filter(({ id }) => !known.has(id));
}

/** Files that may be adopted: that leave versions to others, and space in the log. */
function soundOf(
  copy: WorkingCopy,
  role: string,
  offers: readonly OfferedRole[],
): { readonly sound: readonly OfferedRole[]; readonly refused: readonly RefusedSibling[] } {
  const published = publishedVersion(copy.files, role);
  const isFit = ({ file }: OfferedRole) => leavesVersions(versionOf(file), published);
  const hasSpace = (offer: OfferedRole) => leavesSpace(offer.log, offer.logBytes.byteLength);
  return {
    sound: offers.filter((offer) => isFit(offer) && hasSpace(offer)),
    refused: [
      ...offers.filter((offer) => !isFit(offer)).flatMap(refuseTooHigh),
      ...offers.filter((offer) => !hasSpace(offer)).flatMap(refuseTooLarge),
    ],
  };
}

/** Otherwise a thief of a role's key could prevent its owners from ever signing again. */
function refuseTooHigh({ role, file, from }: OfferedRole): readonly RefusedSibling[] {
  const message = `it has version ${versionOf(file)} of ${role}, after which few versions remain: the owner of its key has to make the change again`;
  return from.map(({ tag }) => ({ tag, code: 'trust-invalid', message }));
}

function refuseUnreadable({ role, from }: OfferedRole, { message }: BullaError): readonly RefusedSibling[] {
  const text = `nothing can be taken over into ${role}, because the head's log of it cannot be read (${message})`;
  return from.map(({ tag }) => ({ tag, code: 'content-invalid', message: text }));
}

function refuseTooLarge({ role, from }: OfferedRole): readonly RefusedSibling[] {
  const message = `its changes of ${role} are so many that nothing else would fit into the log`;
  return from.map(({ tag }) => ({ tag, code: 'content-invalid', message }));
}

/**
 * The first staged change of keys that was made for the present head, all of whose signatures are there
 * but those of snapshot and timestamp, and these can be given here. It is read anew for each head.
 */
async function chooseStructure(
  target: TrustTarget,
  copy: WorkingCopy,
  siblings: readonly Sibling[],
  abilities: Abilities,
  now: Date,
  intake: Intake,
): Promise<{
  readonly structure: StructuralOffer | undefined;
  readonly refused: readonly RefusedSibling[];
}> {
  const refused: RefusedSibling[] = [];
  for (const { tag, object, structure } of siblings) {
    if (structure === undefined) continue;
    try {
      const offer = await readStructuralOffer(object, copy, now, (descriptor, maxBytes) =>
        fetchFile(target, descriptor, maxBytes),
      );
      if (offer === undefined || !intake.allowsOffer(offer)) continue;
      if (abilities.isOnlineUnder(offer.root)) return { structure: offer, refused };
      refused.push({
        tag,
        code: 'threshold-not-met',
        message: `${tag} waits for a publisher with its online key`,
      });
    } catch (error) {
      if (!isBullaError(error, 'trust-invalid', 'trust-expired', 'content-invalid', 'not-found')) throw error;
      refused.push({ tag, code: error.code, message: error.message });
    }
  }
  return { structure: undefined, refused };
}

/**
 * What siblings make of a role, where that is not what the head makes of it; pooled where it takes several
 * keys. One content that several siblings offer is one offer: what belongs to it may be in any of them.
 */
function offersOf(copy: WorkingCopy, siblings: readonly Sibling[], role: string): readonly OfferedRole[] {
  const { delegations } = copy;
  const delegated = delegationOf(delegations, role);
  if (delegated === undefined) return [];
  const present = copy.files.roles.get(role);
  const offered = siblings.flatMap((sibling) => {
    const found = sibling.roles.get(role) ?? sibling.partial.get(role);
    const isNews =
      found !== undefined && (present === undefined || !equalBytes(present.message, found.file.message));
    return isNews ? [{ sibling, found }] : [];
  });
  const pools = poolFiles(
    offered.map(({ found }) => found.file),
    { delegator: 'targets', keys: delegations.keys, role: delegated },
  );
  return pools.flatMap(({ pending, members }) => {
    const first = offered[members[0] as number];
    if (first === undefined || pending.missing().length > 0) return [];
    const { log, logBytes } = first.found;
    const from = members.flatMap((member) => offered[member]?.sibling ?? []);
    const { file } = pending;
    return [{ role, file, content: parseTargets(file), log, logBytes, from }];
  });
}

function foldAll(
  log: ChangeLog,
  byteLength: number,
  offers: readonly OfferedRole[],
  isOwn: (entry: LogEntry) => boolean,
): {
  readonly apply: readonly LogEntry[];
  readonly conflicts: readonly FoldConflict[];
  readonly tooLarge: readonly OfferedRole[];
} {
  const apply: LogEntry[] = [];
  const tooLarge: OfferedRole[] = [];
  const conflicts = new Map<string, FoldConflict>();
  let extended = log;
  let atMost = byteLength;
  for (const offer of offers) {
    const plan = planFold(extended, offer.log);
    const taken = plan.apply.filter((entry) => !isOwn(entry));
    atMost += offer.logBytes.byteLength;
    if (taken.length > 0 && !leavesSpace(extendLog(extended, taken), atMost)) {
      tooLarge.push(offer);
      continue;
    }
    apply.push(...taken);
    for (const conflict of plan.conflicts)
      if (!isOwn(conflict.entry)) conflicts.set(conflict.entry.id, conflict);
    extended = extendLog(extended, taken);
  }
  for (const { id } of apply) conflicts.delete(id);
  return { apply, conflicts: [...conflicts.values()], tooLarge };
}

/**
 * Of the files that can replace the head's as they are, the one that brings most, and of those the highest:
 * a client that read it in a head that was overwritten since would take a lower one for a rollback. If
 * there is none, one that only lasts longer.
 * @returns at most one
 * @throws BullaError what the target throws
 */
async function chooseAdoption(
  reader: AdoptionReader,
  log: ChangeLog,
  offers: readonly OfferedRole[],
  copy: WorkingCopy,
): Promise<readonly Adoption[]> {
  const eligible = offers
    .filter(
      (offer) =>
        (isAhead(offer, log, copy) && hasSameEntries(offer.log, log)) ||
        (isBuiltUpon(offer.log, log) && versionOf(offer.file) > publishedVersion(copy.files, offer.role)),
    )
    .sort((a, b) => b.log.entries.length - a.log.entries.length || versionOf(b.file) - versionOf(a.file));
  const adoption = await firstWhole(eligible, (offer) => reader.read(offer, planFold(log, offer.log).apply));
  return adoption === undefined ? await chooseRenewal(reader, log, offers, copy) : [adoption];
}

/**
 * Of the files that say what the head's says and last longer, the one that lasts longest.
 * @returns at most one
 * @throws BullaError what the target throws
 */
async function chooseRenewal(
  reader: AdoptionReader,
  log: ChangeLog,
  offers: readonly OfferedRole[],
  copy: WorkingCopy,
): Promise<readonly Adoption[]> {
  const lasting = offers
    .filter(
      (offer) =>
        hasSameEntries(offer.log, log) &&
        versionOf(offer.file) > publishedVersion(copy.files, offer.role) &&
        offer.content.expires > copy.contentOf(offer.role).expires,
    )
    .sort((a, b) => b.content.expires.getTime() - a.content.expires.getTime());
  const adoption = await firstWhole(lasting, (offer) => reader.readRenewal(offer));
  return adoption === undefined ? [] : [adoption];
}

async function firstWhole(
  offers: readonly OfferedRole[],
  read: (offer: OfferedRole) => Promise<Adoption>,
): Promise<Adoption | undefined> {
  for (const offer of offers) {
    try {
      return await read(offer);
    } catch (error) {
      // Something of it is missing or does not say what its log says: the next may be whole.
      if (!isBullaError(error, 'trust-invalid', 'trust-expired', 'content-invalid', 'not-found')) throw error;
    }
  }
  return undefined;
}

/**
 * Whether a candidate is newer than the head: a head that was made of it may have been read already, and a
 * late PUT of an older one have taken its place.
 */
export function isNewer({ timestamp }: Sibling, { collection }: WorkingCopy): boolean {
  const { version } = collection.client.trusted.timestamp.content;
  return timestamp !== undefined && timestamp.version > version && timestamp.version <= HIGHEST_FOLLOWED;
}

/**
 * Whether a candidate has none but changes that the head has, under a higher version of the role: who has seen
 * it as the head, be it an older one, takes the present one for a rollback, though nothing is missing in it.
 */
function isAhead(offer: OfferedRole, log: ChangeLog, copy: WorkingCopy): boolean {
  const version = versionOf(offer.file);
  const ids = new Set(log.entries.map(({ id }) => id));
  return (
    offer.from.some(({ kind }) => kind === 'candidate') &&
    version > publishedVersion(copy.files, offer.role) &&
    version <= HIGHEST_FOLLOWED &&
    offer.log.entries.every(({ id }) => ids.has(id))
  );
}

function hasSameEntries(a: ChangeLog, b: ChangeLog): boolean {
  return (
    a.since.getTime() === b.since.getTime() && a.entries.length === b.entries.length && holdsAll(a, b.entries)
  );
}
