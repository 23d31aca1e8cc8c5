import { verifySignature } from '../crypto/signature.ts';
import { base64, equalBytes, fromBase64, hex } from '../encoding/bytes.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { BullaError } from '../errors.ts';
import type { Bundle, LogEntry } from './bundle.ts';
import { parseCheckpoint, verifyCheckpoint } from './checkpoint.ts';
import { checkLogBody, type LoggedContent } from './log-body.ts';
import { isIncluded, leafHash } from './merkle.ts';
import { isWithin, type TrustedLog, validityText } from './trusted-root.ts';

/** An entry that a trusted log has made of this very signature. */
export interface VerifiedLogEntry {
  readonly log: TrustedLog;
  readonly index: number;
  /** When the log included it, if the log signs that. */
  readonly time?: Date;
}

/**
 * Verifies an entry of a transparency log (spec/sigstore.md, "Log entries"): it is the log's, by promise or by
 * proof as the bundle's version demands, and it is about this signature, signer and content.
 * @throws BullaError signature-mismatch; content-invalid; unsupported-signature for an unknown kind of entry
 */
export function verifyLogEntry(
  entry: LogEntry,
  version: Bundle['version'],
  content: LoggedContent,
  logs: readonly TrustedLog[],
): VerifiedLogEntry {
  const { where } = entry;
  const log = logs.find(({ id }) => id === entry.logId);
  if (log === undefined)
    throw mismatch(
      where,
      `the log ${hex(fromBase64(entry.logId) ?? new Uint8Array()).slice(0, 16)} is not trusted`,
    );
  const isSecond = isRekor2(entry);
  if (entry.inclusionProof === undefined && (version !== '0.1' || isSecond))
    throw mismatch(where, 'it has no inclusion proof');
  if (entry.signedEntryTimestamp === undefined && version === '0.1')
    throw mismatch(where, 'it has no signed entry timestamp');
  if (entry.inclusionProof !== undefined) verifyInclusion(entry, version, log, isSecond);
  const time = entry.signedEntryTimestamp === undefined || isSecond ? undefined : verifyPromise(entry, log);
  checkLogBody(entry, content);
  return { log, index: entry.index, ...(time !== undefined && { time }) };
}

/** Entries of Rekor v2 have no time and no promise; their kinds begin at version 0.0.2. */
function isRekor2({ kind, kindVersion }: LogEntry): boolean {
  return kindVersion === '0.0.2' && (kind === 'hashedrekord' || kind === 'dsse');
}

function verifyInclusion(
  entry: LogEntry,
  version: Bundle['version'],
  log: TrustedLog,
  isNamed: boolean,
): void {
  const { inclusionProof: proof, where, canonicalizedBody } = entry;
  if (proof === undefined) return;
  // Rekor v1 counts over all its shards, and proves within one.
  if (isNamed && proof.index !== entry.index)
    throw mismatch(where, 'its inclusion proof is for another index');
  if (!isIncluded(leafHash(canonicalizedBody), proof)) throw mismatch(where, 'its inclusion proof is wrong');
  if (proof.checkpoint === undefined) {
    // Version 0.1 relied on the promise, and its proofs had no checkpoint at first.
    if (version === '0.1' && !isNamed) return;
    throw mismatch(where, 'its inclusion proof has no checkpoint');
  }
  const checkpoint = parseCheckpoint(proof.checkpoint, where);
  verifyCheckpoint(checkpoint, log, isNamed, where);
  if (checkpoint.treeSize !== proof.treeSize || !equalBytes(checkpoint.rootHash, proof.rootHash))
    throw mismatch(where, 'its checkpoint is for another state of the log');
}

/** The log's signature over the entry and its time. @returns when the log says it was included */
function verifyPromise(entry: LogEntry, log: TrustedLog): Date {
  const { where, integratedTime, logId, index, canonicalizedBody, signedEntryTimestamp } = entry;
  const promised = canonicalRfc8785({
    body: base64(canonicalizedBody),
    integratedTime,
    logID: hex(fromBase64(logId) ?? new Uint8Array()),
    logIndex: index,
  });
  const signature = signedEntryTimestamp ?? new Uint8Array();
  if (!verifySignature(log.key, log.algorithm, promised, signature, 'der'))
    throw mismatch(where, 'its signed entry timestamp is wrong');
  const time = new Date(integratedTime * 1000);
  if (integratedTime === 0 || Number.isNaN(time.getTime())) throw mismatch(where, 'it has no time');
  checkLogValidity(log, time, where);
  return time;
}

/** Demands that the log's key was trusted at `time`. @throws BullaError signature-mismatch */
export function checkLogValidity(log: TrustedLog, time: Date, where: string): void {
  if (isWithin(time, log.validFor)) return;
  throw mismatch(
    where,
    `the key of the log ${log.baseUrl} is trusted ${validityText(log.validFor)}, not at ${time.toISOString()}`,
  );
}

function mismatch(where: string, why: string): BullaError {
  return new BullaError('signature-mismatch', `${where} does not verify: ${why}`, {
    hint: 'the log entry was altered, belongs to another signature, or the trusted root is for another instance',
  });
}
