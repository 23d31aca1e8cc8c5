import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml';
import { BullaError } from '../../errors.ts';
import { CONTAINER_LISTS, type ImagePath, isOwnVersion, POD_SPECS, withTag } from './image-places.ts';

/** One place in a manifest where an image is named. */
export interface ImageUse {
  /** The reference as Kubernetes and compose read it: without a tag it is `latest`. */
  readonly image: string;
  /** As it is written. */
  readonly written: string;
  /** `Deployment/web`, `compose service web` */
  readonly owner: string;
  readonly line: number;
  /** Where a digest goes: right behind what is written. */
  readonly end: number;
}

/** What was found in one file. */
export interface Manifests {
  readonly uses: readonly ImageUse[];
  /** Kinds that are not known, in which images were looked for by what pods look like. */
  readonly guessed: readonly string[];
  /** Kinds that are not known, with images outside of what looks like a pod: they are not among `uses`. */
  readonly unseen: readonly string[];
}

const MAX_DEPTH = 64;
const IN_PODS: ReadonlySet<string> = new Set(CONTAINER_LISTS);
/** Steps through one file: aliases can make a short text mean billions of members. */
const MAX_STEPS = 2_000_000;

/**
 * The images in Kubernetes manifests (lists and Helm's output included) and compose files, YAML or JSON.
 * @param where names the file in messages
 * @param paths where other kinds name images
 * @throws BullaError content-invalid for what is not YAML, or has an image that is not text
 */
export function imagesInManifests(text: string, where: string, paths: readonly ImagePath[] = []): Manifests {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const found = new Finder(where, lines, paths);
  for (const document of Array.isArray(documents) ? documents : []) {
    const [error] = document.errors;
    if (error !== undefined)
      throw new BullaError('content-invalid', `${where} is not YAML: ${error.message}`, {
        cause: error,
        hint: 'templates must be rendered first: helm template … | bulla verify --k8s -',
      });
    found.document(document as Document);
  }
  return { uses: found.uses, guessed: [...found.guessed], unseen: [...found.unseen] };
}

/** The text with each image followed by its digest; comments, order and everything else stay. @param digestOf of the uses to be pinned */
export function pinned(
  text: string,
  uses: readonly ImageUse[],
  digestOf: (use: ImageUse) => string | undefined,
): string {
  let result = text;
  for (const use of [...uses].sort((a, b) => b.end - a.end)) {
    const digest = digestOf(use);
    // What an anchor names is used in several places, and is written once.
    if (digest === undefined || use.written.includes('@') || result.startsWith(`@${digest}`, use.end))
      continue;
    result = `${result.slice(0, use.end)}@${digest}${result.slice(use.end)}`;
  }
  return result;
}

class Finder {
  readonly uses: ImageUse[] = [];
  readonly guessed = new Set<string>();
  readonly unseen = new Set<string>();
  private readonly where: string;
  private readonly lines: LineCounter;
  private readonly paths: readonly ImagePath[];
  private readonly targets = new Map<unknown, unknown>();
  private steps = 0;

  constructor(where: string, lines: LineCounter, paths: readonly ImagePath[]) {
    this.where = where;
    this.lines = lines;
    this.paths = paths;
  }

  /** Kubernetes and compose follow aliases: what they name is found first. */
  document(document: Document): void {
    const anchors = new Map<string, unknown>();
    visit(document, {
      Node: (_, node, path) => {
        if (isAlias(node)) {
          const target = anchors.get(node.source);
          if (target === undefined || path.includes(target as (typeof path)[number]))
            throw this.invalid(`the alias *${node.source} names nothing, or itself`, node.range?.[0]);
          this.targets.set(node, target);
        } else if (node.anchor !== undefined) anchors.set(node.anchor, node);
      },
    });
    this.object(document.contents);
  }

  /** An object of Kubernetes, a list of such, or a compose file. */
  private object(written: unknown): void {
    const node = this.real(written);
    if (!isMap(node)) return;
    const members = this.members(node);
    const kind = this.text(members.get('kind'));
    const apiVersion = this.text(members.get('apiVersion')) ?? '';
    if (kind === undefined) {
      if (members.has('kind')) throw this.invalid('the kind of an object is not a text', node.range?.[0]);
      const services = this.real(members.get('services'));
      if (isMap(services)) this.compose(services);
      return;
    }
    // kubectl takes whatever has items for a list, whatever its kind is called.
    const items = this.real(members.get('items'));
    if (isSeq(items)) for (const item of items.items) this.object(item);
    const name =
      this.text(this.in(node, 'metadata.name')) ?? this.text(this.in(node, 'metadata.generateName'));
    const owner = name === undefined ? kind : `${kind}/${name}`;
    const isOwn = isOwnVersion(apiVersion);
    const path = isOwn ? POD_SPECS.get(kind) : undefined;
    if (path !== undefined) this.podSpec(this.in(node, path), owner);
    const before = this.uses.length;
    for (const each of this.paths) this.follow(node, each, owner);
    if (isOwn || isSeq(items) || this.uses.length > before) return;
    if (this.guess(node, owner, 0)) this.unseen.add(`${apiVersion} ${kind}`);
    if (this.uses.length > before) this.guessed.add(`${apiVersion} ${kind}`);
  }

