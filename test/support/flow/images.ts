import { openLayout } from '../../../src/layout/open.ts';
import { pushIndex, pushReferrer } from '../content.ts';

/** What is pushed: two images for two platforms each, the first with an SBOM. */
export interface Images {
  /** `oci:DIR` */
  readonly layout: string;
  /** Digest of the index at each tag. */
  readonly digests: ReadonlyMap<string, string>;
  readonly sbom: string;
}

export async function makeImages(directory: string, ...tags: readonly string[]): Promise<Images> {
  const layout = await openLayout({ kind: 'layout', path: directory }, { create: true });
  const digests = new Map<string, string>();
  let sbom = '';
  try {
    for (const tag of tags) {
      const { index } = await pushIndex(layout, `the flow's ${tag}`, tag);
      digests.set(tag, index.descriptor.digest);
      if (sbom !== '') continue;
      const made = await pushReferrer(
        layout,
        index.descriptor,
        'what is in it',
        'application/vnd.example.sbom',
      );
      sbom = made.descriptor.digest;
    }
  } finally {
    await layout.close();
  }
  return { layout: `oci:${directory}`, digests, sbom };
}
