import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { parseCertificates } from '../crypto/certificate.ts';
import { readPublicKeys } from '../crypto/public-key.ts';
import { compareCodePoints } from '../encoding/code-points.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { readPublicFile } from '../keystore/read.ts';
import { loadPolicy, type PolicyFile } from '../policy/file/load.ts';
import { type IncludedPolicy, type Policy, type PolicyMaterial, policyOf } from '../policy/file/policy.ts';
import { importNotation } from '../policy/import/notation.ts';
import { parseTrustedRoot, type TrustedRoot } from '../sigstore/trusted-root.ts';

/** A policy from files, with all that they name. */
export interface LoadedPolicy extends Policy {
  /** The policy files: the one that was given, then those that it includes. */
  readonly files: readonly string[];
  /**
   * SHA-256, in hexadecimal, over every file that was read, policy files, keys, certificates and roots: two equal ones
   * decide alike (spec/policy.md, "Includes").
   */
  readonly sha256: string;
}

export interface PolicyReading {
  /** Directory from which the path is read. */
  readonly cwd: string;
  /** The trusted root of the public-good instance (undefined), or from a TUF repository, `tuf+https://…`. */
  readonly trustedRoot: (place: string | undefined) => Promise<TrustedRoot>;
  /** Reads a file by its whole path; from the disk if left out. */
  readonly read?: ((path: string) => Promise<Uint8Array>) | undefined;
}

/**
 * Reads a policy file, the files that it includes, and the keys, certificates and roots that they name. Each file is read
 * once, and its paths are relative to it.
 * @throws BullaError policy-invalid, not-found, key-invalid, certificate-invalid, content-invalid, storage-error
 */
export async function readPolicyFiles(path: string, options: PolicyReading): Promise<LoadedPolicy> {
  const { cwd, read: readFile = readPublicFile } = options;
  const top = resolve(cwd, path);
  const known = new Map<string, Promise<Uint8Array>>();
  const read = (file: string): Promise<Uint8Array> => {
    const bytes = known.get(file) ?? readFile(file);
    known.set(file, bytes);
    return bytes;
  };
  // Those of TUF repositories are renewed there: another root is another policy.
  const roots = new Map<string, Uint8Array>();
  const trustedRoot = async (place: string | undefined): Promise<TrustedRoot> => {
    const root = await options.trustedRoot(place);
    if (place !== undefined && root.bytes !== undefined) roots.set(place, root.bytes);
    return root;
  };
  const shown = (file: string): string => {
    const short = relative(cwd, file);
    return file === top ? path : short.startsWith('..') ? file : short;
  };
  const file = await loadPolicy(top, {
    read,
    beside: (from, name) => resolve(dirname(from), name),
    shown,
  });
  const materialOf = (from: string): PolicyMaterial => materialIn(dirname(from), read, trustedRoot);
  const withMaterial = ({ path: from, document, included }: PolicyFile): IncludedPolicy => ({
    ...{ path: shown(from), document, material: materialOf(from) },
    included: included.map(withMaterial),
  });
  const { document, material, included } = withMaterial(file);
  const policy = await policyOf(document, material, included);
  return { ...policy, files: pathsOf(file).map(shown), sha256: await digestOf(known, dirname(top), roots) };
}

function pathsOf({ path, included }: PolicyFile): string[] {
  return [path, ...included.flatMap(pathsOf)];
}

/**
 * Reads a `trustpolicy.json` of Notation and the certificates in its trust stores, as a policy (spec/policy.md, "Trust
 * policies of Notation"). What cannot be said in a policy denies.
 * @param trustStore directory with `ca/NAME` and `tsa/NAME`; `truststore/x509` beside the file if left out
 * @param options `onNote` is told what differs or denies
 * @throws BullaError policy-invalid for what is not a trust policy; as {@link readPolicyFiles}
 */
export async function readTrustPolicyFile(
  path: string,
  trustStore: string | undefined,
  { cwd, trustedRoot, onNote }: PolicyReading & { readonly onNote: (note: string) => void },
): Promise<Policy> {
  const top = resolve(cwd, path);
  const bytes = await readPublicFile(top);
  const document = parseJsonObject(bytes, { what: path, maxBytes: bytes.byteLength });
  if (document['version'] !== '1.0' || !Array.isArray(document['trustPolicies']))
    throw new BullaError('policy-invalid', `${path} is not a trust policy of Notation, version 1.0`, {
      hint: 'give a trustpolicy.json; for a policy of ours: --policy',
    });
  const stores =
    trustStore === undefined ? join(dirname(top), 'truststore', 'x509') : resolve(cwd, trustStore);
  const { policy, notes } = await importNotation(document, {
    trustStore: (type, name) => filesInTrustStore(join(stores, type, name)),
  });
  for (const note of notes) onNote(note);
  return await policyOf(policy, materialIn(dirname(top), readPublicFile, trustedRoot));
}

/** Paths of the certificates in a trust store; empty where there is none. */
export async function filesInTrustStore(store: string): Promise<readonly string[]> {
  const names = await readdir(store).catch(() => []);
  return names
    .filter((name) => !name.startsWith('.'))
    .sort()
    .map((name) => join(store, name));
}

/** Name, size and bytes of each file, in the order of their names as seen from the policy; then those of roots by place. */
async function digestOf(
  files: ReadonlyMap<string, Promise<Uint8Array>>,
  directory: string,
  roots: ReadonlyMap<string, Uint8Array>,
): Promise<string> {
  const hash = createHash('sha256');
  const named = [...files].map(([path, bytes]) => [relative(directory, path), bytes] as const);
  const inOrder = <T>(entries: readonly (readonly [string, T])[]) =>
    entries.toSorted(([one], [other]) => compareCodePoints(one, other));
  for (const [name, content] of [...inOrder(named), ...inOrder([...roots])]) {
    const bytes = await content;
    hash.update(`${name}\0${bytes.byteLength}\0`).update(bytes);
  }
  return hash.digest('hex');
}

function materialIn(
  directory: string,
  read: (path: string) => Promise<Uint8Array>,
  trustedRoot: PolicyReading['trustedRoot'],
): PolicyMaterial {
  const file = (path: string): Promise<Uint8Array> => read(resolve(directory, path));
  const isPem = (source: string): boolean => source.includes('-----BEGIN ');
  const nameOf = (source: string): string => (isPem(source) ? 'the PEM in the policy' : source);
  return {
    file,
    keys: async (source) =>
      readPublicKeys(isPem(source) ? Buffer.from(source) : await file(source), nameOf(source)),
    certificates: async (source) => {
      const text = isPem(source) ? source : Buffer.from(await file(source)).toString('latin1');
      return parseCertificates(text, nameOf(source));
    },
    trustedRoot: async (place) =>
      place === undefined || place.startsWith('tuf+')
        ? await trustedRoot(place)
        : parseTrustedRoot(await file(place), place),
  };
}
