import { join } from 'node:path';
import { readSmallFile } from '../disk/small-file.ts';
import { BullaError } from '../errors.ts';
import { isDelegationName } from '../notary/role-name.ts';
import type { NotaryFileName, NotarySource } from '../notary/source.ts';
import { checkGun } from './gun.ts';

const BASE_ROLES: ReadonlySet<string> = new Set(['root', 'targets', 'snapshot', 'timestamp']);
const PROBE_BYTES = 64 * 1024 * 1024;

/** Saved metadata of one repository: `root.json`, `N.root.json`, `targets.json`, `targets/a.json`, … */
export class NotaryDirectory implements NotarySource {
  readonly place: string;

  /** @param place the directory that holds `root.json` */
  constructor(place: string) {
    this.place = place;
  }

  async fetch({ role, version }: NotaryFileName, maxBytes: number): Promise<Uint8Array | undefined> {
    if (!BASE_ROLES.has(role) && !isDelegationName(role)) return undefined;
    const name = version === undefined ? `${role}.json` : `${version}.${role}.json`;
    return readSmallFile(join(this.place, name), maxBytes);
  }
}

/**
 * Finds the metadata of a repository in a directory: the directory itself, a dump of `bulla export
 * notary-dump` (`v2/GUN/_trust/tuf`), or docker's cache (`~/.docker/trust`, `…/tuf`, `…/tuf/GUN`).
 * @throws BullaError not-found where none of these holds a root.json, usage for a GUN that is not one
 */
export function findNotaryDirectory(path: string, gun: string): NotaryDirectory {
  const inside = checkGun(gun).split('/');
  const candidates = [
    join(path, 'v2', ...inside, '_trust', 'tuf'),
    join(path, 'tuf', ...inside, 'metadata'),
    join(path, ...inside, 'metadata'),
    join(path, 'metadata'),
    path,
  ];
  const found = candidates.find((candidate) => hasRoot(candidate));
  if (found !== undefined) return new NotaryDirectory(found);
  throw new BullaError('not-found', `${path} holds no trust data of ${gun}: there is no root.json`, {
    hint: 'give the directory of a dump, docker’s ~/.docker/trust, or the one that holds root.json',
    details: { gun, path },
  });
}

function hasRoot(directory: string): boolean {
  try {
    return readSmallFile(join(directory, 'root.json'), PROBE_BYTES) !== undefined;
  } catch {
    // Whatever is wrong with it is told when it is read.
    return true;
  }
}
