import type { TreeNode } from '../../actions/inspect/tree.ts';
import { formatPlatform } from '../../oci/platform.ts';
import { RELEASE_PURPOSE } from '../../signatures/formats.ts';
import { predicateLabel } from '../../signatures/predicates.ts';

/** `1.5 KiB`: sizes for people. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** Characters of the reason why something is not drawn. */
const MAX_REASON = 300;

interface Branch {
  readonly label: string;
  readonly branches: readonly Branch[];
}

/** Lines of a tree as `oras discover` draws it, the platforms of an index included. */
export function treeLines(label: string, node: TreeNode): string[] {
  return [`${label}${stateText(node)}`, ...draw(branchesOf(node), '')];
}

function branchesOf(node: TreeNode): Branch[] {
  const platforms = node.platforms.map((child) => ({ label: nodeLabel(child), branches: branchesOf(child) }));
  const byType = new Map<string, TreeNode[]>();
  for (const referrer of node.referrers) {
    const type = artifactTypeOf(referrer);
    byType.set(type, [...(byType.get(type) ?? []), referrer]);
  }
  const referrers = [...byType].map(([type, nodes]) => ({
    label: type,
    branches: nodes.map((child) => ({ label: nodeLabel(child), branches: branchesOf(child) })),
  }));
  const cosign = node.cosign.map(({ tag, descriptor }) => ({
    label: `${tag}  ${descriptor.digest}`,
    branches: [],
  }));
  return [...platforms, ...referrers, ...cosign];
}

/** What a manifest is listed as among referrers. */
export function artifactTypeOf(node: TreeNode): string {
  const { manifest, descriptor } = node;
  return manifest?.artifactType ?? descriptor.artifactType ?? manifest?.configType ?? descriptor.mediaType;
}

function nodeLabel(node: TreeNode): string {
  const platform =
    node.descriptor.platform === undefined ? '' : `${formatPlatform(node.descriptor.platform)}  `;
  return platform + node.descriptor.digest + attestedText(node.manifest?.predicateType) + stateText(node);
}

/** What is not drawn of a node, and why. */
function stateText({ manifest, unreadable }: TreeNode): string {
  if (unreadable === undefined) return manifest === undefined ? '  (not here)' : '';
  const what = manifest === undefined ? 'unreadable' : 'what refers to it is unreadable';
  return `  (${what}: ${unreadable.slice(0, MAX_REASON)})`;
}

/** What an artifact says it attests, unverified; nothing for a signature. */
function attestedText(predicateType: string | undefined): string {
  if (predicateType === undefined || predicateType === RELEASE_PURPOSE) return '';
  return `  ${predicateLabel(predicateType) ?? predicateType.slice(0, 120)}`;
}

function draw(branches: readonly Branch[], indent: string): string[] {
  return branches.flatMap((branch, at) => {
    const last = at === branches.length - 1;
    return [
      `${indent}${last ? '└── ' : '├── '}${branch.label}`,
      ...draw(branch.branches, indent + (last ? '    ' : '│   ')),
    ];
  });
}

/** The tree for `-o json` (spec/output.md). */
export function treeJson(node: TreeNode): Record<string, unknown> {
  return {
    ...node.descriptor,
    ...(node.unreadable !== undefined && { unreadable: node.unreadable }),
    ...(node.manifest === undefined && node.unreadable === undefined && { missing: true }),
    ...(node.manifest?.predicateType !== undefined && { predicateType: node.manifest.predicateType }),
    ...(node.platforms.length > 0 && { manifests: node.platforms.map(treeJson) }),
    referrers: node.referrers.map((child) => ({ ...treeJson(child), artifactType: artifactTypeOf(child) })),
    ...(node.cosign.length > 0 && {
      cosign: node.cosign.map(({ tag, descriptor }) => ({ tag, ...descriptor })),
    }),
  };
}
