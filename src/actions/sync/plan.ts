import { wholeExpression } from '../../encoding/bounded-regexp.ts';
import { type Mistake, mistakesText, parseLocated } from '../../encoding/located-yaml.ts';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { canonicalHost } from '../../oci/host.ts';
import { type PlatformSelector, parsePlatform } from '../../oci/platform.ts';
import {
  formatRepository,
  isRepositoryName,
  isTag,
  parseReference,
  type Reference,
  type Tag,
} from '../../oci/reference.ts';
import { checkSelection, type TagSelection } from '../copy/selection.ts';
import { type Expressions, expressionsOf } from './expressions.ts';
import { type SyncDocument, type SyncEntryDocument, type SyncSettings, syncSchema } from './schema.ts';

/** When an entry is run. */
export interface SyncTiming {
  /** Milliseconds from the beginning of one run to that of the next. */
  readonly intervalMs?: number | undefined;
  /** A cron expression; `intervalMs` is left out then. */
  readonly schedule?: string | undefined;
}

/** Where something is copied from or to: a repository or image, or a registry with the beginning of repository names. */
export type SyncPlace =
  | { readonly kind: 'reference'; readonly reference: Reference }
  | { readonly kind: 'registry'; readonly registry: string; readonly prefix: string };

/** One thing that is kept in sync. */
export interface SyncEntry extends SyncTiming {
  /** As the file names it: `source => target`. */
  readonly title: string;
  /** All that the file says of it. */
  readonly text: string;
  readonly source: SyncPlace;
  readonly target: SyncPlace;
  readonly type: SyncEntryDocument['type'];
  /** For a registry: which of its repositories. */
  readonly repositories: Expressions;
  readonly selection: TagSelection;
  readonly platform: PlatformSelector | undefined;
  readonly referrers: boolean;
  readonly fast: boolean;
  readonly prune: boolean;
  readonly backup: ((tag: Tag) => Tag) | undefined;
  /** What is not verified at the source is not copied. */
  readonly isVerified: boolean;
}

/** What a file says, checked. */
export interface SyncPlan {
  readonly entries: readonly SyncEntry[];
  readonly creds: NonNullable<SyncDocument['creds']>;
  /** Entries at the same time. */
  readonly parallel: number;
}

const DEFAULT_PARALLEL = 2;
const TAG_IN_BACKUP = '{{.Ref.Tag}}';

/**
 * Reads a file of `bulla sync`, YAML or JSON (spec/sync.md).
 * @param where names the file in messages
 * @param isSchedule whether a text is a cron expression
 * @throws BullaError config-invalid; its details list every mistake with line and column
 */
export function parseSync(source: string, where: string, isSchedule: (text: string) => boolean): SyncPlan {
  const document = parseLocated(
    source,
    syncSchema,
    (found) => mistakesIn(found, isSchedule),
    (mistakes, cause) =>
      new BullaError('config-invalid', `${where}: ${mistakesText(mistakes)}`, {
        cause,
        hint: 'correct the file; spec/sync.md describes what it may hold',
        details: { mistakes },
      }),
  );
  return planOf(document);
}

/**
 * Checks a document that was not read from a file.
 * @throws BullaError config-invalid
 */
export function checkedPlan(document: SyncDocument, isSchedule: (text: string) => boolean): SyncPlan {
  return parseSync(JSON.stringify(document), 'the configuration', isSchedule);
}

function planOf({ creds = [], defaults = {}, sync }: SyncDocument): SyncPlan {
  const { parallel = DEFAULT_PARALLEL, ...common } = defaults;
  return { creds, parallel, entries: sync.map((entry) => entryOf(withDefaults(entry, common))) };
}

/** An entry with an interval or a schedule of its own has neither of the defaults. */
function withDefaults(entry: SyncEntryDocument, defaults: SyncSettings): SyncEntryDocument {
  const { interval, schedule, ...rest } = defaults;
  const isTimed = entry.interval !== undefined || entry.schedule !== undefined;
  return { ...rest, ...(isTimed ? {} : { interval, schedule }), ...entry };
}

