import { dirname, join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { filesInTrustStore } from '../../../api/policy-files.ts';
import { decodeUtf8 } from '../../../encoding/bytes.ts';
import type { JsonObject } from '../../../encoding/json.ts';
import { BullaError } from '../../../errors.ts';
import { readPublicFile } from '../../../keystore/read.ts';
import { parsePolicy } from '../../../policy/file/parse.ts';
import { importPolicy } from '../../../policy/import/import.ts';
import type { Context } from '../../shell/context.ts';

/** `bulla policy import`: prints a policy file, with the differences as comments. @throws BullaError policy-invalid, not-found */
export async function printImport(
  context: Context,
  file: string,
  { trustStore }: { readonly trustStore?: string },
): Promise<void> {
  const path = context.path(file);
  const documents = documentsIn(decodeUtf8(await readPublicFile(path), file), file);
  const stores =
    trustStore === undefined ? join(dirname(path), 'truststore', 'x509') : context.path(trustStore);
  const { policy, notes } = await importPolicy(documents, {
    trustStore: (type, name) => filesInTrustStore(join(stores, type, name)),
  });
  const yaml = stringify(policy, { lineWidth: 0 });
  // What is printed is a policy: it is read again as one before anyone relies on it.
  parsePolicy(yaml, 'the imported policy');
  const { output } = context;
  const comments = notes.map((note) => `# ${note.replace(/\s+/g, ' ')}`);
  output.result([...comments, ...yaml.trimEnd().split('\n')], { policy, notes });
  for (const note of notes) output.warn(note);
  output.info('check it before you use it: bulla policy check FILE, bulla policy test TABLE --policy FILE');
}

/** @throws BullaError policy-invalid */
function documentsIn(text: string, file: string): readonly JsonObject[] {
  const documents = parseAllDocuments(text, { prettyErrors: false });
  const values = (Array.isArray(documents) ? documents : []).map((document) => {
    if (document.errors.length > 0) throw notYaml(file, document.errors[0]);
    return document.toJS({ maxAliasCount: 0 }) as unknown;
  });
  const objects = values.filter((value) => value !== null);
  if (objects.length > 0 && objects.every((value) => typeof value === 'object' && !Array.isArray(value)))
    return objects as unknown as readonly JsonObject[];
  throw notYaml(file);
}

function notYaml(file: string, cause?: unknown): BullaError {
  return new BullaError('policy-invalid', `${file} is not YAML or JSON with an object`, {
    cause,
    hint: 'give the file as the other tool reads it',
  });
}
