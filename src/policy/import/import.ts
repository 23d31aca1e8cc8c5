import type { JsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import { importClusterImagePolicy } from './cluster-image-policy.ts';
import { importConnaisseur } from './connaisseur.ts';
import { importContainers } from './containers.ts';
import { Draft, type ImportedPolicy, type ImportFiles, objectAt, objectsIn } from './draft.ts';
import { importKyverno } from './kyverno.ts';
import { importNotation } from './notation.ts';

/** Whose policy a document is. */
export type PolicyKind = 'notation' | 'containers' | 'connaisseur' | 'cluster-image-policy' | 'kyverno';

/** Whose policy it looks like; undefined for any other document. */
export function kindOfPolicy(document: JsonObject): PolicyKind | undefined {
  const { kind, apiVersion } = document;
  if (kind === 'ClusterImagePolicy') return 'cluster-image-policy';
  if ((kind === 'ClusterPolicy' || kind === 'Policy') && String(apiVersion).startsWith('kyverno.io/'))
    return 'kyverno';
  if ('trustPolicies' in document || 'ociTrustPolicies' in document) return 'notation';
  if ('default' in document && Array.isArray(document['default'])) return 'containers';
  return 'policy' in objectAt(document, 'application') ? 'connaisseur' : undefined;
}

/**
 * A policy file from policies of other tools (spec/policy.md, "Import"). What cannot be said denies, and stands in the
 * notes; nothing accepts more than it did, but for what the notes name.
 * @param documents of one kind, as they stand in one file
 * @throws BullaError policy-invalid
 */
export async function importPolicy(
  documents: readonly JsonObject[],
  files: ImportFiles,
): Promise<ImportedPolicy> {
  const flat = documents.flatMap((document) =>
    document['kind'] === 'List' ? objectsIn(document, 'items') : [document],
  );
  const kinds = new Set(flat.map(kindOfPolicy));
  const [kind] = kinds;
  const [first] = flat;
  if (kinds.size !== 1 || kind === undefined || first === undefined)
    throw new BullaError('policy-invalid', 'this is not a policy of one tool that is known', {
      hint: 'known are trustpolicy.json of Notation, policy.json of podman and CRI-O, Helm values of Connaisseur, ClusterImagePolicy, and verifyImages of Kyverno',
    });
  if (kind === 'notation') return await importNotation(first, files);
  if (kind === 'containers') return importContainers(first);
  if (kind === 'connaisseur') return importConnaisseur(first);
  const draft = new Draft();
  for (const document of flat)
    (kind === 'kyverno' ? importKyverno : importClusterImagePolicy)(document, draft);
  return draft.finish();
}
