import { BullaError } from '../../errors.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { trustAfterStaged } from '../../trust/approve/staged-trust.ts';
import { planSiblings } from '../../trust/candidates/fold-plan.ts';
import { Intake, identityOf, identityOfEntry, type LeftChange } from '../../trust/candidates/intake.ts';
import { type Sibling, SiblingReader } from '../../trust/candidates/siblings.ts';
import { Abilities } from '../../trust/candidates/signing-power.ts';
import { describeChange } from '../../trust/change/describe-change.ts';
import { literal } from '../../trust/change/describe-values.ts';
import { namesOf } from '../../trust/change/fold.ts';
import type { LogEntry } from '../../trust/format/log.ts';
import type { Random, TrustTarget } from '../../trust/format/ports.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import { type StructuralChange, trustAfterChange } from '../../trust/publish/work.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { parseMetadataFile } from '../../tuf/metadata-file.ts';
import { countSignatures } from '../../tuf/threshold.ts';

/** One change of names that others have announced or staged. */
export interface IntakeEntry {
  readonly role: string;
  readonly id: string;
  /** Where it lies. */
  readonly tags: readonly Tag[];
  /** Ids of keys whose signatures on it were verified. */
  readonly signedBy: readonly string[];
  /** What it changes, in sentences, compared with the head. */
  readonly changes: readonly string[];
}

/** What a change of roles would take in from others before it is made, and what it leaves out. */
export interface IntakePreview {
  readonly entries: readonly IntakeEntry[];
  /** A staged change of roles that is published first, in sentences. */
  readonly structure: readonly string[];
  /** What to allow, so that exactly this is taken in. */
  readonly ids: ReadonlySet<string>;
  /** Not taken in, because its signer loses trust. */
  readonly left: readonly IntakeEntry[];
}

export interface IntakeOptions extends CallOptions {
  readonly now: Date;
  readonly signers: readonly TufSigner[];
  readonly chance: Pick<Random, 'fraction'>;
}

/**
 * Looks at what a change of roles would take in from others (spec/trust-publishing.md, "Structural changes"),
 * so that a person can see it before it is signed.
 * @throws BullaError what `change` and the target throw
 */
export async function previewIntake(
  target: TrustTarget,
  copy: WorkingCopy,
  change: StructuralChange,
  { now, signers, chance, signal }: IntakeOptions,
): Promise<IntakePreview> {
  const { siblings, roleChanges } = await new SiblingReader(target, chance, { signal }).read(copy, now);
  const intake = new Intake();
  intake.judgeBy([
    await trustAfterChange(change, copy, now),
    ...(await trustAfterStaged(target, copy, roleChanges, now, { signal })),
  ]);
  const plan = await planSiblings(target, copy, siblings, new Abilities(copy, signers), now, [], intake);
  const taken = [
    ...[...plan.folds].flatMap(([role, entries]) => entries.map((entry) => ({ role, entry }))),
    ...plan.adoptions.flatMap(({ role, entries }) => entries.map((entry) => ({ role, entry }))),
  ];
  await copy.loadBins([...taken, ...plan.left].flatMap(({ entry }) => [...namesOf(entry)]));
  const { structure } = plan;
  return {
    entries: taken.map((one) => told(copy, siblings, one)),
    structure:
      structure === undefined
        ? []
        : [...structure.files].flatMap(([role, bytes]) =>
            describeChange(
              role === 'root' ? copy.files.roots.at(-1) : copy.files.roles.get(role),
              parseMetadataFile(bytes, role, DEFAULT_LIMITS.targetsBytes),
            ),
          ),
    ids: new Set([
      ...taken.map(({ role, entry }) => identityOfEntry(role, entry)),
      ...(structure === undefined ? [] : [identityOf(structure)]),
    ]),
    left: plan.left.map((one) => told(copy, siblings, one)),
  };
}

function told(
  copy: WorkingCopy,
  siblings: readonly Sibling[],
  { role, entry }: Pick<LeftChange, 'role' | 'entry'>,
): IntakeEntry {
  const { delegations } = copy;
  const delegated = delegationOf(delegations, role);
  const tags: Tag[] = [];
  const signedBy = new Set<string>();
  for (const { tag, roles, partial } of siblings) {
    const found = roles.get(role) ?? partial.get(role);
    if (found === undefined || !found.log.entries.some(({ id }) => id === entry.id)) continue;
    tags.push(tag);
    if (delegated !== undefined)
      for (const keyid of countSignatures(found.file, delegations.keys, delegated).valid) signedBy.add(keyid);
  }
  return { role, id: entry.id, tags, signedBy: [...signedBy], changes: changesOf(copy, role, entry) };
}

function changesOf(copy: WorkingCopy, role: string, { set, unset }: LogEntry): readonly string[] {
  const present = (name: string): string | undefined => {
    const holders = role === NAMES_ROLE && copy.bins !== undefined ? [...copy.files.roles.keys()] : [role];
    for (const holder of holders) {
      const hash = contentOf(copy, holder)?.targets.get(name)?.hashes.get('sha256');
      if (hash !== undefined) return `sha256:${hash}`;
    }
    return undefined;
  };
  const was = (name: string) => (present(name) === undefined ? '' : `, before ${present(name)}`);
  return [
    ...[...(set ?? [])].map(
      ([name, { sha256, length, mediaType }]) =>
        `${name} is sha256:${sha256} (${length} bytes${mediaType === undefined ? '' : `, ${literal(mediaType)}`})${was(name)}`,
    ),
    ...[...(unset ?? [])].map((name) => `${name} is removed${was(name)}`),
  ];
}

function contentOf(copy: WorkingCopy, role: string): ReturnType<WorkingCopy['contentOf']> | undefined {
  try {
    return copy.contentOf(role);
  } catch (error) {
    if (error instanceof BullaError) return undefined;
    throw error;
  }
}

/** A change of others in one sentence: what it changes, who signed it, where it lies. */
export function intakeText(entry: IntakeEntry): string {
  return `${entry.role}: ${entry.changes.join('; ')} (${originText(entry)})`;
}

/** As {@link intakeText}, in lines. */
export function intakeLines(entry: IntakeEntry): readonly string[] {
  if (entry.changes.length < 2) return [intakeText(entry)];
  return [`${entry.role} (${originText(entry)}):`, ...entry.changes.map((change) => `  ${change}`)];
}

function originText({ tags, signedBy }: IntakeEntry): string {
  const keys = signedBy.map((keyid) => keyid.slice(0, 12)).join(', ');
  return `signed by ${keys || 'unknown keys'}, at ${tags.join(', ')}`;
}
