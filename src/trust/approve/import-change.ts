import { equalBytes } from '../../encoding/bytes.ts';
import { BullaError } from '../../errors.ts';
import type { KeyChoice } from '../../tuf/edit/key-list.ts';
import { formatVersion } from '../../tuf/edit/policy.ts';
import { delegationsIn, versionOf } from '../../tuf/edit/repository.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import type { CollectionEdit } from '../change/collection-edit.ts';
import {
  losesOnlineKey,
  presentKeys,
  restartVersions,
  type StructureChange,
} from '../change/role-changes.ts';
import { epochOf } from '../format/versions.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { ChangeFile } from './change-file.ts';
import { PendingChange } from './pending-change.ts';

/** Puts signed copies of one exported change together. @throws BullaError signature-mismatch and those of {@link PendingChange.open} */
export function gatherChange(copies: readonly ChangeFile[], now: Date): PendingChange {
  const [first, ...others] = copies;
  if (first === undefined)
    throw new BullaError('usage', 'no file of a change was given', { hint: '--import-signed FILE' });
  const change = PendingChange.open(first, now);
  for (const other of others) change.pool(other);
  return change;
}

/** Whether a collection holds all of a change already, because it was published before. */
export function isPublished(change: PendingChange, copy: WorkingCopy): boolean {
  assertSameCollection(change, copy);
  return change.roles.every((role) => {
    const present = presentFile(copy, role);
    return present !== undefined && hasSameContent(present, change.after(role));
  });
}

/**
 * A signed change, to be published on what a collection is now. Root and targets must be what the
 * change was made for; a role's own file is made anew, with the available keys, if it is outdated or was not
 * signed elsewhere.
 * @throws BullaError trust-invalid for another collection's; trust-rollback, conflict where it was made for
 *   another state; threshold-not-met (details.missing)
 */
export function importChange(change: PendingChange): StructureChange {
  return async (edit, copy) => {
    assertSameCollection(change, copy);
    for (const role of change.roles.filter(isStructural)) {
      assertMadeFor(change, copy, role);
      assertSigned(change, role);
      edit.edit.adopt(role, change.after(role).bytes);
    }
    for (const role of change.roles) if (!isStructural(role)) takeContent(change, edit, copy, role);
    if (change.roles.includes('root') && losesOnlineKey(copy, change.after('root').signed))
      await restartVersions(edit, copy, false, change.roles);
    const choice = change.roles.includes('targets') ? namesKeys(change.after('targets')) : undefined;
    if (choice !== undefined && !isSameChoice(choice, presentKeys(copy, NAMES_ROLE)))
      await edit.rekeyBins(choice);
  };
}

function namesKeys(targets: MetadataFile): KeyChoice | undefined {
  const delegations = delegationsIn(targets);
  const delegated = delegations?.roles.find(({ name }) => name === NAMES_ROLE);
  if (delegations === undefined || delegated === undefined) return undefined;
  const keys = delegated.keyids.flatMap((keyid) => delegations.keys.get(keyid) ?? []);
  return { keys, threshold: delegated.threshold };
}

function isSameChoice(a: KeyChoice, b: KeyChoice): boolean {
  const ids = ({ keys }: KeyChoice): string => keys.map(({ keyid }) => keyid).join();
  return a.threshold === b.threshold && ids(a) === ids(b);
}

function takeContent(change: PendingChange, edit: CollectionEdit, copy: WorkingCopy, role: string): void {
  const [present, before, after] = [presentFile(copy, role), change.before(role), change.after(role)];
  const isMadeFor = present === undefined ? before === undefined : isSame(present, before);
  if (isMadeFor && change.missing(role).length === 0) {
    const log = change.change.logs.get(role);
    if (log === undefined) edit.edit.adopt(role, after.bytes);
    else edit.adoptNew(role, after.bytes, log);
    return;
  }
  // Its keys must be available then: its current content is kept, and signed by those of the new delegation.
  if (before === undefined) edit.beginSigner(role);
  else edit.edit.renew(role);
}

function assertMadeFor(change: PendingChange, copy: WorkingCopy, role: string): void {
  const [present, before, after] = [presentFile(copy, role), change.before(role), change.after(role)];
  if (isSame(present, before)) return;
  const [published, made] = [versionOf(present), versionOf(after)];
  const [there, ours] = [`${role} ${formatVersion(published)}`, `${role} ${formatVersion(made)}`];
  // Both were made for one state where neither is of an older term.
  if (epochOf(role, made) < epochOf(role, published))
    throw new BullaError('trust-rollback', `the change makes ${ours}, and ${there} is published`, {
      hint: 'it was published before, or is outdated: make it again on the current state',
      details: { role, from: published, to: made },
    });
  throw new BullaError(
    'conflict',
    `the change was made for ${role} ${formatVersion(versionOf(before))}, and ${there} is published`,
    { hint: 'make it again on the current state, and have that signed', details: { role } },
  );
}

function assertSigned(change: PendingChange, role: string): void {
  const missing = change.missing(role);
  const [first] = missing;
  if (first === undefined) return;
  throw new BullaError(
    'threshold-not-met',
    `${role} has ${first.valid.length} of the ${first.threshold} signatures that ${first.delegator} demands`,
    {
      hint: `have it signed (bulla approve FILE) by one of the keys ${first.open.map((id) => id.slice(0, 12)).join(', ')}, and import all signed copies together`,
      details: { missing },
    },
  );
}

function assertSameCollection({ change, name }: PendingChange, { collection }: WorkingCopy): void {
  if (change.id === collection.id && name === collection.name) return;
  throw new BullaError(
    'trust-invalid',
    `the change is for ${name} (${change.id.slice(0, 12)}), and ${collection.place} has ${collection.name} (${collection.id.slice(0, 12)})`,
    {
      hint: 'import it where it was exported',
      details: { reason: 'binding', expected: collection.id, found: change.id },
    },
  );
}

function presentFile(copy: WorkingCopy, role: string): MetadataFile | undefined {
  return role === 'root' ? copy.files.roots.at(-1) : copy.files.roles.get(role);
}

function isStructural(role: string): boolean {
  return role === 'root' || role === 'targets';
}

function isSame(a: MetadataFile | undefined, b: MetadataFile | undefined): boolean {
  return a !== undefined && b !== undefined && equalBytes(a.message, b.message);
}

function hasSameContent(a: MetadataFile, b: MetadataFile): boolean {
  return equalBytes(a.message, b.message);
}
