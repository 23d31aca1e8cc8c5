import type { InspectedCollection } from '../../actions/inspect/collection.ts';
import { isJsonObject } from '../../encoding/json.ts';
import { formatTime } from '../../encoding/time.ts';
import { isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { digestOf } from '../../oci/digest.ts';
import { logDescriptorOf } from '../../trust/format/log.ts';
import { overviewOf, type RoleOverview } from '../../trust/report/overview.ts';
import { formatVersion } from '../../tuf/edit/policy.ts';
import { metadataFileName } from '../../tuf/role-name.ts';
import { collectionJson, expiryPiece, roleJson } from './collection-text.ts';
import { type Line, plainName } from './style.ts';
import { sizeText } from './tree-text.ts';

/** All that a collection consists of, but for the names, for people and for `-o json` (spec/output.md). */
export function collectionInspection(
  shown: InspectedCollection,
  keyNames: ReadonlyMap<string, string>,
  now: Date,
): { readonly lines: readonly Line[]; readonly json: Record<string, unknown> } {
  const overview = overviewOf(shown.copy);
  const { object } = shown.looked.collection;
  const drawing = { now, keyNames, names: 0 };
  const { place, id, name, head, created, roles } = overview;
  const lines: Line[] = [
    [['strong', place]],
    row('collection', id),
    row('made for', name),
    row('head', `${head}  ${sizeText(object.content.descriptor.size)}`),
  ];
  if (created !== undefined) lines.push(row('as of', formatTime(created)));
  if (object.bins !== undefined)
    lines.push(row('bins', `${2 ** object.bins.bits} in ${object.bins.shards.length} shards`));
  for (const role of roles) lines.push(...roleLines(role, keyNames, now));
  const json = {
    trusted: shown.trusted,
    ...collectionJson(overview, drawing),
    roles: roles.map((role) => ({ ...roleJson(role, drawing), names: undefined, ...filesJson(role) })),
  };
  return { lines, json };
}

function roleLines(overview: RoleOverview, keyNames: ReadonlyMap<string, string>, now: Date): Line[] {
  const { role, version, threshold, keys, signedBy, paths, count, bins } = overview;
  const written = formatVersion(version);
  const lines: Line[] = [
    ['  ', ['strong', plainName(role)]],
    row('  version', written === String(version) ? written : `${written} (${version})`),
    [`    ${'expires'.padEnd(11)} `, expiryPiece(overview, now, '')],
    row('  threshold', `${threshold} of ${keys.length}`),
  ];
  for (const key of keys) {
    const name = keyNames.get(key.fingerprint ?? '');
    const said = [String(key.json['scheme']), ...(name === undefined ? [] : [name])];
    if (signedBy.includes(key.keyid)) said.push('has signed');
    if (key.problem !== undefined) said.push(key.problem);
    lines.push(row('  key', `${key.keyid}  ${said.join('  ')}`));
  }
  if (paths !== undefined) lines.push(row('  may name', paths.map(plainName).join(', ')));
  if (count !== undefined)
    lines.push(row('  names', `${count}${bins === undefined ? '' : ` in ${bins} bins`}`));
  lines.push(row('  file', fileText(overview)));
  const log = logOf(overview);
  if (log !== undefined) lines.push(row('  log', `${log.digest}  ${sizeText(log.size)}`));
  return lines;
}

function fileText(overview: RoleOverview): string {
  const { bytes } = overview.file;
  return `${digestOf(bytes)}  ${sizeText(bytes.byteLength)}  ${fileName(overview)}`;
}

function fileName({ role, version }: RoleOverview): string {
  return metadataFileName(role, role === 'timestamp' ? undefined : version);
}

function filesJson(overview: RoleOverview): Record<string, unknown> {
  const { bytes, signed } = overview.file;
  const log = logOf(overview);
  return {
    file: { name: fileName(overview), digest: digestOf(bytes), size: bytes.byteLength },
    ...(log !== undefined && { log: { digest: log.digest, size: log.size } }),
    bulla: isJsonObject(signed['bulla']) ? signed['bulla'] : null,
  };
}

function logOf({ kind, file }: RoleOverview): Descriptor | undefined {
  if (kind !== 'names' && kind !== 'signer') return undefined;
  try {
    return logDescriptorOf(file);
  } catch (error) {
    // Another tool may have made it; the rest can still be shown.
    if (isBullaError(error, 'trust-invalid')) return undefined;
    throw error;
  }
}

function row(title: string, value: string): Line {
  const indent = title.startsWith('  ') ? '    ' : '  ';
  return `${indent}${title.trimStart().padEnd(11)} ${value}`;
}
