import { networkInterfaces, release, type as systemType } from 'node:os';
import { basename } from 'node:path';
import { compareWithMemory } from '../../../actions/change/approve.ts';
import { type CeremonyWork, encodeWork, holdCeremony } from '../../../actions/change/ceremony.ts';
import { closingOf, idOf, openingOf, progressOf } from '../../../actions/change/ceremony-record.ts';
import { readFileBounded, writeFileAtomic } from '../../../disk/atomic.ts';
import { decodeUtf8, utf8 } from '../../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import { Beginning, isBeginning } from '../../../trust/approve/beginning.ts';
import { MAX_CHANGE_BYTES, parseChangeFile } from '../../../trust/approve/change-file.ts';
import { isWholeId } from '../../../trust/approve/change-id.ts';
import { PendingChange } from '../../../trust/approve/pending-change.ts';
import { confirmTyped } from '../../shell/confirm.ts';
import type { Context } from '../../shell/context.ts';
import { printable } from '../../shell/output.ts';
import { trustMemory } from '../../shell/trust-stores.ts';
import { VERSION } from '../../shell/version.ts';
import { attendeesOf, type CeremonyFlags, offlineSigners, type Present } from './people.ts';

/** Digits of the digest that a person types to agree: another change with the same ones cannot be found by trying. */
const TYPED = 16;
/** Largest record that is added to, in bytes. */
const MAX_RECORD_BYTES = 16 * 1024 * 1024;

/** `bulla ceremony sign FILE` */
export async function sign(context: Context, path: string, flags: CeremonyFlags): Promise<void> {
  const work = await readWork(context, path);
  if (flags.change !== undefined && flags.change !== work.digest)
    throw new BullaError(
      'conflict',
      `the file holds the change ${work.digest}, not ${flags.change.slice(0, 80)}`,
      {
        hint: 'it was altered, or made again: look at it with bulla ceremony show',
        details: { expected: flags.change, found: work.digest },
      },
    );
  if (flags.yes === true && (flags.change === undefined || !isWholeId(flags.change)))
    throw new BullaError('usage', '--yes needs --change with all digits of the digest', {
      hint: `if you have read what it signs: --change ${work.digest} --yes`,
    });
  await hold(context, work, path, flags);
}

/** `bulla ceremony show FILE` */
export async function show(context: Context, path: string): Promise<void> {
  const work = await readWork(context, path);
  context.output.result(
    [
      `${work.name}  change ${work.digest}`,
      ...work.describe().map((line) => `  ${line}`),
      ...closing(work, path),
    ],
    described(work, path, null),
  );
}

/** Reads what was carried here, and verifies it. @throws BullaError content-invalid, trust-invalid, … */
async function readWork(context: Context, path: string): Promise<CeremonyWork> {
  const now = context.io.now();
  const bytes = await readFileBounded(context.path(path), MAX_CHANGE_BYTES);
  if (isBeginning(bytes, path, MAX_CHANGE_BYTES)) return Beginning.parse(bytes, path, now);
  const change = PendingChange.open(parseChangeFile(bytes, path), now);
  await compareWithMemory(await trustMemory(context), change);
  return change;
}

/** Shows everything, and has those who are present sign in turn. */
export async function hold(
  context: Context,
  work: CeremonyWork,
  path: string,
  flags: CeremonyFlags,
): Promise<void> {
  const { io, output } = context;
  const record = context.path(flags.record ?? `${path}.record.txt`);
  const networks = networksUp();
  if (networks.length > 0)
    output.warn(
      `this machine has a network (${networks.join(', ')}): a ceremony belongs on one that has none`,
    );
  const tool = `bulla ${VERSION}, Node ${process.versions.node}, ${systemType()} ${release()}`;
  const opening = openingOf(work, { now: io.now(), file: basename(path), tool, networks });
  output.told([`${work.name}  change ${work.digest}`, ...work.describe().map((line) => `  ${line}`)]);
  await addTo(record, opening);
  const signersOf = offlineSigners(context, flags);
  const agreed = new Set<string>();
  const attendees = attendeesOf(context, flags, signersOf);
  const added = await holdCeremony<Present>(work, {
    now: () => io.now(),
    next: async (present) => await attendees(present),
    signers: signersOf,
    confirm: async ({ spec, person }) => {
      if (agreed.has(spec)) return;
      await confirmTyped(io, `${person || 'You'}: to sign, type the first ${TYPED} digits of the change: `, {
        expected: work.digest.slice(0, TYPED),
        isAgreed: flags.yes === true,
        hint: `read it with bulla ceremony show, then add --change ${work.digest} --yes`,
      });
      agreed.add(spec);
    },
    save: async (signed) => await writeFileAtomic(context.path(path), encodeWork(signed)),
    note: async (lines) => await addTo(record, lines),
    goesOn: (error) => {
      if (flags.key !== undefined && flags.key.length > 0) return false;
      if (flags.yes === true || !isBullaError(error) || isBullaError(error, 'interrupted', 'internal'))
        return false;
      // The next person, or the same one with the right PIN: nothing is tried again on its own.
      output.partFailed(error);
      return true;
    },
  });
  await addTo(record, closingOf(work, io.now()));
  output.info(
    `${added} ${added === 1 ? 'signature' : 'signatures'} added; print the record and have it signed: ${record}`,
  );
  output.result(path, described(work, path, record));
  for (const line of closing(work, path)) output.info(line);
}

/** Interfaces that lead out of this machine. */
function networksUp(): readonly string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.some(({ internal }) => !internal) ? [name] : [],
  );
}

/** Adds lines to the record: all of them, or none if the machine stops. */
async function addTo(path: string, lines: readonly string[]): Promise<void> {
  const before = await readFileBounded(path, MAX_RECORD_BYTES).catch((error: unknown) => {
    if (isBullaError(error, 'not-found')) return new Uint8Array();
    throw error;
  });
  const text = lines.map((line) => `${printable(line)}\n`).join('');
  await writeFileAtomic(path, utf8(decodeUtf8(before, path) + text));
}

/** What is to be done next. */
function closing(work: CeremonyWork, path: string): readonly string[] {
  const missing = work.missing();
  if (missing.length > 0)
    return missing.map(
      ({ role, threshold, valid, open }) =>
        `${role} lacks ${threshold - valid.length} of ${threshold} signatures, by ${open.map((id) => id.slice(0, 12)).join(', ') || 'keys that cannot be used'}: bulla ceremony sign ${path}`,
    );
  return [`nothing is missing: on a machine with a network, run: ${publishing(work, path)}`];
}

function publishing(work: CeremonyWork, path: string): string {
  if (!(work instanceof Beginning)) return `bulla rotate ${work.change.place} --import-signed ${path}`;
  const ids = work.wish.root.keys.map(({ keyid }) => `--root-key-id ${keyid}`).join(' ');
  return `bulla init ${work.name} --import-signed ${path} ${ids}`;
}

function described(work: CeremonyWork, file: string, record: string | null): Record<string, unknown> {
  return {
    collection: work.name,
    id: idOf(work) ?? null,
    change: work.digest,
    file,
    record,
    changes: work.describe(),
    signatures: progressOf(work).map(({ role, delegator, threshold, valid }) => ({
      ...{ role, delegator, threshold },
      signedBy: valid,
    })),
    missing: work.missing(),
    publish: work.missing().length === 0 ? publishing(work, file) : null,
  };
}
