import { dirname, join } from 'node:path';
import { makeDirectoryBelow, refuseLinksBelow, writeFileAtomic } from '../disk/atomic.ts';
import { readSmallFile } from '../disk/small-file.ts';
import { equalBytes } from '../encoding/bytes.ts';
import { assertRelativePath } from '../tuf/role-name.ts';

/** Writes a TUF repository into two directories, `metadata` and `targets`, each file whole or not at all. */
export class DirectoryWriter {
  private readonly path: string;

  /** @param path holds the two directories, neither of which may be a link; made when something is written */
  constructor(path: string) {
    this.path = path;
  }

  /** A metadata file that is there; undefined where there is none. @throws BullaError storage-error, content-invalid */
  async readMetadata(fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    return readSmallFile(join(this.path, 'metadata', fileName), maxBytes);
  }

  /** @param fileName as metadataFileName writes it. @throws BullaError storage-error */
  async writeMetadata(fileName: string, bytes: Uint8Array): Promise<void> {
    await put(this.path, join('metadata', fileName), bytes);
  }

  /** @param path as targetFilePath writes it. @throws BullaError storage-error; content-invalid for one that leaves the directory */
  async writeTarget(path: string, bytes: Uint8Array): Promise<void> {
    assertRelativePath(path);
    await put(this.path, join('targets', path), bytes);
  }
}

async function put(directory: string, below: string, bytes: Uint8Array): Promise<void> {
  await refuseLinksBelow(directory, dirname(below));
  const path = join(directory, below);
  if (isThere(path, bytes)) return;
  await makeDirectoryBelow(directory, dirname(below));
  await writeFileAtomic(path, bytes);
}

function isThere(path: string, bytes: Uint8Array): boolean {
  try {
    const present = readSmallFile(path, bytes.byteLength);
    return present !== undefined && equalBytes(present, bytes);
  } catch {
    // Whatever is wrong with it, writing it anew tells, or puts it right.
    return false;
  }
}