function entryOf(entry: SyncEntryDocument): SyncEntry {
  const { source, target, type, repos = {}, tags = {}, platform, backup, schedule, interval } = entry;
  const expressions = tags.allow !== undefined || tags.deny !== undefined ? expressionsOf(tags) : undefined;
  return {
    title: `${source} => ${target}`,
    text: JSON.stringify(entry),
    source: placeOf(source, type),
    target: placeOf(target, type),
    type,
    repositories: expressionsOf(repos),
    selection: {
      ...(expressions !== undefined && { expressions }),
      semver: tags.semverRange?.join(' || '),
      newest: tags.newest,
    },
    platform: platform === undefined ? undefined : parsePlatform(platform),
    referrers: entry.referrers ?? true,
    fast: entry.fastCopy ?? false,
    prune: entry.prune ?? false,
    isVerified: entry.verify ?? false,
    backup: backup === undefined ? undefined : (tag) => backup.replaceAll(TAG_IN_BACKUP, tag) as Tag,
    ...(schedule === undefined ? { intervalMs: interval && (parseDuration(interval) ?? 0) } : { schedule }),
  } as SyncEntry;
}

function placeOf(text: string, type: SyncEntryDocument['type']): SyncPlace {
  if (type !== 'registry') {
    const reference = parseReference(text);
    const isTagless = type === 'image' || (reference.tag === undefined && reference.digest === undefined);
    if (isTagless) return { kind: 'reference', reference };
    throw new BullaError('usage', `${JSON.stringify(text)} names an image, and the type is repository`, {
      hint: 'leave the tag out; tags.allow selects tags',
    });
  }
  const [host = '', ...path] = text.split('/');
  const registry = canonicalHost(host);
  const prefix = path.join('/');
  if (registry !== undefined && (prefix === '' || isRepositoryName(prefix)))
    return { kind: 'registry', registry, prefix };
  throw new BullaError('usage', `${JSON.stringify(text)} is not a registry`, {
    hint: 'write HOST or HOST/PREFIX',
  });
}

function mistakesIn(document: SyncDocument, isSchedule: (text: string) => boolean): readonly Mistake[] {
  const { defaults = {}, creds = [], sync } = document;
  const hosts = creds.map(({ registry }) => canonicalHost(registry));
  return [
    ...inSettings(defaults, ['defaults'], isSchedule),
    ...creds.flatMap(({ user, pass }, index) => [
      ...unless(hosts[index] !== undefined, ['creds', index, 'registry'], 'it is not the name of a host'),
      ...unless(
        hosts.indexOf(hosts[index]) >= index,
        ['creds', index, 'registry'],
        'the registry is in the list twice',
      ),
      ...unless(
        (user === undefined) === (pass === undefined),
        ['creds', index],
        'user and pass belong together',
      ),
    ]),
    ...sync.flatMap((entry, index) => inEntry(entry, ['sync', index], defaults, isSchedule)),
    ...overlapping(sync),
  ];
}

function inEntry(
  entry: SyncEntryDocument,
  path: readonly PropertyKey[],
  defaults: SyncSettings,
  isSchedule: (text: string) => boolean,
): readonly Mistake[] {
  const { type, source, target, tags, repos, prune } = entry;
  const { backup = defaults.backup, verify = defaults.verify, platform = defaults.platform } = entry;
  return [
    ...unless(
      verify !== true || platform === undefined,
      [...path, entry.verify === undefined ? 'platform' : 'verify'],
      'what is verified is copied whole: verify and platform exclude each other',
    ),
    ...told([...path, 'source'], () => checkSource(source, type)),
    ...told([...path, 'target'], () => placeOf(target, type)),
    ...inSettings(entry, path, isSchedule),
    ...inExpressions(tags, [...path, 'tags']),
    ...inExpressions(repos, [...path, 'repos']),
    ...unless(
      repos === undefined || type === 'registry',
      [...path, 'repos'],
      'repos select repositories of a registry: type is not registry',
    ),
    ...unless(
      type !== 'image' || tags === undefined,
      [...path, 'tags'],
      'tags select tags of a repository: type is image',
    ),
    ...unless(type !== 'image' || prune !== true, [...path, 'prune'], 'one image has nothing to prune'),
    ...unless(
      prune !== true || backup === undefined,
      [...path, 'prune'],
      'prune would remove the tags that backup makes',
    ),
  ];
}

