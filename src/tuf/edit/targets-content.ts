import { isJsonObject, type JsonObject, type JsonValue } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import type { Delegations } from '../delegations.ts';
import type { BinLayout } from '../hash-bins.ts';
import { copyJson } from '../metadata-file.ts';
import {
  assertRelativePath,
  isRootFileName,
  metadataFileName,
  problemWithDelegatedName,
} from '../role-name.ts';
import { assertKeyChoice, jsonObject, type KeyChoice, updateKeyList, writeKeyChoice } from './key-list.ts';
import { delegationsIn } from './repository.ts';

/** What is to be signed about one target. */
export interface NewTarget {
  /** Size in bytes. */
  readonly length: number;
  /** Hex digests by algorithm; at least SHA-256 or SHA-512. */
  readonly hashes: Readonly<Record<string, string>>;
  readonly custom?: JsonObject;
}

/** Which paths a role is trusted with. */
export interface PathTrust {
  readonly paths?: readonly string[] | undefined;
  readonly pathHashPrefixes?: readonly string[] | undefined;
}

/** A delegation that is to be made: with paths or with prefixes; with neither it is trusted with nothing. */
export interface NewDelegation extends KeyChoice, PathTrust {
  readonly name: string;
  readonly terminating?: boolean;
  /** Before which of the present delegations it is asked; last where this is left out. */
  readonly before?: string;
}

/**
 * Content of targets or of a delegated role that is being made (TUF 1.0.34 §4.5). Members that are not
 * touched stay as they are. What it is made from is shared with it and never written to.
 */
export class TargetsContent {
  readonly json: JsonObject;

  private constructor(json: JsonObject) {
    this.json = json;
  }

  /** Content without names and delegations. @param present whose extra members are kept */
  static create(present: JsonObject = {}): TargetsContent {
    const json = jsonObject({ ...present, _type: 'targets', targets: jsonObject() });
    delete json['delegations'];
    return new TargetsContent(json);
  }

  /** A version that follows `signed`, which must have been read as a targets role before. */
  static from(signed: JsonObject): TargetsContent {
    const json = jsonObject(signed);
    json['targets'] = jsonObject(signed['targets'] as JsonObject);
    if (isJsonObject(signed['delegations'])) json['delegations'] = copyJson(signed['delegations']);
    return new TargetsContent(json);
  }

  /** Paths that the role itself names. */
  get paths(): readonly string[] {
    return Object.keys(this.targets);
  }

  /** The signed entry of a path, with everything it holds. */
  entry(path: string): JsonObject | undefined {
    return this.targets[path] as JsonObject | undefined;
  }

  /**
   * Names a target, or says something else about it; unknown members of a present entry do not outlive
   * it, because they were said about other content.
   * @throws BullaError content-invalid for a path that no client could store
   */
  setTarget(path: string, target: NewTarget): void {
    assertRelativePath(path);
    this.targets[path] = jsonObject({
      ...(target.custom !== undefined && { custom: copyJson(target.custom) }),
      hashes: jsonObject(target.hashes),
      length: target.length,
    });
  }

  /** Puts an entry as it was signed elsewhere, unknown members included. */
  putEntry(path: string, entry: JsonObject): void {
    this.targets[path] = entry;
  }

  /** @returns whether it was there */
  removeTarget(path: string): boolean {
    const wasThere = path in this.targets;
    delete this.targets[path];
    return wasThere;
  }

  /** What the role delegates now. @param role whose content it is, for messages */
  delegations(role: string): Delegations | undefined {
    return delegationsIn({ role, signed: this.json });
  }

  /** Whether the role delegates to bins that share their keys (TAP 15). */
  get isSuccinct(): boolean {
    return isJsonObject(this.delegationJson?.['succinct_roles']);
  }

  /**
   * Adds a delegation. A role that has succinct bins cannot have any: TUF allows one or the other.
   * @throws BullaError usage, key-invalid
   */
  delegate(delegation: NewDelegation): void {
    const { name, paths, pathHashPrefixes, before } = delegation;
    assertKeyChoice(name, delegation);
    const problem = problemWithDelegatedName(name);
    if (problem !== undefined) throw refused(name, problem);
    // Clients would take its file for the next root as soon as snapshots are not consistent.
    if (isRootFileName(metadataFileName(name))) throw refused(name, 'its file would be called like a root');
    if (this.isSuccinct) throw refused(name, 'a role has either delegations by name or succinct bins');
    if (this.find(name) !== undefined) throw refused(name, 'the role is delegated to already');
    const roles = this.rolesForChange();
    const at = before === undefined ? roles.length : roles.indexOf(this.demand(before));
    const entry = jsonObject({ name, terminating: delegation.terminating ?? false });
    writeTrust(entry, { paths, pathHashPrefixes });
    writeKeyChoice(entry, delegation);
    roles.splice(at, 0, entry);
    this.updateKeys(delegation);
  }

