import type { ComparedName } from '../../actions/import-notary/compare.ts';
import type { NotaryImport } from '../../actions/import-notary/import.ts';
import type { NotCarried, PlannedSigner } from '../../actions/import-notary/plan.ts';
import type { VerifiedNotary } from '../../actions/import-notary/verify-source.ts';
import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import type { Tag } from '../../oci/reference.ts';
import type { NamedContent } from '../../trust/format/log.ts';
import type { Printer } from './printer.ts';

type Contents = ReadonlyMap<Tag, NamedContent>;
type Imported = Extract<NotaryImport, { readonly outcome: 'imported' }>;
type Updated = Extract<NotaryImport, { readonly outcome: 'updated' }>;

/** A private key of docker that is in the key store now. */
export interface ShownDockerKey {
  readonly name: string;
  readonly keyid: string;
  readonly notaryId: string;
  readonly role: string | undefined;
  readonly gun: string | undefined;
}

/** What became of an import. @throws BullaError conflict, digest-mismatch, name-not-signed where a person must look */
export function printImport(
  output: Printer,
  verified: VerifiedNotary,
  place: string,
  result: NotaryImport,
  dockerKeys: Readonly<Record<'root' | 'targets' | 'signers', readonly ShownDockerKey[]>> | undefined,
): void {
  if (result.outcome === 'planned') planResult(output, verified, place, result.contents, result.notCarried);
  else if (result.outcome === 'imported') {
    const { root = [], targets = [], signers = [] } = dockerKeys ?? {};
    importResult(output, verified, place, result, [...new Set([...root, ...targets, ...signers])]);
  } else if (result.outcome === 'updated') updateResult(output, verified, place, result);
  else {
    if (result.outcome === 'present') output.info(`${place} holds all of it already: nothing was changed`);
    comparisonResult(output, verified, place, result.names);
  }
}

/** What `--dry-run` shows: all that would be made, and what would not. */
function planResult(
  output: Printer,
  verified: VerifiedNotary,
  place: string,
  contents: Contents,
  notCarried: readonly NotCarried[],
): void {
  output.result(
    [
      `would make a collection at ${place} of ${verified.gun}`,
      ...nameLines(verified, contents),
      ...verified.plan.signers.map(signerLine),
      ...missingLines(notCarried),
    ],
    {
      ...aboutJson(verified, place),
      dryRun: true,
      outcome: 'planned',
      head: null,
      evidence: null,
      names: namesJson(verified, contents),
      signers: verified.plan.signers.map((planned) => signerJson(planned, undefined)),
      notCarried,
    },
  );
}

/** What an import made. */
function importResult(
  output: Printer,
  verified: VerifiedNotary,
  place: string,
  { imported, contents, notCarried, signers, chosen }: Imported,
  dockerKeys: readonly ShownDockerKey[],
): void {
  const absent = signers.filter(({ planned, own }) => own.length < planned.threshold);
  output.result(
    [
      `${place}  collection ${imported.id}`,
      ...Object.entries(chosen).flatMap(([role, { keys }]) =>
        keys.map(({ keyid }) => `  ${role.padEnd(7)}${keyid}`),
      ),
      ...nameLines(verified, contents),
      ...signers.map(({ planned }) => signerLine(planned)),
      ...missingLines(notCarried),
    ],
    {
      ...aboutJson(verified, place),
      dryRun: false,
      outcome: 'imported',
      id: imported.id,
      head: imported.head,
      evidence: imported.evidence,
      keys: Object.fromEntries(
        Object.entries(chosen).map(([role, { keys, threshold }]) => [
          role,
          { threshold, keys: keys.map(({ keyid }) => ({ keyid })) },
        ]),
      ),
      dockerKeys: dockerKeys.map(({ name, keyid, notaryId, role, gun }) => ({
        name,
        keyid,
        notaryId,
        role: role ?? null,
        gun: gun ?? null,
      })),
      names: namesJson(verified, contents),
      signers: signers.map(({ planned, own }) => signerJson(planned, own.length >= planned.threshold)),
      notCarried,
      shortcomings: imported.shortcomings,
    },
  );
  for (const { planned } of absent)
    output.warn(
      `what ${planned.name} has signed is not signed by ${planned.name} any more until its key signs again: bulla docker-trust sign ${place}:TAG, where that key is`,
    );
  for (const sentence of imported.shortcomings) output.warn(`${place}: ${sentence}`);
  output.info(`compare the two at any time: bulla import notary ${place} --check`);
  output.info('elsewhere, pin the root key above: bulla pin REPOSITORY --root-key-id ID');
}

