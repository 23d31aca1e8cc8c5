import type { JsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import { type DelegatedRole, delegationsFor } from '../delegations.ts';
import { type BinLayout, binCount, binFor, binName, binNames } from '../hash-bins.ts';
import type { RepositoryEdit } from './edit.ts';
import type { KeyChoice } from './key-list.ts';
import type { NewTarget } from './targets-content.ts';

/** Most bins that are made: the snapshot names each of them, and a client reads all of it. */
const MAX_BITS = 16;

/**
 * Spreads the names of a role, and of the bins that it has, over succinct bins (TAP 15) that share their
 * keys: the first split, another number of bins, or other keys, all in one edit.
 * @throws BullaError usage (bits out of 1 to 16; a file of a present bin is not loaded), key-invalid
 */
export function spreadOverBins(
  edit: RepositoryEdit,
  role: string,
  layout: BinLayout,
  choice: KeyChoice,
): void {
  assertBits(layout);
  const entries = takeEntries(edit, role);
  const content = edit.targets(role);
  removeHashBins(edit, role);
  content.setBins(layout, choice);
  placeEntries(edit, entries, layout);
}

/**
 * Like {@link spreadOverBins}, over bins that are delegated to one by one with `path_hash_prefixes`
 * (TUF 1.0.34 §4.5), for clients that don't know TAP 15.
 * @throws BullaError usage, key-invalid
 */
export function spreadOverHashBins(
  edit: RepositoryEdit,
  role: string,
  layout: BinLayout,
  choice: KeyChoice,
): void {
  assertBits(layout);
  const entries = takeEntries(edit, role);
  const content = edit.targets(role);
  removeHashBins(edit, role);
  content.removeBins();
  for (let index = 0; index < binCount(layout); index++) {
    const pathHashPrefixes = hashPrefixesOf(layout.bitLength, index);
    content.delegate({ ...choice, name: binName(layout, index), pathHashPrefixes, terminating: true });
  }
  placeEntries(edit, entries, layout);
}

/**
 * Hex prefixes of all path hashes whose leading bits are `index`: fewest digits that hold them, in order.
 * @param bitLength number of leading bits, 1 to 32
 */
export function hashPrefixesOf(bitLength: number, index: number): readonly string[] {
  const digits = Math.ceil(bitLength / 4);
  const perBin = 16 ** digits / 2 ** bitLength;
  return Array.from({ length: perBin }, (_, offset) =>
    (index * perBin + offset).toString(16).padStart(digits, '0'),
  );
}

/**
 * The role that holds a path below `role`: itself, or the bin for the path where it has bins.
 * @throws BullaError usage if the role's file is not loaded
 */
export function holderOf(edit: RepositoryEdit, role: string, path: string): string {
  const delegations = edit.look(role).delegations(role);
  if (delegations === undefined) return role;
  const isBin = (delegated: DelegatedRole) =>
    delegations.succinct !== undefined || delegated.pathHashPrefixes !== undefined;
  return delegationsFor(delegations, path).find(isBin)?.name ?? role;
}

/** Names a target in `role`, or in its bin. @throws BullaError usage, content-invalid */
export function setTargetIn(edit: RepositoryEdit, role: string, path: string, target: NewTarget): void {
  edit.targets(holderOf(edit, role, path)).setTarget(path, target);
}

/** @returns whether `role`, or its bin, named the path. @throws BullaError usage */
export function removeTargetFrom(edit: RepositoryEdit, role: string, path: string): boolean {
  const holder = holderOf(edit, role, path);
  return edit.look(holder).entry(path) !== undefined && edit.targets(holder).removeTarget(path);
}

/** Entries of a role and of its present bins; the role keeps none. */
function takeEntries(edit: RepositoryEdit, role: string): Map<string, JsonObject> {
  const entries = new Map<string, JsonObject>();
  const content = edit.targets(role);
  for (const holder of [role, ...presentBins(edit, role)]) {
    const present = edit.look(holder);
    for (const path of present.paths) entries.set(path, present.entry(path) as JsonObject);
    // A bin of this very edit may not be one of the new layout, and then there would be no place for it.
    if (holder !== role) edit.discard(holder);
  }
  for (const path of content.paths) content.removeTarget(path);
  return entries;
}

function presentBins(edit: RepositoryEdit, role: string): readonly string[] {
  const delegations = edit.look(role).delegations(role);
  if (delegations === undefined) return [];
  if (delegations.succinct !== undefined) return [...binNames(delegations.succinct)];
  return delegations.roles.filter((bin) => bin.pathHashPrefixes !== undefined).map(({ name }) => name);
}

function removeHashBins(edit: RepositoryEdit, role: string): void {
  const delegations = edit.look(role).delegations(role);
  for (const { name, pathHashPrefixes } of delegations?.roles ?? []) {
    if (pathHashPrefixes !== undefined) edit.targets(role).removeDelegation(name);
  }
}

/** Every bin begins empty, so that what a file of its name held once does not come back. */
function placeEntries(
  edit: RepositoryEdit,
  entries: ReadonlyMap<string, JsonObject>,
  layout: BinLayout,
): void {
  for (const bin of binNames(layout)) edit.replaceTargets(bin);
  for (const [path, entry] of entries) edit.targets(binFor(layout, path)).putEntry(path, entry);
}

function assertBits({ bitLength }: BinLayout): void {
  if (Number.isInteger(bitLength) && bitLength >= 1 && bitLength <= MAX_BITS) return;
  throw new BullaError('usage', `bins of 1 to ${MAX_BITS} bits can be made, not of ${bitLength}`, {
    hint: `2 to ${2 ** MAX_BITS} bins: choose so that a bin holds some hundred names`,
  });
}
