import type { FileHandle } from 'node:fs/promises';
import { BullaError } from '../errors.ts';
import type { LayoutStore } from '../layout/store.ts';
import type { Digest } from '../oci/digest.ts';
import { ifThere } from '../oci/if-there.ts';
import {
  formatReference,
  type LayoutReference,
  parseReference,
  type Reference,
  type Tag,
} from '../oci/reference.ts';
import type { CallOptions, Target } from '../oci/target.ts';
import type { RegistryClient } from '../registry/client.ts';

/** How a run ended: after a failure, what was begun is taken back where it can be. */
export type Ended = 'well' | 'badly';

/** Side of a run that has two registries, which may be reached in two ways. */
export type Side = 'from' | 'to';

/** An image that a text names. */
export interface Image<R extends Reference = Reference> {
  readonly reference: R;
  readonly source: Target;
  /** Its digest where the reference has one, else its tag. */
  readonly version: Tag | Digest;
}

export interface OpenOptions {
  /** Which side's flags hold. */
  readonly side?: Side | undefined;
  /** Something is to be written to a registry: asks for the right to with the first token. */
  readonly write?: boolean | undefined;
  /** Makes a layout or an archive where there is none. */
  readonly create?: boolean | undefined;
  /** For an archive: repository under which `docker load` files what is in it. */
  readonly imageName?: string | undefined;
}

/** What places are opened with. */
export interface PlacesPorts extends CallOptions {
  /** The client of a registry. @throws BullaError registry-unreachable where no socket may be opened */
  client(registry: string, side: Side | undefined): Promise<RegistryClient>;
  /** The whole path of a layout or an archive. */
  path(path: string): string;
  /** Runs what moves or reads much content, and takes the time that it takes. */
  untimed<T>(work: () => Promise<T>): Promise<T>;
}

/** The path, in messages, of an archive that came over standard input. */
const RECEIVED = '-';

/** The registries, layouts and archives that one run works with. */
export class Places {
  private readonly ports: PlacesPorts;
  private readonly archives = new Map<string, LayoutStore>();
  private readonly opened: LayoutStore[] = [];

  constructor(ports: PlacesPorts) {
    this.ports = ports;
  }

  /**
   * The place that a reference names, to read from and to write to. Nothing is sent or created before
   * something is asked of it.
   * @throws BullaError registry-unreachable with --offline; not-found, storage-error, content-invalid
   */
  async openTarget(reference: Reference, options: OpenOptions = {}): Promise<Target> {
    if (reference.kind === 'registry') {
      const client = await this.ports.client(reference.registry, options.side);
      return client.repository(reference, { access: options.write === true ? 'write' : 'read' });
    }
    return await this.openLayout(reference, options);
  }

  /**
   * The image that a text names; it must have a tag or a digest.
   * @throws BullaError usage, and those of openTarget
   */
  async openImage(text: string, options: OpenOptions = {}): Promise<Image> {
    const reference = await this.namedInLayout(parseReference(text), options);
    const { tag, digest } = reference;
    if (digest !== undefined)
      return { reference, source: await this.openTarget(reference, options), version: digest };
    if (tag !== undefined)
      return { reference, source: await this.openTarget(reference, options), version: tag };
    if (reference.kind === 'registry') {
      throw new BullaError('usage', `${formatReference(reference)} names a repository, not an image`, {
        hint: 'add a tag (:v1) or a digest (@sha256:…); none is assumed, not even latest',
      });
    }
    const layout = await this.openLayout(reference, options);
    const only = await layout.onlyImage({ signal: this.ports.signal });
    return { reference: { ...reference, digest: only.digest }, source: layout, version: only.digest };
  }

  /**
   * A layout's reference whose name has colons and slashes of its own, `oci:DIR:gcr.io/team/app:v1`, is read as a
   * path at first. Where nothing is at that path, it is the shortest part before a colon that is there, and what
   * follows is the name of an entry; from then on, its digest. A tag that several entries share is told apart so, too.
   */
  async namedInLayout(reference: Reference, options: OpenOptions = {}): Promise<Reference> {
    if (reference.kind === 'registry' || options.create === true) return reference;
    const { path, tag, digest } = reference;
    const { lstat } = await import('node:fs/promises');
    const exists = (text: string): Promise<boolean> =>
      lstat(this.ports.path(text)).then(
        () => true,
        () => false,
      );
    if (await exists(path)) return reference;
    for (let colon = path.indexOf(':'); colon > 0; colon = path.indexOf(':', colon + 1)) {
      const place = path.slice(0, colon);
      if (!(await exists(place))) continue;
      const name = `${path.slice(colon + 1)}${tag === undefined ? '' : `:${tag}`}`;
      const layout = await this.openLayout({ kind: reference.kind, path: place }, options);
      return { kind: reference.kind, path: place, digest: await findNamed(layout, name, digest) };
    }
    return reference;
  }

  /** An archive has one writer, and what it has written is there when it is closed: a run opens each but once. */
  async openLayout(reference: LayoutReference, options: OpenOptions): Promise<LayoutStore> {
    const path = this.ports.path(reference.path);
    const known = reference.kind === 'archive' ? this.archives.get(path) : undefined;
    if (known !== undefined) return known;
    const { openLayout } = await import('../layout/open.ts');
    const { create, imageName } = options;
    if (create === true && reference.isImageAlone === true) await refuseExisting(path);
    // To be read at random, a compressed archive is unpacked first.
    const layout = await this.ports.untimed(() => openLayout({ ...reference, path }, { create, imageName }));
    if (reference.kind === 'archive') this.archives.set(path, layout);
    this.opened.push(layout);
    return layout;
  }

  /**
   * The only image of an archive in an open file that has no name; the file is closed with it.
   * @throws BullaError content-invalid, usage where there are several
   */
  async openReceived(file: FileHandle): Promise<Image> {
    const { openArchiveFile } = await import('../layout/open.ts');
    const layout = await this.ports.untimed(() => openArchiveFile(file, RECEIVED));
    this.opened.push(layout);
    const { digest } = await layout.onlyImage({ signal: this.ports.signal });
    return { reference: { kind: 'archive', path: RECEIVED, digest }, source: layout, version: digest };
  }

  /** Ends what was opened, the last first. @throws what the first failing one throws, after all were ended */
  async close(ended: Ended): Promise<void> {
    const failures: unknown[] = [];
    this.archives.clear();
    for (const layout of this.opened.splice(0).reverse()) {
      const isWell = ended === 'well' && failures.length === 0;
      await (isWell ? layout.close() : layout.abandon()).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** Another image would make it more than one. @throws BullaError conflict */
async function refuseExisting(path: string): Promise<void> {
  const { lstat } = await import('node:fs/promises');
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  throw new BullaError('conflict', `${path} exists, and docker-archive: holds one image`, {
    hint: `remove it, or add to it: oci-archive:${path}`,
  });
}

/** The entry of a name with a digest in it, or of that digest with that name. */
async function findNamed(layout: LayoutStore, name: string, digest: Digest | undefined): Promise<Digest> {
  if (digest === undefined) return await layout.findNamed(name);
  const found = await ifThere(() => layout.findNamed(`${name}@${digest}`));
  if (found !== undefined) return found;
  const named = await layout.findNamed(name);
  if (named === digest) return digest;
  throw new BullaError(
    'digest-mismatch',
    `${layout.name}: ${JSON.stringify(name)} is ${named}, and ${digest} was given`,
    {
      hint: 'leave the name out to take the manifest of that digest',
    },
  );
}
