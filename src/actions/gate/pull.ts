import { decodeUtf8 } from '../../encoding/bytes.ts';
import { parseJsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import { type Digest, parseDigest } from '../../oci/digest.ts';
import { formatReference, parseReference, type RegistryReference } from '../../oci/reference.ts';

/** What containerd asks before it pulls an image (its image verifier, version 2). */
export interface PullQuestion {
  /** What is to be pulled: the reference as it was asked for, and the digest that it was resolved to. */
  readonly reference: RegistryReference;
  readonly digest: Digest;
}

const DESCRIPTOR_TYPE = 'application/vnd.oci.descriptor.v1+json';
/** Largest descriptor that is read, in bytes. */
export const MAX_DESCRIPTOR_BYTES: number = 64 * 1024;
/** Of a longer reason containerd shows nothing more, and it keeps 32 KiB. */
const MAX_REASON = 2_000;

/**
 * Reads the question: `-name REF -digest DIGEST -stdin-media-type TYPE`, and the descriptor on standard input. What both
 * say must be the same, because the pull goes on by one of them.
 * @throws BullaError usage, content-invalid, digest-mismatch
 */
export function parsePullQuestion(args: readonly string[], descriptor: Uint8Array): PullQuestion {
  const given = new Map<string, string>();
  for (let at = 0; at < args.length; at += 2) {
    const [, name] = /^--?([a-z-]+)$/.exec(args[at] ?? '') ?? [];
    const value = args[at + 1];
    if (name === undefined || value === undefined || given.has(name)) throw odd(args);
    given.set(name, value);
  }
  const [name, digest, type] = ['name', 'digest', 'stdin-media-type'].map((one) => given.get(one));
  if (name === undefined || digest === undefined) throw odd(args);
  const reference = parseReference(name);
  const asked = parseDigest(digest);
  if (reference.kind !== 'registry') throw odd(args);
  if (type !== DESCRIPTOR_TYPE)
    throw new BullaError(
      'usage',
      `standard input is of the type ${type ?? 'that is missing'}; expected ${DESCRIPTOR_TYPE}`,
      {
        hint: 'use containerd 2.0 or later',
      },
    );
  const described = parseJsonObject(descriptor, {
    what: 'the descriptor',
    maxBytes: MAX_DESCRIPTOR_BYTES,
    floats: true,
  })['digest'];
  for (const other of [reference.digest, described])
    if (other !== undefined && other !== asked)
      throw new BullaError(
        'digest-mismatch',
        `${name} would be pulled as ${String(other)}, and ${asked} was asked about`,
        {
          hint: 'the question contradicts itself; nothing is pulled',
          details: { expected: asked, found: String(other) },
        },
      );
  if (described === undefined)
    throw new BullaError('content-invalid', 'the descriptor has no digest', { hint: 'nothing is pulled' });
  return { reference, digest: asked };
}

/** The image to verify: by digest, and by its tag as well where it has one, so that the tag must be signed for this digest. */
export function imageOf({ reference, digest }: PullQuestion): string {
  return formatReference({ ...reference, digest });
}

/** That the verified image is the one that is pulled. @param runnable `REPOSITORY@DIGEST` @throws BullaError digest-mismatch */
export function assertSame({ digest }: PullQuestion, runnable: string): void {
  const found = runnable.slice(runnable.lastIndexOf('@') + 1);
  if (found === digest) return;
  throw new BullaError('digest-mismatch', `${found} is verified, and ${digest} would be pulled`, {
    hint: 'pull the verified image by its digest',
    details: { expected: found, found: digest },
  });
}

/** Why an image is not pulled, for the one line that containerd, kubelet and `crictl` show. */
export function reasonOf({ code, message, hint }: BullaError): string {
  const text = `${message} [${code}]${hint === undefined ? '' : ` (${hint})`}`.replace(/\s+/g, ' ');
  return text.length <= MAX_REASON ? text : `${text.slice(0, MAX_REASON - 1)}…`;
}

/** A program for containerd's `bin_dir`, which runs every file in it and passes nothing but the question. */
export function hookScript(command: readonly string[], home: string): string {
  const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  return `#!/bin/sh
# Asked by containerd before each pull; made by bulla gate containerd --install.
export BULLA_HOME='${home.replaceAll("'", "'\\''")}'
exec ${quoted} -- "$@"
`;
}

function odd(args: readonly string[]): BullaError {
  return new BullaError(
    'usage',
    `${decodeUtf8(Buffer.from(args.join(' ')).subarray(0, 300), 'the arguments')} is not a question of containerd`,
    {
      hint: 'it asks with -name REF -digest DIGEST -stdin-media-type TYPE',
    },
  );
}