function checkSource(source: string, type: SyncEntryDocument['type']): void {
  const place = placeOf(source, type);
  if (type !== 'image' || place.kind === 'registry') return;
  if (place.reference.tag === undefined && place.reference.digest === undefined)
    throw new BullaError('usage', 'an image has a tag or a digest', { hint: 'add :TAG or @DIGEST' });
}

function inSettings(
  { interval, schedule, platform, backup }: SyncSettings,
  path: readonly PropertyKey[],
  isSchedule: (text: string) => boolean,
): readonly Mistake[] {
  return [
    ...unless(
      interval === undefined || (parseDuration(interval) ?? 0) >= 1000,
      [...path, 'interval'],
      `${JSON.stringify(interval)} is not a duration of a second or more, such as 60m`,
    ),
    ...unless(
      schedule === undefined || isSchedule(schedule),
      [...path, 'schedule'],
      `${JSON.stringify(schedule)} is not a cron expression of five fields, such as "15 1 * * *"`,
    ),
    ...unless(
      interval === undefined || schedule === undefined,
      [...path, 'schedule'],
      'interval and schedule exclude each other',
    ),
    ...(platform === undefined ? [] : told([...path, 'platform'], () => parsePlatform(platform))),
    ...unless(
      backup === undefined ||
        (backup.includes(TAG_IN_BACKUP) && isTag(backup.replaceAll(TAG_IN_BACKUP, 'v1'))),
      [...path, 'backup'],
      `it is not the name of a tag with ${TAG_IN_BACKUP} in it`,
    ),
  ];
}

function inExpressions(
  names: (SyncEntryDocument['tags'] & object) | undefined,
  path: readonly PropertyKey[],
): readonly Mistake[] {
  return (['allow', 'deny'] as const).flatMap((member) =>
    (names?.[member] ?? []).flatMap((text, index) =>
      unless(
        wholeExpression(text) !== undefined,
        [...path, member, index],
        `${JSON.stringify(text)} is not a regular expression of JavaScript`,
      ),
    ),
  );
}

/** Two entries that write to one repository would undo each other's pruning, and wait for each other. */
function overlapping(sync: readonly SyncEntryDocument[]): readonly Mistake[] {
  const seen = new Map<string, number>();
  return sync.flatMap(({ target, type, prune }, index) => {
    if (type !== 'repository') return [];
    const place =
      told([], () => placeOf(target, type)).length > 0 ? target : formatRepository(parseReference(target));
    const before = seen.get(place);
    seen.set(place, index);
    const isPruned = prune === true || (before !== undefined && sync[before]?.prune === true);
    return unless(
      before === undefined || !isPruned,
      ['sync', index, 'target'],
      'another entry has the same target, and one of them prunes it',
    );
  });
}

function unless(isRight: boolean, path: readonly PropertyKey[], message: string): readonly Mistake[] {
  return isRight ? [] : [{ path, message }];
}

/** What `demand` throws, as a mistake. */
function told(path: readonly PropertyKey[], demand: () => unknown): readonly Mistake[] {
  try {
    demand();
    return [];
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return [{ path, message: error.message }];
  }
}

/**
 * Checks what takes a library to check.
 * @throws BullaError config-invalid
 */
export async function checkRanges({ entries }: SyncPlan, where: string): Promise<void> {
  for (const { selection, title } of entries) {
    try {
      await checkSelection(selection);
    } catch (cause) {
      if (!(cause instanceof BullaError)) throw cause;
      throw new BullaError('config-invalid', `${where}: ${title}: ${cause.message}`, {
        cause,
        hint: cause.hint ?? 'correct the file',
      });
    }
  }
}
