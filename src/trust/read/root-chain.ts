import { BullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, type Digest, digestOf, hexOf } from '../../oci/digest.ts';
import type { CallOptions } from '../../oci/target.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import type { Root } from '../../tuf/root.ts';
import { type Trusted, TrustedMetadata } from '../../tuf/trusted-metadata.ts';
import { type BindingCheck, type CollectionId, collectionIdOf, rootBindingOf } from '../format/binding.ts';
import { fetchFile, type ObjectSource, type TrustObject } from '../format/object.ts';
import { roleFilesIn } from '../format/role-files.ts';

/** Most roots that a collection may have. */
const MAX_ROOTS = 1024;
/** Most bytes of all of them. */
const MAX_ROOTS_BYTES = 8 * 1024 * 1024;
/** Limits under which all of them are followed in one refresh. */
export const CHAIN_LIMITS: { readonly rootRotations: number } = { rootRotations: MAX_ROOTS };

/** The roots that a head lists, none of them trusted yet. */
export interface RootFiles {
  /** From 1 on without gaps, in ascending order; never empty. */
  readonly versions: readonly number[];
  /** Id of the collection whose first root this is, without having read it. */
  readonly id: CollectionId;
  /** Digest of a listed root, without having read it; undefined where it is not listed. */
  digest(version: number): Digest | undefined;
  /** @throws BullaError trust-invalid where it is not listed; content-invalid; what the source throws */
  load(version: number): Promise<Uint8Array>;
}

/** Version of the last root in a list. */
export function newestOf({ versions }: RootFiles): number {
  return versions.at(-1) as number;
}

/** Called with each root of a chain once its signatures were found good. */
export type RootVisitor = (root: Trusted<Root>) => void;

/**
 * Follows the chain from a root to the newest that is listed, as a client of TUF does (TUF 1.0.34 §5.3),
 * except for expiry. The caller knows whether the first is trusted.
 * @throws BullaError trust-rollback where the list ends before it; trust-invalid where the chain does not
 *   hold, or another root of its version is listed last; content-invalid; what the roots throw
 */
export async function followRoots(
  initialRoot: Uint8Array,
  roots: RootFiles,
  now: Date,
  check: BindingCheck,
  visit: RootVisitor = () => undefined,
): Promise<Trusted<Root>> {
  const trusted = new TrustedMetadata(initialRoot, now, { demand: check });
  visit(trusted.root);
  const first = trusted.root.content.version;
  assertReaches(trusted.root, roots);
  for (let version = first + 1; version <= newestOf(roots); version++) {
    trusted.updateRoot(await roots.load(version));
    visit(trusted.root);
  }
  return trusted.root;
}

/**
 * Id of the collection that a root file belongs to, after its own signatures were verified.
 * @throws BullaError trust-invalid, content-invalid
 */
export function collectionOfRoot(bytes: Uint8Array, now: Date): CollectionId {
  const { file } = new TrustedMetadata(bytes, now).root;
  return file.signed['version'] === 1 ? collectionIdOf(bytes) : rootBindingOf(file).id;
}

/** The error for a head that lists fewer roots than are known. */
export function shorterChain(known: number, found: number): BullaError {
  return new BullaError(
    'trust-rollback',
    `the root went back from version ${known} to ${found}: newer roots were left out`,
    {
      hint: 'this is an old state; ask the operator of the repository',
      details: { role: 'root', from: known, to: found },
    },
  );
}

/**
 * Demands that a list of roots does not end before a trusted root, nor with another one of its version.
 * @throws BullaError trust-rollback, trust-invalid
 */
export function assertReaches({ file, content: { version } }: Trusted<Root>, roots: RootFiles): void {
  const newest = newestOf(roots);
  if (newest < version) throw shorterChain(version, newest);
  if (newest > version || roots.digest(version) === digestOf(file.bytes)) return;
  throw new BullaError('trust-invalid', `there are two roots of version ${version}`, {
    hint: 'two people rotated keys at once, or there is a forged root; the next root must be signed so that both lead to it: bulla rotate',
    details: { role: 'root', reason: 'root-fork', version },
  });
}

/**
 * The roots that an object lists, for following them (spec/trust-reading.md, "Refresh").
 * @throws BullaError trust-invalid where they have gaps, don't begin with the first, or are too many
 */
export function rootsOf(source: ObjectSource, object: TrustObject, options: CallOptions): RootFiles {
  const listed = new Map<number, Descriptor>();
  for (const { role, version, descriptor } of roleFilesIn(object))
    if (role === 'root') listed.set(version, descriptor);
  const versions = [...listed.keys()].sort((a, b) => a - b);
  const first = listed.get(1);
  if (first === undefined || versions.length !== versions.at(-1))
    throw brokenChain(source, `it lists ${versions.length} roots up to version ${versions.at(-1) ?? 0}`);
  const bytes = [...listed.values()].reduce((sum, { size }) => sum + size, 0);
  if (versions.length > MAX_ROOTS || bytes > MAX_ROOTS_BYTES)
    throw brokenChain(source, `${versions.length} roots of ${bytes} bytes are more than are read`);
  if (algorithmOf(first.digest) !== 'sha256')
    throw brokenChain(source, 'the first root is not listed by its SHA-256');
  return {
    versions,
    id: hexOf(first.digest) as CollectionId,
    digest: (version) => listed.get(version)?.digest,
    load: async (version) => {
      const descriptor = listed.get(version);
      if (descriptor === undefined) throw brokenChain(source, `it lists no root ${version}`);
      return await fetchFile(source, descriptor, DEFAULT_LIMITS.rootBytes, options);
    },
  };
}

function brokenChain(source: ObjectSource, why: string): BullaError {
  return new BullaError('trust-invalid', `the chain of roots of ${source.name} is not whole: ${why}`, {
    hint: 'the collection was truncated, or assembled by someone else',
    details: { role: 'root', reason: 'root-chain' },
  });
}
