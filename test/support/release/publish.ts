import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembleFiles, type Labels, sha256 } from './image.ts';

/** What is published, and how it is signed and verified. */
export interface Publication {
  /** The command that publishes: the executable that was made. */
  readonly bulla: string;
  readonly env: NodeJS.ProcessEnv;
  /** Where to: `HOST/PATH`. */
  readonly repository: string;
  /** Flags of `bulla sign` and `bulla attest`. */
  readonly sign: readonly string[];
  /** Flags of `bulla verify`, for what they sign. */
  readonly verify: readonly string[];
  /** Directory with the files of the release. */
  readonly out: string;
  /** Working directory, for layouts. */
  readonly work: string;
  readonly labels: Labels;
}

/** What was published: both by digest. */
export interface Published {
  readonly image: string;
  readonly files: string;
}

/**
 * Publishes the image, which is the OCI layout `image` of the working directory, and then the files, as an artifact with
 * the tag `VERSION-files`. Both are signed, have the bill of materials attested, and are verified as they came back from
 * the registry. Writes SHA256SUMS, and an archive of the image with all that refers to it.
 * @param names files of the release: the bill of materials last
 * @throws Error where a command fails, or the registry has other bytes
 */
export function publish(publication: Publication, names: readonly string[]): Published {
  const { out, work, labels, repository } = publication;
  const run = (...args: string[]): string =>
    execFileSync(publication.bulla, [...args, '--quiet'], {
      ...{ encoding: 'utf8', env: publication.env, cwd: work },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const bill = join(out, names.at(-1) ?? '');
  const pushSigned = (layout: string, tag: string): string => {
    const { manifests } = JSON.parse(readFileSync(join(work, layout, 'index.json'), 'utf8')) as {
      manifests: [{ digest: string }];
    };
    const image = `${repository}@${manifests[0].digest}`;
    run('push', `oci:${layout}:${labels.version}`, `${repository}:${tag}`);
    run('sign', image, ...publication.sign);
    run('attest', image, '--type', 'spdxjson', '--predicate', bill, ...publication.sign);
    run('verify', image, ...publication.verify);
    run('verify', image, '--type', 'spdxjson', ...publication.verify);
    return image;
  };
  const image = pushSigned('image', labels.version);
  const archive = names[0]?.replace(/\.tgz$/, '-image.tar') ?? '';
  run('copy', image, `oci-archive:${join(out, archive)}:${labels.version}`);
  const sums = [...names, archive].sort().map((name) => `${hexOf(readFileSync(join(out, name)))}  ${name}\n`);
  writeFileSync(join(out, 'SHA256SUMS'), sums.join(''));
  assembleFiles(join(work, 'files'), [...names, 'SHA256SUMS'], out, labels);
  const files = pushSigned('files', `${labels.version}-files`);
  run('copy', files, 'oci:returned:files', '--no-referrers');
  for (const line of sums.filter((one) => !one.endsWith(`  ${archive}\n`)))
    if (!existsSync(join(work, 'returned/blobs/sha256', line.slice(0, 64))))
      throw new Error(`the registry does not have ${line}`);
  return { image, files };
}

function hexOf(bytes: Uint8Array): string {
  return sha256(bytes).slice('sha256:'.length);
}
