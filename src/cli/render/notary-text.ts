import { publicKeyPem } from '../../crypto/public-key.ts';
import { formatTime } from '../../encoding/time.ts';
import {
  hiddenNames,
  keystoreIds,
  listNotaryNames,
  notarySigners,
  releasedNames,
} from '../../notary/names.ts';
import type { NotaryRepository } from '../../notary/repository.ts';
import { rootKeysOf } from '../../notary/root-chain.ts';

/** A repository of Notary v1: roles, keys, names and who signs them. */
export function notaryLines(repository: NotaryRepository): string[] {
  const { gun, place, root, roles, expires, expired } = repository;
  const lines = [gun, row('notary', place), row('root', `version ${root.content.version}`)];
  for (const { keyid, key } of rootKeysOf(root.content))
    lines.push(row('root key', `${keyid}  ${key.publicKey.type}`));
  lines.push(row(expired.length > 0 ? 'expired' : 'fresh until', formatTime(expires)));
  for (const role of roles.values()) {
    const { name, content, threshold, problem, isUnread } = role;
    const state =
      problem !== undefined
        ? `does not count: ${problem.code}`
        : content === undefined
          ? isUnread === true
            ? 'not read'
            : 'has signed nothing'
          : `version ${content.version}, ${content.targets.size} names, until ${formatTime(content.expires)}`;
    lines.push(row('role', `${name}  ${state}`));
    lines.push(
      ...keystoreIds(role).map((id) =>
        row('', `key ${id}${threshold > 1 ? ` (${threshold} must sign)` : ''}`),
      ),
    );
    if (!role.paths.includes(''))
      lines.push(row('', `paths ${role.paths.map((path) => `${path}*`).join(' ') || 'none'}`));
  }
  for (const { name, digest, signers } of releasedNames(repository))
    lines.push(row('name', `${name}  ${digest}  ${signers.join(', ') || '(Repo Admin)'}`));
  for (const { name, role } of hiddenNames(repository))
    lines.push(row('hidden', `${name}  is outside of the paths of ${role}`));
  return lines;
}

/** For `-o json` (spec/output.md). */
export function notaryJson(repository: NotaryRepository, trusted: boolean): Record<string, unknown> {
  const { gun, place, root, roles, timestamp, snapshot, expires, expired, roots } = repository;
  return {
    trusted,
    gun,
    place,
    expires: formatTime(expires),
    expired: expired.map(({ role }) => role),
    root: {
      version: root.content.version,
      verifiedFrom: roots[0]?.content.version ?? root.content.version,
      expires: formatTime(root.content.expires),
      keys: rootKeysOf(root.content).map(({ keyid, keystoreId, key }) => ({
        keyid,
        keystoreId,
        type: key.publicKey.type,
      })),
    },
    versions: { timestamp: timestamp.content.version, snapshot: snapshot.content.version },
    roles: [...roles.values()].map((role) => ({
      role: role.name,
      threshold: role.threshold,
      keys: role.keyids.map((keyid) => ({
        keyid,
        keystoreId: role.keys.get(keyid)?.key?.keystoreId ?? null,
      })),
      paths: role.paths,
      version: role.content?.version ?? null,
      expires: role.content === undefined ? null : formatTime(role.content.expires),
      count: role.content?.targets.size ?? null,
      problem: role.problem?.code ?? null,
    })),
    signers: notarySigners(repository).map(({ name, role, keyIds, threshold, paths }) => ({
      name,
      role,
      keyIds,
      threshold,
      paths,
    })),
    names: listNotaryNames(repository).map(({ name, role, digest, length }) => ({
      name,
      role,
      digest: digest ?? null,
      length,
    })),
    released: releasedNames(repository).map(({ name, digest, length, signers }) => ({
      name,
      digest,
      length,
      signers,
    })),
    hidden: hiddenNames(repository).map(({ name, role, digest }) => ({ name, role, digest: digest ?? null })),
  };
}

/** A root key as `bulla pin --notary` prints it. */
export function rootKeyJson({ root }: NotaryRepository): readonly Record<string, unknown>[] {
  return rootKeysOf(root.content).map(({ keyid, keystoreId, key }) => ({
    keyid,
    keystoreId,
    type: key.publicKey.type,
    pem: publicKeyPem(key.publicKey),
  }));
}

function row(title: string, value: string): string {
  return `  ${title.padEnd(13)} ${value}`;
}
