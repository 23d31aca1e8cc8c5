import type { JsonObject } from '../../encoding/json.ts';
import { copyJson } from '../metadata-file.ts';
import { TOP_LEVEL_ROLES, type TopLevelRole } from '../role-name.ts';
import { assertKeyChoice, jsonObject, type KeyChoice, updateKeyList, writeKeyChoice } from './key-list.ts';

/** Content of a root that is being made (TUF 1.0.34 §4.3). Members that are not touched stay as they are. */
export class RootContent {
  readonly json: JsonObject;

  private constructor(json: JsonObject) {
    this.json = json;
  }

  /**
   * A first root.
   * @throws BullaError key-invalid, usage
   */
  static create(
    choices: Readonly<Record<TopLevelRole, KeyChoice>>,
    consistentSnapshot: boolean,
  ): RootContent {
    const roles = jsonObject();
    for (const role of TOP_LEVEL_ROLES) roles[role] = jsonObject({ keyids: [], threshold: 1 });
    const content = new RootContent(
      jsonObject({ _type: 'root', consistent_snapshot: consistentSnapshot, keys: jsonObject(), roles }),
    );
    for (const role of TOP_LEVEL_ROLES) content.setKeys(role, choices[role]);
    return content;
  }

  /** A root that follows `signed`, which must have been read as a root before. */
  static from(signed: JsonObject): RootContent {
    return new RootContent(copyJson(signed));
  }

  /** Gives a top-level role other keys, all at once. @throws BullaError key-invalid, usage */
  setKeys(role: TopLevelRole, choice: KeyChoice): void {
    assertKeyChoice(role, choice);
    const roles = this.json['roles'] as JsonObject;
    writeKeyChoice(roles[role] as JsonObject, choice);
    updateKeyList(this.json['keys'] as JsonObject, choice.keys, Object.values(roles));
  }

  /** Whether files carry their version, and targets their hash, in their names (§6.2). */
  setConsistentSnapshot(value: boolean): void {
    this.json['consistent_snapshot'] = value;
  }
}
