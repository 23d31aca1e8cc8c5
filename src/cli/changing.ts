import type { Command } from 'commander';
import type { IntakeEntry } from '../actions/change/intake.ts';
import type { KeysAtHand } from '../actions/sign/keys-at-hand.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { formatRepository, parseReference, type Reference } from '../oci/reference.ts';
import type { ChangeFile } from '../trust/approve/change-file.ts';
import type { PendingChange } from '../trust/approve/pending-change.ts';
import type { StructureChange } from '../trust/change/role-changes.ts';
import type { PublishOptions } from '../trust/publish/publish-options.ts';
import type { Collection } from '../trust/read/collection.ts';
import type { WorkingCopy } from '../trust/read/working-copy.ts';
import type { VersionPolicy } from '../tuf/edit/policy.ts';
import type { MissingSignatures, TufSigner } from '../tuf/edit/signing.ts';
import {
  addCollectionOptions,
  type CollectionFlags,
  type OpenedCollection,
  openCollection,
} from './flags/collection-flags.ts';
import { addPassphraseOptions, type KeyFlags } from './flags/key-flags.ts';
import { type PublishFlags, publishOptionsOf } from './flags/publish-flags.ts';
import { keysAtHand } from './flags/trust-keys.ts';
import { collect } from './flags/values.ts';
import type { Context } from './shell/context.ts';
import { pieces } from './shell/output.ts';

/** Flags of every command that changes roles or keys. */
export interface ChangeFlags extends CollectionFlags, PublishFlags, Omit<KeyFlags, 'key'> {
  readonly signWith?: readonly string[];
  readonly exportUnsigned?: string;
  readonly importSigned?: readonly string[];
  readonly stage?: true;
  readonly yes?: true;
}

/** Adds the flags of {@link ChangeFlags}. */
export function addChangeOptions(command: Command): Command {
  return addPassphraseOptions(addCollectionOptions(command))
    .option(
      '--sign-with <key>',
      'key to sign the change with: NAME of the key store, PATH, or env://VARIABLE; repeatable; keys of the key store are found by themselves',
      collect,
    )
    .option(
      '--export-unsigned <file>',
      'publish nothing: write what has to be signed, for bulla approve FILE elsewhere',
    )
    .option(
      '--import-signed <file...>',
      'publish a change that was signed elsewhere; several copies are put together',
    )
    .option(
      '--stage',
      'stage the change with the signatures that can be given here, for bulla approve elsewhere',
    )
    .option(
      '-y, --yes',
      'take in what others have announced or staged, once it was shown, without asking; else it is left waiting where nobody can be asked',
    )
    .option('--wait <duration>', 'how long to wait for a staged change to be taken up (default: 60s)')
    .option('--trust-served-head <digest>', 'build upon this head though it has expired');
}

/** What a command makes of its flags, once the collection is at hand. */
export interface ChangeMaker {
  /** Further keys that may sign: new ones sign what they are to be trusted with. */
  readonly keys?: readonly string[];
  /** False for what is only made where the registry can be asked. */
  readonly isCarried?: boolean;
  make(keys: KeysAtHand, copy: WorkingCopy): Promise<StructureChange>;
}

/**
 * Changes roles or keys of a collection: publishes the change, or writes it to be signed elsewhere, or
 * publishes what was signed there.
 * @throws BullaError threshold-not-met where keys lack; staged; conflict; usage; what reading and publishing throw
 */
export async function changeCollection(
  context: Context,
  text: string,
  flags: ChangeFlags,
  maker: ChangeMaker,
): Promise<void> {
  const reference = repositoryIn(text);
  const { exportUnsigned, importSigned = [] } = flags;
  if (exportUnsigned !== undefined && importSigned.length > 0)
    throw new BullaError('usage', '--export-unsigned and --import-signed exclude each other', {
      hint: 'export first, have it signed (bulla approve FILE), then import',
    });
  const isCarried = maker.isCarried ?? true;
  if (!isCarried && (exportUnsigned !== undefined || importSigned.length > 0 || flags.stage === true))
    throw new BullaError('usage', 'a repair is made where the registry can be asked what is broken', {
      hint: 'run it where the keys are, without --export-unsigned, --import-signed and --stage',
    });
  const opened = await openCollection(context, reference, flags, { write: exportUnsigned === undefined });
  const copy = await openCopy(context, opened);
  const keys = keysAtHand(context, { ...flags, key: [...(flags.signWith ?? []), ...(maker.keys ?? [])] });
  if (importSigned.length > 0) return await importAndPublish(context, opened, copy, keys, flags);
  const change = await maker.make(keys, copy);
  if (exportUnsigned !== undefined) return await exportTo(context, copy, change, keys, flags, exportUnsigned);
  await publish(context, opened, copy, keys, change, flags, isCarried);
}

