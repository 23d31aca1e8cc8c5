import type { Command } from 'commander';
import { type Inspection, inspectManifest } from '../../actions/inspect/manifest.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { formatPlatform } from '../../oci/platform.ts';
import { formatRepository, parseReference, type Reference } from '../../oci/reference.ts';
import { RELEASE_PURPOSE, SIGNATURE_ANNOTATIONS } from '../../signatures/formats.ts';
import { predicateLabel } from '../../signatures/predicates.ts';
import { FILE_TITLE, HEAD_TAG } from '../../trust/format/vocabulary.ts';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import { listOption } from '../flags/reference-list.ts';
import { type Shown, showEach } from '../flags/show-each.ts';
import { sizeText } from '../render/tree-text.ts';
import type { Cli, Context } from '../shell/context.ts';

interface InspectFlags extends CollectionFlags {
  readonly notary?: string;
  readonly notaryRootKey?: string;
  /** A list of references. */
  readonly from?: string;
}

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('inspect'))
    .summary('show the parts of an image or a trust collection')
    .description(
      'Shows the manifest of an image, an index or an artifact, and the config of an image. To see what refers to it: bulla tree; who signed it: bulla signature ls.\n' +
        'For a repository, or its tag _trust, it shows the trust collection: roles, keys, files; with --notary, its trust data in Notary v1: roles, keys, names and their signers.',
    )
    .argument('[reference...]', 'images, by tag or digest; or repositories')
    .addOption(listOption())
    .option('--notary <url>', 'show the trust data in Notary v1: URL of a server, auto, or a directory')
    .option('--notary-root-key <file>', 'public root key of the Notary repository (PEM)')
    .action(async (texts: readonly string[], flags: InspectFlags, command: Command) => {
      const context = await cli.open(command);
      await showEach(context, texts, flags.from, (text) => inspect(context, text, flags));
    });
}

async function inspect(context: Context, text: string, flags: InspectFlags): Promise<Shown> {
  if (flags.notary !== undefined) return await notaryIn(context, text, { ...flags, notary: flags.notary });
  const reference = await context.places.namedInLayout(parseReference(text));
  const { isCollection } = await import('../flags/shown-collection.ts');
  return reference.tag === HEAD_TAG || (await isCollection(context, reference))
    ? await collectionIn(context, reference, flags)
    : await imageAt(context, text);
}

async function notaryIn(
  context: Context,
  text: string,
  flags: InspectFlags & { readonly notary: string },
): Promise<Shown> {
  const [{ parseGun, showNotary }, { notaryJson, notaryLines }] = await Promise.all([
    import('../flags/notary-flags.ts'),
    import('../render/notary-text.ts'),
  ]);
  const { repository, untrusted } = await showNotary(context, text, flags);
  for (const warning of repository.warnings) context.output.warn(warning);
  return {
    lines: notaryLines(repository),
    json: {
      reference: formatRepository(parseGun(text)),
      ...notaryJson(repository, untrusted === undefined),
    },
  };
}

async function imageAt(context: Context, text: string): Promise<Shown> {
  const { source, reference, version } = await context.openImage(text);
  const inspection = await inspectManifest(source, version, { signal: context.signal });
  const name = `${formatRepository(reference)}@${inspection.descriptor.digest}`;
  return { lines: inspectionLines(name, inspection), json: inspectionJson(name, inspection) };
}

async function collectionIn(context: Context, reference: Reference, flags: CollectionFlags): Promise<Shown> {
  const [{ demandShown, keyNames }, { collectionInspection }] = await Promise.all([
    import('../flags/shown-collection.ts'),
    import('../render/collection-inspection-text.ts'),
  ]);
  const shown = await demandShown(context, reference, flags);
  return collectionInspection(shown, await keyNames(context), context.io.now());
}

function inspectionLines(name: string, { descriptor, manifest, config }: Inspection): string[] {
  const lines = [name, row('media type', descriptor.mediaType), row('size', sizeText(descriptor.size))];
  if (manifest.artifactType !== undefined) lines.push(row('artifact type', manifest.artifactType));
  if (manifest.subject !== undefined) lines.push(row('subject', manifest.subject.digest));
  const attests = attestedTypes(manifest).map((type) => predicateLabel(type) ?? type);
  if (attests.length > 0) lines.push(row('attests', attests.join(', ')));
  if (config !== undefined) lines.push(...configLines(config));
  lines.push(...pairs('annotation', manifest.annotations));
  if (manifest.kind === 'index') {
    for (const child of manifest.manifests) {
      lines.push(
        row(
          'manifest',
          `${child.platform === undefined ? child.mediaType : formatPlatform(child.platform)}  ${part(child)}`,
        ),
      );
    }
  } else {
    lines.push(row('config', `${part(manifest.config)}  ${manifest.config.mediaType}`));
    for (const layer of manifest.layers) {
      const title = layer.annotations?.[FILE_TITLE];
      lines.push(
        row('layer', `${part(layer)}  ${layer.mediaType}${title === undefined ? '' : `  ${title}`}`),
      );
    }
  }
  return lines;
}

/** Predicate types that a bundle, or a manifest of cosign's `.att` tag, says it attests. */
function attestedTypes(manifest: Inspection['manifest']): readonly string[] {
  if (manifest.kind === 'index') return [];
  const all = [
    manifest.annotations?.[SIGNATURE_ANNOTATIONS.bundlePurpose],
    ...manifest.layers.map(({ annotations }) => annotations?.[SIGNATURE_ANNOTATIONS.legacyPredicateType]),
  ];
  return [...new Set(all)].flatMap((type) => (type === undefined || type === RELEASE_PURPOSE ? [] : [type]));
}

function configLines(config: NonNullable<Inspection['config']>): string[] {
  const lines = [row('platform', formatPlatform(config.platform))];
  if (config.created !== undefined) lines.push(row('created', config.created));
  if (config.author !== undefined) lines.push(row('author', config.author));
  if (config.user !== undefined && config.user !== '') lines.push(row('user', config.user));
  if (config.entrypoint.length > 0) lines.push(row('entrypoint', config.entrypoint.join(' ')));
  if (config.cmd.length > 0) lines.push(row('cmd', config.cmd.join(' ')));
  return [...lines, ...pairs('label', config.labels)];
}

function inspectionJson(name: string, { descriptor, manifest, config }: Inspection): Record<string, unknown> {
  const { kind: _, ...fields } = manifest;
  return { reference: name, ...descriptor, manifest: fields, ...(config !== undefined && { config }) };
}

function part(descriptor: Descriptor): string {
  return `${descriptor.digest}  ${sizeText(descriptor.size).padStart(10)}`;
}

function pairs(title: string, record: Readonly<Record<string, string>> | undefined): string[] {
  return Object.entries(record ?? {}).map(([key, value]) => row(title, `${key}=${value}`));
}

function row(title: string, value: string): string {
  return `  ${title.padEnd(13)} ${value}`;
}
