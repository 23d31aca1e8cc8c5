import type { Digest } from '../../../../src/oci/digest.ts';

/** One change, as a log lists it. */
export interface Entry {
  readonly id: string;
  readonly at: string;
  readonly set?: ReadonlyMap<string, string>;
  readonly unset?: ReadonlySet<string>;
}

/** A signed file of `names` or of a signer, read without any of the code under test. */
export interface RoleFile {
  readonly role: string;
  readonly version: number;
  readonly digest: Digest;
  readonly since: string;
  readonly entries: readonly Entry[];
  /** SHA-256 by name. */
  readonly targets: ReadonlyMap<string, string>;
}

/** What any metadata file says of itself. */
export interface FileFacts {
  readonly role: string;
  readonly version: number;
  /** The signed part, as it was signed. */
  readonly signedText: string;
  readonly log: Digest | undefined;
  readonly targets: ReadonlyMap<string, string>;
}

interface SignedPart {
  readonly _type: string;
  readonly version: number;
  readonly targets?: Readonly<Record<string, { readonly hashes: { readonly sha256: string } }>>;
  readonly bulla?: { readonly role?: string; readonly log?: { readonly sha256: string } };
}

/** Reads bytes as a metadata file; undefined where they are none. */
export function readFacts(bytes: Uint8Array): FileFacts | undefined {
  const text = Buffer.from(bytes).toString();
  const at = text.indexOf(',"signed":');
  if (!text.startsWith('{"signatures":') || at < 0) return undefined;
  const signedText = text.slice(at + ',"signed":'.length, -1);
  const signed = JSON.parse(signedText) as SignedPart;
  const log = signed.bulla?.log?.sha256;
  return {
    role: signed._type === 'targets' ? (signed.bulla?.role ?? '') : signed._type,
    version: signed.version,
    signedText,
    log: log === undefined ? undefined : (`sha256:${log}` as Digest),
    targets: new Map(Object.entries(signed.targets ?? {}).map(([name, { hashes }]) => [name, hashes.sha256])),
  };
}

interface LogJson {
  readonly since: string;
  readonly entries: readonly {
    readonly id: string;
    readonly at: string;
    readonly set?: Readonly<Record<string, { readonly sha256: string }>>;
    readonly unset?: readonly string[];
  }[];
}

export function readRoleFile(facts: FileFacts, digest: Digest, log: Uint8Array): RoleFile {
  const { since, entries } = JSON.parse(Buffer.from(log).toString()) as LogJson;
  const { role, version, targets } = facts;
  return {
    role,
    version,
    digest,
    since,
    targets,
    entries: entries.map(({ id, at, set, unset }) => ({
      id,
      at,
      ...(set !== undefined && {
        set: new Map(Object.entries(set).map(([name, { sha256 }]) => [name, sha256])),
      }),
      ...(unset !== undefined && { unset: new Set(unset) }),
    })),
  };
}

export function namesIn(entry: Entry): readonly string[] {
  return [...(entry.set?.keys() ?? entry.unset ?? [])];
}

/** Names after these changes. */
export function applyAll(
  targets: ReadonlyMap<string, string>,
  entries: readonly Entry[],
): Map<string, string> {
  const next = new Map(targets);
  for (const { set, unset } of entries) {
    for (const [name, sha256] of set ?? []) next.set(name, sha256);
    for (const name of unset ?? []) next.delete(name);
  }
  return next;
}

export function sameNames(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([name, sha256]) => b.get(name) === sha256);
}

/** What a change does, whatever its id: by it a change is known to be one that somebody asked for. */
export function meaningOf(role: string, { set, unset }: Change): string {
  const said =
    set === undefined
      ? [...(unset ?? [])].sort()
      : [...set].map(([name, to]) => `${name}=${hashOf(to)}`).sort();
  return `${role} ${set === undefined ? 'unset' : 'set'} ${said.join(' ')}`;
}

/** A change as a log or as its maker has it. */
export interface Change {
  readonly set?: ReadonlyMap<string, string | { readonly sha256: string }> | undefined;
  readonly unset?: ReadonlySet<string> | undefined;
}

function hashOf(content: string | { readonly sha256: string }): string {
  return typeof content === 'string' ? content : content.sha256;
}
