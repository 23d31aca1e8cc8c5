import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { Beginning } from '../../trust/approve/beginning.ts';
import { encodeChangeFile } from '../../trust/approve/change-file.ts';
import type { PendingChange } from '../../trust/approve/pending-change.ts';
import type { SignatureDemand, TufSigner } from '../../tuf/edit/signing.ts';
import type { TufKey } from '../../tuf/keys.ts';

/** What the keys of root sign at a ceremony: a new collection, or a change of one (spec/trust-roles.md, "Ceremonies"). */
export type CeremonyWork = Beginning | PendingChange;

/** Someone who takes part: with which key, and under which name the record lists them. */
export interface Attendee {
  readonly person: string;
  /** How the key was named, without what only says how to open it. */
  readonly key: string;
}

/** What a ceremony is held with. */
export interface CeremonyPorts<A extends Attendee> {
  now(): Date;
  /** Who signs next; undefined ends the ceremony. */
  next(work: CeremonyWork): Promise<A | undefined>;
  /** Keys of an attendee that may sign now and have not. */
  signers(attendee: A, work: CeremonyWork): Promise<readonly TufSigner[]>;
  /** Has the attendee agree. @throws BullaError where they do not */
  confirm(attendee: A, work: CeremonyWork): Promise<void>;
  /** Puts the work where it survives a crash. */
  save(work: CeremonyWork): Promise<void>;
  /** Adds lines to the record, where they survive a crash. */
  note(lines: readonly string[]): Promise<void>;
  /** Whether another attendee is asked for after one has failed. */
  goesOn(error: unknown): boolean;
}

/**
 * Has one attendee after the other sign. The record says who is about to sign before the signature is made, and the
 * work is saved after each signature: whatever ends the program, running it again goes on from there.
 * @returns how many signatures there are more
 * @throws BullaError untrusted-identity where a key may not sign; what the ports throw
 */
export async function holdCeremony<A extends Attendee>(
  work: CeremonyWork,
  ports: CeremonyPorts<A>,
): Promise<number> {
  let count = 0;
  for (let attendee = await ports.next(work); attendee !== undefined; attendee = await ports.next(work)) {
    try {
      const signers = await ports.signers(attendee, work);
      if (signers.length === 0) throw mayNotSign(attendee, work);
      await ports.confirm(attendee, work);
      const ids = signers.map(({ key }) => key.keyid);
      await ports.note([
        `${formatTime(ports.now())}  ${attendee.person || '(no name given)'} signs`,
        ...[`with ${attendee.key}`, ...ids.map((id) => `key id ${id}`)].map((line) => `    ${line}`),
      ]);
      const added = await work.sign(signers);
      await ports.save(work);
      await ports.note([
        `${formatTime(ports.now())}  ${added} ${added === 1 ? 'signature' : 'signatures'} made`,
      ]);
      count += added;
    } catch (error) {
      if (!ports.goesOn(error)) throw error;
    }
  }
  return count;
}

/** The bytes of the file that carries the work. @throws BullaError usage where they are too many */
export function encodeWork(work: CeremonyWork): Uint8Array {
  return work instanceof Beginning ? work.encode() : encodeChangeFile(work.toFile());
}

/** Keys that may sign, each once, with the roles that list it. */
export function listedKeys(
  demands: readonly SignatureDemand[],
): ReadonlyMap<string, { readonly key: TufKey; readonly delegators: readonly string[] }> {
  const listed = new Map<string, { key: TufKey; delegators: string[] }>();
  for (const { delegator, keys, role } of demands)
    for (const keyid of role.keyids) {
      const key = keys.get(keyid);
      if (key === undefined) continue;
      const entry = listed.get(keyid) ?? { key, delegators: [] };
      if (!entry.delegators.includes(delegator)) entry.delegators.push(delegator);
      listed.set(keyid, entry);
    }
  return listed;
}

function mayNotSign({ key }: Attendee, work: CeremonyWork): BullaError {
  const open = [...new Set(work.progress().flatMap((progress) => progress.open))];
  return new BullaError('untrusted-identity', `${key} may not sign this, or has signed it`, {
    hint: `keys that may: ${open.map((keyid) => keyid.slice(0, 12)).join(', ')}`,
    details: { keys: open },
  });
}
