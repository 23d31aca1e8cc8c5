import { isJsonObject, type JsonObject, type JsonValue } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import { CONTAINER_LISTS, type ImagePath, isOwnVersion, POD_SPECS } from '../verify/image-places.ts';

/** An image that an object names, and where. */
export interface WorkloadImage {
  /** JSON pointer (RFC 6901) to the text. */
  readonly pointer: string;
  /** `containers/app`: what people call the place, and what is the same place before and after an update. */
  readonly place: string;
  /** As it is written. */
  readonly image: string;
}

/** What an object of Kubernetes says about images. */
export interface Workload {
  readonly images: readonly WorkloadImage[];
  /** Names of the secrets that its pods pull with. */
  readonly pullSecrets: readonly string[];
}

/** Most images of one object. A pod of etcd's largest size could name some 10,000. */
export const MAX_WORKLOAD_IMAGES: number = 1_000;
const MAX_PULL_SECRETS = 16;

/**
 * Every image that an object names: containers of all kinds and image volumes of pods and of whatever makes pods, what
 * looks like a pod in other kinds, and what `paths` lead to.
 * @param apiVersion as `apps/v1`
 * @throws BullaError content-invalid where an image is not a text, or there are too many
 */
export function workloadOf(
  object: JsonObject,
  { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string },
  paths: readonly ImagePath[] = [],
): Workload {
  const finder = new Finder();
  const path = isOwnVersion(apiVersion) ? POD_SPECS.get(kind) : undefined;
  if (path === undefined) finder.guess(object, '');
  else finder.podSpec(...memberAt(object, path));
  for (const each of paths) finder.follow(object, each, '');
  return { images: [...finder.images.values()], pullSecrets: [...finder.pullSecrets] };
}

/**
 * The images that an update changes. An image that stands where it stood is running already, or will be asked about
 * when its pods are made; one that moved to another place is a new one (spec/gate.md, "Updates").
 */
export function changedImages(
  images: readonly WorkloadImage[],
  old: readonly WorkloadImage[],
): WorkloadImage[] {
  const places = new Map<string, string | undefined>();
  // Of two containers with one name, nothing says which one it was.
  for (const { place, image } of old) places.set(place, places.has(place) ? undefined : image);
  const seen = new Set<string>();
  return images.filter(({ place, image }) => {
    const isFirst = !seen.has(place);
    seen.add(place);
    return !isFirst || places.get(place) !== image;
  });
}

function memberAt(object: JsonObject, path: string): [JsonValue | undefined, string] {
  let found: JsonValue | undefined = object;
  for (const name of path.split('.')) found = isJsonObject(found) ? found[name] : undefined;
  return [found, `/${path.replaceAll('.', '/')}`];
}

class Finder {
  /** By pointer: a path may lead to what was found already. */
  readonly images = new Map<string, WorkloadImage>();
  readonly pullSecrets = new Set<string>();

  podSpec(value: JsonValue | undefined, pointer: string): void {
    if (value === undefined || value === null) return;
    if (!isJsonObject(value)) throw invalid(pointer, 'is not an object');
    for (const list of CONTAINER_LISTS)
      this.list(value, list, pointer, (container, at, place) => {
        this.image(container['image'], `${at}/image`, place);
      });
    this.list(value, 'volumes', pointer, (volume, at, place) => {
      const { image } = volume;
      if (image === undefined || image === null) return;
      if (!isJsonObject(image)) throw invalid(`${at}/image`, 'is not an object');
      this.image(image['reference'], `${at}/image/reference`, place);
    });
    const secrets = value['imagePullSecrets'];
    for (const secret of Array.isArray(secrets) ? secrets : [])
      if (
        isJsonObject(secret) &&
        typeof secret['name'] === 'string' &&
        this.pullSecrets.size < MAX_PULL_SECRETS
      )
        this.pullSecrets.add(secret['name']);
  }

  /** What looks like a pod, anywhere in an object of a kind that is not known. */
  guess(value: JsonValue | undefined, pointer: string): void {
    if (Array.isArray(value)) for (const [at, item] of value.entries()) this.guess(item, `${pointer}/${at}`);
    if (!isJsonObject(value)) return;
    if (CONTAINER_LISTS.some((list) => isListOfObjects(value[list]))) this.podSpec(value, pointer);
    // Also below it: a list beside it, which may be a decoy, must not hide the others.
    for (const name in value) this.guess(value[name], `${pointer}/${escaped(name)}`);
  }

  follow(value: JsonValue | undefined, [first, ...rest]: ImagePath, pointer: string): void {
    if (first === undefined) {
      this.image(value, pointer, pointer);
      return;
    }
    if (Array.isArray(value)) {
      if (first === '*')
        for (const [at, item] of value.entries()) this.follow(item, rest, `${pointer}/${at}`);
    } else if (isJsonObject(value))
      for (const name in value)
        if (first === '*' || first === name) this.follow(value[name], rest, `${pointer}/${escaped(name)}`);
  }

  private list(
    pod: JsonObject,
    name: string,
    pointer: string,
    each: (item: JsonObject, pointer: string, place: string) => void,
  ): void {
    const list = pod[name];
    if (list === undefined || list === null) return;
    if (!Array.isArray(list)) throw invalid(`${pointer}/${name}`, 'is not a list');
    for (const [at, item] of list.entries()) {
      const where = `${pointer}/${name}/${at}`;
      if (!isJsonObject(item)) throw invalid(where, 'is not an object');
      const called = item['name'];
      each(item, where, typeof called === 'string' ? `${name}/${called}` : where.slice(1));
    }
  }

  private image(value: JsonValue | undefined, pointer: string, place: string): void {
    // Templates may leave it out; when it is filled in, the object is reviewed again.
    if (value === undefined || value === null || value === '') return;
    if (typeof value !== 'string') throw invalid(pointer, 'is not a text');
    this.images.set(pointer, { pointer, place, image: value });
    if (this.images.size > MAX_WORKLOAD_IMAGES)
      throw new BullaError('content-invalid', `the object names more than ${MAX_WORKLOAD_IMAGES} images`, {
        hint: 'divide it into several',
      });
  }
}

function isListOfObjects(value: JsonValue | undefined): boolean {
  return Array.isArray(value) && value.some(isJsonObject);
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

function invalid(pointer: string, what: string): BullaError {
  return new BullaError('content-invalid', `${pointer.slice(0, 200)} ${what}`, {
    hint: 'write the object as the Kubernetes API has it',
  });
}
