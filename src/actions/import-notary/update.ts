import { BullaError, isBullaError } from '../../errors.ts';
import type { NotaryRepository } from '../../notary/repository.ts';
import { verifyNotaryRepository } from '../../notary/repository.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { Target } from '../../oci/target.ts';
import { presentKeys } from '../../trust/change/role-changes.ts';
import type { NamedContent } from '../../trust/format/log.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import { publishEdit, publishNames } from '../../trust/publish/publish.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import type { ReadOptions } from '../../trust/read/collection.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { signerRoles } from '../docker-trust/trust-info.ts';
import { admission, originIn, type ReadySigner } from './collection.ts';
import { collectionNames, type NameUpdate, updateOf } from './compare.ts';
import { assembleEvidence, type NotaryOrigin, openEvidence, pushEvidence } from './evidence.ts';
import { type ImportPlan, type PlannedKey, type PlannedSigner, planImport } from './plan.ts';

/** What changed on the old server since the last import. */
export interface ImportUpdate extends NameUpdate {
  readonly newSigners: readonly PlannedSigner[];
  /** Keys that may release since: they get into `names`. */
  readonly newReleases: readonly PlannedKey[];
  /** What a person has to do about signers that changed or went, as sentences. */
  readonly toDo: readonly string[];
  /** Digest of the evidence that the collection names now. */
  readonly evidence: Digest;
  readonly isNothing: boolean;
}

/**
 * Compares what Notary says now with what was imported last, by the evidence that targets sign.
 * @throws BullaError conflict where the collection was not imported from this repository; trust-rollback where
 *   an older state is served; not-found where the evidence is gone; what the source throws
 */
export async function findUpdate(
  target: Target,
  copy: WorkingCopy,
  { gun, repository, plan }: Updated,
  options: { readonly now: Date; readonly signal?: AbortSignal | undefined },
): Promise<ImportUpdate> {
  const { signal } = options;
  const origin = originIn(copy);
  if (origin?.gun !== gun) throw notImported(copy, gun, origin?.gun);
  const imported = await importedBefore(target, origin, options);
  assertNotOlder(imported, repository);
  const before = planImport(imported);
  const names = updateOf(before.names, plan.names, await collectionNames(copy, { signal }));
  const present = signerRoles(copy);
  // Who was there at the import and is not here was removed here, and stays so.
  const newSigners = plan.signers.filter(
    ({ name }) => !present.includes(name) && !before.signers.some((signer) => signer.name === name),
  );
  const newReleases = withoutKeys(plan.releases, before.releases);
  const toDo = [...changesOfSigners(before, plan, copy), ...releasesGone(before, plan, copy)];
  const changes = [names.set, names.unset].map(({ size }) => size);
  const lists = [names.conflicts, newSigners, newReleases, toDo].map(({ length }) => length);
  const isNothing = [...changes, ...lists].every((count) => count === 0);
  return { ...names, newSigners, newReleases, toDo, evidence: origin.evidence, isNothing };
}

/** What Notary says now. */
export interface Updated {
  readonly gun: string;
  readonly repository: NotaryRepository;
  readonly plan: ImportPlan;
}

/** Keys of one list that are not in the other. */
function withoutKeys(keys: readonly PlannedKey[], others: readonly PlannedKey[]): readonly PlannedKey[] {
  return keys.filter(({ key }) => !others.some((other) => other.key.keyid === key.keyid));
}

/** Keys that may not release any more on the old server, and still may here. */
function releasesGone(before: ImportPlan, after: ImportPlan, copy: WorkingCopy): readonly string[] {
  const { place } = copy.collection;
  const here = presentKeys(copy, NAMES_ROLE).keys;
  return withoutKeys(before.releases, after.releases)
    .filter(({ key }) => here.some(({ keyid }) => keyid === key.keyid))
    .map(
      ({ key: { keyid } }) =>
        `the key ${keyid} may not release names on the old server any more: bulla rotate ${place} names --drop ${keyid}`,
    );
}

/**
 * What was imported is remembered by the evidence, on every machine: an old state would take names back.
 * @throws BullaError trust-rollback
 */