/** A repository without a tag or digest. @throws BullaError usage */
export function repositoryIn(text: string): Reference {
  const reference = parseReference(text);
  if (reference.tag === undefined && reference.digest === undefined) return reference;
  throw new BullaError('usage', `${text} names an image, and a repository was expected`, {
    hint: `leave tag and digest out: ${formatRepository(reference)}`,
  });
}

/** The collection, also where it has expired: renewing it may be what is to be done. @throws BullaError not-found where there is none */
export async function openCopy(context: Context, opened: OpenedCollection): Promise<WorkingCopy> {
  const [{ lookAtCollection }, { WorkingCopy: Copy }] = await Promise.all([
    import('../trust/read/read-for-display.ts'),
    import('../trust/read/working-copy.ts'),
  ]);
  const looked = await lookAtCollection(opened.target, opened.read);
  if (looked === undefined)
    throw new BullaError('not-found', `${opened.place} has no trust collection`, {
      hint: `make one: bulla init ${opened.repository}; or say where it lies: --at`,
    });
  if (looked.unpinned !== undefined) throw looked.unpinned;
  if (looked.expired !== undefined) context.output.warn(looked.expired.message);
  return await Copy.open(looked.collection, { signal: context.signal });
}

async function exportTo(
  context: Context,
  copy: WorkingCopy,
  change: StructureChange,
  keys: KeysAtHand,
  flags: ChangeFlags,
  path: string,
): Promise<void> {
  const { demandsOf, exportChange } = await import('../actions/change/offline.ts');
  const options = await madeNow(context);
  // Keys that nobody named stay closed: what is exported is to be signed elsewhere.
  const named = [...(flags.signWith ?? [])].length > 0;
  const signers = named ? await keys.signersFor(await demandsOf(copy, change, options)) : [];
  const pending = await exportChange(copy, change, { ...options, signers });
  await writeChange(context, path, pending, false);
  report(context, pending, { file: path, published: null });
  sayMissing(context, pending.missing(), path);
}

async function importAndPublish(
  context: Context,
  opened: OpenedCollection,
  copy: WorkingCopy,
  keys: KeysAtHand,
  flags: ChangeFlags,
): Promise<void> {
  const { gatherChange, importChange, isPublished } = await import('../trust/approve/import-change.ts');
  const copies = await Promise.all((flags.importSigned ?? []).map((path) => readChange(context, path)));
  const pending = gatherChange(copies, context.io.now());
  if (isPublished(pending, copy)) {
    const head = copy.collection.object.content.descriptor.digest;
    context.output.info('it was published before');
    return report(context, pending, { file: null, published: head });
  }
  await publish(context, opened, copy, keys, importChange(pending), flags);
}

async function publish(
  context: Context,
  opened: OpenedCollection,
  copy: WorkingCopy,
  keys: KeysAtHand,
  change: StructureChange,
  flags: ChangeFlags,
  isCarried = true,
): Promise<void> {
  const [{ demandsOf, exportChange }, { publishEdit }] = await Promise.all([
    import('../actions/change/offline.ts'),
    import('../trust/publish/publish.ts'),
  ]);
  const options = await madeNow(context);
  const demands = await demandsOf(copy, change, options);
  const signers = await keys.signersFor(demands);
  const isWhole = flags.stage !== true && (await isOnline(copy, change, signers, options));
  // For what is told of it, and for what lacks: what is published is made anew on whatever the head is by then.
  const made = isCarried
    ? await exportChange(copy, change, { ...options, signers }).catch(isWhole ? noneCarried : rethrow)
    : undefined;
  if (made !== undefined && (!isWhole || made.missing().length > 0))
    return await stage(context, opened, copy, made, flags);
  const publishing = await publishOptionsOf(context, signers, flags);
  const intake = await agreeOnIntake(context, opened, copy, change, publishing, flags);
  const allowed = { ...publishing, intake: intake.ids };
  const { head, collection } = await publishEdit(opened.target, opened.read, change, allowed);
  if (made !== undefined) {
    const lines = await changesBetween(copy, await copyOf(context, collection), made.roles);
    return report(context, made, { file: null, published: head, lines, intake });
  }
  context.output.result(head, {
    collection: opened.name,
    file: null,
    published: head,
    ...intakeJson(intake),
  });
}

/** What a change takes in from others, and what it leaves. */
interface AgreedIntake {
  readonly ids: ReadonlySet<string>;
  readonly takenIn: readonly IntakeEntry[];
  readonly left: readonly IntakeEntry[];
}