  /** Gives a delegated role other keys, all at once. @throws BullaError usage, key-invalid */
  setDelegationKeys(name: string, choice: KeyChoice): void {
    assertKeyChoice(name, choice);
    writeKeyChoice(this.demand(name), choice);
    this.updateKeys(choice);
  }

  /** Changes what a delegated role is trusted with. @throws BullaError usage */
  setDelegationPaths(name: string, trust: PathTrust): void {
    writeTrust(this.demand(name), trust);
  }

  /** Ends the trust in a delegated role. Snapshot goes on listing it. @throws BullaError usage */
  removeDelegation(name: string): void {
    const roles = this.rolesForChange();
    roles.splice(roles.indexOf(this.demand(name)), 1);
    this.updateKeys();
  }

  /** Delegates to succinct bins, instead of those that are there. @throws BullaError usage, key-invalid */
  setBins(layout: BinLayout, choice: KeyChoice): void {
    const { bitLength, namePrefix } = layout;
    assertKeyChoice(namePrefix, choice);
    if (!Number.isInteger(bitLength) || bitLength < 1 || bitLength > 32) {
      throw refused(namePrefix, `bins have 1 to 32 bits, not ${bitLength}`);
    }
    if (((this.delegationJson?.['roles'] as JsonValue[] | undefined) ?? []).length > 0) {
      throw refused(namePrefix, 'a role has either delegations by name or succinct bins');
    }
    const delegations = this.delegationsForChange();
    delete delegations['roles'];
    const present = delegations['succinct_roles'];
    const succinct = isJsonObject(present) ? present : jsonObject();
    Object.assign(succinct, { bit_length: bitLength, name_prefix: namePrefix });
    writeKeyChoice(succinct, choice);
    delegations['succinct_roles'] = succinct;
    this.updateKeys(choice);
  }

  /** Ends the trust in succinct bins. */
  removeBins(): void {
    if (!this.isSuccinct) return;
    const delegations = this.delegationsForChange();
    delete delegations['succinct_roles'];
    // Delegations with neither are not a valid format.
    delegations['roles'] = [];
    this.updateKeys();
  }

  private get targets(): JsonObject {
    return this.json['targets'] as JsonObject;
  }

  private get delegationJson(): JsonObject | undefined {
    return this.json['delegations'] as JsonObject | undefined;
  }

  private delegationsForChange(): JsonObject {
    const present = this.delegationJson;
    if (isJsonObject(present)) return present;
    const made = jsonObject({ keys: jsonObject(), roles: [] });
    this.json['delegations'] = made;
    return made;
  }

  private rolesForChange(): JsonValue[] {
    const delegations = this.delegationsForChange();
    if (!Array.isArray(delegations['roles'])) delegations['roles'] = [];
    return delegations['roles'] as JsonValue[];
  }

  private find(name: string): JsonObject | undefined {
    const roles = (this.delegationJson?.['roles'] ?? []) as JsonObject[];
    return roles.find((role) => role['name'] === name);
  }

  private demand(name: string): JsonObject {
    const entry = this.find(name);
    if (entry === undefined) throw refused(name, 'there is no such delegation');
    return entry;
  }

  private updateKeys(choice?: KeyChoice): void {
    const delegations = this.delegationsForChange();
    const roles = (delegations['roles'] ?? []) as JsonValue[];
    updateKeyList(delegations['keys'] as JsonObject, choice?.keys ?? [], [
      ...roles,
      delegations['succinct_roles'],
    ]);
  }
}

/** TUF wants exactly one of the two. */
function writeTrust(entry: JsonObject, { paths, pathHashPrefixes }: PathTrust): void {
  if (paths !== undefined && pathHashPrefixes !== undefined) {
    throw refused(String(entry['name']), 'it is trusted either with paths or with prefixes of hashes');
  }
  delete entry['paths'];
  delete entry['path_hash_prefixes'];
  if (pathHashPrefixes !== undefined) entry['path_hash_prefixes'] = [...pathHashPrefixes];
  else entry['paths'] = [...(paths ?? [])];
}

function refused(role: string, why: string): BullaError {
  return new BullaError('usage', `delegation to ${JSON.stringify(role)}: ${why}`, {
    hint: 'look at what the role delegates now, and change that',
    details: { role },
  });
}
