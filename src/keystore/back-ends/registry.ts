import type { KeyBackEnd, KeySources } from '../back-end.ts';

type Load = () => Promise<KeyBackEnd>;

/** Back ends by how their URIs begin. Any other text is a name of the key store or a path. */
const BACK_ENDS: ReadonlyMap<string, Load> = new Map<string, Load>([
  ['ssh-agent:', async () => (await import('./ssh-agent.ts')).SSH_AGENT],
  ['pkcs11:', async () => (await import('./pkcs11.ts')).PKCS11],
  ['hashivault://', async () => (await import('./vault.ts')).HASHIVAULT],
  ['openbao://', async () => (await import('./vault.ts')).OPENBAO],
  ['awskms://', async () => (await import('./aws-kms.ts')).AWS_KMS],
  ['gcpkms://', async () => (await import('./gcp-kms.ts')).GCP_KMS],
  ['azurekms://', async () => (await import('./azure-kms.ts')).AZURE_KMS],
  ['notation-plugin:', async () => (await import('./notation-plugin.ts')).NOTATION_PLUGIN],
  ['k8s://', async () => (await import('./kubernetes-secret.ts')).KUBERNETES_SECRET],
]);
const plugin: Load = async () => (await import('./sigstore-plugin.ts')).SIGSTORE_PLUGIN;

/**
 * The loader of the back end that a URI belongs to, a plug-in's where it is not ours; undefined for a name, a path and
 * `env://VARIABLE`, which hold the private key themselves.
 */
export function backEndOf(
  uri: string,
  { backEnds = new Map() }: Pick<KeySources, 'backEnds'>,
): Load | undefined {
  const [, scheme, slashes = ''] = /^([A-Za-z][A-Za-z0-9+.-]*:)(\/\/)?/.exec(uri) ?? [];
  if (scheme === undefined || /^env:\/\//i.test(uri)) return undefined;
  const known = new Map([...BACK_ENDS, ...backEnds]);
  const begin = scheme.toLowerCase();
  const own = known.get(`${begin}${slashes}`) ?? known.get(begin);
  return own ?? (slashes === '' ? undefined : plugin);
}