/**
 * Shows what a change of roles would take in from others before it is signed, and asks. Without an answer it is
 * left waiting: whoever has the key of a role takes it in another time.
 */
async function agreeOnIntake(
  context: Context,
  { target }: OpenedCollection,
  copy: WorkingCopy,
  change: StructureChange,
  { chance, clock, signers }: PublishOptions,
  flags: ChangeFlags,
): Promise<AgreedIntake> {
  const { previewIntake } = await import('../actions/change/intake.ts');
  const options = { now: clock.now(), signers, chance, signal: context.signal };
  const { entries, structure, ids, left } = await previewIntake(target, copy, change, options);
  for (const entry of left)
    context.output.warn(
      `not taken in, because its key loses trust: ${intakeText(entry)}; sign it anew if it is right`,
    );
  if (ids.size === 0) return { ids, takenIn: [], left };
  context.output.told([
    'others have changed this, and it would be taken in first:',
    ...entries.flatMap((entry) => intakeLines(entry).map((line) => `  ${line}`)),
    ...structure.map((line) => `  ${line}`),
  ]);
  if (await agrees(context, flags)) return { ids, takenIn: entries, left };
  context.output.info('it is left waiting; with --yes it is taken in');
  return { ids: new Set(), takenIn: [], left: [...left, ...entries] };
}

async function agrees(context: Context, { yes }: ChangeFlags): Promise<boolean> {
  if (yes === true) return true;
  const { openTerminal, promptLine } = await import('./shell/prompt.ts');
  const terminal = openTerminal(context.io);
  if (terminal === undefined) return false;
  try {
    return /^y(?:es)?$/i.test((await promptLine('Take it in? [y/N] ', terminal)).trim());
  } finally {
    terminal.close();
  }
}

function intakeText(entry: IntakeEntry): string {
  return `${entry.role}: ${entry.changes.join('; ')} (${originText(entry)})`;
}

function intakeLines(entry: IntakeEntry): readonly string[] {
  if (entry.changes.length < 2) return [intakeText(entry)];
  return [`${entry.role} (${originText(entry)}):`, ...entry.changes.map((change) => `  ${change}`)];
}

function originText({ tags, signedBy }: IntakeEntry): string {
  const keys = signedBy.map((keyid) => keyid.slice(0, 12)).join(', ');
  return `signed by ${keys || 'no key that is known'}, at ${tags.join(', ')}`;
}

function intakeJson(intake: AgreedIntake | undefined): Record<string, unknown> {
  return { takenIn: intake?.takenIn ?? [], left: intake?.left ?? [] };
}

/** What was published may have been made anew since it was made here. */
async function changesBetween(
  before: WorkingCopy,
  after: WorkingCopy,
  roles: readonly string[],
): Promise<readonly string[]> {
  const { describeChange } = await import('../trust/change/describe-change.ts');
  return roles.flatMap((role) => {
    const [old, next] = [before, after].map(({ files }) =>
      role === 'root' ? files.roots.at(-1) : files.roles.get(role),
    );
    return next === undefined ? [] : describeChange(old, next, after.collection.id);
  });
}

async function copyOf(context: Context, collection: Collection): Promise<WorkingCopy> {
  const { WorkingCopy: Copy } = await import('../trust/read/working-copy.ts');
  return await Copy.open(collection, { signal: context.signal });
}

function rethrow(error: unknown): never {
  throw error;
}

/** Nothing is carried of files that are made where they are published: bins. */
function noneCarried(error: unknown): undefined {
  if (isBullaError(error, 'usage')) return undefined;
  throw error;
}

/** Whether snapshot and timestamp can be signed here, under the keys that they have after the change. */
async function isOnline(
  copy: WorkingCopy,
  change: StructureChange,
  signers: readonly TufSigner[],
  options: { readonly now: Date; readonly versions: VersionPolicy },
): Promise<boolean> {
  const { onlineDemands } = await import('../actions/change/offline.ts');
  const held = new Set(signers.map(({ key }) => key.keyid));
  return (await onlineDemands(copy, change, options)).every(
    ({ role }) => role.keyids.filter((keyid) => held.has(keyid)).length >= role.threshold,
  );
}

