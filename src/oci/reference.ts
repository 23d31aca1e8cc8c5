import { BullaError } from '../errors.ts';
import { type Digest, hexOf, isDigest } from './digest.ts';
import { canonicalHost } from './host.ts';

declare const tagBrand: unique symbol;

/** A tag of distribution-spec: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. */
export type Tag = string & { readonly [tagBrand]: true };

/** An image in a registry. Neither tag nor digest: a whole repository. */
export interface RegistryReference {
  readonly kind: 'registry';
  /** Host and, if given, port, in their canonical spelling: `registry.example.com`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  readonly repository: string;
  readonly tag?: Tag | undefined;
  readonly digest?: Digest | undefined;
}

/** An image in an OCI image layout: a directory, or a tar file of one. */
export interface LayoutReference {
  readonly kind: 'layout' | 'archive';
  readonly path: string;
  /** `docker-archive:`: where it is written, with the image alone, for tools that take an archive for one image. */
  readonly isImageAlone?: true | undefined;
  /** `org.opencontainers.image.ref.name` of its entry in index.json. */
  readonly tag?: Tag | undefined;
  readonly digest?: Digest | undefined;
}

/** Where an image is. */
export type Reference = RegistryReference | LayoutReference;

const DOCKER_ARCHIVE = 'docker-archive:';
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
/** Many clients stop here; host and name together (registries.md of distribution say 255). */
const MAX_NAME = 255;

/** Whether `text` is a tag. */
export function isTag(text: string): text is Tag {
  return TAG.test(text);
}

/** @throws BullaError usage */
export function parseTag(text: string): Tag {
  if (isTag(text)) return text;
  throw new BullaError('usage', `${quote(text)} is not a tag`, {
    hint: 'a tag is up to 128 letters, digits, "_", "." and "-", and starts with none of the last two',
  });
}

/** Whether `text` is the name of a repository in a registry, without the host. */
export function isRepositoryName(text: string): boolean {
  return text.length <= MAX_NAME && REPOSITORY.test(text);
}

/**
 * Reads a reference as a person writes it: `[docker://]host[:port]/repo[:tag][@digest]`,
 * `oci:DIR[:tag][@digest]`, `oci-archive:FILE[:tag][@digest]`, `docker-archive:FILE[:tag]`. Without a host, or with one that docker
 * would not take for a host, it is Docker Hub, as docker reads it.
 * @throws BullaError usage
 */
export function parseReference(text: string): Reference {
  if (text.startsWith('oci:')) return parseLayoutReference('layout', text, text.slice('oci:'.length));
  if (text.startsWith('oci-archive:'))
    return parseLayoutReference('archive', text, text.slice('oci-archive:'.length));
  if (text.startsWith(DOCKER_ARCHIVE))
    return {
      ...parseLayoutReference('archive', text, text.slice(DOCKER_ARCHIVE.length)),
      isImageAlone: true,
    };
  const bare = text.startsWith('docker://') ? text.slice('docker://'.length) : text;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(bare)) {
    throw badReference(text, 'it is a URL', 'leave the scheme out: host/repository:tag');
  }
  return parseRegistryReference(text, bare);
}

