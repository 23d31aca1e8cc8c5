import { parseCertificates } from '../../crypto/certificate.ts';
import { BullaError } from '../../errors.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { parseMetadataFile } from '../../tuf/metadata-file.ts';
import { parseRoot, type Root, topLevelKeys } from '../../tuf/root.ts';
import { countSignatures } from '../../tuf/threshold.ts';
import { bindingCheck, collectionIdOf, rootBindingOf } from '../format/binding.ts';
import { assertCertified } from './certified-root.ts';
import type { Anchor } from './collection.ts';
import { isPinnedBy, type Pin, type PinnedTrust } from './pin.ts';
import { collectionOfRoot, followRoots, newestOf, type RootFiles, shorterChain } from './root-chain.ts';

/** The configured trust root of a repository, and where it comes from. */
export interface TrustStart {
  /** `HOST/REPOSITORY` or layout that was asked for, for messages. */
  readonly repository: string;
  /** Whether the collection may carry this name. */
  readonly isNamed: (collection: string) => boolean;
  readonly now: Date;
  readonly pin?: Pin | undefined;
  /** Key ids cannot be compared, and no pin allowed it before: no trust on first use. */
  readonly isUnattended: boolean;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Says where a collection's trust begins (spec/trust-reading.md, "Bootstrap"). */
export function anchorFor(start: TrustStart): { readonly anchor: Anchor; readonly isPinned: boolean } {
  const { pin } = start;
  if (pin === undefined) return { anchor: (roots) => refuseUnpinned(roots, start), isPinned: false };
  const anchor = anchorOf(pin.trust, start);
  return {
    isPinned: isPinnedBy(pin),
    anchor: async (roots) => {
      const { minRootVersion } = pin;
      if (minRootVersion !== undefined && newestOf(roots) < minRootVersion)
        throw shorterChain(minRootVersion, newestOf(roots));
      return await anchor(roots);
    },
  };
}

function anchorOf(trust: PinnedTrust, start: TrustStart): Anchor {
  switch (trust.kind) {
    case 'root':
      return async () => ({ id: collectionOfRoot(trust.bytes, start.now), initialRoot: trust.bytes });
    case 'key-ids':
      return (roots) => pinnedByKeys(roots, new Set(trust.keyIds), start);
    case 'ca':
      return (roots) => certified(roots, trust.pem, start);
    case 'tofu':
      return (roots) => firstUse(roots, start);
  }
}

/** The newest root that meets its own threshold with pinned keys alone; that one is listed does not count. */
async function pinnedByKeys(
  roots: RootFiles,
  pinned: ReadonlySet<string>,
  start: TrustStart,
): ReturnType<Anchor> {
  for (const version of [...roots.versions].reverse()) {
    const initialRoot = await roots.load(version);
    const file = parseMetadataFile(initialRoot, 'root', DEFAULT_LIMITS.rootBytes);
    const root = parseRoot(file);
    const { keyids, threshold } = topLevelKeys(root, 'root');
    const role = { keyids: keyids.filter((id) => pinned.has(id)), threshold };
    // An id pins a key only where it is the key's hash.
    if (!countSignatures(file, root.keys, role, { strictKeyIds: true }).isMet) continue;
    return { id: version === 1 ? collectionIdOf(initialRoot) : rootBindingOf(file).id, initialRoot };
  }
  throw new BullaError(
    'trust-invalid',
    `no root of ${start.repository} is signed by a threshold of the pinned keys`,
    {
      hint: 'it is not the collection that was pinned, or its keys were rotated and the pin names none of any root, or fingerprints were pinned and not ids: ask its publisher',
      details: { reason: 'pin', keyIds: [...pinned] },
    },
  );
}

/** Every root of the chain must be certified; the newest by certificates that are valid now. */
async function certified(roots: RootFiles, pem: string, start: TrustStart): ReturnType<Anchor> {
  const { now, isNamed } = start;
  const authorities = parseCertificates(pem, 'the pinned authority');
  const initialRoot = await roots.load(1);
  await followRoots(initialRoot, roots, now, bindingCheck(roots.id, isNamed), (root) => {
    const isNewest = root.content.version === newestOf(roots);
    assertCertified(root, authorities, isNewest ? now : undefined);
  });
  return { id: roots.id, initialRoot };
}

async function firstUse(roots: RootFiles, start: TrustStart): ReturnType<Anchor> {
  if (start.isUnattended) return await refuseUnpinned(roots, start);
  const { initialRoot, newest } = await servedChain(roots, start);
  start.onWarning?.(
    `${start.repository} is trusted on first use, without verification: compare its root keys with those that its publisher gives you: ${rootKeyIds(newest).join(' ')}`,
  );
  return { id: roots.id, initialRoot };
}

async function refuseUnpinned(roots: RootFiles, start: TrustStart): ReturnType<Anchor> {
  const { repository } = start;
  const { newest } = await servedChain(roots, start);
  const keyIds = rootKeyIds(newest);
  const { threshold } = topLevelKeys(newest, 'root');
  throw new BullaError(
    'trust-unpinned',
    `no trust root configured for ${repository}, for which ${threshold === 1 ? 'one' : threshold} of these root keys must sign: ${keyIds.join(' ')}`,
    {
      hint:
        keyIds.length === 0
          ? `their ids are not those of their keys, and can't be pinned: get the root file from its publisher, then: bulla pin ${repository} --root FILE`
          : `compare them with what its publisher tells you, then: bulla pin ${repository} ${keyIds.map((id) => `--root-key-id ${id}`).join(' ')}`,
      details: { repository, collection: roots.id, rootVersion: newest.version, keyIds, threshold },
    },
  );
}

/** The chain that is there, from its own first root: it holds together, and that is all that is known. */
async function servedChain(
  roots: RootFiles,
  { now, isNamed }: TrustStart,
): Promise<{ readonly initialRoot: Uint8Array; readonly newest: Root }> {
  const initialRoot = await roots.load(1);
  const { content } = await followRoots(initialRoot, roots, now, bindingCheck(roots.id, isNamed));
  return { initialRoot, newest: content };
}

/** Ids that can be pinned. Others may be any text, which people would be told to paste into a shell. */
function rootKeyIds(root: Root): readonly string[] {
  const { keyids } = topLevelKeys(root, 'root');
  return keyids.filter((keyid) => root.keys.get(keyid)?.hasCorrectId === true);
}
