import { noTrustData } from '../actions/verify/notary.ts';
import { publicKeyPem } from '../crypto/public-key.ts';
import { formatTime } from '../encoding/time.ts';
import { type BullaError, isBullaError } from '../errors.ts';
import { hiddenNames, keystoreIds, listNotaryNames, notarySigners, releasedNames } from '../notary/names.ts';
import {
  type NotaryRepository,
  type NotaryVerifyOptions,
  verifyNotaryRepository,
} from '../notary/repository.ts';
import { rootKeysOf } from '../notary/root-chain.ts';
import type { NotarySource } from '../notary/source.ts';
import { formatRepository } from '../oci/reference.ts';
import { gunOf, type NotaryFlags, notaryTrust, openNotarySource, parseGun } from './flags/notary-flags.ts';
import type { Context } from './shell/context.ts';

/** A repository that is shown; `untrusted` says why nothing of it may be relied on. */
interface ShownNotary {
  readonly repository: NotaryRepository;
  readonly untrusted: BullaError | undefined;
}

/**
 * Reads a repository to show it. What is not pinned, or has expired, is shown with a warning, and nothing of
 * it is remembered.
 * @throws BullaError not-found where there is no trust data; as verifyNotaryRepository
 */
export async function showNotary(
  context: Context,
  text: string,
  flags: NotaryFlags & { readonly notary: string },
): Promise<ShownNotary> {
  const reference = parseGun(text);
  const gun = gunOf(reference, flags.collection);
  const source = remembering(await openNotarySource(context, reference, gun, flags.notary));
  const trust = await notaryTrust(context, gun, source, flags);
  try {
    const repository = await verifyNotaryRepository(source, { ...trust, badDelegation: 'report' });
    if (repository === undefined) throw noTrustData(gun, source.place);
    return { repository, untrusted: undefined };
  } catch (error) {
    if (!isBullaError(error, 'trust-unpinned', 'trust-expired')) throw error;
    const repository = await asItSays(source, trust, error.code === 'trust-unpinned');
    const hint = error.hint === undefined ? '' : `; ${error.hint}`;
    context.output.warn(`${error.message}. What follows is what ${source.place} says of itself${hint}`);
    return { repository, untrusted: error };
  }
}

async function asItSays(
  source: NotarySource,
  trust: NotaryVerifyOptions,
  isUnpinned: boolean,
): Promise<NotaryRepository> {
  const { memory: _, pin, ...rest } = trust;
  const shown = await verifyNotaryRepository(source, {
    ...rest,
    pin: isUnpinned || pin === undefined ? { kind: 'tofu' } : pin,
    allowExpired: true,
    badDelegation: 'report',
  });
  if (shown === undefined) throw noTrustData(trust.gun, source.place);
  return shown;
}

/** The same source, that asks for each file once. */
function remembering(source: NotarySource): NotarySource {
  const files = new Map<string, Promise<Uint8Array | undefined>>();
  return {
    place: source.place,
    fetch: (file, maxBytes) => {
      const key = JSON.stringify([file.role, file.version, file.sha256]);
      const known = files.get(key) ?? source.fetch(file, maxBytes);
      files.set(key, known);
      return known;
    },
  };
}

/** What `bulla inspect --notary` does. */
export async function inspectNotary(
  context: Context,
  text: string,
  flags: NotaryFlags & { readonly notary: string },
): Promise<void> {
  const { repository, untrusted } = await showNotary(context, text, flags);
  for (const warning of repository.warnings) context.output.warn(warning);
  const json = inspectionJson(repository, untrusted === undefined);
  context.output.result(inspectionLines(repository), {
    reference: formatRepository(parseGun(text)),
    ...json,
  });
}

function inspectionLines(repository: NotaryRepository): string[] {
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

function inspectionJson(repository: NotaryRepository, trusted: boolean): Record<string, unknown> {
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