function assertNotOlder(before: NotaryRepository, after: NotaryRepository): void {
  const versions = (of: NotaryRepository): ReadonlyMap<string, number> =>
    new Map([
      ['root', of.root.content.version],
      ...[...of.roles.values()].flatMap(({ name, content }) =>
        content === undefined ? [] : [[name, content.version] as const],
      ),
    ]);
  const now = versions(after);
  for (const [role, from] of versions(before)) {
    const to = now.get(role);
    if (to === undefined || to >= from) continue;
    throw new BullaError(
      'trust-rollback',
      `metadata of ${JSON.stringify(role)} went back to version ${to}; version ${from} was imported`,
      {
        hint: 'an old state of the repository is being served, or saved there; use one that is up to date',
        details: { role, from, to },
      },
    );
  }
}

async function importedBefore(
  target: Target,
  { gun, evidence }: { gun: string; evidence: Digest },
  { now, signal }: { readonly now: Date; readonly signal?: AbortSignal | undefined },
): Promise<NotaryRepository> {
  try {
    const source = await openEvidence(target, evidence, { signal });
    // Targets sign the digest of all of it, so that its own first root is the one that was pinned then.
    const repository = await verifyNotaryRepository(source, {
      gun,
      now,
      pin: { kind: 'tofu' },
      allowExpired: true,
      badDelegation: 'report',
    });
    if (repository !== undefined) return repository;
  } catch (error) {
    if (!isBullaError(error, 'not-found')) throw error;
  }
  throw new BullaError('not-found', `the evidence of the last import, ${evidence}, is not there any more`, {
    hint: 'without it, the changes since then are unknown: compare with --check, and sign the differences with bulla sign',
    details: { evidence },
  });
}

/** Signers are taken away, and given other keys, by people: a machine that may do so is a way in. */
function changesOfSigners(before: ImportPlan, after: ImportPlan, copy: WorkingCopy): readonly string[] {
  const { place } = copy.collection;
  const present = signerRoles(copy);
  const now = new Map(after.signers.map((signer) => [signer.name, signer]));
  return before.signers.flatMap((signer) => {
    const { name } = signer;
    if (!present.includes(name)) return [];
    const other = now.get(name);
    if (other === undefined)
      return [
        `${name} is not a signer on the old server any more: bulla docker-trust signer remove ${name} ${place}`,
      ];
    return keyList(signer) === keyList(other)
      ? []
      : [`${name} has other keys on the old server now: bulla rotate ${place} ${name} --key FILE`];
  });
}

function keyList({ keys, threshold, paths }: PlannedSigner): string {
  return JSON.stringify([keys.map(({ key }) => key.keyid).sort(), threshold, [...paths].sort()]);
}

/** What {@link applyUpdate} is told. */
export interface UpdateOptions {
  readonly target: Target;
  readonly read: ReadOptions;
  readonly publish: PublishOptions;
  readonly update: ImportUpdate;
  readonly contents: ReadonlyMap<Tag, NamedContent>;
  readonly plan: ImportPlan;
  readonly signers: readonly ReadySigner[];
  readonly origin: NotaryOrigin;
  readonly repository: NotaryRepository;
}

/**
 * Takes over what changed: names first, then new signers together with the link to the new evidence, so that a
 * run that ends halfway finds the rest again.
 * @throws BullaError threshold-not-met where a key is missing; staged; conflict; what the target throws
 */
export async function applyUpdate(options: UpdateOptions): Promise<{ readonly head: Digest }> {
  const { target, read, update, contents, plan, signers, origin, repository } = options;
  const publish: PublishOptions = {
    ...options.publish,
    signers: [...options.publish.signers, ...signers.flatMap(({ own, starters }) => [...own, ...starters])],
  };
  const evidence = assembleEvidence(repository, origin);
  const digest = await pushEvidence(target, evidence, { signal: publish.signal });
  const from = `${origin.place} ${origin.gun}`;
  if (contents.size + update.unset.size > 0)
    await publishNames(
      target,
      read,
      [
        { set: contents, origin: from },
        { unset: update.unset, origin: from },
      ].filter((change) => ('set' in change ? (change.set?.size ?? 0) : (change.unset?.size ?? 0)) > 0),
      publish,
    );
  const link = admission(plan, signers, { ...origin, evidence: digest });
  return { head: (await publishEdit(target, read, link, publish)).head };
}

function notImported({ collection }: WorkingCopy, gun: string, other: string | undefined): BullaError {
  const what =
    other === undefined ? 'was not imported from Notary' : `was imported from ${other}, not from ${gun}`;
  return new BullaError('conflict', `the collection at ${collection.place} ${what}`, {
    hint: 'compare the two with --check, and sign what is missing with bulla sign',
    details: { gun, ...(other !== undefined && { imported: other }) },
  });
}