/** Puts a change beside the head, for whoever has the keys that lack. @throws BullaError threshold-not-met, staged */
async function stage(
  context: Context,
  opened: OpenedCollection,
  copy: WorkingCopy,
  change: PendingChange,
  flags: ChangeFlags,
): Promise<void> {
  const missing = change.missing();
  // Who may sign is said with root and targets; the consent of those who are to sign can come later.
  const undecided = missing.find(
    ({ role }) => role === 'root' || role === 'targets' || flags.importSigned !== undefined,
  );
  if (undecided !== undefined && flags.stage !== true)
    throw new BullaError(
      'threshold-not-met',
      `${undecided.role} has ${undecided.valid.length} of the ${undecided.threshold} signatures that ${undecided.delegator} demands`,
      {
        hint: 'have it signed elsewhere: --export-unsigned FILE; or stage it for bulla approve: --stage',
        details: { missing },
      },
    );
  const [{ stageChange }, { publishWaiting }] = await Promise.all([
    import('../trust/approve/stage-change.ts'),
    import('./taking-over.ts'),
  ]);
  const tag = await stageChange(opened.target, change, { signal: context.signal });
  const id = change.digest;
  for (const line of change.describe().flatMap(pieces)) context.output.info(line);
  if (missing.length > 0) throw lacking(opened.place, id, tag, missing);
  const waiting = { id, tags: [tag], entries: [], change };
  const published = await publishWaiting(context, opened, copy, waiting, { ...flags, key: flags.signWith });
  report(context, change, { file: null, published, isTold: true });
}

function lacking(place: string, id: string, tag: string, missing: readonly MissingSignatures[]): BullaError {
  const keys = [...new Set(missing.flatMap(({ open }) => open))].map((keyid) => keyid.slice(0, 12));
  return new BullaError(
    'staged',
    `the change ${id} is staged at ${place}:${tag}, and lacks signatures for ${missing.map(({ role }) => role).join(', ')}`,
    {
      hint: `where the key ${keys.join(' or ')} is: bulla approve ${place} ${id}`,
      details: { id, tag, missing },
    },
  );
}

async function madeNow(context: Context): Promise<{ readonly now: Date; readonly versions: VersionPolicy }> {
  const [{ randomInt }, { trustVersions }] = await Promise.all([
    import('node:crypto'),
    import('../trust/format/versions.ts'),
  ]);
  return { now: context.io.now(), versions: trustVersions((range) => randomInt(range)) };
}

/** Reads the file of a change. @throws BullaError not-found, content-invalid, storage-error */
export async function readChange(context: Context, path: string): Promise<ChangeFile> {
  const [{ readFileBounded }, { MAX_CHANGE_BYTES, parseChangeFile }] = await Promise.all([
    import('../disk/atomic.ts'),
    import('../trust/approve/change-file.ts'),
  ]);
  return parseChangeFile(await readFileBounded(context.path(path), MAX_CHANGE_BYTES, { pipes: true }), path);
}

/** Writes the file of a change. @throws BullaError conflict where it is there and is not to be replaced; storage-error */
export async function writeChange(
  context: Context,
  path: string,
  pending: PendingChange,
  replace: boolean,
): Promise<void> {
  const [{ writeFileAtomic }, { encodeChangeFile }] = await Promise.all([
    import('../disk/atomic.ts'),
    import('../trust/approve/change-file.ts'),
  ]);
  await writeFileAtomic(context.path(path), encodeChangeFile(pending.toFile()), { exclusive: !replace });
}

/** What became of a change. */
export interface Outcome {
  /** File that holds it, to be signed. */
  readonly file: string | null;
  /** Digest of the head that holds it. */
  readonly published: string | null;
  /** What has changed; what the change says where it is left out. */
  readonly lines?: readonly string[];
  /** What was taken in from others with it, and what was left. */
  readonly intake?: AgreedIntake;
  /** People have been told what it says. */
  readonly isTold?: boolean;
}

/** Tells what a change says, and where it is now. */
export function report(
  context: Context,
  pending: PendingChange,
  { file, published, lines = pending.describe(), isTold = false, intake }: Outcome,
): void {
  if (!isTold) for (const line of lines.flatMap(pieces)) context.output.info(line);
  context.output.result(published ?? file ?? pending.name, {
    collection: pending.name,
    id: pending.change.id,
    change: pending.digest,
    file,
    published,
    changes: lines,
    ...intakeJson(intake),
    roles: pending.roles.map((role) => ({ role, signedBy: pending.signedBy(role) })),
    missing: published === null ? pending.missing() : [],
  });
}

/** Tells which signatures a change lacks, and how to give them. */
export function sayMissing(context: Context, missing: readonly MissingSignatures[], path: string): void {
  for (const { role, delegator, threshold, valid, open } of missing)
    context.output.info(
      `${role} lacks ${threshold - valid.length} of the ${threshold} signatures that ${delegator} demands, by ${open.map((id) => id.slice(0, 12)).join(', ') || 'keys that cannot be used'}`,
    );
  if (missing.length > 0)
    context.output.info(
      `where the keys are: bulla approve ${path}; then publish it with --import-signed ${path}`,
    );
  else context.output.info(`nothing is missing: publish it with --import-signed ${path}`);
}
