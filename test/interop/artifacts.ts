import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ok, peer } from './peers.ts';
import { HAS_REFERRERS_API, type Registry } from './registries.ts';
import type { Signers } from './signers.ts';

/** The demo image, as an argument of the tools that read OCI layouts. */
export const DEMO_LAYOUT: string = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;

export const SBOM_TYPE = 'application/vnd.example.sbom';
export const REVIEW_TYPE = 'application/vnd.example.review';

/** Pushes the demo image with stock oras. @returns its digest */
export async function pushDemoImage(reference: string, signers: Signers): Promise<string> {
  await ok(peer('oras'), ['cp', '--from-oci-layout', '--to-plain-http', `${DEMO_LAYOUT}:v1`, reference], {
    env: signers.env,
  });
  return digestOf(reference);
}

export async function digestOf(reference: string): Promise<string> {
  return (await ok(peer('oras'), ['resolve', '--plain-http', reference])).trim();
}

/**
 * Pushes the demo image and, all with stock tools, what people hang on it: a notation signature, a
 * cosign bundle, a cosign `.sig` tag, an SBOM, a review of the SBOM, and an SBOM of one platform.
 * @returns the image's digest
 */
export async function pushLadenImage(
  registry: Registry,
  repository: string,
  signers: Signers,
): Promise<string> {
  const reference = `${registry.host}/${repository}:v1`;
  const digest = await pushDemoImage(reference, signers);
  await signers.notationSign(reference, HAS_REFERRERS_API[registry.kind]);
  await signers.cosignSign(reference);
  await signers.cosignSign(reference, true);
  const sbom = await attach(reference, SBOM_TYPE, signers);
  await attach(`${registry.host}/${repository}@${sbom}`, REVIEW_TYPE, signers);
  const index = JSON.parse(await ok(peer('oras'), ['manifest', 'fetch', '--plain-http', reference])) as {
    manifests: readonly { digest: string }[];
  };
  await attach(`${registry.host}/${repository}@${index.manifests[0]?.digest}`, SBOM_TYPE, signers);
  return digest;
}

/** Attaches a small file with stock oras. @returns the digest of the artifact */
export async function attach(subject: string, type: string, signers: Signers): Promise<string> {
  writeFileSync(join(signers.directory, 'note.txt'), `${type} of ${subject}`);
  const args = ['attach', '--plain-http', '--artifact-type', type, subject, 'note.txt:text/plain'];
  const printed = await ok(peer('oras'), [...args, '--format', 'json'], {
    cwd: signers.directory,
    env: signers.env,
  });
  return (JSON.parse(printed) as { digest: string }).digest;
}

interface Discovered {
  readonly digest: string;
  readonly artifactType?: string;
  readonly referrers?: readonly Discovered[];
}

/** What stock oras sees refer to a manifest, as `type digest` lines, sorted; referrers of those are not looked for. */
export async function referrersOf(reference: string): Promise<readonly string[]> {
  const args = ['discover', '--plain-http', '--format', 'json', reference];
  const { referrers = [] } = JSON.parse(await ok(peer('oras'), args)) as Discovered;
  return referrers.map(({ artifactType, digest }) => `${artifactType} ${digest}`).sort();
}

/**
 * Everything that hangs on an image, as stock oras sees it: what refers to it, to its first platform,
 * and to what refers to it; and cosign's `.sig` tag.
 */
export async function cargoOf(host: string, repository: string, digest: string): Promise<readonly string[]> {
  const at = (hash: string): string => `${host}/${repository}@${hash}`;
  const index = JSON.parse(await ok(peer('oras'), ['manifest', 'fetch', '--plain-http', at(digest)])) as {
    manifests: readonly { digest: string }[];
  };
  const lines: string[] = [];
  const visit = async (subject: string): Promise<void> => {
    for (const line of await referrersOf(at(subject))) {
      lines.push(`${subject} <- ${line}`);
      await visit(line.split(' ')[1] ?? '');
    }
  };
  await visit(digest);
  for (const { digest: platform } of index.manifests) await visit(platform);
  const tags = (await ok(peer('oras'), ['repo', 'tags', '--plain-http', `${host}/${repository}`])).split(
    '\n',
  );
  for (const tag of tags.filter((name) => /^sha256-[0-9a-f]{64}\.(sig|att|sbom)$/.test(name))) {
    lines.push(`${tag} = ${await digestOf(`${host}/${repository}:${tag}`)}`);
  }
  return lines.sort();
}
