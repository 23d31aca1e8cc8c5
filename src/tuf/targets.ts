import type { JsonObject } from '../encoding/json.ts';
import { type Delegations, parseDelegations } from './delegations.ts';
import type { Fields } from './fields.ts';
import { type Hashes, parseHashes } from './file-meta.ts';
import type { MetadataFile } from './metadata-file.ts';
import { parseSigned, type Signed } from './signed.ts';

/** What is signed about one target (TUF 1.0.34 §4.5). */
export interface TargetFile {
  /** Size in bytes. */
  readonly length: number;
  readonly hashes: Hashes;
  /** The application's own; undefined where it is missing. */
  readonly custom?: JsonObject;
  /** The whole entry as signed, unknown fields included. */
  readonly json: JsonObject;
}

/** Content of the targets role, or of a role that it delegates to (TUF 1.0.34 §4.5). */
export interface Targets extends Signed {
  readonly type: 'targets';
  readonly targets: ReadonlyMap<string, TargetFile>;
  readonly delegations?: Delegations;
}

/** @throws BullaError content-invalid (details.role) */
export function parseTargets(file: MetadataFile): Targets {
  const { fields, signed } = parseSigned(file, 'targets');
  const targets = new Map<string, TargetFile>();
  for (const [path, entry] of fields.object('targets').objects())
    targets.set(path, parseTarget(entry, file.role));
  const delegations = fields.optionalObject('delegations');
  return {
    ...signed,
    type: 'targets',
    targets,
    ...(delegations !== undefined && { delegations: parseDelegations(delegations, file.role) }),
  };
}

function parseTarget(fields: Fields, role: string): TargetFile {
  const custom = fields.optionalObject('custom');
  return {
    length: fields.integer('length', 0),
    hashes: parseHashes(fields.object('hashes'), role),
    ...(custom !== undefined && { custom: custom.json }),
    json: fields.json,
  };
}