function parseRegistryReference(text: string, bare: string): RegistryReference {
  const [named, digest] = splitDigest(text, bare);
  if (/^\.{0,2}\//.test(named)) throw badReference(text, 'it is a path', PATH_HINT);
  const slash = named.indexOf('/');
  const first = slash < 0 ? '' : named.slice(0, slash);
  const hasHost =
    first !== '' && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const rest = hasHost ? named.slice(slash + 1) : named;
  const colon = rest.lastIndexOf(':');
  const name = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (!hasHost && couldBeElsewhere(name, tag))
    throw badReference(
      text,
      'it could be a file, a registry, or an image of Docker Hub',
      `write oci-archive:FILE or oci:DIR, HOST/REPOSITORY, or docker.io/library/${name}`,
    );
  const registry = hasHost ? canonicalHost(first) : 'docker.io';
  if (registry === undefined) throw badReference(text, `${quote(first)} is not a host`, hostHint(first));
  const repository =
    registry === 'docker.io' && !name.includes('/') && name !== '' ? `library/${name}` : name;
  if (!REPOSITORY.test(repository)) throw badReference(text, `${quote(name)} is not a repository name`, HINT);
  if (registry.length + 1 + repository.length > MAX_NAME)
    throw badReference(text, 'the name is longer than 255 characters', HINT);
  if (tag !== undefined && !isTag(tag)) throw badReference(text, `${quote(tag)} is not a tag`, HINT);
  return {
    kind: 'registry',
    registry,
    repository,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
}

/**
 * `image.tar`, `registry.example.com` and `localhost:5000`: docker takes them for images of Docker Hub,
 * which they never are; a command with them must not end up there.
 */
function couldBeElsewhere(name: string, tag: string | undefined): boolean {
  if (name.includes('/')) return false;
  return name.includes('.') || (name === 'localhost' && tag !== undefined);
}

function parseLayoutReference(kind: 'layout' | 'archive', text: string, rest: string): LayoutReference {
  const [named, digest] = splitDigest(text, rest);
  // A colon ends the path only where what follows can be a tag: `oci:C:/dir` and `oci:./a:b/c` have none.
  const colon = named.lastIndexOf(':');
  const last = colon < 0 ? undefined : named.slice(colon + 1);
  const tag = last !== undefined && isTag(last) ? last : undefined;
  if (last === '') throw badReference(text, 'nothing follows the colon', 'oci:DIR or oci:DIR:tag');
  const path = tag === undefined ? named : named.slice(0, colon);
  if (path === '' || path.includes('\0'))
    throw badReference(text, 'it has no path', 'oci:DIR[:tag] or oci-archive:FILE[:tag]');
  return { kind, path, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

const PATH_HINT = 'write oci:DIR for a layout, oci-archive:FILE for an archive';
const HINT = 'write host/repository:tag or host/repository@sha256:…; repositories are lower-case';

/** Whether `text` is a host with an optional port below 65536, in whatever spelling. */
export function isRegistryHost(text: string): boolean {
  return canonicalHost(text) !== undefined;
}

/** What to write instead of a host that could be read in two ways, or in none. */
function hostHint(host: string): string {
  if (/:0[0-9]*$/.test(host)) return 'a port is a number from 1 to 65535 without leading zeros';
  if (/\.(?::[0-9]+)?$/.test(host)) return 'leave out the dot at the end of the host';
  if (/^[0-9a-fx.]+(?::[0-9]+)?$/i.test(host))
    return 'write an IPv4 address as four decimal numbers without leading zeros: 192.0.2.1';
  return HINT;
}

function splitDigest(text: string, rest: string): [string, Digest | undefined] {
  const at = rest.lastIndexOf('@');
  if (at < 0) return [rest, undefined];
  const digest = rest.slice(at + 1);
  if (isDigest(digest)) return [rest.slice(0, at), digest];
  // A directory may have an @ in its name; a repository may not.
  if (/^(?:oci|docker-archive)/.test(text) && !/^sha(?:256|512):/.test(digest)) return [rest, undefined];
  throw badReference(
    text,
    `${quote(digest)} is not a digest`,
    'a digest is sha256: and 64 lower-case hexadecimal digits',
  );
}

function badReference(text: string, why: string, hint: string): BullaError {
  return new BullaError('usage', `${quote(text)} is not a reference: ${why}`, { hint });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 160 ? `${text.slice(0, 157)}…` : text);
}

/** The reference as text that {@link parseReference} reads back to the same. */
export function formatReference(reference: Reference): string {
  return (
    formatRepository(reference) +
    (reference.tag === undefined ? '' : `:${reference.tag}`) +
    (reference.digest === undefined ? '' : `@${reference.digest}`)
  );
}

/** The reference without tag and digest: the repository, or the layout. */
export function formatRepository(reference: Reference): string {
  if (reference.kind === 'registry') {
    const { registry, repository } = reference;
    // Only its capital letters tell that the first part is a host.
    const isBare = !/[.:]/.test(registry) && registry !== 'localhost';
    return `${isBare ? registry.toUpperCase() : registry}/${repository}`;
  }
  if (reference.isImageAlone === true) return DOCKER_ARCHIVE + reference.path;
  return `${reference.kind === 'layout' ? 'oci' : 'oci-archive'}:${reference.path}`;
}

/** `reference` pinned to a digest, without its tag. */
export function withDigest<R extends Reference>(reference: R, digest: Digest): R {
  const { tag: _, ...rest } = reference;
  return { ...rest, digest } as R;
}

/**
 * Tag under which the referrers of `subject` are listed on registries without the referrers API
 * (distribution-spec, "Referrers Tag Schema"): `sha256-<hex>`, the hex cut at 64.
 */
export function fallbackTag(subject: Digest): Tag {
  return `${subject.slice(0, 6)}-${hexOf(subject).slice(0, 64)}` as Tag;
}

/** Tags under which cosign's older releases keep things beside the image: `sha256-<hex>.sig`, … */
export function cosignTags(subject: Digest): readonly Tag[] {
  return ['sig', 'att', 'sbom']
    .map((kind) => `${subject.slice(0, 6)}-${hexOf(subject)}.${kind}`)
    .filter(isTag);
}

const BESIDE = /^sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64,128})(?:\.(?:sig|att|sbom))?$/;

/** Tags that begin so are those of a trust collection (spec/trust.md, "Objects"). */
export const TRUST_TAG_PREFIX = '_trust';

/** Whether a tag keeps things beside an image and names none: a fallback index, cosign's old tags, a collection. */
export function isBesideTag(tag: string): boolean {
  return BESIDE.test(tag) || tag.startsWith(TRUST_TAG_PREFIX);
}