  private compose(services: YAMLMap): void {
    for (const [name, value] of this.members(services)) {
      const service = this.real(value);
      const members = isMap(service) ? this.members(service) : undefined;
      if (members?.has('image') === true) this.image(members.get('image'), `compose service ${name}`);
    }
  }

  /** Containers of all kinds, and volumes that are images. */
  private podSpec(written: unknown, owner: string): void {
    const node = this.real(written);
    if (!isMap(node)) return;
    const members = this.members(node);
    for (const list of CONTAINER_LISTS) {
      const containers = this.real(members.get(list));
      if (!isSeq(containers)) continue;
      for (const container of containers.items) {
        const image = this.in(container, 'image');
        if (image !== undefined) this.image(image, owner);
      }
    }
    const volumes = this.real(members.get('volumes'));
    if (!isSeq(volumes)) return;
    for (const volume of volumes.items) {
      const reference = this.in(volume, 'image.reference');
      if (reference !== undefined) this.image(reference, owner);
    }
  }

  private follow(written: unknown, [first, ...rest]: ImagePath, owner: string): void {
    if (first === undefined) {
      this.image(written, owner);
      return;
    }
    const node = this.real(written);
    if (first === '*' && isSeq(node)) for (const item of node.items) this.follow(item, rest, owner);
    else if (isMap(node))
      for (const [name, value] of this.members(node))
        if (first === '*' || first === name) this.follow(value, rest, owner);
  }

  /** Whatever holds containers, anywhere in an object. @returns whether it names images elsewhere */
  private guess(written: unknown, owner: string, depth: number): boolean {
    if (depth > MAX_DEPTH) throw this.invalid(`${owner} is nested more than ${MAX_DEPTH} levels deep`);
    const node = this.real(written);
    if (isSeq(node))
      return node.items.map((item) => this.guess(item, owner, depth + 1)).some((isElsewhere) => isElsewhere);
    if (!isMap(node)) return false;
    const members = this.members(node);
    let isElsewhere = this.text(members.get('image')) !== undefined;
    const isPod = CONTAINER_LISTS.some((list) => isSeq(this.real(members.get(list))));
    if (isPod) this.podSpec(node, owner);
    // Also beside such a list, which may be a decoy.
    for (const [name, value] of members)
      if (!isPod || !IN_PODS.has(name)) isElsewhere = this.guess(value, owner, depth + 1) || isElsewhere;
    return isElsewhere;
  }

  private image(node: unknown, owner: string): void {
    const written = isScalar(node) ? this.text(node) : undefined;
    const range = isScalar(node) ? node.range : undefined;
    if (written === undefined || range === undefined || range === null || !isInline(node as Scalar))
      throw this.invalid(`the image of ${owner} is not a text on one line`, range?.[0]);
    const isQuoted = (node as Scalar).type !== 'PLAIN';
    const { line } = this.lines.linePos(range[0]);
    this.uses.push({ image: withTag(written), written, owner, line, end: range[1] - (isQuoted ? 1 : 0) });
  }

  /** What an alias names; anything else as it is. */
  private real(node: unknown): unknown {
    if (++this.steps > MAX_STEPS) throw this.invalid('its aliases make it too large');
    return isAlias(node) ? this.real(this.targets.get(node)) : node;
  }

  private in(node: unknown, path: string): unknown {
    let found = node;
    for (const name of path.split('.')) {
      const map = this.real(found);
      found = isMap(map) ? this.members(map).get(name) : undefined;
    }
    return found;
  }

  /** Members by name, with those that `<<` merges in: its own come first, then the earlier source. */
  private members(map: YAMLMap): Map<string, unknown> {
    const found = new Map<string, unknown>();
    const sources: unknown[] = [];
    for (const { key, value } of map.items) {
      const name = this.name(key);
      if (name === '<<') sources.push(...this.each(value));
      else if (name !== undefined && found.has(name))
        throw this.invalid(`${JSON.stringify(name)} is there twice`, map.range?.[0]);
      else if (name !== undefined) found.set(name, value);
    }
    for (const source of sources) {
      const merged = this.real(source);
      if (!isMap(merged)) throw this.invalid('what << merges is not an object', map.range?.[0]);
      for (const [name, value] of this.members(merged)) if (!found.has(name)) found.set(name, value);
    }
    return found;
  }

  private each(written: unknown): readonly unknown[] {
    const node = this.real(written);
    return isSeq(node) ? node.items : [node];
  }

  /** The name of a member; undefined where it is a list or an object. */
  private name(key: unknown): string | undefined {
    const node = this.real(key);
    if (!isScalar(node)) return undefined;
    if (node.value instanceof Uint8Array)
      throw this.invalid('the name of a member is not a text', node.range?.[0]);
    return String(node.value);
  }

  private text(written: unknown): string | undefined {
    const node = this.real(written);
    return isScalar(node) && typeof node.value === 'string' ? node.value : undefined;
  }

  private invalid(what: string, at?: number): BullaError {
    const place = at === undefined ? this.where : `${this.where}:${this.lines.linePos(at).line}`;
    return new BullaError('content-invalid', `${place}: ${what}`, {
      hint: 'write each image as a plain reference, without tricks of YAML',
    });
  }
}

function isInline({ type }: Scalar): boolean {
  return type === 'PLAIN' || type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE';
}
