import { verifySignature } from '../crypto/signature.ts';
import { decodeUtf8, equalBytes, fromBase64, utf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import { malformed } from './fields.ts';
import type { TrustedLog } from './trusted-root.ts';

const MAX_CHECKPOINT_BYTES = 64 * 1024;
const MAX_SIGNATURES = 32;

/** A log's signed statement of its size and root (C2SP `tlog-checkpoint`, a `signed-note`). */
export interface Checkpoint {
  readonly origin: string;
  readonly treeSize: number;
  readonly rootHash: Uint8Array;
  /** What is signed. */
  readonly text: Uint8Array;
  readonly signatures: readonly NoteSignature[];
}

interface NoteSignature {
  readonly name: string;
  /** The first four bytes of the id of the key. */
  readonly keyHint: Uint8Array;
  readonly signature: Uint8Array;
}

/** Takes a checkpoint apart. @throws BullaError content-invalid */
export function parseCheckpoint(bytes: Uint8Array, where: string): Checkpoint {
  if (bytes.byteLength > MAX_CHECKPOINT_BYTES) throw malformed(where, 'the checkpoint is too large');
  const note = decodeUtf8(bytes, `the checkpoint of ${where}`);
  const end = note.indexOf('\n\n');
  if (end < 0) throw malformed(where, 'the checkpoint has no signatures');
  const text = note.slice(0, end + 1);
  const [origin, size, root] = text.split('\n');
  const rootHash = root === undefined ? undefined : fromBase64(root);
  if (origin === undefined || origin === '') throw malformed(where, 'the checkpoint has no origin');
  if (size === undefined || !/^(0|[1-9][0-9]{0,15})$/.test(size))
    throw malformed(where, 'the checkpoint has no tree size');
  if (rootHash?.byteLength !== 32) throw malformed(where, 'the checkpoint has no root hash');
  const lines = note.slice(end + 2).split('\n');
  if (lines.pop() !== '' || lines.length === 0 || lines.length > MAX_SIGNATURES)
    throw malformed(where, 'the signatures of the checkpoint cannot be read');
  return {
    origin,
    treeSize: Number(size),
    rootHash,
    text: utf8(text),
    signatures: lines.map((line) => readSignature(line, where)),
  };
}

function readSignature(line: string, where: string): NoteSignature {
  const [, name, encoded] = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(line) ?? [];
  const bytes = encoded === undefined ? undefined : fromBase64(encoded);
  if (name === undefined || bytes === undefined || bytes.byteLength < 5)
    throw malformed(where, 'a signature of the checkpoint cannot be read');
  return { name, keyHint: bytes.subarray(0, 4), signature: bytes.subarray(4) };
}

/**
 * Demands that `log` signed the checkpoint. Signatures of witnesses and of other logs are left aside.
 * @param isNamed whether the signature must also bear the log's host name, as Rekor v2's do
 * @throws BullaError signature-mismatch
 */
export function verifyCheckpoint(
  checkpoint: Checkpoint,
  log: TrustedLog,
  isNamed: boolean,
  where: string,
): void {
  const hint = (fromBase64(log.id) ?? new Uint8Array()).subarray(0, 4);
  const host = URL.canParse(log.baseUrl) ? new URL(log.baseUrl).hostname : log.baseUrl;
  const candidates = checkpoint.signatures.filter(
    ({ name, keyHint }) => equalBytes(keyHint, hint) && (!isNamed || name === host),
  );
  if (isNamed && checkpoint.origin !== host) candidates.length = 0;
  if (
    candidates.some(({ signature }) =>
      verifySignature(log.key, log.algorithm, checkpoint.text, signature, 'der'),
    )
  )
    return;
  throw new BullaError(
    'signature-mismatch',
    `${where}: the checkpoint of the log ${log.baseUrl} is not signed by its key`,
    { hint: 'the log entry was altered, or the trusted root belongs to another log' },
  );
}
