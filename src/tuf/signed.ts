import { Fields, malformed } from './fields.ts';
import type { MetadataFile } from './metadata-file.ts';

/** What every signed part holds (TUF 1.0.34 §4.3 to §4.6). */
export interface Signed {
  readonly specVersion: string;
  readonly version: number;
  /** From this instant on the file is expired. */
  readonly expires: Date;
}

/** The version of the specification that files are written for. */
export const SPEC_VERSION = '1.0.34';

/**
 * Reads the common members. Any 1.x is taken, older or newer, because within one major version
 * unknown fields may be ignored; another major version may mean something else by the same words.
 * @throws BullaError content-invalid (details.role)
 */
export function parseSigned(
  file: MetadataFile,
  type: string,
): { readonly fields: Fields; readonly signed: Signed } {
  const fields = new Fields(file.signed, file.role, 'signed');
  const found = fields.string('_type');
  if (found !== type)
    throw malformed(file.role, `_type must be "${type}", and is ${JSON.stringify(found.slice(0, 80))}`);
  const specVersion = fields.string('spec_version');
  if (!/^1\.\d{1,9}(?:\.\d{1,9})?$/.test(specVersion)) fields.fail('spec_version', 'a version 1.x of TUF');
  return {
    fields,
    signed: { specVersion, version: fields.integer('version', 1), expires: fields.time('expires') },
  };
}
