import type { ChangedRoles } from '../../actions/change/change-roles.ts';
import { type IntakePreview, intakeLines } from '../../actions/change/intake.ts';
import type { PendingChange } from '../../trust/approve/pending-change.ts';
import type { MissingSignatures } from '../../tuf/edit/signing.ts';
import { type Printer, pieces } from './printer.ts';

/** Tells what a published change says, and in which head it is. */
export function printChanged(
  output: Printer,
  collection: string,
  { head, change, changes, intake, wasStaged, wasPublished }: ChangedRoles,
): void {
  if (wasPublished) output.info('it was published before');
  if (!wasStaged) for (const line of changes.flatMap(pieces)) output.info(line);
  const json =
    change === undefined
      ? { collection, file: null, published: head, ...intake }
      : changeJson(change, { file: null, published: head, changes, ...intake });
  output.result(head, json);
}

/** A change in a file: where it is. */
export function printChangeFile(output: Printer, change: PendingChange, file: string): void {
  output.result(
    file,
    changeJson(change, { file, published: null, changes: change.describe(), takenIn: [], left: [] }),
  );
}

function changeJson(
  change: PendingChange,
  {
    file,
    published,
    changes,
    takenIn,
    left,
  }: ChangedRoles['intake'] & {
    readonly file: string | null;
    readonly published: string | null;
    readonly changes: readonly string[];
  },
): Record<string, unknown> {
  return {
    collection: change.name,
    id: change.change.id,
    change: change.digest,
    file,
    published,
    changes,
    takenIn,
    left,
    roles: change.roles.map((role) => ({ role, signedBy: change.signedBy(role) })),
    missing: published === null ? change.missing() : [],
  };
}

/** Shows in full what a change of roles would take in from others. */
export function tellIntake(output: Printer, { entries, structure }: IntakePreview): void {
  output.told([
    'others have changed this, and it would be included first:',
    ...entries.flatMap((entry) => intakeLines(entry).map((line) => `  ${line}`)),
    ...structure.map((line) => `  ${line}`),
  ]);
}

/** Tells which signatures a change lacks, and how to give them. */
export function tellMissing(output: Printer, missing: readonly MissingSignatures[], path: string): void {
  for (const { role, delegator, threshold, valid, open } of missing)
    output.info(
      `${role} lacks ${threshold - valid.length} of the ${threshold} signatures that ${delegator} demands, by ${open.map((id) => id.slice(0, 12)).join(', ') || 'keys that cannot be used'}`,
    );
  if (missing.length > 0)
    output.info(
      `where the keys are: bulla approve ${path} (without a network: bulla ceremony sign ${path}); then publish it with --import-signed ${path}`,
    );
  else output.info(`nothing is missing: publish it with --import-signed ${path}`);
}
