import { createHash } from 'node:crypto';
import { formatTime } from '../../encoding/time.ts';
import { Beginning } from '../../trust/approve/beginning.ts';
import { formatVersion } from '../../tuf/edit/policy.ts';
import { versionOf } from '../../tuf/edit/repository.ts';
import type { MissingSignatures } from '../../tuf/edit/signing.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import { type CeremonyWork, encodeWork, listedKeys } from './ceremony.ts';

/** Columns of paper. */
const WIDTH = 80;
const RULE = '='.repeat(WIDTH);
const LINES_TO_SIGN = 4;

/** With what a ceremony was held. */
export interface Session {
  readonly now: Date;
  /** Name of the file that carries the work. */
  readonly file: string;
  /** `bulla VERSION, Node VERSION, SYSTEM`. */
  readonly tool: string;
  /** Names of network interfaces that are up; empty on a machine as it should be. */
  readonly networks: readonly string[];
}

/** The first page of a session: what is to be signed, in full, and by which keys. Plain text of 80 columns. */
export function openingOf(work: CeremonyWork, { now, file, tool, networks }: Session): readonly string[] {
  const signed = progressOf(work).some(({ valid }) => valid.length > 0) ? signaturesOf(work) : [];
  return [
    RULE,
    'RECORD OF A KEY CEREMONY',
    RULE,
    `Collection  ${work.name}`,
    ...wrapped(`Id          ${idOf(work) ?? '(known when root has all of its signatures)'}`),
    ...wrapped(`Change      ${work.digest}`),
    ...wrapped(`File        ${file}`),
    `Begun       ${formatTime(now)} (clock of this machine)`,
    ...wrapped(`Tool        ${tool}`),
    ...wrapped(`Network     ${networks.length === 0 ? 'none' : `UP: ${networks.join(', ')}`}`),
    '',
    'What is signed:',
    ...work.describe().flatMap((line) => wrapped(`  ${line}`)),
    '',
    'Keys that may sign:',
    ...[...listedKeys(work.allDemands())].flatMap(([keyid, { key, delegators }]) => [
      `  ${keyid}`,
      ...wrapped(`    ${String(key.json['scheme'])}, listed by ${delegators.join(', ')}`),
      ...(key.fingerprint === undefined ? [] : wrapped(`    SHA-256 of its public key ${key.fingerprint}`)),
    ]),
    '',
    ...(signed.length === 0 ? [] : ['Signatures that were there before:', ...signed, '']),
    'What happened:',
  ];
}

/** The last page: what the file holds now, with digests to compare, and lines for the signatures of those present. */
export function closingOf(work: CeremonyWork, now: Date): readonly string[] {
  const missing = work.missing();
  return [
    '',
    `Ended       ${formatTime(now)}`,
    ...wrapped(`Id          ${idOf(work) ?? '(known when root has all of its signatures)'}`),
    'The file now, SHA-256:',
    `  ${sha256(encodeWork(work))}`,
    'Signed content, SHA-256:',
    ...filesOf(work).flatMap((file) => [
      ...wrapped(`  ${file.role} ${formatVersion(versionOf(file))}, until ${String(file.signed['expires'])}`),
      `    ${sha256(file.message)}`,
    ]),
    'Signatures in the file:',
    ...signaturesOf(work),
    ...(missing.length === 0
      ? ['Complete: every threshold that is to be met here is met.']
      : missing.flatMap(({ role, threshold, valid }) =>
          wrapped(`Incomplete: ${role} has ${valid.length} of ${threshold} signatures.`),
        )),
    '',
    'Present, by their own hand (name, date, signature):',
    ...Array.from({ length: LINES_TO_SIGN }, () => ['', '_'.repeat(WIDTH)]).flat(),
    '',
  ];
}

/** Id of the collection, once it has one. */
export function idOf(work: CeremonyWork): string | undefined {
  return work instanceof Beginning ? work.id : work.change.id;
}

function filesOf(work: CeremonyWork): readonly MetadataFile[] {
  return work instanceof Beginning
    ? work.allFiles().map(({ file }) => file)
    : work.roles.map((role) => work.after(role));
}

/** How far every threshold is met, those of files that cannot be signed any more included. */
export function progressOf(work: CeremonyWork): readonly MissingSignatures[] {
  return work instanceof Beginning ? work.allFiles().flatMap((file) => file.progress()) : work.progress();
}

function signaturesOf(work: CeremonyWork): readonly string[] {
  return progressOf(work).flatMap(({ role, delegator, threshold, valid }) => [
    ...wrapped(`  ${role}: ${valid.length} of the ${threshold} that ${delegator} demands`),
    ...valid.map((keyid) => `    ${keyid}`),
  ]);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A line in pieces that fit on paper; none of it is left out. */
function wrapped(line: string): readonly string[] {
  const indent = `${/^ */.exec(line)?.[0] ?? ''}    `;
  const pieces: string[] = [];
  let rest = line;
  while (rest.length > WIDTH) {
    const space = rest.lastIndexOf(' ', WIDTH);
    const at = space > indent.length ? space : WIDTH;
    pieces.push(rest.slice(0, at));
    rest = indent + rest.slice(at).trimStart();
  }
  return [...pieces, rest];
}
