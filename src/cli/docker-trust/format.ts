import { compareBytes, compareNatural } from '../../actions/docker-trust/natural-order.ts';
import type { NamedKeys, TrustInfo } from '../../actions/docker-trust/trust-info.ts';

/** Whom docker says to have signed what no signer has: in brackets in its tables. */
const REPO_ADMIN = 'Repo Admin';
/** Digits of a key id that docker shows in a table. */
const SHORT_ID = 12;
/** Least width of a column, and the space after its widest cell, in characters. */
const CELL = { min: 10, space: 3 };

/** What `docker trust inspect` prints: JSON with four spaces, escaped as Go does it. */
export function inspectJson(infos: readonly TrustInfo[]): string {
  const text = JSON.stringify(infos.map(dockerJson), undefined, 4);
  return `${text.replace(/[<>&\u2028\u2029]/g, escaped)}\n`;
}

/** One repository as docker has it in JSON: members in its order, empty ones left out where it does. */
export function dockerJson(info: TrustInfo): Record<string, unknown> {
  const { name, tags, signers, rootKeys, repositoryKeys } = info;
  const keys = (role: NamedKeys): Record<string, unknown> => ({
    ...(role.name !== '' && { Name: role.name }),
    ...(role.keyIds.length > 0 && { Keys: role.keyIds.map((ID) => ({ ID })) }),
  });
  return {
    Name: name,
    SignedTags: tags.map(({ tag, digest, signers: by }) => ({
      SignedTag: tag,
      Digest: digest,
      Signers: by.length === 0 ? [REPO_ADMIN] : by,
    })),
    // From the last name to the first.
    Signers: [...signers].sort((a, b) => compareBytes(b.name, a.name)).map(keys),
    AdministrativeKeys: [
      { name: 'Root', keyIds: rootKeys },
      { name: 'Repository', keyIds: repositoryKeys },
    ].map(keys),
  };
}

/** What `docker trust inspect --pretty` prints of one repository. */
export function inspectPretty({ name, tags, signers, rootKeys, repositoryKeys }: TrustInfo): string {
  const signed = tags.map(({ tag, digest, signers: by }) => [
    tag,
    digest,
    by.length === 0 ? `(${REPO_ADMIN})` : [...by].sort(compareBytes).join(', '),
  ]);
  const listed = [...signers]
    .sort((a, b) => compareNatural(a.name, b.name))
    .map((signer) => [
      signer.name,
      [...signer.keyIds]
        .sort()
        .map((id) => id.slice(0, SHORT_ID))
        .join(', '),
    ]);
  return [
    tags.length === 0 ? `\nNo signatures for ${name}\n\n` : `\nSignatures for ${name}\n\n`,
    tags.length === 0 ? '' : table([['SIGNED TAG', 'DIGEST', 'SIGNERS'], ...signed]),
    listed.length === 0 ? '' : `\nList of signers and their keys for ${name}\n\n`,
    listed.length === 0 ? '' : table([['SIGNER', 'KEYS'], ...listed]),
    `\nAdministrative keys for ${name}\n\n`,
    `  Repository Key:\t${[...repositoryKeys].sort().join(', ')}\n`,
    `  Root Key:\t${[...rootKeys].sort().join(', ')}\n`,
  ].join('');
}

/** The question of a command that takes something away, as docker asks it. */
export function question(text: string): string {
  return `${text} [y/N] `;
}

/** Columns as docker aligns them; the last one is not padded. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(CELL.min, ...rows.map((row) => length(row[column] ?? '') + CELL.space)),
  );
  const cell = (text: string, column: number, row: readonly string[]): string =>
    column === row.length - 1 ? text : text + ' '.repeat((widths[column] ?? 0) - length(text));
  return rows.map((row) => `${row.map(cell).join('')}\n`).join('');
}

function length(text: string): number {
  return [...text].length;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