/** What an update changed, or would. @throws BullaError conflict where something was left for a person to decide */
function updateResult(
  output: Printer,
  verified: VerifiedNotary,
  place: string,
  { found, contents, notCarried, head }: Updated,
): void {
  const json = {
    ...aboutJson(verified, place),
    dryRun: head === undefined && !found.isNothing,
    outcome: found.isNothing ? 'unchanged' : head === undefined ? 'planned' : 'updated',
    head: head ?? null,
    set: [...contents].map(([tag, { sha256 }]) => ({ tag, digest: `sha256:${sha256}` })),
    unset: [...found.unset],
    newSigners: found.newSigners.map(({ name }) => name),
    newReleases: found.newReleases.map(({ key }) => key.keyid),
    toDo: found.toDo,
    notCarried,
    conflicts: found.conflicts.map(({ tag, before, notary, collection }) => ({
      tag,
      before: before ?? null,
      notary: notary ?? null,
      collection: collection ?? null,
    })),
  };
  const lines = [
    found.isNothing
      ? `nothing changed on the old server since the import: ${place}`
      : `${head === undefined ? 'would take over' : 'took over'} what changed of ${verified.gun}: ${place}`,
    ...[...contents].map(([tag, { sha256 }]) => `  ${tag}  sha256:${sha256}`),
    ...[...found.unset].map((tag) => `  ${tag}  removed`),
    ...found.newSigners.map(signerLine),
    ...found.newReleases.map(({ key }) => `  key ${key.keyid} may release names`),
    ...missingLines(notCarried),
  ];
  for (const sentence of found.toDo) output.warn(sentence);
  if (found.conflicts.length === 0 || head === undefined) {
    output.result(lines, json);
    return;
  }
  for (const { tag, notary, collection } of found.conflicts)
    output.warn(
      `${tag} is ${notary ?? 'not signed'} on the old server, and ${collection ?? 'not signed'} in the collection`,
    );
  throw new BullaError(
    'conflict',
    `${found.conflicts.length} names changed both on the old server and in ${place}; the others were taken over`,
    {
      hint: 'sign those that are right: bulla sign REPOSITORY:TAG',
      details: json,
    },
  );
}

/** How two states compare. @throws BullaError digest-mismatch, name-not-signed where they differ */
function comparisonResult(
  output: Printer,
  verified: VerifiedNotary,
  place: string,
  compared: readonly ComparedName[],
): void {
  const count = (state: ComparedName['state']): number =>
    compared.filter((name) => name.state === state).length;
  const [different, missing] = [count('different'), count('missing')];
  const names = compared.map(({ tag, notary, collection, state }) => ({
    tag,
    state,
    notary: notary ?? null,
    collection: collection ?? null,
  }));
  const json = { ...aboutJson(verified, place), outcome: 'compared', names };
  if (different + missing === 0) {
    output.result(
      [
        `${place} and ${verified.gun} agree on ${count('same')} names`,
        ...compared.flatMap(({ tag, state }) =>
          state === 'added' ? [`  ${tag}  only in the collection`] : [],
        ),
      ],
      json,
    );
    return;
  }
  for (const { tag, state, notary, collection } of compared)
    if (state === 'different' || state === 'missing')
      output.warn(
        `${tag} is ${notary} on the old server, and ${collection ?? 'not signed'} in the collection`,
      );
  throw new BullaError(
    different > 0 ? 'digest-mismatch' : 'name-not-signed',
    `${place} and ${verified.gun} differ: ${different} names have another digest, ${missing} are missing`,
    {
      hint: `take over what changed on the old server: --update; what came into the registry after the import: bulla sign --name-only ${place}:TAG@DIGEST`,
      details: json,
    },
  );
}

function nameLines({ plan }: VerifiedNotary, contents: Contents): string[] {
  return [...contents].map(([tag, { sha256 }]) => {
    const signers = plan.names.get(tag)?.signers ?? [];
    return `  ${tag}  sha256:${sha256}  ${signers.join(', ') || '(Repo Admin)'}`;
  });
}

function signerLine({ name, keys, threshold, paths }: PlannedSigner): string {
  return `  signer ${name}  ${threshold} of ${keys.length}  ${paths.join(' ')}`;
}

function missingLines(notCarried: readonly NotCarried[]): string[] {
  if (notCarried.length === 0) return [];
  return ['not carried over:', ...notCarried.map(({ kind, what, why }) => `  ${kind} ${what}: ${why}`)];
}

function aboutJson({ gun, repository, origin }: VerifiedNotary, place: string): Record<string, unknown> {
  return {
    repository: place,
    gun,
    notary: origin.place,
    asOf: origin.asOf === undefined ? null : formatTime(origin.asOf),
    expired: repository.expired.map(({ role }) => role),
  };
}

function namesJson({ plan }: VerifiedNotary, contents: Contents): readonly Record<string, unknown>[] {
  return [...contents].map(([tag, { sha256, length, mediaType }]) => ({
    tag,
    digest: `sha256:${sha256}`,
    size: length,
    mediaType: mediaType ?? null,
    signers: plan.names.get(tag)?.signers ?? [],
  }));
}

/** @param isSigned whether its own key has signed its names; undefined where nothing was made */
function signerJson(planned: PlannedSigner, isSigned: boolean | undefined): Record<string, unknown> {
  const { name, keys, threshold, paths } = planned;
  return {
    name,
    threshold,
    paths,
    keys: keys.map(({ notaryId, key }) => ({ notaryId, keyid: key.keyid })),
    names: planned.names.size,
    ...(isSigned !== undefined && { signed: isSigned }),
  };
}
